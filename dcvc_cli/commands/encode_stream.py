"""Encodes one input as the command line asks, or many inputs into a folder."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.commands.encode_lines import coding_line, frame_line, report_head, row_of, summary_line, warnings_of
from dcvc_cli.commands.positions import Position, input_span
from dcvc_cli.format.colour_names import MATRICES, PRIMARIES, TRANSFERS, code_point, colour_range
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import UNSPECIFIED, ColourDescription, PictureSize, Rational
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.coding.frame_report import FrameReport
    from dcvc_cli.coding.opened_models import OpenedModel
    from dcvc_cli.coding.report_files import CsvReport, JsonReport, TextSink
    from dcvc_cli.commands.batch import Job


@dataclass(frozen=True)
class ColourTags:
    """Colour tags of the command line; None for a tag that it does not set."""

    primaries: int | None = None
    transfer: int | None = None
    matrix: int | None = None
    full_range: bool | None = None

    @classmethod
    def parse(cls, primaries: str | None, transfer: str | None, matrix: str | None, full: str | None) -> "ColourTags":
        """Reads the tags of the options; UsageError for unknown names."""
        return cls(
            None if primaries is None else code_point("--colorprim", PRIMARIES, primaries),
            None if transfer is None else code_point("--transfer", TRANSFERS, transfer),
            None if matrix is None else code_point("--colormatrix", MATRICES, matrix),
            None if full is None else colour_range("--range", full),
        )

    def over(self, colour: ColourDescription) -> tuple[ColourDescription, list[str]]:
        """Returns (the colour of an input with these tags over its own, a phrase for each tag of the input that
        differs)."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        said = {name: getattr(colour, name) for name in given}
        differing = [
            f"{name.replace('_', ' ')} {said[name]}, the command line {value}"
            for name, value in given.items()
            if said[name] not in (None, UNSPECIFIED, value) or (name == "full_range" and said[name] == (not value))
        ]
        return replace(colour, **given), differing


@dataclass(frozen=True)
class EncodeChoices:
    """The options of `dcvc encode`, the same for every input of a batch."""

    settings: EncodeSettings
    overwrite: bool = False
    size: PictureSize | None = None
    frame_rate: Rational | None = None
    input_depth: int | None = None
    input_format: str | None = None
    seek: Position = 0
    frames: Position | None = None
    limits: Limits = field(default_factory=Limits.from_environment)
    psnr: bool = False
    msssim: bool = False
    colour: ColourTags = ColourTags()
    keep_tracks: bool = True
    stats: str | None = None
    progress: ProgressMode = ProgressMode.AUTO
    quiet: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class EncodeReports:
    """Files beside the stream; None for none.

    Attributes:
        recon: decoded pictures.
        csv_file: a line for each frame.
        json_file: settings, frames and sums.
    """

    recon: str | None = None
    csv_file: str | None = None
    json_file: str | None = None


def encode_batch(sources: Sequence[str], folder: str, choices: EncodeChoices, jobs: int, skip_existing: bool) -> None:
    """Encodes every input into a stream of its name in `folder`.

    Raises:
        UsageError: two inputs would have one output.
        BatchError: some inputs failed.
    """
    from dcvc_cli.commands.batch import output_jobs, run_batch, threads_of_each

    settings = replace(choices.settings, threads=threads_of_each(choices.settings.threads, jobs))
    each = replace(choices, settings=settings, progress=choices.progress if jobs == 1 else ProgressMode.NONE)
    skip = partial(is_whole_stream, choices.limits) if skip_existing else None
    run_batch(
        output_jobs(sources, folder, ".dcvc"), jobs, partial(_start_encoding, each), skip=skip, quiet=choices.quiet
    )


def _start_encoding(choices: EncodeChoices, skips_others: bool, worker: int) -> "Callable[[Job], str]":
    """Makes a function that encodes one input, with the model loaded once."""
    opened: list[OpenedModel] = []

    def encode(job: "Job") -> str:
        if not opened:
            opened.append(_open_model(choices.settings))
        # --skip-existing replaces an output that is there and not whole.
        each = replace(choices, overwrite=choices.overwrite or skips_others)
        return encode_stream(job.source, job.output, each, EncodeReports(), opened[0])

    return encode


def is_whole_stream(limits: Limits, source: str, output: str) -> bool:
    """Returns whether `output` is a stream without a fault, to its end unit."""
    from dcvc_cli.coding.inspect import inspect_stream
    from dcvc_cli.coding.stream_source import StreamSource
    from dcvc_cli.errors import DcvcError

    try:
        with StreamSource(output) as stream:
            facts = inspect_stream(output, stream, limits)
    except DcvcError:
        return False
    return facts.has_end and not facts.faults


