"""Prints by how much quality falls as QP rises, on content that no codec is trained on (docs/floor.md).

    python tools/measure_falls.py [--frames 3] [--step 1] [CONTENT]...

For I frames and P frames it prints the worst fall in dB of Y, and of the worse one of Cb and Cr, below the best of all
lower QPs, up to 48 dB; then the worst fall of the clip's mean (6 Y + Cb + Cr) / 8, and the least plane at QP 62.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.opened_models import OpenedModel, open_model
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat
from tests.support.strange_clips import STRANGE_CLIPS

EXACT, LIMIT = 100.0, 48.0
"""Decibels of an exact picture, and those above which falls do not count."""


def quality(model: OpenedModel, pictures: list[Picture], qp: int) -> np.ndarray:
    """PSNR in dB, frames x planes."""
    settings = CodingChoices(qp_i=qp, qp_p=qp, keyint=-1)
    height, width = pictures[0].planes[0].shape
    sps = sps_for(
        VideoFormat(PictureSize(width, height), ChromaFormat.YUV420), model.weights, model.precision, settings
    )
    encoder = model.weights.model.encoder(model.networks, sps, settings)
    found = []
    for picture in pictures:
        encoder.push(picture)
        (ours,) = encoder.reconstruction()
        errors = [np.square(a.astype(float) - b).mean() for a, b in zip(picture.planes, ours.planes, strict=True)]
        found.append([10 * np.log10(255**2 / error) if error else EXACT for error in errors])
    return np.array(found)


def worst_fall(values: np.ndarray) -> float:
    """Of values of rising QPs, the first axis, up to LIMIT."""
    seen = np.minimum(values, LIMIT)
    return float((np.maximum.accumulate(seen) - seen).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", nargs="*", help=", ".join(STRANGE_CLIPS))
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--step", type=int, default=1, help="of QPs")
    options = parser.parse_args()
    model = open_model("lite", None, "cpu", 1)
    qps = range(0, 64, options.step)
    print("| content | I: Y | I: chroma | P: Y | P: chroma | 6:1:1 | QP 62 |\n|---|---|---|---|---|---|---|")
    for name in options.content or STRANGE_CLIPS:
        pictures = [STRANGE_CLIPS[name](k) for k in range(options.frames)]
        found = np.array([quality(model, pictures, qp) for qp in qps])
        i_frames, p_frames = found[:, :1], found[:, 1:]
        planes = [part for frames in (i_frames, p_frames) for part in (frames[..., :1], frames[..., 1:])]
        mean = np.minimum(found, LIMIT) @ [6, 1, 1] / 8
        falls = [*map(worst_fall, planes), worst_fall(mean.mean(1))]
        last = quality(model, pictures, 62).min()
        print(f"| {name} | " + " | ".join(f"{fall:.1f}" for fall in falls) + f" | {last:.1f} |", flush=True)


if __name__ == "__main__":
    main()
