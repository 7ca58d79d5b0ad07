"""Codes what the networks' picture lacks of the source, sample by sample. Source: docs/lossless.md.

Coding is integer arithmetic, bit-exact everywhere.
"""

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.lossless.planes import Levels, Planes, Sizes
from dcvc_cli.families.lite.samples import samples_of_levels
from dcvc_cli.format.native import NativeModule, wants_twin

if TYPE_CHECKING:
    from dcvc_cli import _lossless as native
else:
    native = NativeModule("_lossless")

TWIN_VARIABLE = "DCVC_LOSSLESS"
"""If this environment variable is "twin", the slow twin codes the layer."""
DAMAGED = "the lossless layer of a frame is damaged"
"""Message of the StreamError for a payload with an impossible layer."""


class LayerCoder:
    """Codes the layers of consecutive frames. It keeps what it has learned until `reset`.

    Args:
        depth: bits of a level, 8..12.

    Raises:
        EnvironmentFault: DCVC_LOSSLESS is neither "native", the default, nor "twin".
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        if wants_twin(TWIN_VARIABLE):
            from dcvc_cli.families.lite.lossless.twin import TwinLayerCoder

            self._coder: native.LayerCoder | TwinLayerCoder = TwinLayerCoder()
        else:
            self._coder = native.LayerCoder()

    def __copy__(self) -> "LayerCoder":
        made = LayerCoder(self.depth)
        made._coder = copy(self._coder)
        return made

    def reset(self) -> None:
        """Forgets what was learned. Every I frame begins with it."""
        self._coder.reset()

    def encode(self, levels: Levels, picture: Planes, compensated: Planes | None) -> bytes:
        """Codes the layer of a frame.

        Args:
            levels: the source.
            picture: planes of the networks' picture in 0..8192, as large as those of the source or padded.
            compensated: planes of the compensated frame, of these sizes; None in I frames.

        Raises:
            ValueError: sizes do not fit, or a value is out of range.
        """
        return self._coder.encode(levels, picture, compensated, self.depth)

    def decode(self, data: bytes, sizes: Sizes, picture: Planes, compensated: Planes | None) -> Levels:
        """Reads the layer of a frame; returns the source. Arguments as for `encode`.

        Raises:
            StreamError: the bytes hold no layer, or something else as well.
        """
        levels = self._coder.decode(data, sizes, picture, compensated, self.depth)
        if levels is None:
            raise StreamError(DAMAGED)
        return levels


def padded_samples(levels: Levels, padded: tuple[int, int], depth: int) -> NDArray[np.int16]:
    """Makes the samples 0..8192 that stand for levels, int16 (3, Hp, Wp): chroma repeated to full size, last row and
    column repeated as padding."""
    height, width = levels[0].shape
    planes = []
    for plane in levels:
        samples = samples_of_levels(plane, depth)
        if plane.shape != (height, width):
            samples = samples.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        planes.append(np.pad(samples, ((0, padded[0] - height), (0, padded[1] - width)), mode="edge"))
    return np.stack(planes)
