"""Draw docs/figures/long_run.svg: PSNR of 300 frames at intra period -1, with and without the feature reset.

    python tools/plot_long_run.py DATA/eval/carphone_qcif.y4m [--frames 300] [--qp 0 --qp 21 --qp 42 --qp 63]

The clip is played forwards and backwards in turn until there are enough frames, so that no cut hides a drift. Frames
show what a decoder puts out of a stream in a file. Prints a table of two comparisons, each of the same source frames a
whole pass of the clip apart: frames 8..16, where the second look is without the I frame's better quality, and the last
frames that have an earlier look, where what differs is drift.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot

from dcvc_cli.format.types import Picture
from dcvc_cli.media import open_reader
from dcvc_cli.metrics.psnr import psnr_yuv

ROOT = Path(__file__).resolve().parents[1]
WINDOW = 9
"""Frames of one comparison."""
RESETS = {"reset every 32 frames": 32, "no reset": 0}


def there_and_back(pictures: list[Picture], count: int) -> list[Picture]:
    """0 1 .. n-1 n-2 .. 1 0 1 ..: `count` pictures without a cut."""
    period = [*pictures, *pictures[-2:0:-1]]
    return [period[index % len(period)] for index in range(count)]


def qualities(source: list[Picture], header: bytes, qp: int, reset_interval: int) -> tuple[list[float], int]:
    """Measures PSNR of every decoded frame and the bytes of the stream, through the command line."""
    command = [sys.executable, "-m", "dcvc_cli"]
    with tempfile.TemporaryDirectory(prefix="dcvc-") as name:
        clip, stream, decoded = (Path(name, file) for file in ("clip.y4m", "clip.dcvc", "decoded.y4m"))
        with clip.open("wb") as file:
            file.write(header)
            for picture in source:
                file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in picture.planes))
        options = ["--qp", str(qp), "--keyint", "-1", "--reset-interval", str(reset_interval), "-y"]
        subprocess.run([*command, "encode", str(clip), "-o", str(stream), *options], check=True)
        subprocess.run([*command, "decode", str(stream), "-o", str(decoded), "-y"], check=True)
        with open_reader(str(decoded)) as reader:
            found = [psnr_yuv(ours.planes, theirs.planes).yuv for ours, theirs in zip(source, reader, strict=True)]
        return found, stream.stat().st_size


def main() -> None:
    arguments = argparse.ArgumentParser(description="a long run at intra period -1")
    arguments.add_argument("clip", type=Path, help="a .y4m clip")
    arguments.add_argument("--frames", type=int, default=300)
    arguments.add_argument("--qp", type=int, action="append")
    arguments.add_argument("--output", type=Path, default=ROOT / "docs" / "figures" / "long_run.svg")
    options = arguments.parse_args()
    with options.clip.open("rb") as file:
        header = file.readline()
    with open_reader(str(options.clip)) as reader:
        pictures = list(reader)
    source = there_and_back(pictures, options.frames)
    pass_frames = 2 * (len(pictures) - 1)
    figure, axes = pyplot.subplots(figsize=(9, 5))
    late = len(source) - WINDOW - pass_frames
    if late < 8:
        arguments.error(f"{len(source)} frames are no pass of {pass_frames} frames and {WINDOW + 8} more")
    print(
        f"| QP | reset | bytes | frames 8..{7 + WINDOW} | a pass later | frames {late}..{late + WINDOW - 1} | a pass "
        "later | drift |"
    )
    print("| --: | :-- | --: | --: | --: | --: | --: | --: |")
    for qp in options.qp or [0, 21, 42, 63]:
        for (label, reset_interval), style in zip(RESETS.items(), ("-", ":"), strict=True):
            found, size_bytes = qualities(source, header, qp, reset_interval)
            axes.plot(found, style, label=f"QP {qp}, {label}", linewidth=1)
            starts = (8, 8 + pass_frames, late, late + pass_frames)
            early, settled, before, after = (float(np.mean(found[start : start + WINDOW])) for start in starts)
            print(
                f"| {qp} | {label} | {size_bytes} | {early:.2f} | {settled:.2f} | {before:.2f} | {after:.2f} | "
                f"{after - before:+.2f} |",
                flush=True,
            )
    axes.set(
        xlabel="frame",
        ylabel="PSNR (6Y + U + V) / 8, dB",
        title=f"{options.clip.stem}, played forwards and backwards, first frame intra",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(options.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
