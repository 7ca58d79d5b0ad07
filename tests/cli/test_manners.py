"""What makes a command line pleasant: completion, logs, sums, signs of life, guesses that fit, a player."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcvc_cli.measuring.diagnosis import Status, _governor
from dcvc_cli.training.config import read_train_config, recipe_names
from dcvc_cli.ui import progress
from dcvc_cli.ui.log_file import close_log
from tests.support.clips import y4m_clip

Call = Callable[..., int]


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes in.y4m, four small pictures, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.y4m").write_bytes(y4m_clip(24, 16, 4))
    return tmp_path


def test_a_shell_completes_commands_and_options(dcvc) -> None:
    def completed(words: str, position: int) -> list[str]:
        environment = {"_DCVC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
        result = dcvc(environment=environment)
        assert (result.returncode, result.stderr) == (0, b"")
        return result.stdout.decode().split()

    assert completed("dcvc en", 1) == ["encode"]
    assert "--skip-existing" in completed("dcvc encode --skip", 2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_and_installed(tmp_path: Path, shell: str) -> None:
    """typer asks which shell runs dcvc; both options end like any command that is done."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    for option, words in (("--show-completion", "_DCVC_COMPLETE"), ("--install-completion", "completion installed in")):
        # The command after it keeps the shell from giving its place to dcvc.
        line = f"'{sys.executable}' -m dcvc_cli {option} || exit 9; true"
        result = subprocess.run([shell, "-c", line], env=environment, capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
        assert words in result.stdout


@pytest.mark.parametrize(("wrong", "guess"), [("--pass", None), ("--framse", "--frames"), ("--tune", None)])
def test_guesses_at_options(call: Call, capfd: pytest.CaptureFixture[str], wrong: str, guess: str | None) -> None:
    assert call("decode", "x.dcvc", wrong, "2") == 2
    told = capfd.readouterr().err
    assert f"No such option: {wrong}" in told
    assert ("Possible options" in told or "Did you mean" in told) == (guess is not None)
    assert guess is None or guess in told


def test_a_log_takes_every_message(call: Call, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        assert call("--log-file", "run.log", "encode", "in.y4m", "-o", "s.dcvc", "--model", "tiny") == 0
        assert call("--log-file", "run.log", "decode", "nothing.dcvc", "-o", "null") == 3
    finally:
        close_log()
    lines = Path("run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 ", line) for line in lines)
    told = capfd.readouterr().err.splitlines()
    assert [line[26:] for line in lines] == told
    assert call("--log-file", "nowhere/run.log", "decode", "s.dcvc") == 3


def test_a_log_that_cannot_be_written_is_told_once(call: Call, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        assert call("--log-file", "/dev/full", "encode", "in.y4m", "-o", "s.dcvc", "--model", "tiny") == 0
    finally:
        close_log()
    told = capfd.readouterr().err
    assert told.count("warning: the log /dev/full ends here: No space left on device") == 1
    assert "s.dcvc" in told


def test_the_sums_of_an_encode(call: Call, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ("encode", "in.y4m", "-o", "s.dcvc", "--qp-i", "40", "--qp-p", "30", "--keyint", "2", "--json", "r.json")
    assert call(*line) == 0
    report = json.loads(Path("r.json").read_text())
    frames, sums = report["frames"], report["summary"]
    qps = [frame["qp_frame"] for frame in frames]
    sizes = {kind: sum(f["size_bytes"] for f in frames if f["type"] == kind) for kind in "IP"}
    assert (sums["qp_min"], sums["qp_max"]) == (min(qps), max(qps))
    assert sums["qp_mean"] == pytest.approx(sum(qps) / len(qps))
    assert (sums["i_bytes"], sums["p_bytes"]) == (sizes["I"], sizes["P"])
    shown = f"QP {min(qps)}/{sum(qps) / len(qps):.1f}/{max(qps)}, I 2 x {round(sizes['I'] / 2)} P 2 x "
    assert shown in capfd.readouterr().err


def test_a_long_run_without_a_terminal_shows_a_sign_of_life(
    call: Call, clip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_SECONDS", 0.0)
    assert call("encode", "in.y4m", "-o", "s.dcvc") == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("encode: ")]
    assert all(re.fullmatch(r"encode: \d of 4 frames, [\d.]+ fps, [\d.]+ kbit/s, \d+ s left", line) for line in lines)
    assert lines[-1].startswith("encode: 4 of 4 frames")
    assert call("encode", "in.y4m", "-o", "s.dcvc", "-y", "-q") == 0
    assert capfd.readouterr().err == ""


def write_clock(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text + "\n")
    return folder


def test_doctor_names_a_slow_clock(tmp_path: Path) -> None:
    assert _governor(tmp_path).value == "not told by this system"
    clock = {"scaling_min_freq": "800000", "cpuinfo_max_freq": "3600000", "scaling_driver": "acpi-cpufreq"}
    slow = _governor(write_clock(tmp_path, scaling_governor="powersave", **clock))
    assert slow.status is Status.SLOW
    assert "800 of 3600 MHz: 4.5 times slower; cpupower frequency-set -g performance" in slow.remark
    fast = _governor(write_clock(tmp_path, scaling_governor="performance"))
    assert (fast.status, fast.value) == (Status.OK, "performance (acpi-cpufreq)")
    assert (
        _governor(write_clock(tmp_path, scaling_governor="powersave", scaling_driver="intel_pstate")).status
        is Status.OK
    )


def test_training_presets_have_names(clip: Path, call: Call, capfd: pytest.CaptureFixture[str]) -> None:
    assert "lite-image" in recipe_names()
    assert read_train_config(Path("tiny-image")).network == "image"
    Path("tiny-image").write_text("stages: 3")
    assert call("train", "image", "--config", "tiny-image", "--data", ".", "-o", "r") == 2
    assert call("train", "image", "--config", "nothing", "--data", ".", "-o", "r") == 2
    assert "lite-image" in capfd.readouterr().err.splitlines()[-1]


def write_player(folder: Path, body: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / "mpv"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_play_hands_pictures_to_the_player(call: Call, clip: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    from dcvc_cli.media import open_reader

    assert call("encode", "in.y4m", "-o", "s.dcvc", "-q") == 0
    assert call("decode", "s.dcvc", "-o", "o.y4m", "--seek", "1", "-q") == 0
    monkeypatch.setenv("PATH", str(clip / "bin"))
    assert call("play", "s.dcvc") == 5
    assert "neither mpv nor ffplay" in capfd.readouterr().err
    write_player(clip / "bin", "import sys; open('seen.nut', 'wb').write(sys.stdin.buffer.read()); print(sys.argv[1:])")
    assert call("play", "s.dcvc", "--seek", "1") == 0
    assert "--title=s.dcvc" in capfd.readouterr().out
    with open_reader("seen.nut") as seen, open_reader("o.y4m") as expected:
        assert [picture.tobytes() for picture in seen] == [picture.tobytes() for picture in expected]
    write_player(clip / "bin", "import sys; sys.stdin.buffer.read(9)")
    assert call("play", "s.dcvc") == 0, "a player that is closed early"
    write_player(clip / "bin", "raise SystemExit(3)")
    assert call("play", "s.dcvc") == 3
    write_player(clip / "bin", "open('started', 'w')")
    Path("started").unlink(missing_ok=True)
    for arguments, code in ((("in.y4m",), 4), (("nothing.dcvc",), 3), (("s.dcvc", "--max-pixels", "9"), 4)):
        assert call("play", *arguments) == code
    assert not Path("started").exists(), "a player that shows nothing"
