"""Pictures to a .dcvc stream: reader -> (thread) -> sequence encoder -> stream writer, one frame in memory at a time."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from dcvc_cli import __version__
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sei import hash_picture
from dcvc_cli.bitstream.sps import HashKind, Sps
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.coding.choices import DEFAULT_SKIP_THRESHOLD as DEFAULT_SKIP_THRESHOLD
from dcvc_cli.coding.choices import CodingChoices as CodingChoices
from dcvc_cli.coding.frame_report import FrameCallback, FrameReport, Totals, bitrate_kbps, bits_per_pixel, picture_quality
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, OpenedModel, limits_of_family
from dcvc_cli.coding.queues import read_ahead
from dcvc_cli.coding.sequence import SequenceEncoder, sps_for
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media import OutputFile, PictureWriter

HASH_INTERVAL = 32
"""Frames between picture hashes inside a GOP; I frames and the last frame always carry one."""


@dataclass(frozen=True)
class EncodeSummary:
    """A finished encode. `size_bytes` is the whole stream; bpp and bitrate are of it."""

    num_frames: int
    num_i_frames: int
    size_bytes: int
    bpp: float
    bitrate_kbps: float | None
    encode_seconds: float
    """Coding alone; files and metrics left out."""
    wall_seconds: float
    quality: dict[str, float]


def settings_text(model: OpenedModel, choices: CodingChoices, sps: Sps) -> str:
    """The encoder's settings, for people who look at the stream later."""
    skip = "none" if choices.skip_threshold is None else f"{choices.skip_threshold:g}"
    pairs = {
        "model": model.weights.name,
        "precision": NAMES_OF_PRECISIONS[model.precision],
        "qp-i": choices.qp_i,
        "qp-p": choices.qp_p,
        "keyint": choices.keyint,
        "reset-interval": choices.reset_interval,
        "force-zero-thres": skip,
        "hash": choices.hash_kind.name.lower(),
        "entropy-format": sps.entropy_format.name.lower().replace("_", "-"),
    }
    return f"dcvc {__version__}: " + " ".join(f"{name}={value}" for name, value in pairs.items())


class StreamEncoder:
    """Codes pictures into a sink, one call a picture; `finish` writes the hash of the last frame, the index and the end unit.

    Args:
        sink: an OutputFile; after each frame what is written is handed to the system, so that a pipe's reader need not wait.
        recon: where the decoder's pictures go too, or None.
        psnr, msssim: measure each frame.
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
    ) -> None:
        self.sps = stream_sps(model, video_format, choices)
        self.video_format = video_format
        self._sink, self._recon, self._psnr, self._msssim = sink, recon, psnr, msssim
        self._encoder = SequenceEncoder(model.networks, self.sps, choices.gop_rule(model.weights.spec).plans_from())
        self._writer = StreamWriter(sink, limits_of=limits_of_family)
        self._writer.write_text(settings_text(model, choices, self.sps))
        self._since_key = 0
        self._last_is_hashed = True

    @property
    def size_bytes(self) -> int:
        """Bytes of the stream so far."""
        return self._writer.size_bytes

    def encode(self, picture: Picture) -> FrameReport:
        """Codes and writes one picture. InputError where it is of another size or the sink cannot take it."""
        index = self._writer.num_frames
        start = time.perf_counter()
        frame = self._encoder.encode(picture)
        is_key = frame.plan.frame_type is NalType.I
        self._since_key = 0 if is_key else self._since_key + 1
        hashed = self.sps.hash_kind is not HashKind.NONE and self._since_key % HASH_INTERVAL == 0
        wanted = hashed or self._recon is not None or self._psnr or self._msssim
        decoded = self._encoder.reconstruction() if wanted else None
        seconds = time.perf_counter() - start
        before = self._writer.size_bytes
        self._writer.write_frame(frame.plan.frame_type, self._writer.use_sps(self.sps), frame.plan.qp, frame.plan.reset, frame.payload)
        size_bytes = self._writer.size_bytes - before
        self._last_is_hashed = hashed
        if hashed and decoded is not None:
            self._write_hash(decoded)
        self._sink.flush()
        quality: dict[str, float] = {}
        if decoded is not None:
            if self._recon is not None:
                self._recon.write(decoded)
            quality = picture_quality(picture, decoded, self.video_format.chroma, psnr=self._psnr, msssim=self._msssim)
        return FrameReport(index, "I" if is_key else "P", frame.plan.qp, size_bytes, seconds, quality)

    def _write_hash(self, decoded: Picture) -> None:
        self._writer.write_hash(self.sps.hash_kind, hash_picture(self.sps.hash_kind, (plane.data for plane in decoded.planes)))

    def finish(self) -> None:
        """Ends the stream."""
        if not self._last_is_hashed and self.sps.hash_kind is not HashKind.NONE:
            self._write_hash(self._encoder.reconstruction())
        self._writer.finish()


def stream_sps(model: OpenedModel, video_format: VideoFormat, choices: CodingChoices) -> Sps:
    """The SPS of a new stream. InputError for pictures larger than 8192 on a side."""
    return sps_for(
        video_format,
        model.weights,
        model.precision,
        skip_threshold=choices.skip_threshold,
        reset_interval=choices.reset_interval,
        entropy_format=choices.entropy_format,
        hash_kind=choices.hash_kind,
    )


def encode_pictures(encoder: StreamEncoder, pictures: Iterable[Picture], on_frame: FrameCallback | None = None) -> EncodeSummary:
    """Codes all pictures, reading ahead in a thread, and ends the stream.

    Args:
        on_frame: called with the report of each frame.
    """
    totals = Totals()
    start = time.perf_counter()
    with read_ahead(pictures) as ahead:
        for picture in ahead:
            report = encoder.encode(picture)
            totals.add(report)
            if on_frame is not None:
                on_frame(report)
    encoder.finish()
    video_format = encoder.video_format
    return EncodeSummary(
        totals.num_frames,
        totals.num_i_frames,
        encoder.size_bytes,
        bits_per_pixel(encoder.size_bytes, totals.num_frames, video_format.size.num_pixels),
        bitrate_kbps(encoder.size_bytes, totals.num_frames, float(video_format.frame_rate)),
        totals.seconds,
        time.perf_counter() - start,
        totals.mean_quality(),
    )
