"""Fixtures of the tests that run commands."""

import pytest

from dcvc_cli.preparing.calibration_material import strange_clips, typical_clips


@pytest.fixture
def little_material(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts one clip of each kind in place of the whole material in the box."""
    monkeypatch.setattr(
        "dcvc_cli.preparing.quantise.typical_clips", lambda: [[picture[:, :64, :64] for picture in typical_clips()[0]]]
    )
    monkeypatch.setattr("dcvc_cli.preparing.quantise.strange_clips", lambda: strange_clips()[:1])
