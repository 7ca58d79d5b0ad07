"""Calibration of DCVC-UF: codes units to measure the ranges that decide the exact profile's exponents. It makes symbols
and drops them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.calibration import CalibrationSide
from dcvc_cli.families.uf.coder import MAX_Z, MIN_Z
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.recipe import (
    Analysis,
    code_i_frame,
    code_p_unit,
    memory_after_picture,
    memory_after_unit,
    next_contexts,
)
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.graph.latent_steps import CodingStep

Values = NDArray[np.float32]

NUM_UNITS, NUM_CHUNKS = 3, 2
"""Number of P units of a clip, with one picture a unit and with several. The first follows the I frame, each other one
follows the unit before."""


class UnitCalibrationSide(CalibrationSide):
    """The side of a unit in calibration."""

    def hyper_latents(  # type: ignore[override]
        self, analysis: Analysis, hyper_analysis: Analysis, scaled: Analysis, qp: int
    ) -> Tensor:
        """Analyses the pictures. The ranges of the encoder's half are recorded apart."""
        own = self.ops.analysis
        y = analysis(own, own.frame_from_values(self.values))
        z = hyper_analysis(own, y)
        self._y = scaled(own, y).tensor
        return self.ops.z_from_symbols(np.clip(self.ops.round_z(z.tensor), MIN_Z, MAX_Z))

    def share_scales(self, steps: Sequence[CodingStep], scales: Tensor) -> None:
        """Does nothing: each step gets its scales once more."""


def back_and_forth(clip: Sequence[Values]) -> Iterator[Values]:
    """Yields the pictures after the first one without end: to the end of the clip, back to its start, to its end
    again."""
    last = len(clip) - 1
    return cycle(clip[index] for index in (*range(1, last + 1), *range(last - 1, -1, -1)))


def calibrate(
    image: UfImageModel, video: UfVideoModel, networks: Mapping[str, Any], clip: Sequence[Values], qp: int
) -> None:
    """Codes an I frame, then P units, and at last the start of a unit after a reset.

    Args:
        networks: RecordingOperations of the image and of the video network.
        clip: two or more pictures, float32 (3, Hp, Wp) in 0..1; both sides are multiples of 16.
        qp: 0..63.
    """
    ops, num_pictures = networks["video"], video.sizes.pictures
    picture = code_i_frame(image, networks["image"], UnitCalibrationSide(networks["image"], clip[0]), qp)
    kept = memory_after_picture(ops, ops.frame(picture.tensor))
    pictures = back_and_forth(clip)
    num_units = NUM_UNITS if num_pictures == 1 else NUM_CHUNKS
    for number in range(num_units):
        contexts = next_contexts(video, ops, kept)
        values = np.concatenate(list(islice(pictures, num_pictures)))
        feature = code_p_unit(video, ops, UnitCalibrationSide(ops, values), contexts, qp)
        for index in range(num_pictures):
            video.picture(ops, feature, index)
        kept = memory_after_unit(video, ops, contexts, feature, reset=number == num_units - 1)
    next_contexts(video, ops, kept)
