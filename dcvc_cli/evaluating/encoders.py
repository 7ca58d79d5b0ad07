"""Encoders of conventional codecs in ffmpeg: names, scales of rate, command lines, and the ffmpeg that has one."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from dcvc_cli.errors import EnvironmentFault, UsageError
from dcvc_cli.evaluating.sequence_sources import FIRST_FRAME_ONLY
from dcvc_cli.format.types import VideoFormat
from dcvc_cli.metrics.ffmpeg_scores import ffmpeg_programs

LONGEST_GOP = 9999
"""Distance of key frames that the encoders are given for "first frame only". Longer clips are refused."""
SIZES_NAME = "sizes"
"""File beside the stream with the time and size of each packet."""
_TRIAL_SIDE = 64


class ConventionalCodec(StrEnum):
    X264 = "x264"
    X265 = "x265"
    SVTAV1 = "svtav1"
    AOM = "aom"
    VVENC = "vvenc"


class RateControl(StrEnum):
    """How an encoder chooses quantisers. LOWER is better quality, the opposite of dcvc.

    Attributes:
        QP: one quantiser for all frames of a type.
        CRF: the encoder's own constant-quality mode. AOM has no other; VVENC has none.
    """

    QP = "qp"
    CRF = "crf"


@dataclass(frozen=True)
class EncoderFacts:
    """Facts about an encoder.

    Attributes:
        name: in ffmpeg.
        stream_format: ffmpeg's name of the elementary stream, and the ending of its files.
        scale: lowest and highest QP.
        usual: lowest and highest QP of an evaluation by default.
        version: finds the version in what the encoder says or writes.
        bit_depth: bits of a sample that the encoder takes.
    """

    name: str
    stream_format: str
    scale: tuple[int, int]
    usual: tuple[int, int]
    version: re.Pattern[bytes]
    bit_depth: int = 8


ENCODERS = {
    ConventionalCodec.X264: EncoderFacts(
        "libx264", "h264", (0, 51), (17, 42), re.compile(rb"x264 - core (\d+(?: r\d+)?)")
    ),
    ConventionalCodec.X265: EncoderFacts("libx265", "hevc", (0, 51), (17, 42), re.compile(rb"encoder version (\S+)")),
    ConventionalCodec.SVTAV1: EncoderFacts("libsvtav1", "ivf", (0, 63), (20, 60), re.compile(rb"Encoder Lib (\S+)")),
    ConventionalCodec.AOM: EncoderFacts("libaom-av1", "ivf", (0, 63), (20, 60), re.compile(rb"\] v?(\d+\.\d+\S*)")),
    ConventionalCodec.VVENC: EncoderFacts(
        "libvvenc", "vvc", (0, 63), (17, 42), re.compile(rb"libvvenc version: (\S+)"), bit_depth=10
    ),
}


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


def encode_command(
    program: str,
    codec: ConventionalCodec,
    source: tuple[Path, VideoFormat],
    qp: float,
    settings: EncoderSettings,
    name: str,
) -> list[str]:
    """Returns the ffmpeg command line that codes a clip into the file `name` of the working directory. The file
    SIZES_NAME beside it gets the packets' times and sizes.

    Args:
        source: raw pictures with the encoder's bits a sample, and their format.

    Raises:
        UsageError: the encoder cannot obey the settings.
    """
    facts, (path, video) = ENCODERS[codec], source
    gop = LONGEST_GOP if settings.intra_period == FIRST_FRAME_ONLY else settings.intra_period
    threads, options = settings.num_threads, list(settings.options)
    words = [f"-{settings.rate_control}", f"{qp:g}", "-g", str(gop)]
    if codec is ConventionalCodec.X264:
        words += ["-threads", str(threads), "-sc_threshold", "0", "-bsf:v", "filter_units=remove_types=6"]
        words += [] if settings.b_frames else ["-bf", "0"]
    elif codec is ConventionalCodec.X265:
        parameters = f"scenecut=0:pools={threads}:info=0:log-level=error" + ("" if settings.b_frames else ":bframes=0")
        options = _with_parameters(options, "-x265-params", parameters)
        words += ["-bsf:v", "filter_units=remove_types=39-40"]
    elif codec is ConventionalCodec.SVTAV1:
        # Without pred-struct=1 (low delay) SVT-AV1 always codes in a hierarchy of B-like frames.
        parameters = f"lp={threads}" + ("" if settings.b_frames else ":pred-struct=1")
        options = _with_parameters(options, "-svtav1-params", parameters)
        words += ["-bsf:v", "av1_metadata=td=insert"]
    elif codec is ConventionalCodec.AOM:
        # The only mode without a bitrate is constant quality. Frames that wait for later ones make the hierarchy.
        words = ["-crf", f"{qp:g}", "-b:v", "0", "-g", str(gop), "-threads", str(threads)]
        words += [] if settings.b_frames else ["-lag-in-frames", "0"]
        words += ["-bsf:v", "av1_metadata=td=insert"]
    else:
        if not settings.b_frames and gop > 1:
            hint = "--b-frames, or --force-intra; svtav1, aom, x265 and x264 can do without"
            raise UsageError("vvenc through ffmpeg codes every GOP in a hierarchy of B frames", hint)
        # Without poc0idr the first key frame is the last one of its group, and the frames before it refer to it.
        options = _with_parameters(options, "-vvenc-params", "poc0idr=1" if gop > 1 else "")
        words = ["-qp", f"{qp:g}", "-g", str(gop), "-threads", str(threads)]
    output = f"[f={facts.stream_format}]{name}|[f=framecrc]{SIZES_NAME}"
    source_words = [*quiet(program), *_raw_input(path, video), "-map", "0:v:0"]
    return [*source_words, "-c:v", facts.name, *words, *options, "-f", "tee", output]


def quiet(program: str) -> list[str]:
    """Returns the start of a command line of ffmpeg that tells errors only and replaces files."""
    return [program, "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]


def program_with(codec: ConventionalCodec) -> str | None:
    """Returns the first ffmpeg that has a codec's encoder, that of the extra `dcvc[metrics]` before the one of the
    path; None where there is none."""
    return next((program for program in ffmpeg_programs() if ENCODERS[codec].name in encoders_of(program)), None)


def require_encoder(codec: ConventionalCodec) -> str:
    """Returns the ffmpeg that has a codec's encoder; EnvironmentFault where there is none."""
    program = program_with(codec)
    if program is not None:
        return program
    found = list(ffmpeg_programs())
    if not found:
        raise EnvironmentFault(f"the program ffmpeg was not found, and {codec} runs through it", _WAY_OUT)
    raise EnvironmentFault(f"{' and '.join(found)}: built without {ENCODERS[codec].name}", _WAY_OUT)


