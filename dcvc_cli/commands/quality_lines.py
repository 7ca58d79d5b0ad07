"""A search for a quality as the command line shows it: a line a probe, and the score of the stream that is kept."""

from typing import TYPE_CHECKING, Any

from dcvc_cli.coding.quality_search import (
    FoundLevels,
    LevelRate,
    Pictures,
    Probe,
    QualityProbes,
    find_levels,
    qp_of_level,
    scores_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcvc_cli.codec.choices import CodingChoices
    from dcvc_cli.coding.opened_models import OpenedModel
    from dcvc_cli.coding.quality_target import QualityTarget
    from dcvc_cli.format.types import VideoFormat
    from dcvc_cli.media import OutputFile
    from dcvc_cli.ui.voice import Voice


class QualitySearch:
    """Searches, and tells of it. Arguments as QualityProbes has them."""

    def __init__(
        self,
        target: "QualityTarget",
        name: str,
        opened: "OpenedModel",
        video_format: "VideoFormat",
        choices: "CodingChoices",
        pictures: Pictures,
        voice: "Voice",
    ) -> None:
        self._target, self._name, self._voice = target, name, voice
        self._probes = QualityProbes(target, name, opened, video_format, choices, pictures)
        self._found: FoundLevels | None = None
        self._rate: LevelRate | None = None
        self._num_probes = 0

    def run(self) -> LevelRate:
        """Returns what gives the QPs that were found."""
        self._found = find_levels(self._target, self._probe)
        self._rate = LevelRate(self._found.levels)
        return self._rate

    def finish(self, sink: "OutputFile") -> dict[str, Any]:
        """Measures the stream that was written, tells its score, and returns it as JSON values."""
        target, found, rate = self._target, self._found, self._rate
        assert found is not None
        assert rate is not None
        frames = self._probes.measure(sink)
        # A pipe has gone; the probe with the same QPs had the same pictures.
        scores = list(found.scores) if frames is None else scores_of(target, Probe(frames, rate.starts))
        effort = f"{found.num_probes} probe{'s' if found.num_probes > 1 else ''}, QP {_qps(found.levels)}"
        self._voice.note(f"{sink.name}: {_text(target, scores)}, {target} asked for, {effort}")
        far = [score for score in scores if abs(score - target.value) > target.tolerance]
        if far:
            what = f"{len(far)} of {len(scores)} scenes have, for instance," if target.each_scene else "the clip has"
            self._voice.warn(f"{self._name}: {what} {far[0]:.3f}, further than {target.tolerance:g} from {target}")
        return {
            "asked": str(target),
            "metric": target.metric,
            "scores": [round(score, 6) for score in scores],
            "qps": [qp_of_level(level) for level in found.levels],
            "num_probes": found.num_probes,
            "is_met": not far,
        }

    def _probe(self, levels: "Sequence[int]") -> Probe:
        probe = self._probes.probe(levels)
        self._num_probes += 1
        text = _text(self._target, scores_of(self._target, probe))
        self._voice.note(f"{self._name}: probe {self._num_probes} at QP {_qps(levels)}: {text}")
        return probe


def _text(target: "QualityTarget", scores: "Sequence[float]") -> str:
    return f"{target.metric} {_span([f'{score:.3f}' for score in sorted(scores)])}"


def _qps(levels: "Sequence[int]") -> str:
    return _span([f"{qp_of_level(level):g}" for level in sorted(levels)])


def _span(texts: "Sequence[str]") -> str:
    """The least and the largest of sorted values."""
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
