"""A .dcvc stream to pictures: stream reader -> (thread) sequence decoder and hash check -> writer, one frame in memory at a time.

Units are read strictly: the first broken rule ends the decode, after every frame before it has been given out.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.random_access import read_index, scan_units
from dcvc_cli.bitstream.sei import PictureHash, hash_picture
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit, SeiUnit, SpsUnit, Unit
from dcvc_cli.coding.frame_report import FrameReport
from dcvc_cli.coding.memory import decoding_memory
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, StreamNetworks
from dcvc_cli.coding.sequence import SequenceDecoder, video_format_of
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import Picture, VideoFormat


class HashMismatchError(StreamError):
    """A decoded picture that is not the encoder's. Frames since the last right one are not to be trusted."""


@dataclass(frozen=True)
class DecodedFrame:
    """One picture, and what is told about it."""

    picture: Picture
    report: FrameReport


class OpenedStream:
    """A stream whose first frame has been found, so that its pictures' format is known before anything is decoded.

    Args:
        source: positioned at the start.
        seek: frames to leave out at the start; a seekable source starts at the I frame before them, found in its index or by reading through.
        max_frames: at most so many frames after those, None for all.
        limits: what the caller grants, None for what the environment says.

    Attributes:
        sps: of the first frame.
        num_frames: how many frames will come, None where that is not known.

    Raises:
        StreamError: damaged, empty, beyond the limits, or no .dcvc stream at all.
        InputError: fewer frames than `seek` asks to leave out.
    """

    def __init__(self, source: StreamSource, seek: int = 0, max_frames: int | None = None, limits: Limits | None = None) -> None:
        self.limits = Limits.from_environment() if limits is None else limits
        self.seek, self.max_frames = seek, max_frames
        self.first_index = 0
        self.num_frames: int | None = None
        offset = self._find_start(source)
        units = iter(StreamReader(source, start_offset=offset))
        before: list[Unit] = []
        for unit in units:
            before.append(unit)
            if isinstance(unit, FrameUnit):
                self.sps = unit.sps
                break
        else:
            raise StreamError(f"{source.name} holds no frame")
        self._name = source.name
        self.limits.check_stream(source.name, self.sps.width, self.sps.height, decoding_memory(self.sps))
        self.units: Iterator[Unit] = chain(before, units)

    @property
    def video_format(self) -> VideoFormat:
        return video_format_of(self.sps)

    def _find_start(self, source: StreamSource) -> int | None:
        """Where to start reading, None for the start of the source."""
        if not source.is_seekable:
            return None
        try:
            index = read_index(source)
        except BitstreamError:
            source.seek(0)
            if not self.seek:
                return None
            index = scan_units(source, tolerant=True)
        source.seek(0)
        if index.num_frames <= self.seek:
            if not self.seek:
                return None
            raise self._nothing_left(source.name, index.num_frames, self.seek)
        self.num_frames = index.num_frames - self.seek
        if self.max_frames is not None:
            self.num_frames = min(self.num_frames, self.max_frames)
        if not self.seek:
            return None
        entry = index.access_point(self.seek)
        self.first_index = entry.frame_number
        source.seek(entry.offset)
        return entry.offset

    @staticmethod
    def _nothing_left(name: str, num_frames: int, seek: int) -> InputError:
        return InputError(f"{name} holds {num_frames} frames, expected more than the {seek} to skip", "lower --seek")

    def frames(self, networks: StreamNetworks, verify: bool = True) -> Iterator[DecodedFrame]:
        """Decodes frame after frame.

        Raises:
            StreamError: damage, a hash that does not match, pictures of another format in the middle.
            EnvironmentFault: weights or device are missing.
        """
        last = self.seek + self.max_frames if self.max_frames is not None else None
        index = self.first_index
        for frame in decode_units(self.units, networks, verify, self.first_index, last):
            index = frame.report.index
            self.limits.check_frames(self._name, index + 1, StreamError)
            if index >= self.seek:
                yield frame
        if index < self.seek:
            raise self._nothing_left(self._name, index + 1, self.seek)


