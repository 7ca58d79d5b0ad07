"""Makes plans, codes their chunks and joins them, as the command line asks."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dcvc_cli.coding.encode_settings import EncodeSettings, option_name
from dcvc_cli.commands.encode_stream import EncodeChoices
from dcvc_cli.commands.positions import input_span
from dcvc_cli.errors import StreamError, UsageError

if TYPE_CHECKING:
    from dcvc_cli.coding.chunk_plan import InputOptions, Plan
    from dcvc_cli.coding.frame_report import FrameReport
    from dcvc_cli.coding.plan_making import ChunkFrames
    from dcvc_cli.format.limits import Limits
    from dcvc_cli.ui.voice import Voice

_CHUNK_FRAMES = re.compile(r"(\d{1,7}):(\d{1,7})", re.ASCII)
_CHUNK = re.compile(r"(.+):(\d{1,7})", re.ASCII | re.DOTALL)
_INPUT_OPTIONS = {
    "input_res": "--input-res",
    "fps": "--fps",
    "input_depth": "--input-depth",
    "input_format": "--input-format",
    "colorprim": "--colorprim",
    "transfer": "--transfer",
    "colormatrix": "--colormatrix",
    "colour_range": "--range",
    "frames": "--frames",
    "hash_name": "--hash",
    "preset": "--preset",
    "config": "--config",
    "recon": "--recon",
    "csv_file": "--csv",
    "json_file": "--json",
    "stats": "--stats",
}
"""Options of `dcvc encode`, besides the settings, that do not go with a plan; by parameter."""


def parse_chunk_frames(text: str | None) -> "ChunkFrames":
    """Lengths from LEAST:MOST; UsageError for anything else. None gives the defaults."""
    from dcvc_cli.coding.plan_making import ChunkFrames

    if text is None:
        return ChunkFrames()
    match = _CHUNK_FRAMES.fullmatch(text)
    if match is None:
        raise UsageError(f"--chunk-frames {text}: expected LEAST:MOST", "--chunk-frames 96:480")
    return ChunkFrames(int(match[1]), int(match[2]))


def parse_chunk(text: str) -> tuple[str, int]:
    """Reads (plan, number) from PLAN.json:N; UsageError for anything else."""
    match = _CHUNK.fullmatch(text)
    if match is None:
        raise UsageError(f"--chunk {text}: expected a plan and a number", "--chunk plan.json:7")
    return match[1], int(match[2])


def input_options(source: str, choices: EncodeChoices) -> "InputOptions":
    """Returns how a plan's input is read, with times turned into numbers of pictures."""
    from dcvc_cli.coding.chunk_plan import InputOptions

    seek, frames = input_span(source, choices)
    return InputOptions(
        choices.size,
        choices.frame_rate,
        choices.input_format,
        choices.input_depth,
        choices.colour.primaries,
        choices.colour.transfer,
        choices.colour.matrix,
        choices.colour.full_range,
        seek,
        frames,
        choices.keep_tracks,
    )


def read_and_plan(
    source: str,
    output: str,
    choices: EncodeChoices,
    options: "InputOptions",
    lengths: "ChunkFrames",
    allow_float: bool,
) -> None:
    """Writes the plan of an input."""
    from dcvc_cli.coding.plan_making import make_plan, open_input
    from dcvc_cli.media import OutputFile
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice

    voice = Voice(choices.quiet)
    with OutputFile(output, overwrite=choices.overwrite) as sink:
        with open_input(source, options, choices.limits) as reader:
            voice.note(f"{reader.name}: {reader.description}")
            num_frames, rate = reader.num_frames, float(reader.format.frame_rate)
        with open_progress(
            choices.progress, "plan", num_frames=num_frames, frame_rate=rate, quiet=choices.quiet
        ) as display:
            plan = make_plan(
                source,
                options,
                choices.settings,
                lengths,
                limits=choices.limits,
                allow_float=allow_float,
                on_frame=lambda: display.advance(0),
            )
        if choices.settings.target is not None:
            plan = _with_target(plan, source, choices.settings.target, choices.limits, sink.name, voice)
        sink.write(plan.to_json())
    voice.note(f"{sink.name}: {plan.num_frames} frames in {_told_chunks(plan)}")


def _with_target(plan: "Plan", source: str, asked: str, limits: "Limits", name: str, voice: "Voice") -> "Plan":
    """The plan with the QPs that give its chunks the quality asked for."""
    from dcvc_cli.coding.chunk_encode import open_plan_model
    from dcvc_cli.coding.plan_targets import plan_probes
    from dcvc_cli.coding.quality_run import ReachedQuality, search_quality
    from dcvc_cli.coding.quality_target import QualityTarget
    from dcvc_cli.commands.encode_lines import quality_warning

    target = QualityTarget.parse(asked)
    probes, clip = plan_probes(target, plan, source, open_plan_model(plan), limits)
    found = search_quality(target, source, probes, voice.note).levels
    reached = ReachedQuality(target, found.scores, found.levels, found.num_probes)
    voice.note(f"{name}: {reached.text}")
    if warning := quality_warning(source, reached):
        voice.warn(warning)
    return clip.with_levels(plan, found.levels)


def _told_chunks(plan: "Plan") -> str:
    """How many chunks, how long, and where they begin."""
    lengths = [chunk.num_frames for chunk in plan.chunks]
    if len(lengths) == 1:
        return "one chunk"
    least, most = min(lengths), max(lengths)
    num_scenes = sum(chunk.begins == "scene" for chunk in plan.chunks)
    cuts = "none of them begins" if not num_scenes else f"{num_scenes} of them begin{'s' * (num_scenes == 1)}"
    return f"{len(lengths)} chunks of {least}{f' to {most}' * (least < most)} frames, {cuts} at a cut"


