"""The form of findings/: scripts on pinned public packages that fail when the behaviour changes."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "findings").glob("*"))
INSTALLED = re.compile(r"pip\"? install(?: -q| --quiet)? (.+)")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_finding_has_its_form(script: Path) -> None:
    text = script.read_text()
    assert script.suffix == ".sh"
    assert os.access(script, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in text
    assert "trap " in text
    assert "# Output seen: " in text
    assert "the behaviour changed" in text
    assert "dcvc" not in text
    packages = INSTALLED.findall(text)
    assert packages
    assert all("==" in package for line in packages for package in line.split())
