"""Measures encoding and decoding frame by frame and stage by stage. Pictures are in memory: file access and hashes are not counted.

Where several candidates are compared, each frame is coded by all of them in turn before the next frame, so that what else the machine does hits
them alike: only ratios inside one run are worth comparing on a busy machine.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.backends import PRECISION_NAMES
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, OpenedModel, device_for, open_model, open_weights
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.errors import UsageError
from dcvc_cli.families.base import CodedUnit
from dcvc_cli.families.registry import models
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.measuring.stage_clock import StageClock
from dcvc_cli.weights.store import weight_files, weights_name

WARMUP_FRAMES = 2
"""An I and a P frame, coded and thrown away before anything is counted."""
SETTLING_SECONDS = 0.03
"""Pause before anything is timed: PyTorch's threads spin for about 15 ms after their last work, on the processor of whoever comes next."""
FrameSeconds = dict[str, float]
"""Seconds of one frame by stage."""


@dataclass(frozen=True)
class Candidate:
    """A model in a precision.

    Args:
        is_random: there are no weights for it here: the parameters are random, and speed is all that can be measured.
    """

    name: str
    opened: OpenedModel
    is_random: bool

    @property
    def label(self) -> str:
        return f"{self.name} {NAMES_OF_PRECISIONS[self.opened.precision]}"


@dataclass
class Measurement:
    """What one candidate took: seconds by stage of every frame, by direction ("encode", "decode") and frame type ("I", "P")."""

    candidate: Candidate
    frames: dict[tuple[str, str], list[FrameSeconds]] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, coded: "CodedAndMeasured") -> None:
        """A unit; its pictures share its seconds alike."""
        unit, count = coded.unit, coded.unit.pictures.num_pictures
        self.size_bytes += len(unit.payload)
        for direction, seconds in (("encode", coded.encoding), ("decode", coded.decoding)):
            shared = {stage: value / count for stage, value in seconds.items()}
            self.frames.setdefault((direction, unit.frame_type.name), []).extend([shared] * count)

    def totals(self, direction: str, frame_type: str) -> list[float]:
        """Seconds of each frame."""
        return [sum(frame.values()) for frame in self.frames.get((direction, frame_type), [])]

    def stage_seconds(self, direction: str, frame_type: str) -> dict[str, float]:
        """Median seconds of each stage that took any time, in the model's order."""
        frames = self.frames.get((direction, frame_type), [])
        order = self.candidate.opened.weights.model.stages
        medians = {stage: statistics.median(frame.get(stage, 0.0) for frame in frames) for stage in order if frames}
        return {stage: seconds for stage, seconds in medians.items() if any(stage in frame for frame in frames)}

    def frames_per_second(self, direction: str) -> float:
        """Of the whole clip, I frame included."""
        seconds = sum(self.totals(direction, "I")) + sum(self.totals(direction, "P"))
        count = sum(len(self.totals(direction, frame_type)) for frame_type in "IP")
        return count / seconds if seconds else 0.0


def open_candidate(name: str, precision_name: str | None, device: str, threads: int | None) -> Candidate:
    """Weights of that name; where there are none for a known model, random parameters, for `exact` as integers.

    Raises:
        EnvironmentFault, UsageError: as open_model.
    """
    if name in models() and name not in set(map(weights_name, weight_files())):
        if precision_name not in (None, *PRECISION_NAMES):
            raise UsageError(f"--precision {precision_name} is not known, expected one of {', '.join(PRECISION_NAMES)}")
        from dcvc_cli.preparing.random_weights import random_weights

        precision = PRECISION_NAMES[precision_name or "fp32"]
        place = device_for(precision, device)
        weights = random_weights(name, exact=precision is Precision.EXACT)
        return Candidate(name, OpenedModel(weights, precision, place, open_weights(weights, precision, place, threads)), is_random=True)
    return Candidate(name, open_model(name, precision_name, device, threads), is_random=False)


@dataclass(frozen=True)
class CodedAndMeasured:
    """A unit, and seconds by stage of its encoding and its decoding."""

    unit: CodedUnit
    encoding: FrameSeconds
    decoding: FrameSeconds


