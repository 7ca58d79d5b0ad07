"""Levels are found in at most four probes on curves of many forms; targets are read and refused."""

from collections.abc import Sequence

import pytest

from dcvc_cli.coding.quality_search import MAX_PROBES, Probe, find_levels, scores_of
from dcvc_cli.coding.quality_target import QualityTarget
from dcvc_cli.control.levels import MAX_LEVEL, PARTS, LevelRate, qp_of_group
from dcvc_cli.control.scene_cuts import SeenPicture
from dcvc_cli.errors import UsageError
from dcvc_cli.format.types import Picture

CURVES = {
    "straight": lambda qp: 29 + 0.21 * qp,
    "steep": lambda qp: 24 + 0.4 * qp,
    "flat": lambda qp: 33 + 0.12 * qp,
    "bent": lambda qp: 28 + 0.1 * qp + 0.0035 * qp * qp,
    "in steps": lambda qp: 29 + 0.2 * qp + 0.05 * (int(qp) % 3),
}
NUM_FRAMES = 20
STARTS = (0, 9)


def probes_of(curves: Sequence[str]) -> tuple[list[Sequence[int]], object]:
    """Makes a probe of two scenes with these curves, and the levels that it was asked for."""
    asked: list[Sequence[int]] = []

    def probe(levels: Sequence[int]) -> Probe:
        asked.append(levels)
        scene_of = [sum(index >= start for start in STARTS) - 1 for index in range(NUM_FRAMES)]
        scores = [CURVES[curves[scene]](levels[min(scene, len(levels) - 1)] / PARTS) for scene in scene_of]
        return Probe(scores, STARTS)

    return asked, probe


@pytest.mark.parametrize("value", [33.0, 36.4, 40.1])
@pytest.mark.parametrize("curve", CURVES)
def test_a_clip_has_the_score_asked_for(curve: str, value: float):
    target = QualityTarget("psnr", value)
    asked, probe = probes_of((curve, curve))
    found = find_levels(target, probe)
    assert found.num_probes == len(asked) <= MAX_PROBES
    (score,) = found.scores
    assert abs(score - value) <= target.tolerance
    assert scores_of(target, probe(found.levels)) == [score]


def test_each_scene_has_the_score_asked_for():
    target = QualityTarget("psnr", 37, each_scene=True)
    asked, probe = probes_of(("steep", "bent"))
    found = find_levels(target, probe)
    assert len(asked) <= MAX_PROBES
    assert all(abs(score - 37) <= target.tolerance for score in found.scores)
    assert found.levels[0] < found.levels[1]
    assert list(found.scores) == scores_of(target, probe(found.levels))


@pytest.mark.parametrize(("value", "level"), [(20.0, 0), (60.0, MAX_LEVEL)])
def test_what_no_qp_gives_ends_at_the_nearest_one(value: float, level: int):
    asked, probe = probes_of(("straight", "straight"))
    assert list(find_levels(QualityTarget("psnr", value), probe).levels) == [level]
    assert len(asked) <= MAX_PROBES


def test_a_percentile_is_that_of_the_worst_frames():
    target = QualityTarget.parse("vmaf=90@p5")
    assert target.score_of([*range(101)]) == 5
    assert QualityTarget.parse("vmaf=90").score_of([80, 100]) == 90


def test_levels_between_two_qps_take_both_in_turn():
    seen = [SeenPicture(Picture(()), index == 40, 900, 900) for index in range(80)]
    rate = LevelRate([8 * 30 + 3, 8 * 20])
    qps = [rate.qp(picture, is_key=index in (0, 40)) for index, picture in enumerate(seen)]
    assert rate.starts == [0, 40]
    assert qps[:40] == [qp for qp in (30, 31, 30, 31, 30) for _ in range(8)]
    assert qps[40:] == [20] * 40
    assert sum(qp_of_group(243, group) for group in range(PARTS)) == 243


@pytest.mark.parametrize("text", ["psnr=42", "xpsnr=40.25", "vmaf=95@p5", "vmaf=95,scene", "psnr=38@p10,scene"])
def test_targets_are_written_as_they_are_read(text: str):
    assert str(QualityTarget.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "42", "ssim=1", "psnr", "psnr=", "psnr=9", "vmaf=101", "vmaf=95@p0", "vmaf=95@p51", "vmaf=nan", "vmaf=٩٥"],
)
def test_other_targets_are_refused(text: str):
    with pytest.raises(UsageError, match="--target"):
        QualityTarget.parse(text)
