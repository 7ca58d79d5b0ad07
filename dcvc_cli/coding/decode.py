"""Decodes a .dcvc stream into pictures: stream reader -> picture decoder -> hash check, one unit in memory at a time.

With STOP the reader is strict: every frame before the first broken rule is given out, and the broken rule ends the
decode. concealment.py decodes past damage.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.random_access import find_access_point, read_index, scan_units
from dcvc_cli.bitstream.sei import PictureHash, hash_picture
from dcvc_cli.bitstream.sps import HashKind, Precision, Sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.tracks import TrackHeader, TrackPacket
from dcvc_cli.bitstream.units import Damage, FrameUnit, SeiUnit, SpsUnit, StartUnit, TrackUnit, Unit
from dcvc_cli.codec.pictures import video_format_of
from dcvc_cli.coding.concealment import DamagedDecoder, DecodedFrame, Losses
from dcvc_cli.coding.frame_report import FrameReport
from dcvc_cli.coding.memory import decoding_memory
from dcvc_cli.coding.on_error import OnError
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, StreamNetworks
from dcvc_cli.coding.output_times import JoinedTrackTimes, StreamClock
from dcvc_cli.coding.stream_decoder import StreamDecoder, decoder_for, with_times
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.base import PictureDecoder
from dcvc_cli.families.registry import limits_of
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import Picture, VideoFormat


class HashMismatchError(StreamError):
    """A decoded picture differs from the encoder's. No frame after the last frame that passed its hash can be
    trusted."""


class OpenedStream:
    """A stream that is read up to its first frame: the format of its pictures is known before anything is decoded.

    Args:
        source: the stream, at its first byte.
        seek: frames to leave out at the start. Reading starts at the I frame before frame `seek` where the source is
            seekable; the index tells where that is, or a scan of the units.
        max_frames: how many frames to decode at most after the skipped ones, None for all.
        limits: what the caller grants; None takes the limits of the environment.
        on_error: what happens to frames that cannot be decoded; with STOP the first broken rule ends the decode.
        keep_tracks: collect headers and packets of other tracks in `track_messages` as they come.

    Attributes:
        sps: SPS of the first frame.
        tracks: headers of the other tracks that stand before the first frame.
        track_messages: with `keep_tracks`, what came of other tracks so far; whoever reads it takes it out.
        num_frames: how many frames the end unit promises, for a progress bar; None where that is not known.
        losses: what decoding passed over; grows while `frames` runs, empty with STOP.

    Raises:
        StreamError: the stream is damaged, empty, beyond the limits, or no .dcvc stream.
        InputError: the stream has no frame after the `seek` skipped ones.
    """

    def __init__(
        self,
        source: StreamSource,
        seek: int = 0,
        max_frames: int | None = None,
        limits: Limits | None = None,
        on_error: OnError = OnError.STOP,
        keep_tracks: bool = False,
    ) -> None:
        self.limits = Limits.from_environment() if limits is None else limits
        self.seek, self.max_frames, self._on_error = seek, max_frames, on_error
        self.first_index = 0
        self.num_frames: int | None = None
        self.losses = Losses()
        offset = self._find_start(source)
        tolerant = on_error is not OnError.STOP
        units = iter(StreamReader(source, tolerant, start_offset=offset, limits_of=limits_of))
        before: list[Unit] = []
        for unit in units:
            before.append(unit)
            if isinstance(unit, FrameUnit):
                self.sps = unit.sps
                break
        else:
            self._refuse_empty(source.name, before)
        messages = [] if offset is None else self._messages_at_start
        messages += [unit.message for unit in before if isinstance(unit, TrackUnit)]
        self.tracks = tuple(dict.fromkeys(message for message in messages if isinstance(message, TrackHeader)))
        self.track_messages: deque[TrackHeader | TrackPacket] = deque(messages if keep_tracks else ())
        self._keep_tracks = keep_tracks
        self._name = source.name
        self.limits.check_stream(source.name, self.sps.width, self.sps.height, decoding_memory(self.sps))
        self.units: Iterator[Unit] = chain(before, self._watched(units, before[-1]))

    @staticmethod
    def _refuse_empty(name: str, units: list[Unit]) -> None:
        damage = next((unit for unit in units if isinstance(unit, Damage)), None)
        if damage is not None:
            raise BitstreamError(damage.rule, damage.message, damage.offset)
        raise StreamError(f"{name} holds no frame")

    def _watched(self, units: Iterator[Unit], first_frame: Unit) -> Iterator[Unit]:
        if not self._keep_tracks:
            yield from units
            return
        times = JoinedTrackTimes(self.tracks)
        times.look_at(first_frame)
        for unit in units:
            times.look_at(unit)
            if isinstance(unit, TrackUnit):
                message = times.of(unit.message)
                if message is not None:
                    self.track_messages.append(message)
            yield unit

    @property
    def video_format(self) -> VideoFormat:
        return video_format_of(self.sps)

    def _find_start(self, source: StreamSource) -> int | None:
        """Finds the offset of the unit to start reading at, None for the start of the source."""
        if not source.is_seekable:
            return None
        try:
            index = read_index(source)
            self.num_frames = self._limited(index.num_frames)
            point = find_access_point(source, index, self.seek) if self.seek else None
            num_frames = index.num_frames
        except BitstreamError as error:
            source.seek(0)
            if not self.seek:
                return None
            if error.rule in (Rule.INDEX_MISMATCH, Rule.END_MISMATCH):
                if self._on_error is OnError.STOP:
                    raise
                self.losses.add_fault(error.message)
            scanned = scan_units(source, tolerant=True)
            point, num_frames = scanned.access_point(self.seek), scanned.num_frames
            self.num_frames = self._limited(num_frames)
        source.seek(0)
        if point is None:
            if not self.seek:
                return None
            raise self._nothing_left(source.name, num_frames, self.seek)
        self._messages_at_start = _track_messages_at_start(source)
        self.first_index = point.frame_number
        source.seek(point.offset)
        return point.offset

    def _limited(self, num_frames: int) -> int | None:
        """Returns how many of the source's `num_frames` frames are decoded."""
        left = max(0, num_frames - self.seek)
        return left if self.max_frames is None else min(left, self.max_frames)

    @staticmethod
    def _nothing_left(name: str, num_frames: int, seek: int) -> InputError:
        return InputError(f"{name} holds {num_frames} frames, expected more than the {seek} to skip", "lower --seek")

    def frames(self, networks: StreamNetworks, verify: bool = True) -> Iterator[DecodedFrame]:
        """Decodes frame after frame.

        Raises:
            StreamError: the pictures change their size or sampling; with STOP also damage and hashes that do not match.
            InputError: the stream has no frame after the `seek` skipped ones.
            EnvironmentFault: weights or a device are missing.
        """
        last = self.seek + self.max_frames if self.max_frames is not None else None
        if self._on_error is OnError.STOP:
            frames = decode_units(self.units, networks, verify, self.first_index, last)
        else:
            decoder = DamagedDecoder(networks, self._on_error, verify, self.first_index, last)
            decoder.losses = self.losses
            frames = decoder.frames(self.units)
        index = self.first_index
        for frame in frames:
            index = frame.report.index
            self.limits.check_frames(self._name, index + 1, StreamError)
            if index >= self.seek:
                yield frame
        if index < self.seek and not self.losses.num_faults:
            raise self._nothing_left(self._name, index + 1, self.seek)


