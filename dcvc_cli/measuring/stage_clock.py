"""Where a frame's time goes: wraps the functions of the networks and of the entropy coder for the length of a measurement.

The codec itself knows nothing of it. A stage's time is its own: what a wrapped function spends in another one counts there only.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dcvc_cli.coding import sequence
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel

MOTION, ANALYSIS, HYPER, CONTEXT, PRIORS, ENTROPY, SYNTHESIS, RECONSTRUCTION, FILTER, COLOUR, OTHER = STAGES = (
    "motion",
    "analysis",
    "hyper-analysis",
    "temporal context",
    "priors",
    "entropy coding",
    "synthesis",
    "reconstruction",
    "output filter",
    "colour and export",
    "other",
)
WRAPPED: tuple[tuple[Any, str, str], ...] = (
    (FramePayloadEncoder, "find_motion", MOTION),
    (FramePayloadDecoder, "follow_motion", MOTION),
    (ImageModel, "analysis", ANALYSIS),
    (ImageModel, "hyper_analysis", HYPER),
    (ImageModel, "prior_parameters", PRIORS),
    (ImageModel, "code_latents", PRIORS),
    (ImageModel, "synthesis", SYNTHESIS),
    (VideoModel, "adapt_frame", CONTEXT),
    (VideoModel, "adapt_feature", CONTEXT),
    (VideoModel, "contexts", CONTEXT),
    (VideoModel, "analysis", ANALYSIS),
    (VideoModel, "hyper_analysis", HYPER),
    (VideoModel, "prior_parameters", PRIORS),
    (VideoModel, "code_latents", PRIORS),
    (VideoModel, "synthesis", SYNTHESIS),
    (VideoModel, "reconstruction", RECONSTRUCTION),
    (FramePayloadEncoder, "fit_filters", FILTER),
    (FramePayloadEncoder, "filtered", FILTER),
    (FramePayloadDecoder, "filtered", FILTER),
    (FrameEncoder, "add_y", ENTROPY),
    (FrameEncoder, "add_z", ENTROPY),
    (FrameEncoder, "finish", ENTROPY),
    (FrameDecoder, "decode_y", ENTROPY),
    (FrameDecoder, "decode_z", ENTROPY),
    (FrameDecoder, "finish", ENTROPY),
    (sequence, "values_from_picture", COLOUR),
    (sequence, "picture_from_frame", COLOUR),
    (sequence, "picture_from_planes", COLOUR),
)


class StageClock:
    """Sums the seconds of each stage between two calls of `take`.

    Args:
        synchronise: waits until the device has done everything asked of it so far; called at every border between stages.
    """

    def __init__(self, synchronise: Callable[[], None] = lambda: None) -> None:
        self._synchronise = synchronise
        self._seconds: dict[str, float] = {}
        self._running: list[str] = [OTHER]
        self._since = time.perf_counter()

    def _switch(self) -> None:
        self._synchronise()
        now = time.perf_counter()
        stage = self._running[-1]
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what happens inside for `name`."""
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def reset(self) -> None:
        """Forgets what was counted, and starts now."""
        self._synchronise()
        self._seconds, self._since = {}, time.perf_counter()

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last `reset`; they add up to all that passed."""
        self._switch()
        return dict(self._seconds)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Wraps the functions of WRAPPED, and puts them back as they were."""
        originals = [(owner, name, getattr(owner, name)) for owner, name, _ in WRAPPED]
        for owner, name, stage in WRAPPED:
            setattr(owner, name, self._timed(getattr(owner, name), stage))
        try:
            yield
        finally:
            for owner, name, original in originals:
                setattr(owner, name, original)

    def _timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.stage(stage):
                return function(*arguments, **options)

        return timed
