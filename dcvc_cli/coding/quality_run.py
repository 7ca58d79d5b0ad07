"""A search for a quality: a line a probe, and the score of the stream that is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dcvc_cli.coding.quality_search import FoundLevels, Probe, QualityProbes, find_levels, qp_of_level, scores_of
from dcvc_cli.coding.quality_target import QualityTarget
from dcvc_cli.control.levels import LevelRate
from dcvc_cli.media import OutputFile


@dataclass(frozen=True)
class ReachedQuality:
    """What a stream reached of the quality that was asked for.

    Attributes:
        scores: of its scenes, or of the whole clip.
        levels: QP levels of the scenes, or of the clip.
        num_probes: clips coded on the way.
    """

    target: QualityTarget
    scores: Sequence[float]
    levels: Sequence[int]
    num_probes: int

    @property
    def far(self) -> list[float]:
        """Scores that are further from the target than its tolerance."""
        return [score for score in self.scores if abs(score - self.target.value) > self.target.tolerance]

    @property
    def text(self) -> str:
        """Writes the scores, what was asked for and the effort on one line."""
        effort = f"{self.num_probes} probe{'s' if self.num_probes > 1 else ''}, QP {_qps(self.levels)}"
        return f"{_text(self.target, self.scores)}, {self.target} asked for, {effort}"

    def values(self) -> dict[str, Any]:
        """Returns the values as a JSON report has them."""
        return {
            "asked": str(self.target),
            "metric": self.target.metric,
            "scores": [round(score, 6) for score in self.scores],
            "qps": [qp_of_level(level) for level in self.levels],
            "num_probes": self.num_probes,
            "is_met": not self.far,
        }


@dataclass(frozen=True)
class FoundQuality:
    """The QPs that a search found.

    Attributes:
        rate: gives them to one encode.
    """

    target: QualityTarget
    probes: QualityProbes
    levels: FoundLevels
    rate: LevelRate

    def reached(self, sink: OutputFile) -> ReachedQuality:
        """Measures the stream that was written with `rate` and is not yet in its place."""
        frames = self.probes.measure(sink)
        # A pipe has gone; the probe with the same QPs had the same pictures.
        found = self.levels
        scores = list(found.scores) if frames is None else scores_of(self.target, Probe(frames, self.rate.starts))
        return ReachedQuality(self.target, scores, found.levels, found.num_probes)


def search_quality(
    target: QualityTarget, name: str, probes: QualityProbes, tell: Callable[[str], None]
) -> FoundQuality:
    """Searches for the QPs of a quality.

    Args:
        name: of the input, for lines.
        tell: takes a line about each probe.
    """
    num_probes = 0

    def probe(levels: Sequence[int]) -> Probe:
        nonlocal num_probes
        found = probes.probe(levels)
        num_probes += 1
        tell(f"{name}: probe {num_probes} at QP {_qps(levels)}: {_text(target, scores_of(target, found))}")
        return found

    levels = find_levels(target, probe)
    return FoundQuality(target, probes, levels, LevelRate(levels.levels))


def _text(target: QualityTarget, scores: Sequence[float]) -> str:
    return f"{target.metric} {_span([f'{score:.3f}' for score in sorted(scores)])}"


def _qps(levels: Sequence[int]) -> str:
    return _span([f"{qp_of_level(level):g}" for level in sorted(levels)])


def _span(texts: Sequence[str]) -> str:
    """Returns the least and the largest of sorted values."""
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