def _track_messages_at_start(source: StreamSource) -> list[TrackHeader | TrackPacket]:
    """Reads the units of other tracks before the first frame. A reader that starts further on needs them too."""
    messages: list[TrackHeader | TrackPacket] = []
    for unit in StreamReader(source, tolerant=True, limits_of=limits_of):
        if isinstance(unit, FrameUnit):
            break
        if isinstance(unit, TrackUnit):
            messages.append(unit.message)
    return messages


def decode_units(
    units: Iterable[Unit],
    networks: StreamNetworks,
    verify: bool = True,
    first_index: int = 0,
    last_index: int | None = None,
) -> Iterator[DecodedFrame]:
    """Decodes units in order. A frame is given out before its hash has come: the hash follows the frame in the stream.

    Args:
        units: of a strict reader.
        networks: opens the networks that the stream names.
        verify: check picture hashes.
        first_index: number of the first frame.
        last_index: stop before this frame, after the hash of the frame before it has been checked; None = go to the
            end.

    Raises:
        StreamError, EnvironmentFault: as `OpenedStream.frames`.
    """
    decoder: StreamDecoder | None = None
    hashes, clock = HashChecker(), StreamClock()
    index, sps_bytes = first_index, 0
    for unit in units:
        if isinstance(unit, FrameUnit):
            if index == last_index:
                return
            start = time.perf_counter()
            before = decoder.sps if decoder is not None else None
            decoder = decoder_for(unit.sps, before, decoder, networks, index)
            pictures = with_times(_decode(decoder.pictures, unit, index), unit, clock)
            hashes.expect(index, pictures, unit.sps)
            spent = unit.size_bytes + sps_bytes, time.perf_counter() - start
            for picture in pictures:
                if index == last_index:
                    break
                yield DecodedFrame(picture, FrameReport(index, unit.frame_type.name, unit.qp, *spent))
                # A unit's bytes and seconds are those of its first picture.
                index, spent = index + 1, (0, 0.0)
        elif verify and isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash):
            hashes.check(unit.message)
        elif isinstance(unit, StartUnit):
            clock.begin_part()
        sps_bytes = unit.size_bytes if isinstance(unit, SpsUnit) else 0


