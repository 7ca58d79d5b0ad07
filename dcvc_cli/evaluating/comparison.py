"""Compares result files: finds the sequences that two codecs share, and their BD-rate by class and by sequence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcvc_cli.errors import InputError
from dcvc_cli.metrics.bdrate import BdRate, Interpolation, bd_rate
from dcvc_cli.metrics.results import RatePoint, Results, average_points, class_key, curve, match_names, read_results

SCHEMA_VERSION = 1

Curve = list[tuple[float, float]]
"""(bpp, quality) points, lowest rate first."""


@dataclass(frozen=True)
class Comparison:
    """One test codec against the anchor, on one sequence or on the average of a class.

    Attributes:
        anchor_curve: empty where the file does not allow a curve; `bd_rate.reason` then says why.
        test_curve: likewise.
    """

    name: str
    bd_rate: BdRate
    anchor_curve: Curve = field(default_factory=list)
    test_curve: Curve = field(default_factory=list)


@dataclass(frozen=True)
class ClassComparison:
    """One test codec against the anchor, on one class.

    Attributes:
        average: comparison of the class averages: mean rate and mean quality over the shared sequences at each rate
            point.
        sequences: comparison of each shared sequence.
        notes: what a reader of the figures has to know.
    """

    average: Comparison
    sequences: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.average.name

    @property
    def mean_percent(self) -> float | None:
        """Takes the mean of the sequences' BD-rates; None unless each sequence has a BD-rate."""
        percents = [sequence.bd_rate.percent for sequence in self.sequences]
        known = [percent for percent in percents if percent is not None]
        return sum(known) / len(known) if known and len(known) == len(percents) else None


@dataclass(frozen=True)
class CodecComparison:
    """All classes that a test codec shares with the anchor."""

    name: str
    classes: tuple[ClassComparison, ...]
    notes: tuple[str, ...] = ()


def read_merged(paths: Sequence[Path]) -> Results:
    """Reads several result files of one codec as one. InputError for a faulty file, or a sequence that two files
    hold."""
    results = read_results(paths[0])
    for path in paths[1:]:
        results = results.merged(read_results(path))
    return results


def compare_results(
    name: str, anchor: Results, test: Results, metric: str, interpolation: Interpolation
) -> CodecComparison:
    """Computes BD-rates of one test codec against the anchor, over the classes and sequences that both have.

    Raises:
        InputError: they have no sequence in common.
        EnvironmentFault: the package `bjontegaard` is missing.
    """
    anchor_classes = {class_key(class_name): class_name for class_name in anchor.classes}
    shared, notes = [], []
    for class_name, sequences in test.classes.items():
        anchor_class = anchor_classes.get(class_key(class_name))
        if anchor_class is None:
            notes.append(f"{name}: class {class_name} is not in the anchor")
            continue
        compared = _compare_class(class_name, anchor.classes[anchor_class], sequences, metric, interpolation)
        if compared is None:
            notes.append(f"{name}: no sequence of {class_name} is in the anchor")
        else:
            shared.append(compared)
    if not shared:
        raise InputError(
            f"{test.origin} and {anchor.origin} have no sequence in common",
            f"classes {', '.join(test.classes)} against {', '.join(anchor.classes)}",
        )
    return CodecComparison(name, tuple(shared), tuple(notes))


def _compare_class(
    name: str,
    anchor: Mapping[str, tuple[RatePoint, ...]],
    test: Mapping[str, tuple[RatePoint, ...]],
    metric: str,
    interpolation: Interpolation,
) -> ClassComparison | None:
    pairs = match_names(anchor, test)
    if not pairs:
        return None
    matched = {test_name for _, test_name in pairs}
    notes = [f"{name}: {sequence} is not in the anchor and left out" for sequence in test if sequence not in matched]
    sequences = []
    for anchor_name, test_name in pairs:
        sequences.append(_compare_points(test_name, [anchor[anchor_name]], [test[test_name]], metric, interpolation))
        anchor_frames = {point.num_frames for point in anchor[anchor_name]}
        test_frames = {point.num_frames for point in test[test_name]}
        if anchor_frames != test_frames:
            notes.append(
                f"{name}: {test_name} has {_listed(anchor_frames)} frames in the anchor and "
                f"{_listed(test_frames)} in the test"
            )
    average = _compare_points(
        name, [anchor[pair[0]] for pair in pairs], [test[pair[1]] for pair in pairs], metric, interpolation
    )
    return ClassComparison(average, tuple(sequences), tuple(notes))


def _compare_points(
    name: str,
    anchor: Sequence[tuple[RatePoint, ...]],
    test: Sequence[tuple[RatePoint, ...]],
    metric: str,
    interpolation: Interpolation,
) -> Comparison:
    curves: list[Curve] = []
    for side, sequences in (("anchor", anchor), ("test", test)):
        try:
            curves.append(
                sorted(average_points(sequences, metric) if len(sequences) > 1 else curve(sequences[0], metric))
            )
        except ValueError as fault:
            return Comparison(name, BdRate(None, reason=f"{side} curve: {fault}"))
    return Comparison(name, bd_rate(curves[0], curves[1], interpolation), curves[0], curves[1])


def as_document(
    anchor: str, tests: Sequence[CodecComparison], metric: str, interpolation: Interpolation
) -> dict[str, Any]:
    """Makes a JSON document of the comparison, with stable names."""
    return {
        "schema_version": SCHEMA_VERSION,
        "anchor": anchor,
        "metric": metric,
        "interpolation": interpolation.value,
        "tests": [
            {
                "name": test.name,
                "notes": list(test.notes),
                "classes": [
                    {
                        **_figures(compared.average),
                        "num_sequences": len(compared.sequences),
                        "mean_sequence_bd_rate_percent": compared.mean_percent,
                        "notes": list(compared.notes),
                        "sequences": [_figures(sequence) for sequence in compared.sequences],
                    }
                    for compared in test.classes
                ],
            }
            for test in tests
        ],
    }


def _figures(comparison: Comparison) -> dict[str, Any]:
    result = comparison.bd_rate
    return {
        "name": comparison.name,
        "bd_rate_percent": result.percent,
        "overlap": result.overlap,
        "reason": result.reason,
        "note": result.note,
        "anchor_curve": comparison.anchor_curve,
        "test_curve": comparison.test_curve,
    }


def _listed(numbers: set[int]) -> str:
    return " or ".join(map(str, sorted(numbers)))
