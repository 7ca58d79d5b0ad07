"""The family `evc`: the published image codec EVC (ICLR 2023), on R G B. Every picture is an I frame."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.base import Family, Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.evc.frames import EvcFrameDecoder, EvcFrameEncoder
from dcvc_cli.families.evc.network import LARGE, MEDIUM, SMALL, TINY, EvcNetwork, EvcSizes, Widths
from dcvc_cli.families.wide_latents.rgb import padded_size
from dcvc_cli.families.wide_latents.sequences import RgbDecoder, RgbEncoder, rgb_sps_fields
from dcvc_cli.families.wide_latents.tables import z_table
from dcvc_cli.format.types import PictureSize
from dcvc_cli.stages import ANALYSIS, COLOUR, ENTROPY, HYPER, OTHER, PRIORS, SYNTHESIS

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

NUM_SCALABLE = 4
"""Number of encoders of a scalable model."""
KEPT_MEMORY = 64 << 20
"""Bytes of freed tensors that a process keeps."""


class EvcModel(Model):
    """An encoder and a decoder of one size each, or four encoders of a scalable model.

    Attributes:
        graph: the graph of the one network.
    """

    stages = (ANALYSIS, HYPER, PRIORS, ENTROPY, SYNTHESIS, COLOUR, OTHER)

    def __init__(self, name: str, sizes: EvcSizes, *, is_for_tests: bool = False) -> None:
        self.name, self.is_for_tests = name, is_for_tests
        # Fitted to the memory that pictures of 256x192 to 1024x768 take, by the widest features at half size.
        self.relative_width, self.kept_memory = 0.5 + 0.035 * max(sizes.encoder[0], sizes.decoder[0]), KEPT_MEMORY
        self.graph = EvcNetwork(sizes)
        self.networks = {"image": self.graph}

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for the family's own byte format."""
        return rgb_sps_fields(self, choices)

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder whose pictures are all I frames."""
        return RgbEncoder(EvcFrameEncoder(self.graph, networks["image"]), sps, choices, keyint=1)

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder that gives one picture a unit."""
        self.check_sps(sps)
        padded = padded_size(video_format_of(sps).size)
        return RgbDecoder(EvcFrameDecoder(self.graph, networks["image"], padded), sps)

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of z of the factorised density."""
        return z_table(state, "bit_estimator_z")

    def random_parameters(self, network: str) -> "State":
        """Makes parameters whose layers keep the size of values."""
        from dcvc_cli.families.evc.random_parameters import random_parameters_of

        return random_parameters_of(self.graph)


class EvcFamily(Family):
    """Models by the published names. `evc` is LL; the other names have the sizes of encoder and decoder."""

    name = "evc"
    precisions = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, EvcModel]:
        """Returns the published sizes, and a size for tests."""
        published: dict[str, tuple[Widths, Widths, int]] = {
            "evc": (LARGE, LARGE, 1),
            "evc-lm": (LARGE, MEDIUM, 1),
            "evc-ls": (LARGE, SMALL, 1),
            "evc-ml": (MEDIUM, LARGE, 1),
            "evc-sl": (SMALL, LARGE, 1),
            "evc-mm": (MEDIUM, MEDIUM, 1),
            "evc-ss": (SMALL, SMALL, 1),
            "evc-scale-sl": (SMALL, LARGE, NUM_SCALABLE),
            "evc-scale-ss": (SMALL, SMALL, NUM_SCALABLE),
        }
        made = [EvcModel(name, EvcSizes(*sizes)) for name, sizes in published.items()]
        made.append(EvcModel("tiny-evc", EvcSizes(TINY, TINY, latents=8), is_for_tests=True))
        made.append(EvcModel("tiny-evc-scale", EvcSizes(TINY, TINY, NUM_SCALABLE, latents=8), is_for_tests=True))
        return {model.name: model for model in made}

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares files and pictures byte for byte."""
        from dcvc_cli.families.evc.conformance import EvcConformance

        return EvcConformance(self.models)
