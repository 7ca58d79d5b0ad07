"""Test configurations, the points of a run and their files, and the processes that work on them."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.errors import EnvironmentFault, InputError, UsageError
from dcvc_cli.evaluating.evaluation import (
    EvaluationPoint,
    PointFolder,
    PointMeasurement,
    PointOutcome,
    Rate,
    collect,
    evaluate_points,
    limited,
    spread_rates,
)
from dcvc_cli.evaluating.sequence_sources import SequenceSource, SourceType, parse_test_config, read_test_config
from dcvc_cli.evaluating.workers import run_jobs
from dcvc_cli.format.types import PictureSize
from dcvc_cli.metrics.results import FrameRecord


def config(**members: Any) -> dict[str, Any]:
    """Makes one class `A` of one raw clip; members of the sequence are changed, or left out where None."""
    sequence = {"width": 64, "height": 48, "frames": 4, "intra_period": -1} | members
    sequence = {name: value for name, value in sequence.items() if value is not None}
    return {
        "root_path": "data",
        "test_classes": {"A": {"test": 1, "base_path": "a", "src_type": "yuv420", "sequences": {"x.yuv": sequence}}},
    }


def clip(name: str = "x.yuv", num_frames: int = 3, **others: Any) -> SequenceSource:
    return SequenceSource("A", name, Path("data", name), SourceType.YUV420, PictureSize(8, 4), num_frames, **others)


def test_configuration_of_the_dcvc_form() -> None:
    document = config(comment="ignored")
    document["test_classes"]["B"] = {"test": 0, "base_path": "b", "src_type": "png", "sequences": {}}
    document["test_classes"]["C"] = {
        "base_path": "/c",
        "src_type": "png",
        "sequences": {"clip": {"frames": 1, "intra_period": 8}},
    }
    first, second = parse_test_config(json.dumps(document), "config.json")
    assert first == SequenceSource("A", "x.yuv", Path("data/a/x.yuv"), SourceType.YUV420, PictureSize(64, 48), 4, -1)
    assert second == SequenceSource("C", "clip", Path("/c/clip"), SourceType.PNG, None, 1, 8)
    (moved,) = parse_test_config(json.dumps(config()), "config.json", Path("/elsewhere"))
    assert moved.path == Path("/elsewhere/a/x.yuv")


def test_older_programs_call_the_intra_period_gop() -> None:
    (older,) = parse_test_config(json.dumps(config(intra_period=None, gop=32)), "config.json")
    (both,) = parse_test_config(json.dumps(config(intra_period=12, gop=32)), "config.json")
    assert (older.intra_period, both.intra_period) == (32, 12)
    with pytest.raises(InputError, match="gop is 0"):
        parse_test_config(json.dumps(config(intra_period=None, gop=0)), "config.json")


def test_shipped_configuration_is_that_of_the_anchors() -> None:
    results = Path(__file__).parents[2] / "docs" / "results"
    sequences = {sequence.name: sequence.num_frames for sequence in read_test_config(results / "eval.json")}
    anchors = json.loads((results / "anchors" / "x264_medium_zerolatency.json").read_text())["eval"]
    assert sequences == {
        name: points["017"]["i_frame_num"] + points["017"]["p_frame_num"] for name, points in anchors.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not a test configuration"),
        ("[]", "found list, expected a JSON object"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("[" * 100_000, "not a test configuration"),
        ("{}", "no test_classes, found nothing"),
        ('{"root_path": 3, "test_classes": {}}', "root_path is 3, expected a text"),
        ('{"test_classes": {}}', "no sequence is to be tested"),
        (json.dumps(config(width=None)), "no width"),
        (json.dumps(config(frames=None)), "no frames"),
        (json.dumps(config(frames=0)), "frames is 0, expected 1.."),
        (json.dumps(config(frames=True)), "frames is true, expected a whole number"),
        (json.dumps(config(height="48")), 'height is "48"'),
        (json.dumps(config(height=1 << 40)), "outside 1x1"),
        (json.dumps(config(intra_period=0)), "intra_period is 0"),
        (
            json.dumps(config()).replace("yuv420", "yuv444"),
            "src_type 'yuv444' is not known, expected yuv420, png, video",
        ),
        (json.dumps(config()).replace("x.yuv", "x\\u0000"), "expected the name of a file"),
    ],
)
def test_faulty_configurations_are_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as fault:
        parse_test_config(text, "config.json")
    assert message in str(fault.value)
    assert str(fault.value).startswith("config.json")


def test_unreadable_configuration(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="cannot read the test configuration"):
            read_test_config(path)
    (tmp_path / "latin.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot read"):
        read_test_config(tmp_path / "latin.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([(), ("A",), ("A", "sequences"), ("A", "sequences", "x.yuv")]), st.text(max_size=6), JSON)
def test_any_member_is_read_or_refused(place: tuple[str, ...], name: str, value: Any) -> None:
    document = config()
    inner = document["test_classes"]
    for step in place:
        inner = inner[step]
    for key in (name, *list(inner)[:1]):
        inner[key] = value
    with contextlib.suppress(InputError):
        assert parse_test_config(json.dumps(document), "config.json")


def test_rates_are_spread_evenly() -> None:
    assert spread_rates(4) == [0, 21, 42, 63]
    assert spread_rates(2) == [0, 63]
    assert spread_rates(64) == list(range(64))
    assert spread_rates(6, 17, 42) == [17, 22, 27, 32, 37, 42]
    for wrong in (1, 65, -1):
        with pytest.raises(UsageError, match=r"expected 2\.\.64"):
            spread_rates(wrong)
    with pytest.raises(UsageError, match=r"expected 2\.\.26"):
        spread_rates(27, 17, 42)


def test_limits_never_lengthen_a_clip() -> None:
    assert limited(clip(), 2, None) == clip(num_frames=2)
    assert limited(clip(), 9, 1) == clip(intra_period=1)


class FakeSettings:
    """Codes nothing: a stream of the QP's bytes; clips called `bad...` fail, each in its way."""

    stream_suffix = ".dcvc"

    def __init__(self, log: Path, **record: Any) -> None:
        self.log, self._record = log, record

    def record(self) -> dict[str, Any]:
        return self._record

    def open(self, worker: int) -> "FakeSettings":
        return self

    def measure(self, point: EvaluationPoint, stream: Path) -> PointMeasurement:
        name = point.sequence.name
        with self.log.open("a") as log:
            log.write(f"{name} {point.rate.name}\n")
        stream.write_bytes(bytes(point.rate.qp_i))
        if name == "bad_input":
            raise InputError("no pictures", "find some")
        if name == "bad_code":
            raise ZeroDivisionError("of ours")
        if name == "bad_process":
            os._exit(9)
        num_frames = point.sequence.num_frames - (name == "bad_count")
        return PointMeasurement(
            [FrameRecord(index == 0, 8 * (point.rate.qp_i + 1), 30.0 + index) for index in range(num_frames)], 32
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def points(*names: str, qps: tuple[int, ...] = (0, 63), **others: Any) -> list[EvaluationPoint]:
    return [
        EvaluationPoint(clip(name, **others), Rate(index, qp, qp)) for name in names for index, qp in enumerate(qps)
    ]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_failure_costs_its_clip_only(tmp_path: Path, num_workers: int) -> None:
    names = ["good", "bad_input", "bad_code", "bad_count", *(["bad_process"] if num_workers > 1 else []), "last"]
    every = points(*names, qps=(5,))
    outcomes = dict(
        evaluate_points(every, FakeSettings(tmp_path / "log"), tmp_path / "streams", num_workers=num_workers)
    )
    faults = {point.sequence.name: outcome.fault for point, outcome in outcomes.items() if outcome.fault}
    assert faults.pop("bad_input") == "no pictures (find some)"
    assert "internal error: ZeroDivisionError: of ours (test_evaluation.py:" in str(faults.pop("bad_code"))
    assert "has 2 frames, expected 3" in str(faults.pop("bad_count"))
    assert "exit code 9" in faults.pop("bad_process", "exit code 9")  # type: ignore[operator]
    assert not faults
    results = collect(every, outcomes)
    assert list(results["A"]) == ["good", "last"]
    figures = results["A"]["last"]["000"]
    assert (figures["i_frame_num"], figures["p_frame_num"], figures["qp_i"], figures["stream_bytes"]) == (1, 2, 5, 5)
    assert figures["ave_all_frame_bpp"] == pytest.approx(8 * 6 / 32)
    assert figures["ave_all_frame_psnr"] == pytest.approx(31)


def test_finished_points_are_taken_up_and_no_others(tmp_path: Path) -> None:
    folder, every = tmp_path / "streams", points("x", "y/z")
    make = partial(FakeSettings, tmp_path / "log", model="lite")
    first = dict(evaluate_points(every, make(), folder))
    assert sorted(path.name for path in (folder / "A").iterdir() if path.suffix == ".json") == [
        "x_qi00_qp00.json",
        "x_qi63_qp63.json",
        "y_z_qi00_qp00.json",
        "y_z_qi63_qp63.json",
    ]
    again = dict(evaluate_points(every, make(), folder, keep_existing=True))
    assert len(make().calls()) == 4
    assert all(outcome.was_there for outcome in again.values())
    assert collect(every, again) == collect(every, first)
    # Another process may have been killed while it wrote, or somebody may have edited.
    (folder / "A" / "x_qi00_qp00.json").write_bytes((folder / "A" / "x_qi00_qp00.json").read_bytes()[:-20])
    (folder / "A" / "x_qi63_qp63.json").write_text("[]")
    document = json.loads((folder / "A" / "y_z_qi00_qp00.json").read_text())
    document["figures"]["ave_all_frame_bpp"] = -1
    (folder / "A" / "y_z_qi00_qp00.json").write_text(json.dumps(document))
    dict(evaluate_points(every, make(), folder, keep_existing=True))
    assert sorted(make().calls()[4:]) == ["x qi00_qp00", "x qi63_qp63", "y/z qi00_qp00"]
    # Other settings, frames or periods are other points.
    for changed in (
        (every, make(threshold=0.2)),
        (points("x", "y/z", num_frames=2), make()),
        (points("x", "y/z", num_frames=2, intra_period=1), make()),
    ):
        before = len(make().calls())
        dict(evaluate_points(*changed, folder, keep_existing=True))
        assert len(make().calls()) == before + 4
    # Rates are numbered anew.
    (point,) = points("x", qps=(63,), num_frames=2, intra_period=1)
    (outcome,) = dict(evaluate_points([point], make(), folder, keep_existing=True)).values()
    assert outcome.was_there
    assert outcome.figures is not None
    assert outcome.figures["rate_idx"] == 0


def test_a_failed_point_leaves_no_point_file_and_no_stream_folder_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of_run, every = FakeSettings(tmp_path / "log"), points("x", qps=(1,))
    (outcome,) = dict(evaluate_points(every, settings_of_run, tmp_path / "streams")).values()
    assert outcome.fault is None
    bad = points("bad_input", qps=(1,))
    folder = PointFolder(tmp_path / "streams", settings_of_run)
    folder.write(bad[0], outcome)
    dict(evaluate_points(bad, settings_of_run, tmp_path / "streams"))
    assert folder.read(bad[0]) is None
    assert folder.read(every[0]) is not None
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    dict(evaluate_points(every, settings_of_run, None))
    assert not list(temporary.iterdir())


def test_two_names_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would be kept in one file"):
        dict(evaluate_points(points("a/b", "a b"), FakeSettings(tmp_path / "log"), tmp_path / "streams"))


def test_names_stay_in_the_folder(tmp_path: Path) -> None:
    folder = PointFolder(tmp_path / "streams", FakeSettings(tmp_path / "log"))
    for name in ("../../etc/x", "/etc/x", "..", "a\nb"):
        (point,) = points(name, qps=(0,))
        place = folder.stream(point)
        assert place.parent == tmp_path / "streams" / "A"
        assert not place.name.startswith(".")


def _square(number: int) -> int:
    if number < 0:
        os._exit(3)
    return number * number


def _start_square(worker: int) -> Callable[[int], int]:
    return _square


def _start_failing(worker: int) -> Callable[[int], int]:
    raise EnvironmentFault("no weights", "add some")


def test_jobs_are_dealt_to_processes_that_may_die() -> None:
    jobs = [1, -1, 2, -2, 3, 4]
    assert sorted(run_jobs(jobs, 2, _start_square, lambda job, reason: 0)) == [
        (-2, 0),
        (-1, 0),
        (1, 1),
        (2, 4),
        (3, 9),
        (4, 16),
    ]
    assert list(run_jobs([3], 5, _start_square, lambda job, reason: 0)) == [(3, 9)]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_what_stops_every_job_is_raised(num_workers: int) -> None:
    with pytest.raises(EnvironmentFault, match="no weights") as fault:
        list(run_jobs([1, 2], num_workers, _start_failing, lambda job, reason: 0))
    assert fault.value.hint == "add some"


def _sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def _start_sleep(worker: int) -> Callable[[float], float]:
    return _sleep


def test_leaving_early_ends_the_processes() -> None:
    start = time.perf_counter()
    results = run_jobs([0.0, 60.0], 2, _start_sleep, lambda job, reason: -1.0)
    assert next(results) == (0.0, 0.0)
    results.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - start < 30


def test_outcome_of_a_point_without_figures() -> None:
    (point,) = points("x", qps=(0,))
    assert collect([point], {point: PointOutcome(None, "fault")}) == {}
