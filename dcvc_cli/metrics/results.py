"""Reads and writes result files in the DCVC schema: class -> sequence -> rate label ("000", "001", ...) -> figures.

Published files differ in small ways, and all of them are read: sequences with or without extensions, labels that are
rate numbers or QPs, MS-SSIM of zero where it was not measured, and optional fields (`qp_i`, `qp`, times).
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dcvc_cli.errors import InputError

MAX_RESULT_BYTES = 256 << 20
LARGEST_FIGURE = 1e15
LARGEST_SETTINGS = 1000
NUM_WARM_UP_FRAMES = 10
"""Frames that speed figures leave out: the first frames pay for allocation, choice of kernels and caches."""

VIDEO_EXTENSIONS = frozenset(
    {".yuv", ".y4m", ".mkv", ".mp4", ".mov", ".avi", ".webm", ".264", ".265", ".png", ".dcvc", ".bin", ".json"}
)

Rates = dict[str, dict[str, Any]]
"""Rate label -> figures of one sequence."""


@dataclass(frozen=True)
class FrameRecord:
    """Measures of one coded frame.

    Attributes:
        is_intra: whether it is an I frame.
        num_bits: all bits of the frame's units, headers included.
        psnr: combined PSNR in dB: (6Y + U + V) / 8, or over RGB.
        psnr_planes: (Y, U, V) in dB, None for RGB.
        msssim: combined MS-SSIM, 0..1, None where it was not measured.
        msssim_planes: (Y, U, V), 0..1, None for RGB or where it was not measured.
        encode_seconds: wall time of encoding, None where it was not measured.
        decode_seconds: wall time of decoding, None where it was not measured.
        scores: vmaf, 0..100, and xpsnr in dB by name, where they were measured.
    """

    is_intra: bool
    num_bits: int
    psnr: float
    psnr_planes: tuple[float, float, float] | None = None
    msssim: float | None = None
    msssim_planes: tuple[float, float, float] | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RatePoint:
    """One sequence at one rate.

    Attributes:
        label: rate label in the file.
        bpp: bits per luma sample over all frames.
        figures: every number of the file under its name there.
        frame_psnr: combined PSNR of each frame in dB, in coding order; empty where the file has none.
        settings: what the file says of codec and settings; "" for nothing.
    """

    label: str
    bpp: float
    num_frames: int
    figures: Mapping[str, float]
    settings: str = ""
    frame_psnr: tuple[float, ...] = ()

    def quality(self, metric: str) -> float | None:
        """Takes the mean over all frames of "psnr", "psnr_y", "msssim", ...; None where it was not measured, which an
        MS-SSIM of 0 says too."""
        value = self.figures.get(f"ave_all_frame_{metric}")
        return None if value is None or (metric.startswith("msssim") and value == 0) else value


@dataclass(frozen=True)
class Results:
    """The contents of result files.

    Attributes:
        origin: name of the file or files, for messages.
        classes: class -> sequence -> rate points, lowest rate first.
    """

    origin: str
    classes: Mapping[str, Mapping[str, tuple[RatePoint, ...]]]

    def merged(self, other: "Results") -> "Results":
        """Joins the sequences of both. A sequence with one rate in `other` adds it to the rates of the same sequence
        here.

        Raises:
            InputError: both have the same sequence, and `other` has several rates of it or a rate that is here too.
        """
        classes = {name: dict(sequences) for name, sequences in self.classes.items()}
        for name, sequences in other.classes.items():
            merged = classes.setdefault(name, {})
            for sequence, points in sequences.items():
                before = merged.get(sequence, ())
                if before and (len(points) != 1 or points[0].bpp in {point.bpp for point in before}):
                    raise InputError(
                        f"{other.origin}: sequence {sequence} of {name} stands in {self.origin} too, "
                        "expected each once under one name, or one new rate of it a file"
                    )
                if before:
                    ordered = sorted((*before, *points), key=lambda point: point.bpp)
                    points = tuple(replace(point, label=rate_label(index)) for index, point in enumerate(ordered))
                merged[sequence] = points
        return Results(f"{self.origin}, {other.origin}", classes)


def read_results(path: Path) -> Results:
    """Reads and checks one result file.

    Raises:
        InputError: the file is unreadable, not JSON, not in the schema, or has values that nobody can measure; the
            message names the place.
    """
    try:
        if path.stat().st_size > MAX_RESULT_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes, expected a result file of at most {MAX_RESULT_BYTES}"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(f"{path}: cannot be read as a result file: {fault}") from fault
    return parse_results(text, str(path))


def parse_results(text: str, origin: str) -> Results:
    """Parses the text of a result file. `origin` names it in messages. InputError as in `read_results`."""
    try:
        document = json.loads(text, object_pairs_hook=object_without_repeats, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as fault:
        raise InputError(
            f"{origin}: not a result file: {fault}", "expected JSON: class, sequence, rate label, figures"
        ) from fault
    classes: dict[str, dict[str, tuple[RatePoint, ...]]] = {}
    for class_name, sequences in _members(document, origin):
        classes[class_name] = {}
        for sequence, rates in _members(sequences, f"{origin}: {class_name}"):
            place = f"{origin}: {class_name}: {sequence}"
            points = [_rate_point(label, figures, f"{place}: {label}") for label, figures in _members(rates, place)]
            classes[class_name][sequence] = tuple(sorted(points, key=lambda point: point.bpp))
    return Results(origin, classes)


def write_results(
    path: Path, classes: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]], *, overwrite: bool
) -> None:
    """Writes class -> sequence -> label -> figures as JSON. Numbers keep six decimals, as in published files. The file
    appears whole or not at all.

    Raises:
        UsageError: the file exists, and `overwrite` is not set.
        InputError: the file cannot be written.
    """
    from dcvc_cli.media.output import OutputFile  # only writing needs the media package

    with OutputFile(str(path), overwrite=overwrite) as output:
        output.write((json.dumps(_rounded(classes), indent=2, allow_nan=False) + "\n").encode())


def rate_label(rate_index: int) -> str:
    """Returns the label of a rate: its number in three digits at least."""
    return f"{rate_index:03d}"


def summarise_frames(frames: Sequence[FrameRecord], num_pixels: int, test_seconds: float) -> dict[str, Any]:
    """Figures of one sequence at one rate, under the field names of the DCVC schema.

    Args:
        frames: all frames, in coding order; speed figures leave out the first 10.
        num_pixels: width x height of the picture, not padded.
        test_seconds: wall time of the whole run.

    Returns:
        counts, means over I, P and all frames, and times in seconds. A mean is 0 where there is no frame of that kind,
        or where MS-SSIM was not measured. Speed fields need a timed frame after the first 10; plane fields are absent
        for RGB.

    Raises:
        ValueError: there is no frame, or only some frames have MS-SSIM or planes.
    """
    if not frames:
        raise ValueError("a rate point needs at least one frame")
    intra = [frame for frame in frames if frame.is_intra]
    inter = [frame for frame in frames if not frame.is_intra]
    figures: dict[str, Any] = {"frame_pixel_num": num_pixels, "i_frame_num": len(intra), "p_frame_num": len(inter)}
    for name in ("psnr_planes", "msssim", "msssim_planes"):
        _require_all_or_none(frames, name)
    planes = frames[0].psnr_planes is not None
    figures |= _means("i_frame", intra, num_pixels, planes)
    figures["test_time"] = test_seconds
    figures |= _means("p_frame", inter, num_pixels, planes)
    figures |= _means("all_frame", frames, num_pixels, planes)
    figures["frame_type"] = ["I" if frame.is_intra else "P" for frame in frames]
    figures["frame_bpp"] = [frame.num_bits / num_pixels for frame in frames]
    figures["frame_psnr"] = [frame.psnr for frame in frames]
    timed = frames[NUM_WARM_UP_FRAMES:]
    for name, kind in (("encode_seconds", "encoding"), ("decode_seconds", "decoding")):
        seconds = [value for frame in timed if (value := getattr(frame, name)) is not None]
        if seconds:
            figures[f"avg_frame_{kind}_time"] = _mean(seconds)
    return figures


def sequence_key(name: str) -> str:
    """Returns the form in which names of a sequence are compared: without folders and video extension, in lower
    case."""
    stem = PurePosixPath(name.replace("\\", "/").rstrip("/")).name.lower()
    suffix = PurePosixPath(stem).suffix
    return stem.removesuffix(suffix) if suffix in VIDEO_EXTENSIONS else stem


def match_names(anchor: Iterable[str], test: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs (anchor name, test name) of the sequences that both have, in the anchor's order.

    Names agree where their `sequence_key`s are equal. They also agree where the keys are equal without a size and what
    follows it ("_1920x1080_30"), if that is unambiguous on both sides and one name only leaves out what the other says.
    So two clips of similar names ("Kimono", "Kimono1") or two sizes of one clip never count as one.
    """
    left_anchor, left_test = list(anchor), list(test)
    order = {name: position for position, name in enumerate(left_anchor)}
    pairs: list[tuple[str, str]] = []
    for key in (sequence_key, _key_without_size):
        by_key_anchor, by_key_test = _unique_by_key(left_anchor, key), _unique_by_key(left_test, key)
        found = [
            (name, by_key_test[agreed])
            for agreed, name in by_key_anchor.items()
            if agreed in by_key_test and _abbreviates(sequence_key(name), sequence_key(by_key_test[agreed]))
        ]
        pairs += found
        left_anchor = [name for name in left_anchor if name not in {pair[0] for pair in found}]
        left_test = [name for name in left_test if name not in {pair[1] for pair in found}]
    return sorted(pairs, key=lambda pair: order[pair[0]])


