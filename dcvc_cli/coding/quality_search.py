"""Finds the QPs at which a clip, or each of its scenes, has the quality that `--target` asks for.

Each probe codes the whole clip with one level a scene and measures what its stream decodes to. A scene begins with an I
frame, so its score depends on its own level alone: what a probe found holds in the stream that is kept.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.decode import OpenedStream
from dcvc_cli.coding.encode import StreamEncoder, encode_pictures
from dcvc_cli.coding.frame_report import picture_quality
from dcvc_cli.coding.opened_models import NetworksOfModel, OpenedModel
from dcvc_cli.coding.quality_target import QualityTarget
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.control.levels import MAX_LEVEL, PARTS, LevelRate
from dcvc_cli.errors import InputError
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media import OutputFile, open_writer
from dcvc_cli.metrics.ffmpeg_scores import frame_scores, require_program

MAX_PROBES = 4
FIRST_LEVEL = 32 * PARTS
SLOPES = {"psnr": 0.2 / PARTS, "xpsnr": 0.2 / PARTS, "vmaf": 0.9 / PARTS}
"""Scores that a level adds, about; what a scene's own probes show counts as soon as there are two."""
MAX_SLOPE_RATIO = 3
"""A scene's own slope is taken to be at most so far from the usual one."""
LONGEST_MOVE = 16 * PARTS
"""Levels between two probes at most."""
_CHUNK_BYTES = 1 << 20


class Pictures(Protocol):
    """A clip that can be opened again and again."""

    def __call__(self) -> AbstractContextManager[Iterable[Picture]]: ...


class ClipCoder(Protocol):
    """Codes a clip again and again."""

    def __call__(self, levels: Sequence[int], sink: OutputFile, /) -> Sequence[int]:
        """Codes the clip with levels by scene, or one for all scenes; returns where scenes start, as Probe has it."""


@dataclass(frozen=True)
class Probe:
    """One coded clip.

    Attributes:
        frames: scores of its frames.
        starts: numbers of the frames that begin a scene, frame 0 included.
    """

    frames: Sequence[float]
    starts: Sequence[int]


@dataclass(frozen=True)
class FoundLevels:
    """What a search found.

    Attributes:
        levels: by scene, or one for the clip.
        scores: what the levels give, by scene or of the clip.
        num_probes: clips coded.
    """

    levels: Sequence[int]
    scores: Sequence[float]
    num_probes: int


def qp_of_level(level: int) -> float:
    """Returns the mean QP of a level."""
    return level / PARTS


def scores_of(target: QualityTarget, probe: Probe) -> list[float]:
    """Returns the score of each scene, or of the clip."""
    if not target.each_scene:
        return [target.score_of(probe.frames)]
    return [target.score_of(probe.frames[start:end]) for start, end in pairwise([*probe.starts, len(probe.frames)])]


def find_levels(target: QualityTarget, probe: Callable[[Sequence[int]], Probe]) -> FoundLevels:
    """Searches for the levels of a target with MAX_PROBES probes at most.

    Args:
        probe: codes the clip with these levels by scene.
    """
    first = probe([FIRST_LEVEL])
    points = [{FIRST_LEVEL: score} for score in scores_of(target, first)]
    num_probes = 1
    while num_probes < MAX_PROBES:
        wanted = [next_level(target, known) for known in points]
        if all(level is None for level in wanted):
            break
        levels = [_best(target, known) if level is None else level for known, level in zip(points, wanted, strict=True)]
        for known, level, score in zip(points, levels, scores_of(target, probe(levels)), strict=True):
            known[level] = score
        num_probes += 1
    best = [_best(target, known) for known in points]
    return FoundLevels(best, [known[level] for known, level in zip(points, best, strict=True)], num_probes)


def _best(target: QualityTarget, known: dict[int, float]) -> int:
    return min(known, key=lambda level: (abs(known[level] - target.value), level))