def _decode(decoder: PictureDecoder, unit: FrameUnit, index: int) -> Sequence[Picture]:
    try:
        return decoder.push(unit)
    except StreamError as error:
        raise StreamError(
            f"frame {index} cannot be decoded: {error.message}", error.hint or _desync_hint(unit.sps.precision)
        ) from error


class HashChecker:
    """Compares decoded pictures with the hashes that follow them in the stream."""

    def __init__(self) -> None:
        self._index = 0
        self._pictures: Sequence[Picture] = ()
        self._sps: Sps | None = None
        self._last_right: int | None = None
        self.num_checked = 0

    def expect(self, index: int, pictures: Sequence[Picture], sps: Sps) -> None:
        """Takes the pictures that the next hashes belong to; `index` is the number of the first one."""
        self._index, self._pictures, self._sps = index, pictures, sps

    def check(self, message: PictureHash) -> None:
        """Compares the expected pictures with their hashes.

        Raises:
            HashMismatchError: a picture is not the encoder's.
            StreamError: there are more or fewer hashes than pictures.
        """
        if self._sps is None:
            return
        digests = message.digests
        if len(digests) != len(self._pictures):
            raise StreamError(
                f"{len(digests)} picture hashes follow a unit of {len(self._pictures)} pictures at frame {self._index}"
            )
        for index, (picture, digest) in enumerate(zip(self._pictures, digests, strict=True), self._index):
            self._check_picture(index, picture, message.kind, digest, self._sps.precision)

    def _check_picture(self, index: int, picture: Picture, kind: HashKind, digest: bytes, precision: Precision) -> None:
        found = hash_picture(kind, (plane.data for plane in picture.planes))
        if found == digest:
            self._last_right = index
            self.num_checked += 1
            return
        right = (
            "no frame before it was checked"
            if self._last_right is None
            else f"the last frame known to be right is {self._last_right}"
        )
        text = (
            f"frame {index} is not the encoder's picture: {kind.name} {digest.hex()} expected, {found.hex()} found; "
            f"{right}"
        )
        raise HashMismatchError(text, _desync_hint(precision))


def _desync_hint(precision: Precision) -> str:
    if precision is Precision.EXACT:
        return "its units are intact, so the stream was made wrong, or this is a fault of dcvc"
    name = NAMES_OF_PRECISIONS[precision]
    hint = "decode where it was encoded, with as many --threads, or encode with --precision exact"
    return f"coded in {name}, which depends on machine, software and number of threads: {hint}"
