"""Man pages are what the generator makes now, name every option that help names, and are roff that groff accepts."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def load_generator() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools"))
    spec = importlib.util.spec_from_file_location("make_man_pages", ROOT / "tools" / "make_man_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
COMMANDS = dict(GENERATOR.command_tree(("dcvc",), GENERATOR.typer.main.get_command(GENERATOR.app)))


def test_pages_are_not_stale():
    assert GENERATOR.stale() == [], "run: python tools/make_man_pages.py"


@pytest.mark.parametrize("path", COMMANDS, ids="-".join)
def test_help_and_page_name_the_same_options(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from dcvc_cli.app import run

    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERMINAL_WIDTH", "300")
    assert run([*path[1:], "--help"]) == 0
    help_text = capsys.readouterr().out
    listed = {
        name
        for line in help_text.splitlines()
        for name in OPTION.findall(line)[:1]
        if re.match(r"[│ *]*--?[a-z]", line)
    }
    page = (ROOT / "man" / f"{'-'.join(path)}.1").read_text().replace("\\-", "-")
    options = page.split(".SH OPTIONS\n")[1].split(".SH ")[0]
    written = set(
        OPTION.findall(
            "\n".join(line for line in options.splitlines() if line.startswith("\\fB-"))
            .replace("\\fB", " ")
            .replace("\\fR", " ")
        )
    )
    assert "--help" in listed
    assert {name for name in listed if name.startswith("--")} <= written, "an option is not in the page"
    assert written <= set(OPTION.findall(help_text)), "the page has an option that help does not show"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_pages_are_sound_roff():
    pages = sorted(str(path) for path in (ROOT / "man").glob("*.1"))
    result = subprocess.run(["groff", "-man", "-ww", "-z", *pages], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("path", COMMANDS, ids="-".join)
def test_examples_are_command_lines_of_their_command(path: tuple[str, ...]):
    """Every page has examples, and each names its command and options that the command has."""
    examples = GENERATOR.EXAMPLES["-".join(path)]
    assert examples
    for words, line in examples:
        assert words.endswith(".")
        parts = re.split(r"\s(?:\||&&)\s", line)
        calls = [shlex.split(part) for part in parts if part.startswith("dcvc ")]
        assert any(tuple(call[: len(path)]) == path for call in calls), line
        for call in calls:
            name = max((known for known in COMMANDS if tuple(call[: len(known)]) == known), key=len)
            options = {option for p in COMMANDS[name].params for option in (*p.opts, *p.secondary_opts)}
            given = {word for word in call if re.fullmatch(r"--?[a-z][a-z-]*", word)}
            assert given <= options, line


def test_every_exit_code_is_in_every_page():
    from dcvc_cli.errors import ExitCode

    for path in (ROOT / "man").glob("*.1"):
        text = path.read_text().split(".SH EXIT STATUS")[1]
        assert all(f"\\fB{int(code)}\\fR" in text for code in ExitCode), path.name
