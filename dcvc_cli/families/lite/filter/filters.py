"""The output filter: what a decoder puts out is the reconstructed picture filtered, by filters in the payload. Source:
docs/output-filter.md.

Planes are (luma, Cb, Cr), int16 0..8192, sides multiples of 4; chroma is as large as luma, or half as large in both
directions. Filtering and the coding of filters are integer arithmetic, bit-exact everywhere; what the fit finds is
coded, so no decoder depends on it.
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.filter.parameters import (
    DAMAGED,
    Filters,
    Plane,
    Planes,
)
from dcvc_cli.families.lite.filter.twin import filter_planes_twin
from dcvc_cli.format.native import NativeModule, wants_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState, decoder_start, encoder_start

if TYPE_CHECKING:
    from dcvc_cli import _filter as native
else:
    native = NativeModule("_filter")

TWIN_VARIABLE = "DCVC_OUTPUT_FILTER"
"""The environment variable that, set to "twin", has pictures filtered by the slow twin."""

HALVED_CHROMA_WEIGHT, FULL_CHROMA_WEIGHT = 5.0, 1.0
"""What a squared grey level of chroma counts in the fit beside one of luma: of 4:2:0, where quality is (6 Y + U + V) /
8 in decibels and chroma errs less, and of RGB."""

T = TypeVar("T")


def planes_of_squares(squares: NDArray[np.int16], halve_chroma: bool) -> Planes:
    """The planes of samples (3, h / 8, 8, w / 8, 8) of any layout, as Operations.samples_from_frame has them; halved
    are means of 2x2 samples."""
    return native.planes_of_squares(squares, halve_chroma)


def filter_planes(planes: Planes, filters: Filters) -> Planes:
    """Filters a picture. Bit-exact everywhere.

    Raises:
        ValueError: planes of sizes that are not those of the module's docstring.
        EnvironmentFault: DCVC_OUTPUT_FILTER is neither "native", the default, nor "twin".
    """
    if wants_twin(TWIN_VARIABLE):
        return filter_planes_twin(planes, filters)
    return native.filter_planes(planes, filters.luma, filters.chroma)


def bytes_of_plane(plane: Plane, height: int, width: int) -> NDArray[np.uint8]:
    """The upper left height x width samples of a plane as they are put out, uint8 in 0..255; ValueError if it has
    fewer. Bit-exact everywhere."""
    return native.bytes_of_plane(plane, height, width)


class FilterCoder:
    """Codes the filters of consecutive frames; those in force, and what it learned, stay until `reset`."""

    def __init__(self) -> None:
        self.native = native.FilterCoder()

    def reset(self) -> None:
        """At every I frame: no filters, nothing learned."""
        self.native.reset()

    @property
    def filters(self) -> Filters:
        """Those in force."""
        return Filters(*self.native.filters)

    def encode_open(self, filters: Filters, start: EncoderState | None = None) -> EncoderState:
        """Codes a frame's filters; symbols may follow in the same bytes. The state is the same on every machine.

        Args:
            start: where the vectors that share the bytes left the range coder.
        """
        return EncoderState(*self.native.encode_open(filters.luma, filters.chroma, encoder_start(start)))

    def encode(self, filters: Filters, start: EncoderState | None = None) -> bytes:
        """As `encode_open`, and ends the bytes."""
        return self.native.encode(filters.luma, filters.chroma, encoder_start(start))

    def decode_open(self, data: bytes, start: DecoderState | None = None) -> tuple[Filters, DecoderState]:
        """A frame's filters, and where symbols go on in the same bytes.

        Raises:
            StreamError: the bytes hold no filters.
        """
        filters, state = _intact(self.native.decode_open(data, decoder_start(start)))
        return Filters(*filters), DecoderState(*state)

    def decode(self, data: bytes, start: DecoderState | None = None) -> Filters:
        """A frame's filters, with which the bytes end.

        Raises:
            StreamError: the bytes hold no filters, or something else besides.
        """
        return Filters(*_intact(self.native.decode(data, decoder_start(start))))


class FilterFit:
    """Chooses the filters of consecutive frames for an encoder."""

    def __init__(self) -> None:
        self._native = native.FilterFit()

    def reset(self) -> None:
        """At every I frame."""
        self._native.reset()

    def fit(
        self, planes: Planes, source: tuple[NDArray[np.uint8], ...], coder: FilterCoder, bit_price: float
    ) -> Filters:
        """Filters that bring a picture closer to its source, at the prices of a coder. Changes nothing in it: code what
        is to be in force.

        Args:
            planes: the reconstructed picture before the filter.
            source: its three planes, uint8 of the same sizes.
            bit_price: what a bit is worth in squared grey levels of luma, 0 and more.

        Raises:
            ValueError: sizes differ, or the price is negative.
        """
        weight = FULL_CHROMA_WEIGHT if planes[1].shape == planes[0].shape else HALVED_CHROMA_WEIGHT
        return Filters(*self._native.fit(planes, source, coder.native, bit_price, weight))


def _intact(decoded: T | None) -> T:
    if decoded is None:
        raise StreamError(DAMAGED)
    return decoded
