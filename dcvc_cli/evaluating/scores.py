"""Scores of decoded clips that ffmpeg measures, beside the frames' other measures."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from dcvc_cli.errors import StreamError, UsageError
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media import open_writer
from dcvc_cli.metrics.ffmpeg_scores import FILTERS, frame_scores, require_program
from dcvc_cli.metrics.results import FrameRecord

Settings = TypeVar("Settings")


def parse_scores(text: str | None) -> tuple[str, ...]:
    """Returns the metrics of a list such as vmaf,xpsnr; none for None.

    Raises:
        UsageError: a name is no metric.
        EnvironmentFault: no ffmpeg of this machine has one of them.
    """
    names = tuple(dict.fromkeys(text.split(","))) if text is not None else ()
    for name in names:
        if name not in FILTERS:
            raise UsageError(f"--scores {text}: expected {' or '.join(FILTERS)}, with commas between", "--scores vmaf")
        require_program(name)
    return names


def measuring(settings: Settings, text: str | None) -> Settings:
    """Returns a coder's settings, a dataclass, with the metrics of a list; raises as `parse_scores`."""
    changed: Any = replace(cast(Any, settings), scores=parse_scores(text))
    return cast(Settings, changed)


def with_scores(
    records: Sequence[FrameRecord],
    metrics: Sequence[str],
    video_format: VideoFormat,
    originals: Iterable[Picture],
    decoded: Iterable[Picture],
) -> list[FrameRecord]:
    """Returns the records with a score of each metric. Takes the room of both clips in y4m for a while.

    Raises:
        StreamError: ffmpeg measured another number of frames.
    """
    if not metrics:
        return list(records)
    with tempfile.TemporaryDirectory(prefix="dcvc-") as folder:
        files = Path(folder, "source.y4m"), Path(folder, "decoded.y4m")
        for pictures, path in zip((originals, decoded), files, strict=True):
            with open_writer(str(path), video_format, overwrite=True) as writer:
                for picture in pictures:
                    writer.write(picture)
        scores = {metric: frame_scores(metric, *files) for metric in metrics}
    for metric, values in scores.items():
        if len(values) != len(records):
            raise StreamError(f"ffmpeg measured {metric} of {len(values)} frames, expected {len(records)}")
    return [
        replace(record, scores={metric: values[index] for metric, values in scores.items()})
        for index, record in enumerate(records)
    ]
