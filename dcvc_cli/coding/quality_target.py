"""What `--target` asks for: a quality that a clip, or each of its scenes, is to have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dcvc_cli.errors import UsageError

_TARGET = re.compile(r"([a-z]+)=(\d{1,3}(?:\.\d{1,4})?)(?:@p(\d{1,2}))?(,scene)?", re.ASCII)
RANGES = {"psnr": (10.0, 99.0), "xpsnr": (10.0, 99.0), "vmaf": (1.0, 100.0)}
TOLERANCES = {"psnr": 0.15, "xpsnr": 0.15, "vmaf": 0.5}
"""Distances from the target that count as met, in dB and in points of VMAF."""
EXAMPLE = "--target psnr=42, --target vmaf=95@p5,scene"


@dataclass(frozen=True)
class QualityTarget:
    """A quality asked for.

    Attributes:
        metric: psnr and xpsnr in dB, combined as (6 Y + U + V) / 8, or vmaf, 0..100.
        value: the score.
        percentile: 5 for the score that 95 % of frames reach, 1..50; None for the mean of the frames.
        each_scene: every scene has this score, not the clip as a whole.
    """

    metric: str
    value: float
    percentile: int | None = None
    each_scene: bool = False

    @classmethod
    def parse(cls, text: str) -> "QualityTarget":
        """Reads METRIC=SCORE[@pN][,scene]; UsageError for anything else."""
        match = _TARGET.fullmatch(text)
        if match is None or match[1] not in RANGES:
            raise UsageError(f"--target {text}: expected psnr, xpsnr or vmaf and a score", EXAMPLE)
        low, high = RANGES[match[1]]
        value, percentile = float(match[2]), None if match[3] is None else int(match[3])
        if not low <= value <= high:
            raise UsageError(f"--target {text}: expected {match[1]} of {low:g}..{high:g}", EXAMPLE)
        if percentile is not None and not 1 <= percentile <= 50:
            raise UsageError(f"--target {text}: expected @p1 to @p50, or nothing for the mean", EXAMPLE)
        return cls(match[1], value, percentile, match[4] is not None)

    @property
    def tolerance(self) -> float:
        """Returns how far from the target a score may be."""
        return TOLERANCES[self.metric]

    def score_of(self, frames: Sequence[float]) -> float:
        """Returns the score of a clip or a scene from those of its frames, at least one."""
        import numpy as np

        if self.percentile is None:
            return float(np.mean(frames))
        return float(np.percentile(frames, self.percentile))

    def __str__(self) -> str:
        which = "" if self.percentile is None else f"@p{self.percentile}"
        return f"{self.metric}={self.value:g}{which}{',scene' if self.each_scene else ''}"
