"""What contributors are told is so: targets and folders exist, hooks and workflows are well formed, no file is too
large."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import dcvc_cli

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


def tracked_files() -> list[str]:
    """Paths that git tracks; in a source archive, all paths."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return [name for name in listing.stdout.decode().split("\0") if name]


def test_targets_that_documents_name_exist():
    named = {
        name
        for path in ROOT.glob("*.md")
        for name in re.findall(r"`?make ([a-z]+)\b`?", path.read_text())
        if name in TARGETS
    }
    assert named >= {"setup", "fast", "test", "lint", "format", "documents", "benchmarks"}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert set(re.findall(r"run: make ([a-z]+)", workflow)) <= TARGETS


def test_every_target_says_what_it_does():
    undocumented = [name for name in TARGETS if not re.search(rf"^{name}:.*## \w", MAKEFILE, re.M)]
    assert undocumented == []


def test_programs_that_the_makefile_runs_exist():
    programs = re.findall(r"\$\(PYTHON\) ([\w/]+\.py)", MAKEFILE) + re.findall(r"\btests/\w+(?=\s)", MAKEFILE)
    assert len(programs) >= 3
    assert [name for name in programs if not (ROOT / name).exists()] == []


def test_folders_of_tests_are_told_or_mirror_the_package():
    rows = re.findall(r"^\| (`tests/.*?`) \|", CONTRIBUTING, re.M)
    told = {name for row in rows for name in re.findall(r"tests/([a-z]+)/", row)}
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/*.py"))}
    package = {path.name for path in (ROOT / "dcvc_cli").iterdir() if path.is_dir()}
    assert folders - told - package == set()
    assert [name for name in told if not (ROOT / "tests" / name).is_dir()] == []


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_are_well_formed(path: Path):
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    if path.parent.name == "ISSUE_TEMPLATE" and path.stem != "config":
        assert {"name", "description", "body"} <= content.keys()
        assert all("label" in field["attributes"] for field in content["body"])


def test_ci_covers_three_pythons_two_compilers_two_processors():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    matrix = jobs["x86"]["strategy"]["matrix"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert len(matrix["python"]) >= 3
    assert matrix["python"][0] == oldest
    assert matrix["compiler"] == ["gcc", "clang"]
    assert "arm" in jobs


def test_hooks_run_programs_that_are_there():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {"ruff", "ruff-format", "mypy", "large-files"} <= {hook["id"] for hook in repository["hooks"]}
    for hook in repository["hooks"]:
        words = hook["entry"].split()
        assert words[0] == "python"
        assert words[1] == "-m" or (ROOT / words[1]).exists()


def test_no_file_is_large_but_weights():
    program = ROOT / "tools" / "refuse_large_files.py"
    result = subprocess.run(
        [sys.executable, program, *tracked_files()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_a_large_file_is_refused(tmp_path: Path):
    (tmp_path / "large.bin").write_bytes(bytes(1_000_001))
    (tmp_path / "small.bin").write_bytes(bytes(1_000_000))
    program = ROOT / "tools" / "refuse_large_files.py"
    words = [sys.executable, program, "large.bin", "small.bin"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "large.bin: 1000001 bytes, more than 1000000\n")


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert (ROOT / project["tool"]["scikit-build"]["metadata"]["version"]["input"]).samefile(dcvc_cli.__file__)


def test_findings_are_scripts_that_fail_when_the_behaviour_changes():
    for path in (ROOT / "findings").glob("*.sh"):
        text = path.read_text()
        assert path.stat().st_mode & 0o111, f"{path.name} cannot be run"
        assert "set -e" in text, path.name
        assert "==" in text, f"{path.name} pins no version"
