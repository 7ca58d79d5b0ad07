"""The driver of a farm on an engine without Ray: steps that fail, workers that die, drivers that are started again."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcvc_cli.coding.chunk_plan import InputOptions
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.plan_making import ChunkFrames
from dcvc_cli.errors import ExitCode
from dcvc_cli.farm.run import MAX_DEATHS, MAX_TRIES, FarmRun, report_of
from dcvc_cli.farm.work import FarmJob, Result, Step, Work, do_work
from dcvc_cli.format.limits import Limits
from tests.support.clips import clip_with_cuts

pytestmark = pytest.mark.native
DIED = Result(ExitCode.INTERNAL, "its worker died", has_died=True)
FAILED = Result(ExitCode.INPUT, "there is no room")
Fate = Callable[[Work, int], Result | None]
"""What becomes of a step that is tried for the nth time: None lets it run."""


class EngineHere:
    """Does steps in this process, the last one given first, and lets some of them die."""

    def __init__(self, fate: Fate = lambda work, tries: None, stops_after: int | None = None) -> None:
        self.fate, self.stops_after = fate, stops_after
        self.waiting: list[Work] = []
        self.done: list[tuple[Step, int]] = []
        self.most_at_once = 0
        self._tries: dict[Work, int] = {}

    def submit(self, work: Work) -> None:
        self.waiting.append(work)
        self.most_at_once = max(self.most_at_once, len(self.waiting))

    def next_finished(self) -> tuple[Work, Result]:
        if self.stops_after is not None and len(self.done) >= self.stops_after:
            raise KeyboardInterrupt
        work = self.waiting.pop()
        self._tries[work] = self._tries.get(work, 0) + 1
        result = self.fate(work, self._tries[work]) or do_work(work)
        self.done.append((work.step, work.chunk))
        return work, result


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        (folder / f"{number}.y4m").write_bytes(clip_with_cuts((5 + number, 4, 7)))
    return sorted(folder.iterdir())


@pytest.fixture(autouse=True)
def home(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    return


def farm(clips: list[Path], folder: Path, engine: EngineHere, *, resume: bool = False) -> FarmRun:
    folder.mkdir(exist_ok=True)
    settings = EncodeSettings(model="tiny-exact", threads=None)
    jobs = [
        FarmJob(
            str(clip),
            str(folder / f"{clip.stem}.dcvc"),
            str(folder / ".farm" / clip.stem),
            InputOptions(),
            settings,
            ChunkFrames(3, 6),
            False,
            1,
            Limits(),
            True,
        )
        for clip in clips
    ]
    run = FarmRun(
        jobs,
        engine,
        2,
        resume=resume,
        is_whole=lambda source, output: True,
        on_chunk=lambda frames, size: None,
        on_event=lambda line: None,
    )
    run.run()
    return run


def streams(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.dcvc")}


@pytest.fixture(scope="module")
def undisturbed(clips: list[Path], tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVC_HOME", str(tiny_home))
        engine = EngineHere()
        run = farm(clips, folder, engine)
    assert [state.state for state in run.inputs.values()] == ["done"] * 3
    assert engine.most_at_once == 2, "one for each worker"
    assert not any((folder / ".farm").iterdir()), "plans and parts are gone"
    assert len(streams(folder)) == 3
    return streams(folder)


def test_a_step_whose_worker_dies_is_done_again(clips: list[Path], tmp_path: Path, undisturbed: dict[str, bytes]):
    """Deaths are not failures: a step may see many of them."""
    engine = EngineHere(lambda work, tries: DIED if tries <= MAX_TRIES + 1 else None)
    run = farm(clips, tmp_path, engine)
    assert streams(tmp_path) == undisturbed
    report = report_of(run, 2.0)
    assert report["num_failed"] == 0
    assert report["fps"] == report["num_frames"] / 2
    names = {"plan", "join", *(f"chunk {number}" for number in range(report["inputs"][0]["num_chunks"]))}
    assert report["inputs"][0]["tried_again"] == dict.fromkeys(names, MAX_TRIES + 2)


@pytest.mark.parametrize(("fate", "most"), [(FAILED, MAX_TRIES), (DIED, MAX_DEATHS)])
def test_three_failures_fail_an_input_and_no_other(
    clips: list[Path], tmp_path: Path, undisturbed: dict[str, bytes], fate: Result, most: int
):
    run = farm(clips, tmp_path, EngineHere(lambda work, _: fate if "1.y4m" in work.job.source else None))
    assert streams(tmp_path) == {name: stream for name, stream in undisturbed.items() if name != "1.dcvc"}
    report = report_of(run, 1.0)
    assert [entry["state"] for entry in report["inputs"]] == ["done", "failed", "done"]
    assert report["inputs"][1]["error"] == f"plan: {fate.text}"
    assert report["num_failed"] == 1
    assert run.inputs[str(tmp_path / "1.dcvc")].tries["plan"] == most


def test_an_input_that_cannot_be_read_says_why(clips: list[Path], tmp_path: Path):
    short = tmp_path / "short.y4m"
    short.write_bytes(clips[0].read_bytes()[:-5])
    run = farm([short], tmp_path / "out", EngineHere())
    (entry,) = report_of(run, 1.0)["inputs"]
    assert (entry["state"], entry["exit_code"]) == ("failed", 3)
    assert str(short) in entry["error"]


@pytest.mark.parametrize("stops_after", [2, 6, 11])
def test_a_driver_that_is_started_again_does_what_is_left(
    clips: list[Path], tmp_path: Path, undisturbed: dict[str, bytes], stops_after: int
):
    with pytest.raises(KeyboardInterrupt):
        farm(clips, tmp_path, EngineHere(stops_after=stops_after))
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.dcvc")}
    run = farm(clips, tmp_path, EngineHere(), resume=True)
    assert streams(tmp_path) == undisturbed
    assert all(state.state in ("done", "skipped") for state in run.inputs.values())
    assert all(path.stat().st_mtime_ns == time for path, time in parts.items() if path.exists())


def test_parts_of_other_settings_are_not_taken_up(clips: list[Path], tmp_path: Path, undisturbed: dict[str, bytes]):
    with pytest.raises(KeyboardInterrupt):
        farm(clips, tmp_path, EngineHere(stops_after=4))
    (folder,) = [path.parent for path in (tmp_path / ".farm").rglob("plan.json")][:1]
    text = (folder / "plan.json").read_text()
    (folder / "plan.json").write_text(text.replace('"qp": 32', '"qp": 33'))
    farm(clips, tmp_path, EngineHere(), resume=True)
    assert streams(tmp_path) == undisturbed
    shutil.rmtree(tmp_path)


def test_a_worker_never_leaves_by_exit(clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An engine takes `sys.exit` for a crash."""
    monkeypatch.setattr("dcvc_cli.farm.work.make_plan", lambda *_, **__: exit(7))
    run = farm(clips[:1], tmp_path, EngineHere())
    (entry,) = report_of(run, 1.0)["inputs"]
    assert entry["error"] == "plan: internal error: SystemExit: 7"
