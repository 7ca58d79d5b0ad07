"""Measures conventional codecs (x264, x265, SVT-AV1, libaom, VVenC) through the ffmpeg program as dcvc is measured:
same frames, real streams, same metrics.

Every byte of the elementary stream that a decoder needs is counted. Container headers are not, nor are the SEI messages
with encoder settings that x264 and x265 write (several hundred bytes, a tenth of a small clip): both are to the
advantage of the conventional codec. ffmpeg writes each packet into the stream and its time and size beside it, so no
second program counts.
"""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dcvc_cli.errors import InputError, StreamError, UsageError
from dcvc_cli.evaluating.encoders import (
    ENCODERS,
    LONGEST_GOP,
    SIZES_NAME,
    ConventionalCodec,
    EncoderSettings,
    encode_command,
    quiet,
    require_encoder,
)
from dcvc_cli.evaluating.scores import with_scores
from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat
from dcvc_cli.media import PictureReader, open_writer
from dcvc_cli.metrics.msssim import msssim_yuv
from dcvc_cli.metrics.psnr import psnr_yuv
from dcvc_cli.metrics.results import FrameRecord

IVF_HEADER, IVF_FRAME_HEADER = 32, 12
"""Bytes of an IVF file that are no packet: at its start, and before each packet."""
_PACKET = re.compile(r"^0, *-?\d+, *(-?\d+), *\d+, *(\d+),", re.MULTILINE)
_PICTURE_TYPE = re.compile(r"showinfo.* n: *\d+ .* type:(\S)")


@dataclass(frozen=True)
class RawClip:
    """Planar 4:2:0 pictures of 8 or 10 bits, one after the other in one file without headers."""

    path: Path
    format: VideoFormat
    num_frames: int

    def pictures(self) -> Iterator[Picture]:
        """Yields the pictures in display order. InputError where the file ends early."""
        shapes, kind = self.format.plane_shapes, self.format.dtype
        with self.path.open("rb") as file:
            for index in range(self.num_frames):
                data = np.frombuffer(file.read(self.format.frame_bytes), kind)
                if data.nbytes != self.format.frame_bytes:
                    raise InputError(
                        f"{self.path}: ends in frame {index}, expected {self.num_frames} frames of {self.format.size}"
                    )
                luma, u, v = np.split(data, np.cumsum([height * width for height, width in shapes])[:-1])
                yield Picture((luma.reshape(shapes[0]), u.reshape(shapes[1]), v.reshape(shapes[2])))


