"""Make docs/results.md and docs/figures/rd.svg from result files of dcvc and the anchors in docs/results/anchors.

    dcvc eval docs/results/eval.json --root DATA -o docs/results/dcvc.json \\
        --stream-dir STREAMS --check-existing --workers 2 --threads 1
    dcvc eval docs/results/eval.json --root DATA -o docs/results/dcvc_intra.json \\
        --stream-dir STREAMS_INTRA --check-existing --workers 2 --threads 1 --force-intra
    python tools/make_results_page.py docs/results/dcvc.json --intra docs/results/dcvc_intra.json

DATA is the folder that holds `eval` with the six clips. A run that was stopped goes on when it is started again.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dcvc_cli.evaluating.comparison_plots import Panel, draw, rendered
from dcvc_cli.metrics.bdrate import BdRate, Interpolation, bd_rate
from dcvc_cli.metrics.results import RatePoint, Results, curve, match_names, read_results

ROOT = Path(__file__).resolve().parents[1]
METRIC = "psnr"
REFERENCE = "x264 medium"
ANCHORS = {
    REFERENCE: "x264_medium_zerolatency",
    "x264 veryfast": "x264_veryfast_zerolatency",
    "x265 medium": "x265_medium_zerolatency",
    "x265 veryslow": "x265_veryslow_zerolatency",
    "x265 veryslow, B frames": "x265_veryslow_bframes",
    "SVT-AV1 preset 4": "svtav1_preset4",
    "x264 medium, all intra": "x264_medium_intra",
}
INTRA_ANCHORS = {"x264 medium, all intra": "x264_medium_intra"}

Rows = list[list[str]]


class Clips:
    """The clips of a result file by class and name, with those of the anchors beside them."""

    def __init__(self, results: Results, anchors: dict[str, Results]) -> None:
        self.results, self.anchors = results, anchors

    def __iter__(self) -> Iterator[tuple[str, tuple[RatePoint, ...], dict[str, tuple[RatePoint, ...]]]]:
        """Yields (name, points, anchor name -> the anchor's points) of each clip."""
        for class_name, sequences in self.results.classes.items():
            for name, points in sequences.items():
                found = {}
                for anchor, results in self.anchors.items():
                    theirs = results.classes.get(class_name, {})
                    for their_name, _ in match_names(theirs, [name]):
                        found[anchor] = theirs[their_name]
                yield name, points, found

    def bd_rates(self, metric: str) -> dict[str, dict[str, BdRate]]:
        """Maps clip -> anchor -> BD-rate of dcvc; without a figure where the curves allow none or the frames differ."""
        return {
            name: {anchor: _compared(theirs, points, metric) for anchor, theirs in found.items()}
            for name, points, found in self
        }


def _compared(anchor: Sequence[RatePoint], test: Sequence[RatePoint], metric: str = METRIC) -> BdRate:
    if {point.num_frames for point in anchor} != {point.num_frames for point in test}:
        return BdRate(None, reason=f"{anchor[0].num_frames} frames in the anchor, {test[0].num_frames} here")
    return bd_rate(curve(anchor, metric), curve(test, metric), Interpolation.CUBIC)


def _mean(results: Sequence[BdRate | None]) -> float | None:
    """Takes the mean; None unless every one has a figure."""
    percents = [result.percent for result in results if result is not None and result.percent is not None]
    return sum(percents) / len(percents) if percents and len(percents) == len(results) else None


def table(head: Sequence[str], rows: Rows) -> str:
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [list(head), rule, *rows])


