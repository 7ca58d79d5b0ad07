"""Finds the QPs of a plan's chunks for `--target`. A probe codes and joins all chunks as a farm does: what it measures
holds for the stream that the farm writes."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dcvc_cli.coding.chunk_encode import encode_chunk
from dcvc_cli.coding.chunk_join import join_parts, part_name
from dcvc_cli.coding.chunk_plan import Plan
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.coding.plan_making import open_input
from dcvc_cli.coding.quality_search import QualityProbes
from dcvc_cli.coding.quality_target import QualityTarget
from dcvc_cli.control.levels import LevelRate
from dcvc_cli.format.limits import Limits
from dcvc_cli.media import OutputFile


class PlannedClip:
    """Codes the chunks of a plan with levels by scene. A chunk begins a scene here, wherever it begins.

    Args:
        plan: its chunks have no levels yet.
    """

    def __init__(self, plan: Plan, source: str, opened: OpenedModel, limits: Limits) -> None:
        # Tracks are not measured, so no probe copies them.
        self._plan, self._source = replace(plan, carries_tracks=False), source
        self._opened, self._limits = opened, limits
        self._num_scenes: list[int] = []
        """Scenes of each chunk, once a probe has found them."""

    def __call__(self, levels: Sequence[int], sink: OutputFile) -> list[int]:
        """As quality_search.ClipCoder."""
        starts: list[int] = []
        found: list[int] = []
        with tempfile.TemporaryDirectory(prefix="dcvc-") as folder:
            for chunk, own in zip(self._plan.chunks, self._by_chunk(levels), strict=True):
                rate = LevelRate(own)
                with OutputFile(str(Path(folder, part_name(chunk.number))), overwrite=True) as part:
                    encode_chunk(self._plan, chunk.number, self._source, self._opened, part, self._limits, levels=rate)
                starts += [chunk.start + start for start in rate.starts]
                found.append(len(rate.starts))
            self._num_scenes = found
            join_parts(self._plan, folder, sink, self._limits, self._source)
        return starts

    def with_levels(self, plan: Plan, levels: Sequence[int]) -> Plan:
        """Returns a plan whose chunks have the levels of their scenes."""
        given = zip(plan.chunks, self._by_chunk(levels), strict=True)
        return replace(plan, chunks=tuple(replace(chunk, levels=tuple(own)) for chunk, own in given))

    def _by_chunk(self, levels: Sequence[int]) -> list[Sequence[int]]:
        if len(levels) == 1:
            return [levels] * len(self._plan.chunks)
        ends = [sum(self._num_scenes[: number + 1]) for number in range(len(self._num_scenes))]
        return [levels[end - count : end] for end, count in zip(ends, self._num_scenes, strict=True)]


def plan_probes(
    target: QualityTarget, plan: Plan, source: str, opened: OpenedModel, limits: Limits
) -> tuple[QualityProbes, PlannedClip]:
    """Returns what measures a plan's clip, and what codes it. EnvironmentFault where no ffmpeg has the metric."""
    clip = PlannedClip(plan, source, opened, limits)
    pictures = partial(open_input, source, plan.options, limits)
    with pictures() as reader:
        name, video_format = reader.name, reader.format
    return QualityProbes(target, name, opened, video_format, pictures, clip), clip