_WAY_OUT = "pip install 'dcvc[metrics]' brings an ffmpeg with x264, x265, svtav1, aom and vvenc"


@cache
def encoders_of(program: str) -> frozenset[str]:
    """Returns the names of a program's video encoders; none where it does not run."""
    listing = _output_of([program, "-hide_banner", "-encoders"]).decode(errors="replace")
    return frozenset(re.findall(r"^ V\S{5} (\S+)", listing, re.MULTILINE))


@cache
def versions(program: str, codec: ConventionalCodec) -> tuple[str, str]:
    """Returns the versions of an encoder and of its ffmpeg, "unknown" where they do not tell: by coding one picture."""
    facts = ENCODERS[codec]
    command = [program, "-hide_banner", "-loglevel", "verbose", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command += ["-s", f"{_TRIAL_SIDE}x{_TRIAL_SIDE}", "-r", "25", "-i", "-", "-c:v", facts.name]
    command += ["-f", facts.stream_format, "-"]
    said = facts.version.search(_output_of(command, bytes(_TRIAL_SIDE**2 * 3 // 2)))
    line = re.search(rb"ffmpeg version (\S+)", _output_of([program, "-version"]))
    encoder, ffmpeg = (b"unknown" if match is None else match[1] for match in (said, line))
    return encoder.decode(errors="replace").replace(" ", "-"), ffmpeg.decode(errors="replace")


def _output_of(command: Sequence[str], content: bytes = b"") -> bytes:
    """Returns what a program writes and says; nothing where it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, input=content, check=False)
    except OSError:
        return b""
    return done.stdout + done.stderr


def _with_parameters(options: Sequence[str], name: str, ours: str) -> list[str]:
    """Puts `ours` before the user's own parameters: of two parameters of one name, an encoder takes the later one."""
    merged = list(options)
    if not ours:
        return merged
    if name in merged and merged.index(name) + 1 < len(merged):
        merged[merged.index(name) + 1] = f"{ours}:{merged[merged.index(name) + 1]}"
        return merged
    return [*merged, name, ours]


def _raw_input(path: Path, video: VideoFormat) -> list[str]:
    samples = "yuv420p" if video.bit_depth == 8 else f"yuv420p{video.bit_depth}le"
    words = ["-f", "rawvideo", "-pix_fmt", samples, "-s", str(video.size)]
    return [*words, "-r", str(video.frame_rate), "-i", str(path.resolve())]