def bd_table(clips: Clips, heads: Sequence[str]) -> str:
    """BD-rates of dcvc by clip, their means where every clip has one, and under the table why figures are missing or
    weak."""
    rates, luma = clips.bd_rates(METRIC), clips.bd_rates("psnr_y")
    rows = [
        [name, *(_percent(found[anchor].percent if anchor in found else None) for anchor in heads)]
        for name, found in rates.items()
    ]
    for title, every in (("mean", rates), ("mean of Y alone", luma)):
        means = [_percent(_mean([found.get(anchor) for found in every.values()])) for anchor in heads]
        rows.append([f"**{title}**", *(f"**{mean}**" for mean in means)])
    reasons: dict[str, list[str]] = {}
    for name, found in rates.items():
        for anchor, result in found.items():
            if result.reason:
                reasons.setdefault(f"{name}: {result.reason}", []).append(anchor)
    remarks = [f"- {reason} (against {', '.join(anchors)})." for reason, anchors in reasons.items()]
    overlaps = [result.overlap for found in rates.values() for result in found.values() if result.percent is not None]
    if overlaps:
        remarks.append(
            f"- The figures are over the PSNR that both curves reach, {min(overlaps):.0%} to {max(overlaps):.0%} of "
            "what either one reaches."
        )
    return "\n\n".join(
        part for part in (table(["clip", *(f"against {head}" for head in heads)], rows), "\n".join(remarks)) if part
    )


def rate_table(clips: Clips) -> str:
    rows = []
    for name, points, _ in clips:
        for point in points:
            figures = point.figures
            frames_bytes = point.bpp * figures["frame_pixel_num"] * point.num_frames / 8
            more = f"{100 * (figures['stream_bytes'] / frames_bytes - 1):.2f} %" if "stream_bytes" in figures else ""
            qps = f"{figures.get('qp_i', figures.get('qp', 0)):.0f}"
            quality = [
                f"{figures.get(f'ave_all_frame_psnr{suffix}', float('nan')):.2f}" for suffix in ("", "_y", "_u", "_v")
            ]
            rows.append([name, f"{point.num_frames}", qps, f"{point.bpp:.4f}", *quality, more])
    return table(["clip", "frames", "QP", "bits per pixel", "PSNR", "Y", "U", "V", "file over frames"], rows)


def speed_table(clips: Clips) -> str:
    rows = []
    for name, points, _ in clips:
        cells = []
        for kind in ("encoding", "decoding"):
            seconds = [point.figures[key] for point in points if (key := f"avg_frame_{kind}_time") in point.figures]
            cells.append(f"{1 / min(seconds):.2f} .. {1 / max(seconds):.2f}" if seconds else "not measured")
        rows.append([name, *cells])
    return table(["clip", "encoded frames a second, lowest to highest QP measured", "decoded frames a second"], rows)


def panels(clips: Clips) -> list[Panel]:
    found = []
    for name, points, anchors in clips:
        series = [(anchor, curve(theirs, METRIC)) for anchor, theirs in anchors.items()]
        found.append(Panel(name, (*series, ("dcvc", curve(points, METRIC)))))
    return found


def _percent(percent: float | None) -> str:
    return "none" if percent is None else f"{percent:+.1f} %"


def _codecs(path: Path) -> list[str]:
    """Tells what the result file says about the codec's settings."""
    document: dict[str, Any] = json.loads(path.read_text())
    points = [point for sequences in document.values() for rates in sequences.values() for point in rates.values()]
    return list(dict.fromkeys(str(point["codec"]) for point in points if "codec" in point))


