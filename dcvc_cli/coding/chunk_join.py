"""Joins the parts of a plan into the stream of the whole clip, and refuses parts that do not fit."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

from dcvc_cli.bitstream.sei import FreeText
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import EndUnit, FrameUnit, MetadataUnit, SeiUnit, StartUnit, Unit
from dcvc_cli.coding.chunk_encode import check_source, encode_chunk
from dcvc_cli.coding.chunk_plan import Chunk, Plan
from dcvc_cli.coding.frame_report import FrameCallback
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.coding.plan_making import open_input
from dcvc_cli.coding.stream_source import StreamSource, naming
from dcvc_cli.coding.track_feed import TrackFeed, track_feed
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.registry import limits_of
from dcvc_cli.format.limits import Limits
from dcvc_cli.media import OutputFile
from dcvc_cli.staged_files import StagedFolder

_AGAIN = "code the chunk again"


def part_name(number: int) -> str:
    """Returns the file name of a chunk's stream."""
    return f"{number}.dcvc"


def join_parts(plan: Plan, folder: str, sink: OutputFile, limits: Limits, source: str | None = None) -> int:
    """Joins the parts of a plan. The stream has one settings text, one index, one end, and the other tracks of the
    input.

    Args:
        folder: has each part under the name of `part_name`.
        source: the input on this machine, read only where the stream carries other tracks; None = the plan's path.

    Returns:
        the number of packets that are too large for a stream.

    Raises:
        InputError: parts are missing, or the input is not the plan's.
        StreamError: a part is damaged or does not fit the plan.
    """
    names = [os.path.join(folder, part_name(chunk.number)) for chunk in plan.chunks]
    missing = [name for name in names if not os.path.exists(name)]
    if missing:
        listed = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise InputError(f"{len(missing)} of {len(names)} parts are missing: {listed}", "code these chunks")
    with ExitStack() as stack:
        feed = _open_tracks(plan, source or plan.source, limits, stack) if plan.carries_tracks else None
        writer = StreamWriter(sink, limits_of=limits_of)
        join = _Join(plan, writer, feed)
        for chunk, name in zip(plan.chunks, names, strict=True):
            with StreamSource(name) as part:
                _read_part(plan, chunk, part, join.take)
        if feed is not None and not feed.is_limited:
            feed.write_until(writer, None)
        writer.finish()
        return 0 if feed is None else feed.num_left_out


def check_part(plan: Plan, number: int, name: str) -> None:
    """Reads a whole part; StreamError where it is damaged or does not fit the plan."""
    with StreamSource(name) as part:
        _read_part(plan, plan.chunk(number), part, lambda unit: None)


def encode_by_plan(
    plan: Plan,
    source: str,
    opened: OpenedModel,
    sink: OutputFile,
    limits: Limits,
    on_frame: FrameCallback | None = None,
) -> int:
    """Codes all chunks of a plan, one after the other, and joins them; returns what `join_parts` does.

    The parts stand meanwhile in a hidden folder beside the output, or in the folder for temporary files where the
    output is a pipe.
    """
    beside = os.path.dirname(os.path.realpath(sink.name)) if sink.seekable_stream is not None else _temporary_folder()
    folder = StagedFolder(Path(beside))
    try:
        for chunk in plan.chunks:
            with OutputFile(str(folder.path / part_name(chunk.number)), overwrite=True) as part:
                encode_chunk(plan, chunk.number, source, opened, part, limits, on_frame)
        return join_parts(plan, str(folder.path), sink, limits, source)
    finally:
        folder.drop()


def _temporary_folder() -> str:
    import tempfile

    return tempfile.gettempdir()


