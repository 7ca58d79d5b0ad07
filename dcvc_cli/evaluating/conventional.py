"""Measures conventional codecs (x264, x265, SVT-AV1) through the ffmpeg program as dcvc is measured: same frames, real
streams, same metrics.

Every byte of the elementary stream that a decoder needs is counted. Container headers are not, nor are the SEI messages
with encoder settings that x264 and x265 write (several hundred bytes, a tenth of a small clip): both are to the
advantage of the conventional codec.
"""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np

from dcvc_cli.errors import EnvironmentFault, InputError, StreamError, UsageError
from dcvc_cli.evaluating.scores import with_scores
from dcvc_cli.evaluating.sequence_sources import FIRST_FRAME_ONLY
from dcvc_cli.format.types import Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.metrics.msssim import msssim_yuv
from dcvc_cli.metrics.psnr import psnr_yuv
from dcvc_cli.metrics.results import FrameRecord

LONGEST_GOP = 9999
"""Distance of key frames that the encoders are given for "first frame only". Longer clips are refused."""
SOURCE_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
RAW_OUTPUT = ("-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo")


class ConventionalCodec(StrEnum):
    X264 = "x264"
    X265 = "x265"
    SVTAV1 = "svtav1"


class RateControl(StrEnum):
    """How an encoder chooses quantisers. LOWER is better quality, the opposite of dcvc.

    Attributes:
        QP: one quantiser for all frames of a type.
        CRF: the encoder's own constant-quality mode.
    """

    QP = "qp"
    CRF = "crf"


ENCODER_NAMES = {
    ConventionalCodec.X264: "libx264",
    ConventionalCodec.X265: "libx265",
    ConventionalCodec.SVTAV1: "libsvtav1",
}
STREAM_FORMATS = {ConventionalCodec.X264: "h264", ConventionalCodec.X265: "hevc", ConventionalCodec.SVTAV1: "ivf"}


@dataclass(frozen=True)
class RawClip:
    """8-bit planar 4:2:0 pictures, one after the other in one file without headers."""

    path: Path
    format: VideoFormat
    num_frames: int

    def pictures(self) -> Iterator[Picture]:
        """Yields the pictures in display order. InputError where the file ends early."""
        with self.path.open("rb") as file:
            for index in range(self.num_frames):
                data = np.frombuffer(file.read(self.format.frame_bytes), np.uint8)
                if data.size != self.format.frame_bytes:
                    raise InputError(
                        f"{self.path}: ends in frame {index}, expected {self.num_frames} frames of {self.format.size}"
                    )
                luma, u, v = np.split(
                    data, np.cumsum([height * width for height, width in self.format.plane_shapes])[:-1]
                )
                shapes = self.format.plane_shapes
                yield Picture((luma.reshape(shapes[0]), u.reshape(shapes[1]), v.reshape(shapes[2])))


@dataclass(frozen=True)
class EncoderSettings:
    """How a clip is coded.

    Attributes:
        options: the user's ffmpeg encoder options ("-preset", "medium", "-tune", "zerolatency"). They win over the
            other fields.
        intra_period: frames from one key frame to the next, -1 = only the first frame is one.
        b_frames: let the preset choose B frames; False forbids them.
        num_threads: threads of the encoder. It is 1 by default: x264 with -tune zerolatency cuts pictures into as many
            slices as it has threads, and slices cost bits.
    """

    options: tuple[str, ...] = ()
    rate_control: RateControl = RateControl.QP
    intra_period: int = FIRST_FRAME_ONLY
    b_frames: bool = False
    num_threads: int = 1