def page(arguments: argparse.Namespace, clips: Clips, intra: Clips | None, figure: str) -> str:
    settings = "\n".join(f"    {codec}" for codec in _codecs(arguments.result)) or "    not said in the result file"
    base = "dcvc eval docs/results/eval.json --root DATA --check-existing --workers 2 --threads 1"
    commands = [f"{base} --stream-dir STREAMS -o {_shown(arguments.result)}"]
    given = _shown(arguments.result)
    if arguments.intra:
        commands.append(f"{base} --stream-dir STREAMS_INTRA --force-intra -o {_shown(arguments.intra)}")
        given += f" --intra {_shown(arguments.intra)}"
    commands.append(f"python tools/make_results_page.py {given}")
    parts = [
        "# Results\n\n<!-- Made by tools/make_results_page.py; changes by hand are lost. -->",
        "dcvc against x264, x265 and SVT-AV1 on six clips, all frames, first frame intra "
        "(docs/results/anchors/README.md says how the anchors were made:"
        " `-tune zerolatency`, constant QP, no B frames; where the name says B frames, x265 without that tune; "
        "SVT-AV1 as it comes, by CRF). Every dcvc figure is of a stream in a file and of a decode "
        "of that file, with its picture"
        " hashes checked. Quality is PSNR of the decoded 8-bit pictures, (6Y + U + V) / 8, averaged over frames, for "
        "all codecs; published DCVC"
        " figures are taken before rounding to 8 bits. Rates count what a decoder needs: frames and SPS for dcvc, "
        "everything but informational SEI"
        " for the others. QP of dcvc: 0..63, higher is better quality.",
        "The settings:\n\n" + settings,
        "The commands (DATA is the folder that holds `eval`; a run that was stopped goes on when it is started "
        "again):\n\n```\n" + "\n".join(commands) + "\n```",
        "## BD-rate\n\nBits at equal PSNR, cubic interpolation: negative means that dcvc needs "
        "fewer.\n\n" + bd_table(clips, list(ANCHORS)),
        _anchors_compared(clips),
    ]
    if intra is not None:
        parts.append("### All frames intra\n\n" + bd_table(intra, list(INTRA_ANCHORS)))
    parts += [
        f"## Curves\n\n![Rate-distortion curves of the six clips]({figure})",
        "## Every point\n\nThe last column is what the file has beyond frames and SPS: signature, settings as text, "
        "picture hashes, index.\n\n" + rate_table(clips),
    ]
    if intra is not None:
        parts.append("### All frames intra\n\n" + rate_table(intra))
    parts.append(
        "## Speed\n\nWall time of coding and of decoding alone, without files and metrics, the first 10 frames left "
        "out; from the same run, on"
        " whatever machine that was, with other work on it. `dcvc bench` measures speed "
        "properly.\n\n" + speed_table(clips)
    )
    return "\n\n".join(parts) + "\n"


def _anchors_compared(clips: Clips) -> str:
    """Compares, for scale: the anchors against each other, on the clips of the result file."""
    means = []
    for other in (name for name in ANCHORS if name != REFERENCE):
        pairs = [
            _compared(found[REFERENCE], found[other]) for _, _, found in clips if REFERENCE in found and other in found
        ]
        means.append(f"{other} {_percent(_mean(pairs))}")
    return f"For scale, the mean of the anchors against {REFERENCE} on these clips: {', '.join(means)}."


def _shown(path: Path) -> str:
    resolved = path.resolve()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else path.name


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as staged:
        staged.write(content)
    Path(staged.name).chmod(0o644)
    Path(staged.name).replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, metavar="RESULT.json", help="of dcvc, first frame intra")
    parser.add_argument("--intra", type=Path, metavar="RESULT.json", help="of dcvc, all frames intra")
    parser.add_argument("--anchors", type=Path, default=ROOT / "docs" / "results" / "anchors")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "figures" / "rd.svg", help=".svg or .png")
    arguments = parser.parse_args()

    def read_anchors(names: dict[str, str]) -> dict[str, Results]:
        return {name: read_results(arguments.anchors / f"{file}.json") for name, file in names.items()}

    clips = Clips(read_results(arguments.result), read_anchors(ANCHORS))
    intra = Clips(read_results(arguments.intra), read_anchors(INTRA_ANCHORS)) if arguments.intra else None
    _write(arguments.figure, rendered(draw(panels(clips), METRIC), arguments.figure.suffix.removeprefix(".")))
    figure = os.path.relpath(arguments.figure.resolve(), arguments.output.resolve().parent)
    _write(arguments.output, page(arguments, clips, intra, figure).encode())
    print(f"{arguments.output}, {arguments.figure} ({arguments.figure.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
