"""The family `dcvc-uf`: the published codec DCVC-UF (2026). LD codes picture by picture, HT-S and HT-L code chunks of
eight pictures."""

from collections.abc import Mapping
from functools import cached_property

from dcvc_cli.families.base import Family
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.elementary_form import ElementaryForm
from dcvc_cli.families.uf.model import UfModel
from dcvc_cli.families.uf.sizes import HT_L, HT_S, IMAGE, LD, TINY_HT_L, TINY_HT_S, TINY_IMAGE, TINY_LD


class UfFamily(Family):
    """Models `uf-ld`, `uf-hts`, `uf-htl` and, for tests, small ones of each kind."""

    name = "dcvc-uf"

    @cached_property
    def models(self) -> Mapping[str, UfModel]:
        """Returns the published sizes and the sizes for tests."""
        made = [
            UfModel("uf-ld", IMAGE, LD, relative_width=2.0, kept_memory=128 << 20),
            UfModel("uf-hts", IMAGE, HT_S, relative_width=6.0, kept_memory=352 << 20),
            UfModel("uf-htl", IMAGE, HT_L, relative_width=6.0, kept_memory=480 << 20),
            UfModel("tiny-uf-ld", TINY_IMAGE, TINY_LD, relative_width=0.5, is_for_tests=True),
            UfModel("tiny-uf-hts", TINY_IMAGE, TINY_HT_S, relative_width=0.5, is_for_tests=True),
            UfModel("tiny-uf-htl", TINY_IMAGE, TINY_HT_L, relative_width=0.5, is_for_tests=True),
        ]
        return {model.name: model for model in made}

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares streams and pictures byte for byte."""
        from dcvc_cli.families.uf.conformance import UfConformance

        return UfConformance(self.models)

    def elementary_form(self) -> ElementaryForm:
        """Returns the form of the published codec's elementary stream."""
        from dcvc_cli.families.uf.remux import UfElementaryForm

        return UfElementaryForm(self.models)