def code_with_ffmpeg(
    codec: ConventionalCodec,
    clip: RawClip,
    qp: float,
    settings: EncoderSettings,
    *,
    stream: Path | None = None,
    msssim: bool = False,
    scores: Sequence[str] = (),
) -> list[FrameRecord]:
    """Encodes a clip, decodes it again, and measures every frame.

    Args:
        qp: on the codec's own scale (0..51, AV1 0..63); LOWER is better quality.
        stream: place that keeps the elementary stream; an existing file is replaced. None keeps none.
        scores: metrics of ffmpeg to measure too.
        msssim: measure MS-SSIM too, which takes far longer than PSNR. Pictures too small for it have none.

    Returns:
        a record for each frame in display order. PSNR is that of 8-bit pictures, as `metrics.psnr` defines it. Seconds
        are the wall time of the ffmpeg run, with its start, divided by the number of frames.

    Raises:
        EnvironmentFault: ffmpeg is missing, or was built without this encoder.
        UsageError: ffmpeg refuses the options, or the clip is longer than LONGEST_GOP.
        StreamError: the frames or bytes of the stream do not add up.

    The stream is bit-exact for one build of an encoder and one number of threads only.
    """
    require_encoder(codec)
    if clip.num_frames > LONGEST_GOP:
        raise UsageError(
            f"{clip.path.name} has {clip.num_frames} frames, expected at most {LONGEST_GOP}",
            "limit the number of frames",
        )
    with tempfile.TemporaryDirectory(prefix="dcvc-") as folder:
        coded, decoded = Path(folder, "coded"), RawClip(Path(folder, "decoded.yuv"), clip.format, clip.num_frames)
        encode_seconds = _run_timed(encode_command(codec, clip, qp, settings, coded)) / clip.num_frames
        decode_seconds = _run_timed([*_ffmpeg(), "-i", str(coded), *RAW_OUTPUT, str(decoded.path)]) / clip.num_frames
        if decoded.path.stat().st_size != clip.format.frame_bytes * clip.num_frames:
            found = decoded.path.stat().st_size // clip.format.frame_bytes
            raise StreamError(f"{codec} gave {found} frames back, expected {clip.num_frames}")
        sizes = coded_frames(codec, coded, clip.num_frames)
        records = [
            _measure(source, reconstruction, kind == "I", 8 * num_bytes, (encode_seconds, decode_seconds), msssim)
            for source, reconstruction, (kind, num_bytes) in zip(
                clip.pictures(), decoded.pictures(), sizes, strict=True
            )
        ]
        records = with_scores(records, scores, clip.format, clip.pictures(), decoded.pictures())
        if stream is not None:
            shutil.move(coded, stream)
    return records


def require_encoder(codec: ConventionalCodec) -> None:
    """EnvironmentFault where ffmpeg, ffprobe, or this encoder in ffmpeg is missing."""
    for program in ("ffmpeg", "ffprobe"):
        if shutil.which(program) is None:
            raise EnvironmentFault(
                f"the program {program} was not found, and {codec} runs through it",
                "install ffmpeg, for instance: apt install ffmpeg",
            )
    if ENCODER_NAMES[codec] not in _encoders():
        raise EnvironmentFault(
            f"this ffmpeg was built without {ENCODER_NAMES[codec]}",
            "install an ffmpeg that lists it under: ffmpeg -encoders",
        )