def unpack_clip(reader: PictureReader, target: Path) -> RawClip:
    """Writes the pictures of a clip into a raw file, sample for sample. InputError where they are not 8-bit 4:2:0."""
    if reader.format.chroma is not ChromaFormat.YUV420 or reader.format.bit_depth != 8:
        hint = "convert the pictures to 8-bit 4:2:0 first, for dcvc too"
        found = f"{reader.format.sampling} pictures"
        raise InputError(f"{reader.name} holds {found}, conventional codecs are measured on 8-bit 4:2:0 only", hint)
    num_frames = 0
    with open_writer(str(target), reader.format, overwrite=False) as writer:
        for picture in reader:
            writer.write(picture)
            num_frames += 1
    return RawClip(target, reader.format, num_frames)


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
        clip: 8-bit pictures. An encoder of 10 bits takes them four times as large, and what it gives back is rounded.
        qp: on the codec's own scale (ENCODERS); LOWER is better quality.
        stream: place that keeps the elementary stream; an existing file is replaced. None keeps none.
        scores: metrics of ffmpeg to measure too.
        msssim: measure MS-SSIM too, which takes far longer than PSNR. Pictures too small for it have none.

    Returns:
        a record for each frame in display order. PSNR is that of 8-bit pictures, as `metrics.psnr` defines it. Seconds
        are the wall time of the ffmpeg run, with its start, divided by the number of frames.

    Raises:
        EnvironmentFault: ffmpeg is missing, or was built without this encoder.
        UsageError: the QP is beyond the scale, ffmpeg refuses the options, or the clip is longer than LONGEST_GOP.
        StreamError: the frames or bytes of the stream do not add up.

    The stream is bit-exact for one build of an encoder and one number of threads only.
    """
    program, facts = require_encoder(codec), ENCODERS[codec]
    if not facts.scale[0] <= qp <= facts.scale[1]:
        raise UsageError(f"{codec} has no QP {qp:g}, expected {facts.scale[0]}..{facts.scale[1]}")
    if clip.num_frames > LONGEST_GOP:
        raise UsageError(
            f"{clip.path.name} has {clip.num_frames} frames, expected at most {LONGEST_GOP}",
            "limit the number of frames",
        )
    with tempfile.TemporaryDirectory(prefix="dcvc-") as place:
        folder = Path(place)
        coded, taken = folder / "coded", _deepened(clip, facts.bit_depth, folder / "source.yuv")
        output = RawClip(folder / "decoded.yuv", taken.format, clip.num_frames)
        command = encode_command(program, codec, (taken.path, taken.format), qp, settings, coded.name)
        encode_seconds = _run_timed(command, folder)[0] / clip.num_frames
        samples = "yuv420p" if facts.bit_depth == 8 else f"yuv420p{facts.bit_depth}le"
        raw = ["-fps_mode", "passthrough", "-pix_fmt", samples, "-f", "rawvideo", output.path.name]
        decode_seconds = _run_timed([*quiet(program), "-i", coded.name, *raw], folder)[0] / clip.num_frames
        if output.path.stat().st_size != output.format.frame_bytes * clip.num_frames:
            found = output.path.stat().st_size // output.format.frame_bytes
            raise StreamError(f"{codec} gave {found} frames back, expected {clip.num_frames}")
        sizes = coded_frames(program, codec, coded, clip.num_frames)
        records = [
            _measure(source, decoded, kind == "I", 8 * num_bytes, (encode_seconds, decode_seconds), msssim)
            for source, decoded, (kind, num_bytes) in zip(clip.pictures(), _rounded(output), sizes, strict=True)
        ]
        records = with_scores(records, scores, clip.format, clip.pictures(), _rounded(output))
        if stream is not None:
            shutil.move(coded, stream)
    return records


def coded_frames(program: str, codec: ConventionalCodec, stream: Path, num_frames: int) -> list[tuple[str, int]]:
    """Reads (picture type "I", "P" or "B", bytes) of each frame in display order, from the stream and the file of sizes
    beside it. Parameter sets count with the frame after them.

    Raises:
        StreamError: frames are missing, or their bytes do not add up to those of the file.
    """
    # A packet shows exactly one frame: what AV1 shows again later has a packet of its own.
    packets = sorted((int(time), int(size)) for time, size in _PACKET.findall((stream.parent / SIZES_NAME).read_text()))
    shown = ["-fps_mode", "passthrough", "-vf", "showinfo=checksum=0", "-f", "null", "-"]
    command = [program, "-hide_banner", "-nostdin", "-loglevel", "info", "-i", stream.name, *shown]
    types = _PICTURE_TYPE.findall(_run_timed(command, stream.parent)[1])
    is_ivf = ENCODERS[codec].stream_format == "ivf"
    counted = sum(size for _, size in packets) + is_ivf * (IVF_HEADER + IVF_FRAME_HEADER * len(packets))
    found = stream.stat().st_size
    if not len(packets) == len(types) == num_frames or counted != found:
        raise StreamError(
            f"{codec} stream: {len(packets)} packets, {len(types)} frames and {counted} bytes, expected {num_frames} "
            f"frames and {found} bytes"
        )
    return [(kind, size) for kind, (_, size) in zip(types, packets, strict=True)]


def _deepened(clip: RawClip, bit_depth: int, target: Path) -> RawClip:
    """Writes the clip with more bits a sample into a file of its own; the clip itself where it has them already."""
    if clip.format.bit_depth == bit_depth:
        return clip
    deeper = replace(clip.format, bit_depth=bit_depth)
    with target.open("wb") as file:
        for picture in clip.pictures():
            for plane in picture.planes:
                file.write((plane.astype("<u2") << (bit_depth - clip.format.bit_depth)).tobytes())
    return RawClip(target, deeper, clip.num_frames)


def _rounded(clip: RawClip) -> Iterator[Picture]:
    """Yields the pictures of a clip, rounded to 8 bits."""
    more = clip.format.bit_depth - 8
    for picture in clip.pictures():
        if not more:
            yield picture
            continue
        half = 1 << (more - 1)
        yield Picture(tuple(np.minimum((plane + half) >> more, 255).astype(np.uint8) for plane in picture.planes))


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


def _run_timed(command: Sequence[str], folder: Path) -> tuple[float, str]:
    """Runs a command in a folder; returns its wall seconds and what it says. UsageError where it fails."""
    start = time.perf_counter()
    finished = subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False, cwd=folder
    )
    seconds = time.perf_counter() - start
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.strip()] or [f"exit code {finished.returncode}"]
        raise UsageError(f"ffmpeg failed: {lines[-1].strip()}", "the whole command: " + " ".join(command))
    return seconds, finished.stderr
