"""What the documents say is so: paths exist, the commands of README.md run, exit codes are told everywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dcvc_cli
from dcvc_cli.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")])
TOP_FOLDERS = ("dcvc_cli", "docs", "tests", "entropy_cpp", "kernels", "presets", "recipes", "tools", "man", "examples")
SOURCE_SUFFIXES = {".py", ".cpp", ".hpp", ".cu", ".cuh", ".md"}
CHAPTER = re.compile(r'docs/([\w-]+\.md)`?(?:,| \() ?(?:\n *(?:// )?)?(?:chapter )?"([A-Z][^"]+)"')
PATH = re.compile(rf"`((?:{'|'.join(TOP_FOLDERS)})/[\w./-]*[\w/]|[A-Z]+\.md|pyproject\.toml)`")


LIVING = [path for path in DOCUMENTS if path.parent.name != "notebook"]
"""Pages of the notebook are of their day, and so are the paths in them."""


@pytest.mark.parametrize("document", LIVING, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_documents_exist(document: Path):
    missing = [path for path in PATH.findall(document.read_text(encoding="utf-8")) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_keep_to_themselves(document: Path):
    """No path of somebody's machine."""
    assert not re.search(r"(?<![\w.])/(work|root|home|opt)/", document.read_text(encoding="utf-8"))


def test_docstrings_name_documents_that_exist():
    missing = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / "dcvc_cli").rglob("*.py")
        for name in re.findall(r"docs/[\w./-]+\.md", path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    }
    assert missing == set()


def test_chapters_that_files_name_exist():
    """A document and a chapter of it in quotes, in comments, docstrings and documents."""
    files = [path for folder in TOP_FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SOURCE_SUFFIXES]
    found, missing = 0, []
    for path in (*files, *ROOT.glob("*.md")):
        if path.parent.name == "notebook":
            continue
        for name, title in CHAPTER.findall(path.read_text(encoding="utf-8")):
            found += 1
            heading = re.sub(r"\s+(?:// )?", " ", title).rstrip(".,")
            page = ROOT / "docs" / name
            if not page.exists() or f"\n## {heading}\n" not in re.sub(r"\n###? ", "\n## ", page.read_text()):
                missing.append((str(path.relative_to(ROOT)), name, heading))
    assert found > 20
    assert missing == []


def test_every_layer_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for folder in (ROOT / "dcvc_cli").iterdir():
        if (folder / "__init__.py").exists():
            assert f"`{folder.name}/`" in text, folder.name


def test_every_command_is_in_the_changelog_or_the_readme():
    from dcvc_cli.app import app

    text = (ROOT / "README.md").read_text() + (ROOT / "CHANGELOG.md").read_text()
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert [name for name in names if not re.search(rf"`(dcvc )?{name}", text) and f"dcvc {name}" not in text] == []


def test_exit_codes_are_documented():
    text = (ROOT / "README.md").read_text()
    for code in ExitCode:
        assert f"\n| {int(code)} |" in text


@pytest.mark.parametrize("document", LIVING, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_keeps_to_120_columns(document: Path):
    """Tables, code, quotations and pages that a tool makes are as wide as they are."""
    text = document.read_text(encoding="utf-8")
    if "<!-- Made by tools/" in text:
        return
    prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    long = [
        line
        for line in prose.splitlines()
        if len(line) > 120 and not line.startswith(("    ", "![")) and not line.lstrip().startswith(("|", ">"))
    ]
    assert long == []


def test_decisions_have_numbers_of_their_own():
    paths = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len({path.name[:4] for path in paths}) == len(paths)
    for path in paths:
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert len(text.splitlines()) <= 25, f"{path.name}: what was measured belongs into docs/notebook"
        assert "Status: " in text, path.name


def test_pages_of_the_notebook_have_dates():
    pages = [path for path in (ROOT / "docs" / "notebook").glob("*.md") if path.name != "README.md"]
    assert pages
    for path in pages:
        date = re.match(r"\d{4}-\d\d-\d\d(?=-)", path.name)
        assert date, path.name
        assert path.read_text().startswith(f"# {date[0]}: "), path.name


def shell_blocks(heading: str) -> list[str]:
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.S)


def test_set_up_is_two_lines_that_ci_runs():
    (block,) = shell_blocks("Set up")
    lines = block.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("pip install . && dcvc encode ")
    assert lines[1].startswith("pip install -e '.[test]' && pytest")
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.slow
@pytest.mark.native
def test_commands_of_the_readme_run(tmp_path: Path):
    (block,) = shell_blocks("Use")
    (tmp_path / "tests" / "data").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "data" / "carphone_qcif.y4m", tmp_path / "tests" / "data")
    program = tmp_path / "bin" / "dcvc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dcvc_cli "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(dcvc_cli.__file__).parents[1]),
        "DCVC_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    result = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    clip = (tmp_path / "tests" / "data" / "carphone_qcif.y4m").stat().st_size
    assert abs((tmp_path / "clip.y4m").stat().st_size - clip) < 100
    assert 1000 < (tmp_path / "clip.dcvc").stat().st_size < clip / 4