def decode_units(
    units: Iterable[Unit], networks: StreamNetworks, verify: bool = True, first_index: int = 0, last_index: int | None = None
) -> Iterator[DecodedFrame]:
    """Decodes units in order; raises as `OpenedStream.frames` does. A frame is given out before its hash, which follows it, is there.

    Args:
        verify: check picture hashes.
        first_index: number of the first frame.
        last_index: stop before this frame, after its predecessor's hash has been checked; None = go to the end.
    """
    decoder: SequenceDecoder | None = None
    hashes = HashChecker()
    index, sps_bytes = first_index, 0
    for unit in units:
        if isinstance(unit, FrameUnit):
            if index == last_index:
                return
            start = time.perf_counter()
            decoder = _decoder_for(unit, decoder, networks, index)
            picture = _decode(decoder, unit, index)
            hashes.expect(index, picture, unit.sps)
            yield DecodedFrame(picture, FrameReport(index, unit.frame_type.name, unit.qp, unit.size_bytes + sps_bytes, time.perf_counter() - start))
            index += 1
        elif verify and isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash):
            hashes.check(unit.message)
        sps_bytes = unit.size_bytes if isinstance(unit, SpsUnit) else 0


def _decoder_for(unit: FrameUnit, decoder: SequenceDecoder | None, networks: StreamNetworks, index: int) -> SequenceDecoder:
    """The decoder of the frame's SPS: a new one where the pictures or the model are announced anew."""
    sps = unit.sps
    if decoder is not None and sps.can_follow(decoder.sps):
        return decoder
    if decoder is not None:
        before, after = decoder.video_format, video_format_of(sps)
        if (before.size, before.chroma) != (after.size, after.chroma):
            found = f"{before.size} {before.chroma.value} to {after.size} {after.chroma.value}"
            hint = f"decode the parts apart: --frames {index}, then --seek {index}"
            raise StreamError(f"the pictures change from {found} at frame {index}, expected one size to the end", hint)
    return SequenceDecoder(networks.for_sps(sps), sps)


def _decode(decoder: SequenceDecoder, unit: FrameUnit, index: int) -> Picture:
    try:
        return decoder.decode(unit)
    except StreamError as error:
        raise StreamError(f"frame {index} cannot be decoded: {error.message}", error.hint or _desync_hint(unit.sps.precision)) from error


class HashChecker:
    """Compares decoded pictures with the hashes that follow them in the stream."""

    def __init__(self) -> None:
        self._index = 0
        self._picture: Picture | None = None
        self._sps: Sps | None = None
        self._last_right: int | None = None
        self.num_checked = 0

    def expect(self, index: int, picture: Picture, sps: Sps) -> None:
        """The frame that the next hash speaks of."""
        self._index, self._picture, self._sps = index, picture, sps

    def check(self, message: PictureHash) -> None:
        """HashMismatchError where the last picture is not the encoder's."""
        if self._picture is None or self._sps is None:
            return
        found = hash_picture(message.kind, (plane.data for plane in self._picture.planes))
        if found == message.digest:
            self._last_right = self._index
            self.num_checked += 1
            return
        right = "no frame before it was checked" if self._last_right is None else f"the last frame known to be right is {self._last_right}"
        text = f"frame {self._index} is not the encoder's picture: {message.kind.name} {message.digest.hex()} expected, {found.hex()} found; {right}"
        raise HashMismatchError(text, _desync_hint(self._sps.precision))


def _desync_hint(precision: Precision) -> str:
    if precision is Precision.EXACT:
        return "its units are intact, so the stream was made wrong, or this is a fault of dcvc"
    name = NAMES_OF_PRECISIONS[precision]
    hint = "decode where it was encoded, with as many --threads, or encode with --precision exact"
    return f"coded in {name}, which depends on machine, software and number of threads: {hint}"
