"""Draw docs/figures/training.svg from training logs.

python tools/plot_training.py docs/notebook/training/lite-image.csv docs/notebook/training/lite-video.csv
"""

import argparse
import csv
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = {"loss": "loss", "bpp": "bits per pixel", "psnr": "luma PSNR, dB"}
WINDOW = 6
"""Lines averaged for one point: batches draw their QPs at random, so single lines jump."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG.csv")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "training.svg")
    arguments = parser.parse_args()
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "dcvc"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(arguments.logs), len(COLUMNS), figsize=(11, 2.6 * len(arguments.logs)), squeeze=False, layout="constrained"
    )
    for row, path in zip(axes, arguments.logs, strict=True):
        lines = list(csv.DictReader(path.open(newline="")))
        groups = [lines[start : start + WINDOW] for start in range(0, len(lines), WINDOW)]
        for axis, (column, label) in zip(row, COLUMNS.items(), strict=True):
            axis.plot(
                [int(group[-1]["step"]) for group in groups],
                [sum(float(line[column]) for line in group) / len(group) for group in groups],
            )
            axis.set(xlabel="step", ylabel=label, title=path.stem if column == "bpp" else "")
            for before, after in pairwise(lines):
                if before["stage"] != after["stage"]:
                    axis.axvline(int(after["step"]), color="0.8", linewidth=0.8)
    arguments.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.figure, metadata={"Date": None} if arguments.figure.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