def next_level(target: QualityTarget, known: dict[int, float]) -> int | None:
    """Returns the level to try after those known by their scores; None where one is close enough or none is better."""
    best = _best(target, known)
    if abs(known[best] - target.value) <= target.tolerance / 2:
        return None
    below = [level for level, score in known.items() if score < target.value]
    above = [level for level, score in known.items() if score >= target.value]
    if below and above and max(below) < min(above):
        low, high = max(below), min(above)
        share = (target.value - known[low]) / (known[high] - known[low])
        level = min(max(round(low + share * (high - low)), low + 1), high - 1)
    else:
        move = round((target.value - known[best]) / _slope(target, known))
        level = best + min(max(move, -LONGEST_MOVE), LONGEST_MOVE)
    level = min(max(level, 0), MAX_LEVEL)
    return None if level in known else level


def _slope(target: QualityTarget, known: dict[int, float]) -> float:
    """Scores a level, from the two probes next to the target."""
    usual = SLOPES[target.metric]
    if len(known) < 2:
        return usual
    one, other = sorted(known, key=lambda level: abs(known[level] - target.value))[:2]
    found = (known[one] - known[other]) / (one - other)
    return min(max(found, usual / MAX_SLOPE_RATIO), usual * MAX_SLOPE_RATIO)


def clip_coder(opened: OpenedModel, video_format: VideoFormat, choices: CodingChoices, pictures: Pictures) -> ClipCoder:
    """Returns what codes a clip as one stream."""

    def code(levels: Sequence[int], sink: OutputFile) -> Sequence[int]:
        rate = LevelRate(levels)
        with pictures() as opened_pictures:
            encode_pictures(StreamEncoder(opened, video_format, choices, sink, rate=rate), opened_pictures)
        return rate.starts

    return code


class QualityProbes:
    """Codes and measures one clip.

    Args:
        name: of the input, for messages.
        video_format: of its pictures.
        code: codes the clip.

    Raises:
        EnvironmentFault: no ffmpeg of this machine has the metric.
    """

    def __init__(
        self,
        target: QualityTarget,
        name: str,
        opened: OpenedModel,
        video_format: VideoFormat,
        pictures: Pictures,
        code: ClipCoder,
    ) -> None:
        if target.metric != "psnr":
            require_program(target.metric)
        self._target, self._name, self._opened, self._format = target, name, opened, video_format
        self._pictures, self._code = pictures, code

    def probe(self, levels: Sequence[int]) -> Probe:
        """Codes the clip with levels by scene, and measures it."""
        with tempfile.TemporaryDirectory(prefix="dcvc-") as folder:
            stream = Path(folder, "probe.dcvc")
            with OutputFile(str(stream), overwrite=True) as sink:
                starts = self._code(levels, sink)
            return Probe(self._scores(stream, Path(folder)), starts)

    def measure(self, sink: OutputFile) -> list[float] | None:
        """Returns the scores of the frames of a stream that was written and is not yet in its place; None for a
        pipe."""
        written = sink.seekable_stream
        if written is None:
            return None
        sink.flush()
        with tempfile.TemporaryDirectory(prefix="dcvc-") as folder:
            stream = Path(folder, "final.dcvc")
            with stream.open("wb") as copy:
                written.seek(0)
                shutil.copyfileobj(written, copy, _CHUNK_BYTES)
            return self._scores(stream, Path(folder))

    def _scores(self, stream: Path, folder: Path) -> list[float]:
        networks = NetworksOfModel(self._opened)
        with StreamSource(str(stream)) as source:
            decoded = (frame.picture for frame in OpenedStream(source).frames(networks, verify=True))
            if self._target.metric == "psnr":
                with self._pictures() as originals:
                    # The decoder comes first: it checks the last hash before it ends.
                    pairs = zip(decoded, originals, strict=True)
                    return [
                        picture_quality(two, one, self._format, psnr=True, msssim=False)["psnr"] for one, two in pairs
                    ]
            files = folder / "source.y4m", folder / "decoded.y4m"
            with self._pictures() as originals:
                for pictures, path in ((originals, files[0]), (decoded, files[1])):
                    with open_writer(str(path), self._format, overwrite=True) as writer:
                        for picture in pictures:
                            writer.write(picture)
        scores = frame_scores(self._target.metric, *files)
        if not scores:
            raise InputError(f"{self._name}: ffmpeg measured no frame")
        return scores
