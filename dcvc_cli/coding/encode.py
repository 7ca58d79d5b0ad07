"""Encodes pictures into a .dcvc stream: reader -> (thread) -> picture encoder -> stream writer, with a few pictures in
memory."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from dcvc_cli import __version__
from dcvc_cli.bitstream.nal import CHECK_SIZE, MAX_HEADER_SIZE, NalType
from dcvc_cli.bitstream.picture_header import MAX_PICTURE_HEADER_SIZE, PictureHeader
from dcvc_cli.bitstream.sei import hash_picture
from dcvc_cli.bitstream.sps import HashKind, Sps
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.varint import UV_LIMIT
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.frame_report import (
    FrameCallback,
    FrameReport,
    Totals,
    bitrate_kbps,
    bits_per_pixel,
    picture_quality,
)
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, OpenedModel
from dcvc_cli.coding.queues import read_ahead
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.coding.track_feed import TrackFeed
from dcvc_cli.control.frame_control import FrameControl, Lookahead
from dcvc_cli.control.rate import RateControl
from dcvc_cli.control.scene_cuts import SeenPicture
from dcvc_cli.control.vbv import VbvBuffer
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.base import CodedUnit
from dcvc_cli.families.registry import limits_of
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media import OutputFile, PictureWriter

HASH_INTERVAL = 32
"""Pictures from hash to hash inside a GOP. Every I unit and the last unit have a hash."""


@dataclass(frozen=True)
class EncodeSummary:
    """A finished encode.

    Attributes:
        size_bytes: size of the whole stream.
        bpp: bits of the whole stream per luma sample.
        bitrate_kbps: 1000 bits of the whole stream per second of playing time; None where the frame rate is unknown.
        encode_seconds: wall time of coding alone, without files and metrics.
        wall_seconds: wall time of everything.
        quality: means over the frames, under the names of QUALITY_NAMES.
        i_bytes: sizes of all I frames, with the SPS before each.
        p_bytes: sizes of all P frames.
        qp_min: lowest QP of a frame; `qp_mean` and `qp_max` likewise.
        vbv_underflows: frame units that take more than the receiver's buffer holds, even at QP 0.
    """

    num_frames: int
    num_i_frames: int
    size_bytes: int
    bpp: float
    bitrate_kbps: float | None
    encode_seconds: float
    wall_seconds: float
    quality: dict[str, float]
    i_bytes: int
    p_bytes: int
    qp_min: int | None
    qp_mean: float | None
    qp_max: int | None
    vbv_underflows: int


def summary_of(encoder: "StreamEncoder", totals: Totals, wall_seconds: float) -> EncodeSummary:
    """Returns the sums of a finished encode."""
    video_format = encoder.video_format
    return EncodeSummary(
        totals.num_frames,
        totals.num_i_frames,
        encoder.size_bytes,
        bits_per_pixel(encoder.size_bytes, totals.num_frames, video_format.size.num_pixels),
        bitrate_kbps(encoder.size_bytes, totals.num_frames, float(video_format.frame_rate)),
        totals.seconds,
        wall_seconds,
        totals.mean_quality(),
        totals.i_bytes,
        totals.size_bytes - totals.i_bytes,
        totals.qp_min,
        totals.qp_mean,
        totals.qp_max,
        encoder.num_underflows,
    )


def settings_text(model: OpenedModel, choices: CodingChoices, sps: Sps) -> str:
    """Writes the encoder's settings as a text that the stream carries and `dcvc info` shows."""
    skip = "none" if choices.skip_threshold is None else f"{choices.skip_threshold:g}"
    pairs = {
        "model": model.weights.name,
        "precision": NAMES_OF_PRECISIONS[model.precision],
        "qp-i": choices.qp_i,
        "qp-p": choices.qp_p,
        "keyint": choices.keyint,
        "scenecut": int(choices.scene_cuts),
        "min-keyint": choices.min_keyint,
        "reset-interval": choices.reset_interval,
        "force-zero-thres": skip,
        "hash": choices.hash_kind.name.lower(),
        "entropy-format": sps.entropy_format.name.lower().replace("_", "-"),
    }
    if choices.lossless:
        pairs["lossless"] = 1
    return f"dcvc {__version__}: " + " ".join(f"{name}={value}" for name, value in pairs.items())


def most_beside_payload(sps: Sps) -> int:
    """Returns the bytes that a frame unit takes beside its payload, at most: header and check, picture header, SPS
    before it."""
    is_plain = sps.max_pictures == 1 and not sps.max_reorder and sps.time_base is None
    headers = (0 if is_plain else MAX_PICTURE_HEADER_SIZE) + 2 * (MAX_HEADER_SIZE + CHECK_SIZE)
    return len(write_sps(sps)) + headers