def class_key(name: str) -> str:
    """Returns the form in which names of a class are compared: HEVC_B, hevc-b and HEVC B are one class."""
    return re.sub(r"[\s_-]+", "", name.lower())


def average_points(sequences: Sequence[tuple[RatePoint, ...]], metric: str) -> list[tuple[float, float]]:
    """Computes the class-average curve: at each rate label the mean bpp and the mean quality over the sequences.

    Raises:
        ValueError: the sequences have different labels, or the metric was not measured.
    """
    curves = [dict(zip((point.label for point in points), curve(points, metric), strict=True)) for points in sequences]
    if any(other.keys() != curves[0].keys() for other in curves):
        raise ValueError("the sequences have different rate points")
    return [
        (_mean([points[label][0] for points in curves]), _mean([points[label][1] for points in curves]))
        for label in curves[0]
    ]


def curve(points: Iterable[RatePoint], metric: str) -> list[tuple[float, float]]:
    """Returns (bpp, quality) of each point, in the order given. ValueError where the metric was not measured."""
    measured = [(point.bpp, point.quality(metric)) for point in points]
    if any(quality is None for _, quality in measured):
        raise ValueError(f"{metric} was not measured")
    return [(bpp, quality) for bpp, quality in measured if quality is not None]


def _key_without_size(name: str) -> str:
    return re.sub(r"_\d+x\d+(?![a-z0-9]).*$", "", sequence_key(name))