class _Session:
    """One candidate's encoder and decoder over one clip."""

    def __init__(self, candidate: Candidate, video_format: VideoFormat, choices: CodingChoices, clock: StageClock) -> None:
        opened = candidate.opened
        model = opened.weights.model
        self.sps: Sps = sps_for(video_format, opened.weights, opened.precision, choices)
        self._encoder = model.encoder(opened.networks, self.sps, choices)
        self._decoder = model.decoder(opened.networks, self.sps)
        self._clock = clock
        self._num_pictures = 0

    def code(self, picture: Picture | None) -> Iterator[CodedAndMeasured]:
        """Codes the next picture, None after the last one, and decodes what it completes."""
        self._settle()
        units = self._encoder.flush() if picture is None else self._encoder.push(picture)
        while (unit := next(units, None)) is not None:
            encoding = self._clock.take()
            self._settle()
            self._decoder.push(self._frame_unit(unit))
            yield CodedAndMeasured(unit, encoding, self._clock.take())
            self._settle()

    def _frame_unit(self, unit: CodedUnit) -> FrameUnit:
        first, self._num_pictures = self._num_pictures, self._num_pictures + unit.pictures.num_pictures
        size = len(unit.payload)
        return FrameUnit(0, size, unit.frame_type, 0, self.sps, unit.qp, unit.reset, unit.payload, first, first % 256, pictures=unit.pictures)

    def _settle(self) -> None:
        time.sleep(SETTLING_SECONDS)
        self._clock.reset()


def measure(
    candidates: Sequence[Candidate],
    video_format: VideoFormat,
    pictures: Sequence[Picture],
    choices: CodingChoices,
    on_frame: Callable[[int], None] = lambda index: None,
) -> list[Measurement]:
    """Codes and decodes all pictures with every candidate, frame by frame in turn, after a warm-up that is not counted."""
    clock = StageClock(_synchroniser(candidates))
    with clock.attached():
        for candidate in candidates:
            warm = _Session(candidate, video_format, choices, clock)
            for picture in (*_warmup(pictures), None):
                list(warm.code(picture))
        sessions = [_Session(candidate, video_format, choices, clock) for candidate in candidates]
        measurements = [Measurement(candidate) for candidate in candidates]
        for index, picture in enumerate((*pictures, None)):
            for session, measurement in zip(sessions, measurements, strict=True):
                for coded in session.code(picture):
                    measurement.add(coded)
            if picture is not None:
                on_frame(index)
    return measurements


def _warmup(pictures: Sequence[Picture]) -> Iterator[Picture]:
    for index in range(WARMUP_FRAMES):
        yield pictures[index % len(pictures)]


def _synchroniser(candidates: Sequence[Candidate]) -> Callable[[], None]:
    if all(candidate.opened.device == "cpu" for candidate in candidates):
        return lambda: None
    import torch

    return torch.cuda.synchronize


def ratio(first: Measurement, other: Measurement, direction: str, frame_type: str) -> float | None:
    """Median over the frames of (seconds of `first`) / (seconds of `other`): above 1, `other` is the faster one. None without frames."""
    pairs = list(zip(first.totals(direction, frame_type), other.totals(direction, frame_type), strict=True))
    return statistics.median(one / two for one, two in pairs) if pairs else None


def as_values(measurement: Measurement, num_pixels: int) -> dict[str, Any]:
    """A measurement under the names of the JSON document; times in milliseconds."""
    candidate, opened = measurement.candidate, measurement.candidate.opened
    num_frames = sum(len(measurement.totals("encode", frame_type)) for frame_type in "IP")
    values: dict[str, Any] = {
        "label": candidate.label,
        "model": candidate.name,
        "precision": NAMES_OF_PRECISIONS[opened.precision],
        "device": opened.device,
        "weights_are_random": candidate.is_random,
        **opened.weights.fingerprint_texts,
        "size_bytes": measurement.size_bytes,
        "bpp": 8 * measurement.size_bytes / (num_pixels * max(1, num_frames)),
    }
    for direction in ("encode", "decode"):
        values[direction] = {"frames_per_second": measurement.frames_per_second(direction)}
        for frame_type in "IP":
            totals = [1000 * seconds for seconds in measurement.totals(direction, frame_type)]
            if totals:
                values[direction][frame_type] = {
                    "num_frames": len(totals),
                    "median_ms": statistics.median(totals),
                    "min_ms": min(totals),
                    "max_ms": max(totals),
                    "stage_ms": {stage: 1000 * seconds for stage, seconds in measurement.stage_seconds(direction, frame_type).items()},
                }
    return values
