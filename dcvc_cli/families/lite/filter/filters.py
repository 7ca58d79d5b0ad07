"""The output filter: a decoder filters the reconstructed picture before it puts it out. The payload holds the filters.
Source: docs/output-filter.md.

Planes are (luma, Cb, Cr), int16 0..8192. Their sides are multiples of 4. Chroma is as large as luma, or half as large
in both directions. Filtering and the coding of filters are integer arithmetic, bit-exact everywhere. The payload holds
the filters that the fit finds, so no decoder depends on the fit.
"""

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.lite.filter.parameters import (
    DAMAGED,
    Filters,
    Plane,
    Planes,
)
from dcvc_cli.families.lite.filter.twin import filter_planes_twin
from dcvc_cli.format.native import NativeModule, intact, wants_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState, decoder_start, encoder_start

if TYPE_CHECKING:
    from dcvc_cli import _filter as native
else:
    native = NativeModule("_filter")

TWIN_VARIABLE = "DCVC_OUTPUT_FILTER"
"""If this environment variable is "twin", the slow twin filters pictures."""

HALVED_CHROMA_WEIGHT, FULL_CHROMA_WEIGHT = 5.0, 1.0
"""Weight of a squared grey level of chroma in the fit, for 4:2:0 and for RGB; luma has 1. The first is large because
the quality of 4:2:0 is (6 Y + U + V) / 8 in decibels and chroma has smaller errors."""


def planes_of_squares(squares: NDArray[np.int16], halve_chroma: bool) -> Planes:
    """Makes planes of samples (3, h / 8, 8, w / 8, 8) of any layout, as from Operations.samples_from_frame. Halved
    chroma has the means of 2x2 samples."""
    return native.planes_of_squares(squares, halve_chroma)


def filter_planes(planes: Planes, filters: Filters) -> Planes:
    """Filters a picture. Bit-exact everywhere.

    Raises:
        ValueError: the planes' sizes are not those of the module's docstring.
        EnvironmentFault: DCVC_OUTPUT_FILTER is neither "native", the default, nor "twin".
    """
    if wants_twin(TWIN_VARIABLE):
        return filter_planes_twin(planes, filters)
    return native.filter_planes(planes, filters.luma, filters.chroma)


def bytes_of_plane(plane: Plane, height: int, width: int) -> NDArray[np.uint8]:
    """Returns the upper left height x width samples of a plane as 8-bit samples. Bit-exact everywhere.

    Raises:
        ValueError: the plane is smaller.
    """
    return native.bytes_of_plane(plane, height, width)


class FilterCoder:
    """Codes the filters of consecutive frames. It keeps the filters in force and what it has learned until `reset`."""

    def __init__(self) -> None:
        self.native = native.FilterCoder()

    def __copy__(self) -> "FilterCoder":
        """Returns a coder that goes on from here by itself."""
        other = FilterCoder()
        other.native = copy(self.native)
        return other

    def reset(self) -> None:
        """Drops the filters and forgets what was learned. Every I frame begins with it."""
        self.native.reset()

    @property
    def filters(self) -> Filters:
        """Returns the filters in force."""
        return Filters(*self.native.filters)

    def encode_open(self, filters: Filters, start: EncoderState | None = None) -> EncoderState:
        """Codes a frame's filters; symbols may follow in the same bytes. The state is the same on every machine.

        Args:
            start: where the vectors that share the bytes left the range coder.
        """
        return EncoderState(*self.native.encode_open(filters.luma, filters.chroma, encoder_start(start)))

    def encode(self, filters: Filters, start: EncoderState | None = None) -> bytes:
        """Codes a frame's filters, with which the bytes end. Arguments as for `encode_open`."""
        return self.native.encode(filters.luma, filters.chroma, encoder_start(start))

    def decode_open(self, data: bytes, start: DecoderState | None = None) -> tuple[Filters, DecoderState]:
        """Reads a frame's filters.

        Returns:
            (the filters, the state of the range coder behind them, from which the rest of the payload goes on).

        Raises:
            StreamError: the bytes hold no filters.
        """
        filters, state = intact(self.native.decode_open(data, decoder_start(start)), DAMAGED)
        return Filters(*filters), DecoderState(*state)

    def decode(self, data: bytes, start: DecoderState | None = None) -> Filters:
        """Reads a frame's filters, with which the bytes end.

        Raises:
            StreamError: the bytes hold no filters, or something else as well.
        """
        return Filters(*intact(self.native.decode(data, decoder_start(start)), DAMAGED))


class FilterFit:
    """Chooses the filters of consecutive frames for an encoder."""

    def __init__(self) -> None:
        self._native = native.FilterFit()

    def __copy__(self) -> "FilterFit":
        """Returns a coder that goes on from here by itself."""
        other = FilterFit()
        other._native = copy(self._native)
        return other

    def reset(self) -> None:
        """Forgets the frames before. Every I frame begins with it."""
        self._native.reset()

    def fit(self, planes: Planes, source: Planes, coder: FilterCoder, bit_price: float) -> Filters:
        """Chooses filters that bring a picture closer to its source. It does not change the coder: filters are in force
        once they are coded.

        Args:
            planes: the reconstructed picture before the filter.
            source: the three planes of the source, samples 0..8192 of the same sizes.
            coder: the coder that will code the filters; its state gives their bits.
            bit_price: price of a bit in squared grey levels of luma, not negative.

        Raises:
            ValueError: sizes differ, or the price is negative.
        """
        weight = FULL_CHROMA_WEIGHT if planes[1].shape == planes[0].shape else HALVED_CHROMA_WEIGHT
        return Filters(*self._native.fit(planes, source, coder.native, bit_price, weight))
