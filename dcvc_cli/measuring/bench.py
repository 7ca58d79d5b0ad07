"""Measures encoding and decoding frame by frame and stage by stage. Pictures are in memory: file access and hashes are
not counted.

Several candidates code each frame in turn before any codes the next frame, so that other work on the machine slows all
of them alike. On a busy machine only ratios within one run can be compared.
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
"""An I and a P frame that are coded and not counted."""
SETTLING_SECONDS = 0.03
"""Pause before each timed step: PyTorch's threads spin for about 15 ms after their last work and take the processor
from the next step."""
FrameSeconds = dict[str, float]
"""Seconds of one frame by stage."""


@dataclass(frozen=True)
class Candidate:
    """A model in a precision.

    Attributes:
        name: as `--model` was given.
        is_random: whether the parameters are random, because this machine lacks weights; then only speed can be
            measured.
    """

    name: str
    opened: OpenedModel
    is_random: bool

    @property
    def label(self) -> str:
        return f"{self.name} {NAMES_OF_PRECISIONS[self.opened.precision]}"


@dataclass
class CandidateMeasurement:
    """Times and sizes of one candidate.

    Attributes:
        frames: seconds by stage of every frame, by direction ("encode", "decode") and frame type ("I", "P").
        size_bytes: bytes of all payloads.
    """

    candidate: Candidate
    frames: dict[tuple[str, str], list[FrameSeconds]] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, coded: "CodedAndMeasured") -> None:
        """Adds a unit; each of its pictures gets an equal share of its seconds."""
        unit, count = coded.unit, coded.unit.pictures.num_pictures
        self.size_bytes += len(unit.payload)
        for direction, seconds in (("encode", coded.encoding), ("decode", coded.decoding)):
            shared = {stage: value / count for stage, value in seconds.items()}
            self.frames.setdefault((direction, unit.frame_type.name), []).extend([shared] * count)

    def totals(self, direction: str, frame_type: str) -> list[float]:
        """Seconds of each frame, all stages together."""
        return [sum(frame.values()) for frame in self.frames.get((direction, frame_type), [])]

    def stage_seconds(self, direction: str, frame_type: str) -> dict[str, float]:
        """Takes the median seconds over the frames of each stage that a frame ran, in the model's order of stages."""
        frames = self.frames.get((direction, frame_type), [])
        order = self.candidate.opened.weights.model.stages
        medians = {stage: statistics.median(frame.get(stage, 0.0) for frame in frames) for stage in order if frames}
        return {stage: seconds for stage, seconds in medians.items() if any(stage in frame for frame in frames)}

    def frames_per_second(self, direction: str) -> float:
        """Frames per second over the whole clip, I frames included."""
        seconds = sum(self.totals(direction, "I")) + sum(self.totals(direction, "P"))
        count = sum(len(self.totals(direction, frame_type)) for frame_type in "IP")
        return count / seconds if seconds else 0.0


def open_candidate(name: str, precision_name: str | None, device: str, threads: int | None) -> Candidate:
    """Opens the weights called `name`, or random parameters if `name` is a model without weights on this machine.

    Args:
        precision_name: one of PRECISION_NAMES; None = exact where the weights have it, else fp32.

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
        return Candidate(
            name,
            OpenedModel(weights, precision, place, open_weights(weights, precision, place, threads)),
            is_random=True,
        )
    return Candidate(name, open_model(name, precision_name, device, threads), is_random=False)


@dataclass(frozen=True)
class CodedAndMeasured:
    """A unit, and seconds by stage of its encoding and its decoding."""

    unit: CodedUnit
    encoding: FrameSeconds
    decoding: FrameSeconds


class _Session:
    """One candidate's encoder and decoder over one clip."""

    def __init__(
        self, candidate: Candidate, video_format: VideoFormat, choices: CodingChoices, clock: StageClock
    ) -> None:
        opened = candidate.opened
        model = opened.weights.model
        self.sps: Sps = sps_for(video_format, opened.weights, opened.precision, choices)
        self._encoder = model.encoder(opened.networks, self.sps, choices)
        self._decoder = model.decoder(opened.networks, self.sps)
        self._clock = clock
        self._num_pictures = 0

    def code(self, picture: Picture | None) -> Iterator[CodedAndMeasured]:
        """Codes the next picture, or None after the last picture, and decodes each unit that this completes."""
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
        return FrameUnit(
            0,
            size,
            unit.frame_type,
            0,
            self.sps,
            unit.qp,
            unit.reset,
            unit.payload,
            first,
            first % 256,
            pictures=unit.pictures,
        )

    def _settle(self) -> None:
        time.sleep(SETTLING_SECONDS)
        self._clock.reset()


def measure(
    candidates: Sequence[Candidate],
    video_format: VideoFormat,
    pictures: Sequence[Picture],
    choices: CodingChoices,
    on_frame: Callable[[int], None] = lambda index: None,
) -> list[CandidateMeasurement]:
    """Codes and decodes all pictures with every candidate, frame by frame in turn, after a warm-up that is not counted.

    Args:
        on_frame: called with the number of each picture that all candidates have taken.
    """
    clock = StageClock(_synchroniser(candidates))
    with clock.attached():
        for candidate in candidates:
            warm = _Session(candidate, video_format, choices, clock)
            for picture in (*_warmup(pictures), None):
                list(warm.code(picture))
        sessions = [_Session(candidate, video_format, choices, clock) for candidate in candidates]
        measurements = [CandidateMeasurement(candidate) for candidate in candidates]
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

    # Without CUDA in PyTorch only the exact backend uses the GPU, and its host waits for every value anyway.
    return torch.cuda.synchronize if torch.cuda.is_available() else lambda: None


def ratio(first: CandidateMeasurement, other: CandidateMeasurement, direction: str, frame_type: str) -> float | None:
    """Takes the median over the frames of (seconds of `first`) / (seconds of `other`); above 1, `other` is faster. None
    without frames."""
    pairs = list(zip(first.totals(direction, frame_type), other.totals(direction, frame_type), strict=True))
    return statistics.median(one / two for one, two in pairs) if pairs else None


def as_values(measurement: CandidateMeasurement, num_pixels: int) -> dict[str, Any]:
    """Puts a measurement under the names of the JSON document; times in milliseconds."""
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
                    "stage_ms": {
                        stage: 1000 * seconds
                        for stage, seconds in measurement.stage_seconds(direction, frame_type).items()
                    },
                }
    return values
