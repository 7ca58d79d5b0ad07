"""The form of findings/: scripts that anybody can run, on pinned public packages, and that fail when the behaviour changes."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "findings").glob("*"))
PIP_LINE = re.compile(r'"\$folder/venv/bin/pip" install --quiet (.+)')


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_finding_has_its_form(script: Path) -> None:
    text = script.read_text()
    assert script.suffix == ".sh"
    assert os.access(script, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in text
    assert "trap 'rm -rf \"$folder\"' EXIT" in text
    assert "# Output seen: " in text
    assert "the behaviour changed" in text
    assert "dcvc" not in text
    packages = PIP_LINE.findall(text)
    assert packages
    assert all("==" in package for line in packages for package in line.split())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_finding_is_named_where_the_product_works_around_it(script: Path) -> None:
    sources = "".join(path.read_text() for path in (ROOT / "dcvc_cli").rglob("*.py"))
    assert script.name in sources
