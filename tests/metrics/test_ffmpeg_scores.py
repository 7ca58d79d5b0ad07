"""Scores that ffmpeg measures: alike files have the best, worse ones less, and the original is on the right side."""

from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault, InputError, UsageError
from dcvc_cli.evaluating.scores import parse_scores
from dcvc_cli.metrics import ffmpeg_scores
from dcvc_cli.metrics.ffmpeg_scores import FILTERS, frame_scores, program_for
from dcvc_cli.metrics.psnr import PSNR_LIMIT_DB
from tests.support.clips import y4m_clip

NUM_FRAMES = 4


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Makes a clip, and the same with noise."""
    source, noisy = tmp_path / "it's a [clip].y4m", tmp_path / "noisy.y4m"
    content = y4m_clip(176, 144, NUM_FRAMES)
    source.write_bytes(content)
    samples = np.frombuffer(content, np.uint8)
    head = content.index(b"\n") + 1
    frame = len(content[head:]) // NUM_FRAMES
    noise = np.random.default_rng(0).integers(-12, 13, samples.size)
    changed = np.clip(samples + noise, 16, 235).astype(np.uint8)
    changed[:head] = samples[:head]
    for start in range(head, len(content), frame):
        changed[start : start + 6] = samples[start : start + 6]
    noisy.write_bytes(changed.tobytes())
    return source, noisy


@pytest.mark.ffmpeg
@pytest.mark.parametrize("metric", FILTERS)
def test_noise_has_a_lower_score(files: tuple[Path, Path], metric: str) -> None:
    if program_for(metric) is None:
        pytest.skip("no ffmpeg here has this metric: pip install 'dcvc[metrics]'")
    source, noisy = files
    same, worse = frame_scores(metric, source, source), frame_scores(metric, source, noisy)
    assert len(same) == len(worse) == NUM_FRAMES
    assert all(one > other for one, other in zip(same, worse, strict=True))
    if metric == "xpsnr":
        assert same == [PSNR_LIMIT_DB] * NUM_FRAMES
    assert worse != frame_scores(metric, noisy, source), "the two sides are not alike"
    with pytest.raises(InputError, match="cannot measure"):
        frame_scores(metric, source, source.parent / "none.y4m")


def test_what_no_ffmpeg_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_scores, "ffmpeg_programs", lambda: iter(()))
    with pytest.raises(EnvironmentFault, match="no ffmpeg"):
        parse_scores("vmaf,xpsnr")
    assert parse_scores(None) == ()
    with pytest.raises(UsageError, match="--scores ssim"):
        parse_scores("ssim")