def unpack_clip(source: Path, target: Path, num_frames: int | None = None) -> RawClip:
    """Decodes a clip (y4m, mkv, mp4, ...) with ffmpeg into a raw file, without any conversion of samples.

    Args:
        num_frames: how many frames to take at most, None for all.

    Raises:
        EnvironmentFault: ffmpeg is missing.
        InputError: the clip is unreadable, or is not 8-bit 4:2:0.
    """
    if shutil.which("ffprobe") is None:
        raise EnvironmentFault("the program ffprobe was not found", "install ffmpeg, for instance: apt install ffmpeg")
    entries = "stream=width,height,pix_fmt,r_frame_rate"
    fields = _probe(["-show_entries", entries, str(source)])
    try:
        width, height, pixel_format, rate = fields[0]
        frame_rate = Rational(*map(int, rate.split("/")))
        video = VideoFormat(PictureSize(int(width), int(height)), frame_rate=frame_rate)
    except (IndexError, ValueError) as fault:
        raise InputError(f"{source}: no video that ffmpeg can read") from fault
    if pixel_format not in SOURCE_PIXEL_FORMATS:
        raise InputError(
            f"{source}: pixel format {pixel_format}, expected 8-bit 4:2:0 ({' or '.join(SOURCE_PIXEL_FORMATS)})"
        )
    limit = [] if num_frames is None else ["-frames:v", str(num_frames)]
    command = [
        *_ffmpeg(),
        "-i",
        str(source),
        *limit,
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-pix_fmt",
        pixel_format,
        "-f",
        "rawvideo",
    ]
    _run_timed([*command, str(target)])
    return RawClip(target, video, target.stat().st_size // video.frame_bytes)


def encode_command(
    codec: ConventionalCodec, clip: RawClip, qp: float, settings: EncoderSettings, target: Path
) -> list[str]:
    """The ffmpeg command line that codes a clip."""
    gop = LONGEST_GOP if settings.intra_period == FIRST_FRAME_ONLY else settings.intra_period
    video = ["-c:v", ENCODER_NAMES[codec], f"-{settings.rate_control}", f"{qp:g}", "-g", str(gop)]
    threads, options = settings.num_threads, list(settings.options)
    if codec is ConventionalCodec.X264:
        video += ["-threads", str(threads), "-sc_threshold", "0", "-bsf:v", "filter_units=remove_types=6"]
        video += [] if settings.b_frames else ["-bf", "0"]
    elif codec is ConventionalCodec.X265:
        parameters = f"scenecut=0:pools={threads}:info=0:log-level=error" + ("" if settings.b_frames else ":bframes=0")
        options = _with_parameters(options, "-x265-params", parameters)
        video += ["-bsf:v", "filter_units=remove_types=39-40"]
    else:
        # Without pred-struct=1 (low delay) SVT-AV1 always codes in a hierarchy of B-like frames.
        parameters = f"lp={threads}" + ("" if settings.b_frames else ":pred-struct=1")
        options = _with_parameters(options, "-svtav1-params", parameters)
    return [*_ffmpeg(), *_raw_input(clip), *video, *options, "-f", STREAM_FORMATS[codec], str(target)]


def coded_frames(codec: ConventionalCodec, stream: Path, num_frames: int) -> list[tuple[str, int]]:
    """(picture type "I", "P" or "B", bytes) of each frame in display order. Parameter sets count with the frame after
    them.

    Raises:
        StreamError: frames are missing, or their bytes do not add up to those of the stream's packets.
    """
    types_and_sizes = [
        (fields[1], int(fields[0])) for fields in _probe(["-show_entries", "frame=pkt_size,pict_type", str(stream)])
    ]
    packet_sizes = [int(fields[0]) for fields in _probe(["-show_entries", "packet=size", str(stream)])]
    if codec is ConventionalCodec.SVTAV1 and len(packet_sizes) == len(types_and_sizes):
        # AV1 decoders do not report sizes, but each packet (temporal unit) shows exactly one frame, in display order.
        types_and_sizes = [
            (picture_type, size) for (picture_type, _), size in zip(types_and_sizes, packet_sizes, strict=True)
        ]
    if len(types_and_sizes) != num_frames or sum(size for _, size in types_and_sizes) != sum(packet_sizes):
        counted = sum(size for _, size in types_and_sizes)
        raise StreamError(
            f"{codec} stream: {len(types_and_sizes)} frames of {counted} bytes, expected {num_frames} frames of "
            f"{sum(packet_sizes)} bytes together"
        )
    return types_and_sizes


def _measure(
    source: Picture, decoded: Picture, is_intra: bool, num_bits: int, seconds: tuple[float, float], msssim: bool
) -> FrameRecord:
    psnr = psnr_yuv(source.planes, decoded.planes)
    similarity, planes = None, None
    if msssim:
        measured = msssim_yuv(source.planes, decoded.planes)
        if measured.y is not None and measured.u is not None and measured.v is not None:
            similarity, planes = measured.yuv, (measured.y, measured.u, measured.v)
    return FrameRecord(is_intra, num_bits, psnr.yuv, (psnr.y, psnr.u, psnr.v), similarity, planes, *seconds)


def _with_parameters(options: Sequence[str], name: str, ours: str) -> list[str]:
    """Puts `ours` before the user's own parameters: of two parameters of one name, an encoder takes the later one."""
    merged = list(options)
    if name in merged and merged.index(name) + 1 < len(merged):
        merged[merged.index(name) + 1] = f"{ours}:{merged[merged.index(name) + 1]}"
        return merged
    return [*merged, name, ours]


@cache
def _encoders() -> frozenset[str]:
    listing = subprocess.run(
        ["ffmpeg", "-hide_banner", "-encoders"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return frozenset(re.findall(r"^ V\S{5} (\S+)", listing.stdout, re.MULTILINE))


def _ffmpeg() -> list[str]:
    return ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]


def _raw_input(clip: RawClip) -> list[str]:
    return [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-s",
        str(clip.format.size),
        "-r",
        str(clip.format.frame_rate),
        "-i",
        str(clip.path),
    ]


def _run_timed(command: Sequence[str]) -> float:
    """Runs a command and returns its wall seconds. UsageError where it fails."""
    start = time.perf_counter()
    finished = subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.strip()] or [f"exit code {finished.returncode}"]
        raise UsageError(f"ffmpeg failed: {lines[-1].strip()}", "the whole command: " + " ".join(command))
    return time.perf_counter() - start


def _probe(arguments: Sequence[str]) -> list[list[str]]:
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "csv=p=0", *arguments]
    finished = subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
    if finished.returncode:
        raise InputError(
            f"ffprobe cannot read {arguments[-1]}: {(finished.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    return [line.rstrip(",").split(",") for line in finished.stdout.splitlines() if line.strip(",")]