def encode_stream(
    source: str, output: str, choices: EncodeChoices, wanted: EncodeReports, opened: "OpenedModel | None" = None
) -> str:
    """Encodes an input into `output`; returns one line about what was written.

    Args:
        opened: the model of the settings where it is loaded already.
    """
    from dcvc_cli.api.encoder import Encoder
    from dcvc_cli.coding.rate_choice import check_one_reading, check_stats
    from dcvc_cli.coding.report_files import summary_values
    from dcvc_cli.media import open_reader, open_writer
    from dcvc_cli.media.endings import CSV, JSON, STREAM, check_ending
    from dcvc_cli.media.output import OutputFile
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice

    check_ending("-o", output, STREAM)
    check_ending("--csv", wanted.csv_file, CSV)
    check_ending("--json", wanted.json_file, JSON)
    settings, overwrite = choices.settings, choices.overwrite
    check_stats(settings, choices.stats)
    if source == "-":
        # Before anything is read: a pipe's sender may never send.
        check_one_reading(settings, "standard input")
    voice = Voice(choices.quiet, choices.verbose)
    seek, frames = input_span(source, choices)
    with ExitStack() as stack:
        reader = stack.enter_context(
            open_reader(
                source,
                size=choices.size,
                frame_rate=choices.frame_rate,
                bit_depth=choices.input_depth,
                input_format=choices.input_format,
                skip_frames=seek,
                max_frames=frames,
                limits=choices.limits,
                keep_tracks=choices.keep_tracks,
            )
        )
        colour, differing = choices.colour.over(reader.format.colour)
        reader.format = replace(reader.format, colour=colour)
        for phrase in differing:
            voice.warn(f"{reader.name} says {phrase}: the command line counts")
        recon = (
            None
            if wanted.recon is None
            else stack.enter_context(open_writer(wanted.recon, reader.format, overwrite=overwrite, option="--recon"))
        )
        voice.note(f"{reader.name}: {reader.description}")
        num_told = len(reader.notes)
        for note in reader.notes:
            voice.note(f"note: {note}")
        num_pixels = reader.format.size.num_pixels

        def on_frame(report: "FrameReport") -> None:
            display.advance(report.size_bytes)
            if reports or choices.verbose:
                row = row_of(report, settings, num_pixels)
                for file in reports:
                    file.add(row)
                voice.detail(frame_line(report))

        encoder = stack.enter_context(
            Encoder(
                output,
                reader,
                overwrite=overwrite,
                settings=settings,
                model=opened,
                limits=choices.limits,
                psnr=choices.psnr,
                msssim=choices.msssim,
                recon=recon,
                on_frame=on_frame,
                stats=choices.stats,
                tell=voice.note,
            )
        )
        voice.note(coding_line(encoder.model, settings))
        encoder.prepare()
        head = report_head(encoder.model, settings, reader)
        reports = _open_reports(stack, wanted.csv_file, wanted.json_file, overwrite, head)
        rate = float(reader.format.frame_rate)
        with open_progress(
            choices.progress, "encode", num_frames=reader.num_frames, frame_rate=rate, quiet=choices.quiet
        ) as display:
            encoder.encode_all()
            summary = encoder.complete()
        for note in reader.notes[num_told:]:
            voice.note(f"note: {note}")
        reached: dict[str, Any] = {}
        if encoder.reached is not None:
            voice.note(f"{encoder.name}: {encoder.reached.text}")
            reached = {"target": encoder.reached.values()}
        for sentence in warnings_of(encoder, reader.name):
            voice.warn(sentence)
        for file in reports:
            file.finish(summary_values(summary) | reached)
        # All outputs appear or none: an output that finds no room fails before the first one gets its name.
        if recon is not None:
            recon.complete()
        for file in reports:
            if isinstance(file.sink, OutputFile):
                file.sink.complete()
            else:
                file.sink.flush()
    return summary_line(encoder.name, summary)


def _open_model(settings: EncodeSettings) -> "OpenedModel":
    from dcvc_cli.coding.opened_models import open_model

    return open_model(settings.model, settings.precision, settings.device, settings.threads)


def _open_reports(
    stack: ExitStack, csv_file: str | None, json_file: str | None, overwrite: bool, head: dict[str, Any]
) -> "list[CsvReport | JsonReport]":
    from dcvc_cli.coding.report_files import CsvReport, JsonReport
    from dcvc_cli.media import OutputFile

    def sink(name: str) -> "TextSink":
        # OutputFile refuses a terminal, and text may go to one.
        return stack.enter_context(
            nullcontext(sys.stdout.buffer) if name == "-" else OutputFile(name, overwrite=overwrite)
        )

    reports: list[CsvReport | JsonReport] = []
    if csv_file is not None:
        reports.append(CsvReport(sink(csv_file)))
    if json_file is not None:
        reports.append(JsonReport(sink(json_file), head))
    return reports
