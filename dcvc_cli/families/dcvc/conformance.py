"""Conformance cases of DCVC."""

from collections.abc import Mapping

from dcvc_cli.families.dcvc.video import LAPLACE, Z_MV, Z
from dcvc_cli.families.float_codec.anchor import GAUSSIAN
from dcvc_cli.families.float_codec.conformance import FileForm, FloatConformance
from dcvc_cli.families.float_codec.entropy_vectors import VectorRules
from dcvc_cli.families.float_codec.hyperprior import GAUSSIAN_ROWS
from dcvc_cli.families.float_codec.model import FloatModel
from dcvc_cli.families.float_codec.tables import rows_by_table, stored_table
from dcvc_cli.families.wide_latents.tables import SMALLEST_SCALE

MODELS = {
    "cheng2020-anchor": "dcvc-128",
    "cheng2020-anchor-192": "dcvc",
    "bmshj2018-hyperprior": "dcvc-hyper",
}
"""Names of models by the name of their I-frame network in make_params.py."""


class DcvcConformance(FloatConformance):
    """Cases of the published video model with its I-frame models."""

    files = FileForm(p_has_size=True, lengths_of_p=4)
    video_kind = "dcvc"
    densities = {"mv_z": Z_MV, "z": Z}  # noqa: RUF012

    def __init__(self, models: Mapping[str, FloatModel]) -> None:
        self._models = models
        tables = {"laplace": stored_table(LAPLACE)[0], "gaussian": stored_table(GAUSSIAN)[0]}
        rules = {"laplace": rows_by_table(LAPLACE, SMALLEST_SCALE), "gaussian": GAUSSIAN_ROWS}
        self.vector_rules = VectorRules(tables, rules)

    def model_of(self, image_kind: str) -> FloatModel | None:
        """Returns the model with that I-frame network; None if there is none."""
        return self._models.get(MODELS.get(image_kind, ""))