class _Join:
    """Writes the units of parts into one stream."""

    def __init__(self, plan: Plan, writer: StreamWriter, feed: TrackFeed | None) -> None:
        self._plan, self._writer, self._feed = plan, writer, feed
        self._num_pictures = 0
        self._has_begun = False

    def take(self, unit: Unit) -> None:
        """Takes the next unit of a part that fits."""
        if isinstance(unit, FrameUnit):
            if self._feed is not None:
                self._feed.write_until(self._writer, self._seconds(unit))
            sps_id = self._writer.use_sps(unit.sps)
            self._writer.write_frame(unit.frame_type, sps_id, unit.qp, unit.reset, unit.payload, unit.pictures)
            self._num_pictures += unit.pictures.num_pictures
        elif isinstance(unit, SeiUnit):
            self._take_message(unit)
        elif isinstance(unit, MetadataUnit):
            self._writer.write_metadata(unit.message.picture, unit.message.kind, unit.message.data)

    def _take_message(self, unit: SeiUnit) -> None:
        if not isinstance(unit.message, FreeText):
            self._writer.write_message(unit.message)
        elif not self._has_begun:
            # The settings texts differ in their chunks only, so one stands for all.
            self._has_begun = True
            settings = unit.message.text.removesuffix(self._plan.label(0))
            self._writer.write_text(settings + self._plan.common_label)
            if self._feed is not None:
                self._feed.write_headers(self._writer, self._plan.stream_format)

    def _seconds(self, unit: FrameUnit) -> Fraction:
        """Returns when the last picture of a unit is shown; of even pictures, the first."""
        sps = unit.sps
        if sps.time_base is not None:
            return Fraction(max(unit.times) * sps.time_base.den, sps.time_base.num)
        if not sps.frame_rate_num:
            return Fraction(0)
        return Fraction(self._num_pictures * sps.frame_rate_den, sps.frame_rate_num)


def _read_part(plan: Plan, chunk: Chunk, part: StreamSource, take: Callable[[Unit], None]) -> None:
    """Gives the units of a part to `take`, each after a check that it fits; StreamError for one that does not."""
    num_frames, is_named, has_end = 0, False, False
    with naming(part.name):
        for unit in StreamReader(part):
            if has_end or (isinstance(unit, StartUnit) and num_frames):
                raise StreamError(f"{part.name} goes on after its end, expected one stream", _AGAIN)
            if isinstance(unit, SeiUnit) and isinstance(unit.message, FreeText):
                _check_label(plan, chunk, part.name, unit.message.text)
                is_named = True
            elif isinstance(unit, FrameUnit):
                if not is_named:
                    raise StreamError(f"{part.name} is no chunk of a plan", _AGAIN)
                _check_sps(plan, part.name, unit.sps)
                num_frames += unit.pictures.num_pictures
            has_end = isinstance(unit, EndUnit)
            take(unit)
    if not has_end:
        raise StreamError(f"{part.name} is cut short: its end is missing", _AGAIN)
    if num_frames != chunk.num_frames:
        raise StreamError(f"{part.name} holds {num_frames} frames, chunk {chunk.number} has {chunk.num_frames}", _AGAIN)


def _check_label(plan: Plan, chunk: Chunk, name: str, text: str) -> None:
    if text.endswith(f" {plan.label(chunk.number)}"):
        return
    label = " ".join(text.split()[-2:])
    if label.startswith(f"{plan.common_label} chunk="):
        raise StreamError(f"{name} is chunk {label.rpartition('=')[2]}, expected chunk {chunk.number}", "rename it")
    if label.startswith("plan=") and " chunk=" in label:
        raise StreamError(f"{name} is a chunk of another plan: its settings, weights or input are others", _AGAIN)
    raise StreamError(f"{name} is no chunk of a plan", _AGAIN)


def _check_sps(plan: Plan, name: str, sps: Sps) -> None:
    if write_sps(sps) != plan.sps:
        raise StreamError(f"{name} is of another format, model or precision than the plan", _AGAIN)


def _open_tracks(plan: Plan, source: str, limits: Limits, stack: ExitStack) -> TrackFeed | None:
    """Opens the feed of the other tracks of the plan's input."""
    try:
        check_source(plan, source)
    except InputError as error:
        raise InputError(f"{error.message}, and the joined stream carries its tracks", "--input FILE") from error
    reader = stack.enter_context(open_input(source, plan.options, limits))
    # The first picture must be read before time 0 of the tracks is known.
    next(iter(reader))
    return track_feed(reader)