def refuse_beside_plan(option: str, given: Mapping[str, Any]) -> None:
    """Raises UsageError for an option whose value the plan holds, or that is for whole clips.

    Args:
        option: --plan or --chunk, for the message.
        given: parameters of `dcvc encode`.
    """
    settings = {
        setting.name: option_name(setting.name)
        for setting in fields(EncodeSettings)
        if setting.name not in ("device", "threads")
    }
    named = [name for key, name in (settings | _INPUT_OPTIONS).items() if given.get(key) is not None]
    switches = (("psnr", True), ("msssim", True), ("tracks", False))
    named += [f"--{'no-' * (not value)}{key}" for key, value in switches if given[key] is value]
    named += ["--seek"] if given["seek"] != "0" else []
    if named:
        raise UsageError(f"{option} takes settings and pictures from the plan, so {named[0]} does not go with it")


def encode_chunk_file(source: str, output: str, place: tuple[str, int], choices: EncodeChoices, skip: bool) -> None:
    """Codes one chunk of a plan.

    Args:
        place: (plan, number of the chunk).
        skip: keep an output that is there, whole and fitting, and replace another one.
    """
    from dcvc_cli.coding.chunk_encode import encode_chunk, open_plan_model
    from dcvc_cli.coding.chunk_join import check_part
    from dcvc_cli.coding.chunk_plan import read_plan
    from dcvc_cli.media import OutputFile
    from dcvc_cli.media.endings import STREAM, check_ending
    from dcvc_cli.ui.voice import Voice

    check_ending("-o", output, STREAM)
    voice = Voice(choices.quiet, choices.verbose)
    plan = read_plan(place[0])
    chunk = plan.chunk(place[1])
    if skip and os.path.isfile(output):
        try:
            check_part(plan, chunk.number, output)
        except StreamError as error:
            voice.note(f"{error}: coded again")
        else:
            voice.note(f"{output} is there and whole")
            return
    opened = open_plan_model(plan, _given_device(choices), choices.settings.threads)
    with (
        OutputFile(output, overwrite=choices.overwrite or skip) as sink,
        _progress(plan, chunk.num_frames, choices) as on_frame,
    ):
        summary = encode_chunk(plan, chunk.number, source, opened, sink, choices.limits, on_frame)
    last = chunk.start + chunk.num_frames - 1
    voice.note(
        f"{sink.name}: chunk {chunk.number} of {len(plan.chunks)}, frames {chunk.start} to {last}, {sink.size_bytes} "
        f"bytes, {summary.num_frames / max(summary.wall_seconds, 1e-9):.2f} fps"
    )


def encode_by_plan_file(source: str, output: str, plan_file: str, choices: EncodeChoices) -> None:
    """Codes and joins all chunks of a plan."""
    from dcvc_cli.coding.chunk_encode import open_plan_model
    from dcvc_cli.coding.chunk_join import encode_by_plan
    from dcvc_cli.coding.chunk_plan import read_plan
    from dcvc_cli.media import OutputFile
    from dcvc_cli.media.endings import STREAM, check_ending

    check_ending("-o", output, STREAM)
    plan = read_plan(plan_file)
    opened = open_plan_model(plan, _given_device(choices), choices.settings.threads)
    with (
        OutputFile(output, overwrite=choices.overwrite) as sink,
        _progress(plan, plan.num_frames, choices) as on_frame,
    ):
        num_left_out = encode_by_plan(plan, source, opened, sink, choices.limits, on_frame)
    _tell_joined(plan, sink.name, sink.size_bytes, num_left_out, choices.quiet)


def join_by_plan(plan_file: str, folder: str, output: str, source: str | None, overwrite: bool, quiet: bool) -> None:
    """Joins the parts of a plan."""
    from dcvc_cli.coding.chunk_join import join_parts
    from dcvc_cli.coding.chunk_plan import read_plan
    from dcvc_cli.format.limits import Limits
    from dcvc_cli.media import OutputFile

    plan = read_plan(plan_file)
    with OutputFile(output, overwrite=overwrite) as sink:
        num_left_out = join_parts(plan, folder, sink, Limits.from_environment(), source)
    _tell_joined(plan, sink.name, sink.size_bytes, num_left_out, quiet)


def _tell_joined(plan: "Plan", name: str, size_bytes: int, num_left_out: int, quiet: bool) -> None:
    from dcvc_cli.ui.voice import Voice

    voice = Voice(quiet)
    if num_left_out:
        voice.warn(f"{num_left_out} packets of other tracks are too large for a stream: left out")
    voice.note(f"{name}: {len(plan.chunks)} chunks, {plan.num_frames} frames, {size_bytes} bytes")


def _given_device(choices: EncodeChoices) -> str | None:
    """Returns the device of the command line; None where it names none."""
    return None if choices.settings.device == "auto" else choices.settings.device


@contextmanager
def _progress(plan: "Plan", num_frames: int, choices: EncodeChoices) -> "Iterator[Callable[[FrameReport], None]]":
    from dcvc_cli.commands.encode_lines import frame_line
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice

    voice = Voice(choices.quiet, choices.verbose)
    num, den = plan.stream_format.frame_rate
    with open_progress(
        choices.progress, "encode", num_frames=num_frames, frame_rate=num / den if den else 0.0, quiet=choices.quiet
    ) as display:

        def on_frame(report: "FrameReport") -> None:
            display.advance(report.size_bytes)
            voice.detail(frame_line(report))

        yield on_frame
