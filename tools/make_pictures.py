"""Make docs/figures/side_by_side.png: decoded frames beside the source and x264 at the same rate.

    python tools/make_pictures.py DATA/eval

x264 (-preset medium -tune zerolatency, constant QP, first frame intra) is run at every QP, and the largest stream that
is not larger than dcvc's is shown; its size is printed under it. Needs ffmpeg, numpy and pillow. Pictures are cut out
of the frame, not scaled.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dcvc_cli.evaluating.conventional import code_with_ffmpeg, unpack_clip
from dcvc_cli.evaluating.encoders import ConventionalCodec, EncoderSettings, require_encoder
from dcvc_cli.format.types import Picture
from dcvc_cli.media import open_reader
from dcvc_cli.metrics.psnr import psnr_yuv

ROOT = Path(__file__).resolve().parents[1]
X264 = EncoderSettings(options=("-preset", "medium", "-tune", "zerolatency"))
X264_QPS = range(18, 50)
CAPTION_HEIGHT = 30


@dataclass(frozen=True)
class Scene:
    """What to show: a clip, the QP of dcvc, a frame and the corner of a crop of `width` x `height`."""

    clip: str
    qp: int
    frame: int
    left: int
    top: int
    width: int = 256
    height: int = 192


SCENES = (
    Scene("bunny_360p.mkv", 21, 30, 200, 80),
    Scene("foreman_cif.mkv", 21, 48, 48, 32),
    Scene("bedroom_270p.mkv", 21, 30, 120, 40),
)


@dataclass(frozen=True)
class Shown:
    """One side: its name, the picture, and bytes of the whole clip (None for the source)."""

    name: str
    picture: Picture
    size_bytes: int | None


def rgb(picture: Picture, scene: Scene) -> Image.Image:
    """Shows the crop as a person sees it: BT.601 limited range, as these clips have it, chroma repeated."""
    luma, u, v = (plane.astype(np.float32) for plane in picture.planes)
    u, v = (plane.repeat(2, axis=0).repeat(2, axis=1)[: luma.shape[0], : luma.shape[1]] - 128 for plane in (u, v))
    y = (luma - 16) * (255 / 219)
    channels = (y + 1.596 * v, y - 0.392 * u - 0.813 * v, y + 2.017 * u)
    full: NDArray[np.uint8] = np.stack([np.clip(np.rint(channel), 0, 255) for channel in channels], axis=-1).astype(
        np.uint8
    )
    return Image.fromarray(full[scene.top : scene.top + scene.height, scene.left : scene.left + scene.width])


def frame_of(path: Path, index: int) -> Picture:
    with open_reader(str(path)) as reader:
        for number, picture in enumerate(reader):
            if number == index:
                return picture
    raise SystemExit(f"{path} has no frame {index}")


def by_dcvc(scene: Scene, source: Path, folder: Path) -> Shown:
    """Codes through the command line, as anyone would."""
    stream, decoded = folder / "dcvc.dcvc", folder / "dcvc.y4m"
    command = [sys.executable, "-m", "dcvc_cli"]
    subprocess.run(
        [
            *command,
            "encode",
            str(source),
            "-o",
            str(stream),
            "--qp",
            str(scene.qp),
            "--keyint",
            "-1",
            "--hash",
            "none",
            "-y",
        ],
        check=True,
    )
    subprocess.run([*command, "decode", str(stream), "-o", str(decoded), "-y"], check=True)
    return Shown("dcvc", frame_of(decoded, scene.frame), stream.stat().st_size)


def by_x264(scene: Scene, source: Path, folder: Path, limit_bytes: int) -> Shown:
    """Finds the finest QP whose stream is not larger than `limit_bytes`."""
    with open_reader(str(source)) as reader:
        clip, stream = unpack_clip(reader, folder / "source.yuv"), folder / "x264.h264"
    program = require_encoder(ConventionalCodec.X264)
    for qp in X264_QPS:
        frames = code_with_ffmpeg(ConventionalCodec.X264, clip, qp, X264, stream=stream)
        size_bytes = sum(frame.num_bits for frame in frames) // 8
        if size_bytes <= limit_bytes:
            decoded = folder / "x264.y4m"
            subprocess.run(
                [program, "-v", "error", "-y", "-i", str(stream), "-fps_mode", "passthrough", str(decoded)], check=True
            )
            return Shown(f"x264 medium zerolatency, QP {qp}", frame_of(decoded, scene.frame), size_bytes)
    raise SystemExit(f"{scene.clip}: no x264 stream is as small as {limit_bytes} bytes")


def row(scene: Scene, data: Path) -> Image.Image:
    """Puts source, dcvc and x264 side by side with captions."""
    source = data / scene.clip
    original = frame_of(source, scene.frame)
    with tempfile.TemporaryDirectory(prefix="dcvc-") as name:
        ours = by_dcvc(scene, source, Path(name))
        assert ours.size_bytes is not None
        sides = [
            Shown(f"{scene.clip}, frame {scene.frame}", original, None),
            ours,
            by_x264(scene, source, Path(name), ours.size_bytes),
        ]
    sheet = Image.new("RGB", (3 * scene.width + 8, scene.height + CAPTION_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for position, side in enumerate(sides):
        left = position * (scene.width + 4)
        sheet.paste(rgb(side.picture, scene), (left, 0))
        lines = [side.name]
        if side.size_bytes is not None:
            lines.append(
                f"{side.size_bytes} bytes for the clip, "
                f"{psnr_yuv(original.planes, side.picture.planes).yuv:.2f} dB in this frame"
            )
        draw.text((left, scene.height + 2), "\n".join(lines), fill="black")
    return sheet


def main() -> None:
    arguments = argparse.ArgumentParser(description="side-by-side pictures for docs/")
    arguments.add_argument("data", type=Path, help="folder with the clips")
    arguments.add_argument("--output", type=Path, default=ROOT / "docs" / "figures" / "side_by_side.png")
    options = arguments.parse_args()
    rows = [row(scene, options.data) for scene in SCENES]
    page = Image.new("RGB", (max(sheet.width for sheet in rows), sum(sheet.height + 6 for sheet in rows)), "white")
    top = 0
    for sheet in rows:
        page.paste(sheet, (0, top))
        top += sheet.height + 6
    page.save(options.output, optimize=True)


if __name__ == "__main__":
    main()