def _abbreviates(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _unique_by_key(names: Iterable[str], key: Any) -> dict[str, str]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(key(name), []).append(name)
    return {agreed: group[0] for agreed, group in grouped.items() if len(group) == 1}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _require_all_or_none(frames: Sequence[FrameRecord], name: str) -> None:
    if len({getattr(frame, name) is None for frame in frames}) > 1:
        raise ValueError(f"{name} was measured on some of the frames only")


def _means(kind: str, frames: Sequence[FrameRecord], num_pixels: int, planes: bool) -> dict[str, float]:
    prefix = f"ave_{kind}"
    figures = {
        f"{prefix}_bpp": _mean([frame.num_bits for frame in frames]) / num_pixels,
        f"{prefix}_psnr": _mean([frame.psnr for frame in frames]),
        f"{prefix}_msssim": _mean([frame.msssim or 0.0 for frame in frames]),
    }
    for metric in frames[0].scores if frames else ():
        figures[f"{prefix}_{metric}"] = _mean([frame.scores[metric] for frame in frames])
    if planes:
        for measure in ("psnr", "msssim"):
            for index, plane in enumerate("yuv"):
                triples = [getattr(frame, f"{measure}_planes") or (0.0, 0.0, 0.0) for frame in frames]
                figures[f"{prefix}_{measure}_{plane}"] = _mean([triple[index] for triple in triples])
    return figures


def _rate_point(label: str, figures: Any, place: str) -> RatePoint:
    numbers: dict[str, float] = {}
    for name, value in _members(figures, place):
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not abs(value) <= LARGEST_FIGURE:
            raise InputError(f"{place}: {name} is beyond {LARGEST_FIGURE:g}, expected a measured figure")
        numbers[name] = float(value)
    for name in ("ave_all_frame_bpp", "ave_all_frame_psnr", "i_frame_num", "p_frame_num"):
        if name not in numbers:
            raise InputError(f"{place}: no number {name}, found {', '.join(figures) or 'nothing'}"[:300])
    if numbers["ave_all_frame_bpp"] <= 0:
        raise InputError(f"{place}: ave_all_frame_bpp is {numbers['ave_all_frame_bpp']:g}, expected above 0")
    num_frames = numbers["i_frame_num"] + numbers["p_frame_num"]
    if num_frames < 1 or min(numbers["i_frame_num"], numbers["p_frame_num"]) < 0 or num_frames != int(num_frames):
        raise InputError(
            f"{place}: {numbers['i_frame_num']:g} I and {numbers['p_frame_num']:g} P frames, expected at "
            "least one frame"
        )
    settings = figures.get("codec")
    text = settings[:LARGEST_SETTINGS] if isinstance(settings, str) else ""
    by_frame = _frame_psnr(figures.get("frame_psnr"), int(num_frames), place)
    return RatePoint(label, numbers["ave_all_frame_bpp"], int(num_frames), numbers, text, by_frame)


def _frame_psnr(values: Any, num_frames: int, place: str) -> tuple[float, ...]:
    """Returns the PSNR of each frame; nothing where the file has no list of numbers under this name."""
    if not isinstance(values, list) or not values:
        return ()
    if len(values) != num_frames:
        raise InputError(f"{place}: frame_psnr has {len(values)} values, expected one for each of {num_frames} frames")
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        raise InputError(f"{place}: frame_psnr holds something else than numbers")
    if not all(abs(value) <= LARGEST_FIGURE for value in values):
        raise InputError(f"{place}: frame_psnr is beyond {LARGEST_FIGURE:g}, expected a measured figure")
    return tuple(float(value) for value in values)


def _members(value: Any, place: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise InputError(
            f"{place}: found {type(value).__name__}, expected a JSON object",
            "expected JSON: class, sequence, rate label, figures",
        )
    if not value:
        raise InputError(f"{place}: empty, expected at least one entry")
    return list(value.items())


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Serves `json.loads` as an `object_pairs_hook` that refuses a name standing twice in one object.

    Raises:
        ValueError: with the name.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the name {next(name for name in names if names.count(name) > 1)!r} stands twice in one object"
        )
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [_rounded(member) for member in value]
    return {key: _rounded(member) for key, member in value.items()} if isinstance(value, Mapping) else value