class StreamEncoder:
    """Codes pictures into a sink, one call a picture; `finish` writes the hash of the last frame, the index and the end
    unit.

    Args:
        sink: takes the stream. The encoder flushes it after each unit, so that the reader of a pipe need not wait.
        recon: takes the decoder's pictures, or None.
        psnr: measure the PSNR of each frame.
        msssim: measure the MS-SSIM of each frame.
        tracks: other tracks to carry, or None.
        rate: gives the QPs of the frames; None leaves those of the choices.
        label: what the settings text ends with, such as the name of a plan; "" for nothing.

    Attributes:
        control: orders of the frames, and with a rate their history.
        lookahead: analyses pictures before they are coded; may run in a thread of its own.
    """

    def __init__(
        self,
        model: OpenedModel,
        video_format: VideoFormat,
        choices: CodingChoices,
        sink: OutputFile,
        *,
        recon: PictureWriter | None = None,
        psnr: bool = False,
        msssim: bool = False,
        tracks: TrackFeed | None = None,
        rate: RateControl | None = None,
        label: str = "",
    ) -> None:
        if rate is not None and not model.weights.model.has_qps:
            message = f"weights {model.weights.name!r} have one rate, which no --bitrate changes"
            raise UsageError(message, "choose the weights of another rate")
        self.sps = sps_for(video_format, model.weights, model.precision, choices)
        self.video_format = video_format
        self._sink, self._recon, self._psnr, self._msssim = sink, recon, psnr, msssim
        self._encoder = model.weights.model.encoder(model.networks, self.sps, choices)
        self._most_beside = most_beside_payload(self.sps)
        self.control = FrameControl(choices, rate)
        self.lookahead = Lookahead(video_format, needed=choices.scene_cuts or rate is not None)
        self._writer = StreamWriter(sink, limits_of=limits_of)
        self._writer.write_text(f"{settings_text(model, choices, self.sps)} {label}".rstrip())
        self._tracks = tracks
        self._end_of_frame = 0
        """Bytes of the stream up to the end of the last frame unit, and those of other tracks since."""
        if tracks is not None:
            before = self._writer.size_bytes
            tracks.write_headers(self._writer, self.sps)
            self._end_of_frame += self._writer.size_bytes - before
        self._buffer = None if choices.vbv is None else VbvBuffer(choices.vbv)
        self._sources: deque[Picture] = deque()
        """Pictures whose unit has not come yet."""
        self._times: deque[int] = deque()
        """Times of the pictures whose unit has not come yet, where the stream carries times."""
        self._key_time = 0
        """Time of the last I unit's first picture."""
        self._last_time = 0
        self._since_hash: int | None = None
        """Pictures since the last one whose hash was written; None before the first unit."""

    @property
    def num_underflows(self) -> int:
        """Counts the frame units that take more than the receiver's buffer holds."""
        return 0 if self._buffer is None else self._buffer.num_underflows

    @property
    def size_bytes(self) -> int:
        """Counts the bytes of the stream so far."""
        return self._writer.size_bytes

    def encode(self, picture: Picture) -> list[FrameReport]:
        """Takes a picture, and codes the pictures that need not wait. Where a scene may begin, a few wait.

        Returns:
            a report of each picture whose unit is complete.

        Raises:
            InputError: as `code`.
        """
        return [report for seen in self.lookahead.push(picture) for report in self.code(seen)]

    def code(self, seen: SeenPicture) -> list[FrameReport]:
        """Codes a picture that `lookahead` gave out, and writes the units that it completes.

        Returns:
            a report of each picture in these units: none or several where a unit holds several pictures.

        Raises:
            InputError: the sink cannot be written to, or a picture's time is missing or further from its I frame than a
                stream can tell.
        """
        if self.sps.time_base is not None:
            if seen.picture.time is None:
                raise InputError("a picture without a time follows a format with a time base")
            self._times.append(seen.picture.time)
        self._sources.append(seen.picture)
        order = self.control.order(seen)
        if self._buffer is not None:
            order = replace(order, room=self._room)
        return self._write(self._encoder.push(seen.picture, order))

    def finish(self) -> list[FrameReport]:
        """Ends the stream; returns the reports of the pictures that still waited for their unit."""
        reports = [report for seen in self.lookahead.flush() for report in self.code(seen)]
        reports += self._write(self._encoder.flush())
        if self._since_hash and self.sps.hash_kind is not HashKind.NONE:
            self._write_hash(self._encoder.reconstruction())
        if self._tracks is not None and not self._tracks.is_limited:
            self._tracks.write_until(self._writer, None)
        self.control.finish()
        self._writer.finish()
        return reports

    def _write(self, units: Iterator[CodedUnit]) -> list[FrameReport]:
        reports: list[FrameReport] = []
        start = time.perf_counter()
        for unit in units:
            reports += self._write_unit(unit, start)
            start = time.perf_counter()
        return reports

    def _write_unit(self, unit: CodedUnit, start: float) -> list[FrameReport]:
        index, num_pictures = self._writer.num_frames, unit.pictures.num_pictures
        is_key = unit.frame_type is NalType.I
        due = is_key or self._since_hash is None or self._since_hash >= HASH_INTERVAL - 1
        hashed = due and self.sps.hash_kind is not HashKind.NONE
        wanted = hashed or self._recon is not None or self._psnr or self._msssim
        decoded = self._encoder.reconstruction() if wanted else ()
        seconds = time.perf_counter() - start
        shown = self._shown_next()
        pictures = self._timed(unit)
        if self._tracks is not None:
            before = self._writer.size_bytes
            self._tracks.write_until(self._writer, self._seconds(index))
            self._end_of_frame += self._writer.size_bytes - before
        before = self._writer.size_bytes
        sps_id = self._writer.use_sps(self.sps)
        self._writer.write_frame(unit.frame_type, sps_id, unit.qp, unit.reset, unit.payload, pictures)
        size_bytes = self._writer.size_bytes - before
        num_bits = 8 * (self._writer.size_bytes - self._end_of_frame)
        self.control.coded(num_bits, num_pictures, unit.lowered)
        if self._buffer is not None:
            self._buffer.room(shown)
            self._buffer.take(num_bits)
        self._end_of_frame = self._writer.size_bytes
        if hashed:
            self._write_hash(decoded)
        self._since_hash = 0 if hashed else (self._since_hash or 0) + num_pictures
        self._sink.flush()
        letter = "I" if is_key else "P"
        reports = []
        for position in range(num_pictures):
            # A unit's bytes and seconds are those of its first picture.
            spent = (size_bytes, seconds) if position == 0 else (0, 0.0)
            quality = self._quality(decoded[position]) if decoded else {}
            if not decoded:
                self._sources.popleft()
            reports.append(FrameReport(index + position, letter, unit.qp, *spent, quality))
        return reports

    def _shown_next(self) -> Fraction:
        """Seconds at which the first picture is shown whose unit is not written."""
        ticks, rate = self.sps.time_base, self.video_format.frame_rate
        if ticks is not None:
            return Fraction(self._times[0] * ticks.den, ticks.num)
        return Fraction(self._writer.num_frames * rate.den, rate.num) if rate.num else Fraction(0)

    def _room(self) -> int:
        """Returns the bytes that the payload of the next unit may have, so that it does not empty the receiver's
        buffer."""
        assert self._buffer is not None
        used = self._writer.size_bytes - self._end_of_frame
        return self._buffer.room(self._shown_next()) // 8 - used - self._most_beside

    def _seconds(self, index: int) -> Fraction:
        """Returns when the last picture of the unit that starts with picture `index` is shown; of even pictures, the
        first."""
        ticks, rate = self.sps.time_base, self.video_format.frame_rate
        if ticks is not None:
            return Fraction(self._last_time * ticks.den, ticks.num)
        return Fraction(index * rate.den, rate.num) if rate.num else Fraction(0)

    def _timed(self, unit: CodedUnit) -> PictureHeader:
        """Makes the header of a unit's pictures with their times."""
        if self.sps.time_base is None:
            return unit.pictures
        times = [self._times.popleft() for _ in range(unit.pictures.num_pictures)]
        first: tuple[int, ...] = ()
        if unit.frame_type is NalType.I:
            self._key_time = times.pop(0)
            first = (self._key_time,)
        self._last_time = times[-1] if times else self._key_time
        later = [time - self._key_time for time in times]
        if max(later, default=0) >= UV_LIMIT:
            count = f"frame {self._writer.num_frames} comes {max(later)} ticks after its I frame"
            raise InputError(f"{count}, a stream counts to {UV_LIMIT - 1}", "--keyint 250 sets more I frames")
        return replace(unit.pictures, times=(*first, *later))

    def _quality(self, decoded: Picture) -> dict[str, float]:
        if self._recon is not None:
            self._recon.write(decoded)
        return picture_quality(
            self._sources.popleft(), decoded, self.video_format, psnr=self._psnr, msssim=self._msssim
        )

    def _write_hash(self, decoded: Sequence[Picture]) -> None:
        kind = self.sps.hash_kind
        digest = b"".join(hash_picture(kind, (plane.data for plane in picture.planes)) for picture in decoded)
        self._writer.write_hash(kind, digest)


def encode_pictures(
    encoder: StreamEncoder, pictures: Iterable[Picture], on_frame: FrameCallback | None = None
) -> EncodeSummary:
    """Codes all pictures, reading ahead in a thread, and ends the stream.

    Args:
        on_frame: called with the report of each frame.
    """
    totals = Totals()
    start = time.perf_counter()

    def tell(reports: Iterable[FrameReport]) -> None:
        for report in reports:
            totals.add(report)
            if on_frame is not None:
                on_frame(report)

    tell(code_ahead(encoder, pictures))
    tell(encoder.finish())
    return summary_of(encoder, totals, time.perf_counter() - start)


def code_ahead(encoder: StreamEncoder, pictures: Iterable[Picture]) -> Iterator[FrameReport]:
    """Codes pictures, read ahead in a thread; gives out reports as `StreamEncoder.encode` does."""
    push = encoder.lookahead.push
    with read_ahead(seen for picture in pictures for seen in push(picture)) as ahead:
        for seen in ahead:
            yield from encoder.code(seen)
