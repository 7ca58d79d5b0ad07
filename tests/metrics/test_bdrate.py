"""BD-rate: known figures, and refusals instead of figures for curves that allow none."""

import sys

import pytest

pytest.importorskip("bjontegaard")

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.metrics.bdrate import Interpolation, bd_rate

CURVE = [(0.1, 30.0), (0.2, 33.0), (0.4, 36.0), (0.8, 39.0)]


def scaled(factor: float) -> list[tuple[float, float]]:
    return [(rate * factor, quality) for rate, quality in CURVE]


@pytest.mark.parametrize("interpolation", list(Interpolation))
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.25])
def test_constant_rate_factor_is_the_bd_rate(interpolation: Interpolation, factor: float) -> None:
    result = bd_rate(CURVE, scaled(factor), interpolation)
    assert result.percent == pytest.approx(100 * (factor - 1), abs=1e-6)
    assert result.overlap == pytest.approx(1)
    assert result.reason is None
    assert result.note is None


def test_order_and_repeated_points_do_not_matter() -> None:
    test = scaled(0.8)
    assert bd_rate(CURVE[::-1], [test[2], test[0], test[3], test[1], test[0]]) == bd_rate(CURVE, test)


def test_different_numbers_of_points() -> None:
    more = [*scaled(0.7), (1.12, 42.0)]
    assert bd_rate(CURVE, more, Interpolation.PCHIP).percent == pytest.approx(-30, abs=1e-6)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ([(rate, quality + 20) for rate, quality in CURVE], "no common quality: anchor 30..39, test 50..59"),
        ([(rate, quality + 9) for rate, quality in CURVE], "no common quality"),
        ([*CURVE[:3], (0.8, 35.0)], "quality does not rise"),
        ([*CURVE[:3], (0.4, 37.0)], "quality does not rise"),
        ([*CURVE[:3], (0.8, 36.0)], "quality does not rise"),
        (CURVE[:3], "needs 4 different rate points, found 3"),
        ([*CURVE[:3], CURVE[2]], "needs 4 different rate points, found 3"),
        ([], "needs 4 different rate points, found 0"),
        ([*CURVE, (0.0, 20.0)], "above zero"),
        ([*CURVE, (1.6, float("nan"))], "above zero and all values finite"),
        ([*CURVE, (float("inf"), 50.0)], "above zero and all values finite"),
    ],
)
def test_no_figure_without_a_sound_curve(test: list[tuple[float, float]], reason: str) -> None:
    for result, side in ((bd_rate(CURVE, test), "test"), (bd_rate(test, CURVE), "anchor")):
        assert result.percent is None
        assert result.reason is not None
        if "no common" in reason:
            assert "no common quality" in result.reason
        else:
            assert reason in result.reason
            assert result.reason.startswith(f"{side} curve")


def test_narrow_overlap_is_said() -> None:
    result = bd_rate(CURVE, [(rate, quality + 6) for rate, quality in CURVE], Interpolation.PCHIP)
    assert result.percent is not None
    assert result.overlap == pytest.approx(3 / 15)
    assert result.note is not None
    assert "20%" in result.note


def test_missing_library_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(EnvironmentFault, match=r"pip install dcvc\[eval\]"):
        bd_rate(CURVE, CURVE)
