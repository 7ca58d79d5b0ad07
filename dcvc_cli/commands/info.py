"""`dcvc info`: shows what a .dcvc stream holds."""

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import STREAM_HELP, JsonOption, LimitOptions
from dcvc_cli.errors import BatchError, DcvcError, StreamError
from dcvc_cli.format.limits import Limits
from dcvc_cli.ui.console import say

if TYPE_CHECKING:
    from dcvc_cli.bitstream.sps import Sps
    from dcvc_cli.bitstream.validate import Fault
    from dcvc_cli.coding.inspect import StreamFacts

MAX_TEXTS = MAX_SPS = 64
"""How many texts and SPSs the tables show; JSON holds all."""


@takes_options
def info(
    *,
    sources: Annotated[list[str], typer.Argument(metavar="IN.dcvc...", help=STREAM_HELP)],
    as_json: JsonOption = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check every rule of the format; print offset and rule of each fault.")
    ] = False,
    frame_table: Annotated[
        bool, typer.Option("--frame-table/--no-frame-table", help="Print a line for each frame, or list it in JSON.")
    ] = True,
    limit: LimitOptions,
) -> None:
    """Show what a .dcvc stream holds: its parameters, frames, bitrate, model and checks.

    memory_bytes estimates the memory that decoding takes. A stream beyond the limits is shown too, with exit code 4.

    The result goes to standard output. No picture is decoded: `dcvc decode` checks the pictures. A damaged or cut
    stream is shown as far as it can be read, with exit code 4. Of several streams each is shown, and the exit code is 6
    if one has faults.
    """
    limits = limit.limits()
    show = partial(_validate, as_json) if validate else partial(_show, as_json, frame_table, limits)
    if len(sources) == 1:
        show(sources[0])
        return
    num_failed = 0
    for source in sources:
        try:
            # In JSON, one document a stream, one after the other.
            show(source)
        except DcvcError as error:
            num_failed += 1
            say(f"error: {error} [exit code {error.exit_code}]")
    if num_failed:
        raise BatchError(f"{num_failed} of {len(sources)} streams have faults")


def _show(as_json: bool, frame_table: bool, limits: Limits, source: str) -> None:
    from dcvc_cli.coding.inspect import inspect_stream, stream_values
    from dcvc_cli.coding.memory import decoding_memory
    from dcvc_cli.coding.stream_source import StreamSource, naming

    with StreamSource(source) as stream, naming(stream.name):
        facts = inspect_stream(stream.name, stream, limits)
    if as_json:
        print(json.dumps(stream_values(facts, frames=frame_table), indent=2))
    else:
        _print_facts(facts, frame_table)
    sys.stdout.flush()
    _refuse_faults(facts.name, facts.faults)
    for sps in facts.all_sps:
        limits.check_stream(facts.name, sps.width, sps.height, decoding_memory(sps))


def _validate(as_json: bool, source: str) -> None:
    from dcvc_cli.bitstream.validate import validate_stream
    from dcvc_cli.coding.inspect import fault_values
    from dcvc_cli.coding.report_files import SCHEMA_VERSION
    from dcvc_cli.coding.stream_source import StreamSource

    with StreamSource(source) as stream:
        faults = validate_stream(stream)
        name = stream.name
    if as_json:
        print(
            json.dumps(
                {
                    "schema_version": SCHEMA_VERSION,
                    "name": name,
                    "is_valid": not faults,
                    "faults": fault_values(faults),
                },
                indent=2,
            )
        )
    else:
        for fault in faults:
            print(f"byte {fault.offset}: {fault.rule.value}: {fault.message}")
        if not faults:
            print(f"{name}: valid")
    sys.stdout.flush()
    _refuse_faults(name, faults)


def _refuse_faults(name: str, faults: "list[Fault]") -> None:
    if faults:
        first = faults[0]
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise StreamError(
            f"{name}: the stream is damaged at byte {first.offset}: {first.message} [{first.rule.value}]{more}"
        )


def _print_facts(facts: "StreamFacts", frame_table: bool) -> None:
    from dcvc_cli.coding.inspect import sps_values, track_values, weights_status
    from dcvc_cli.ui.tables import print_table

    num_i = sum(row.frame_type == "I" for row in facts.frames)
    # Where units hold several pictures, the counts of I and P are counts of units.
    units = " units" if facts.num_pictures != len(facts.frames) else ""
    duration, kbps = facts.duration_seconds, facts.bitrate_kbps
    rows: list[tuple[str, Any]] = [
        ("size_bytes", facts.size_bytes),
        ("frames", f"{facts.num_pictures} ({num_i} I, {len(facts.frames) - num_i} P{units})"),
        ("duration_seconds", "unknown" if duration is None else f"{duration:.3f}"),
        ("bitrate_kbps", "unknown" if kbps is None else f"{kbps:.3f}"),
        ("bpp", f"{facts.bpp:.6f}"),
        ("picture hashes", facts.num_hashes),
        *((f"track {values['track']}", _track_shown(values)) for values in map(track_values, facts.tracks)),
        ("picture metadata", facts.num_metadata),
        ("index", "yes" if facts.has_index else "no"),
        ("end unit", "yes" if facts.has_end else "no"),
        ("joined streams", facts.num_parts),
        (
            "checks",
            "every unit is intact"
            if not facts.faults
            else f"{len(facts.faults)} fault{'s' if len(facts.faults) > 1 else ''}",
        ),
    ]
    print_table([facts.name, ""], [(name, str(value)) for name, value in rows], to_stdout=True)
    for text in facts.texts[:MAX_TEXTS]:
        # Text from a stream may hold anything, even terminal control sequences.
        print("text: " + "".join(character if character.isprintable() else "?" for character in text))
    for number, sps in enumerate(facts.all_sps[:MAX_SPS]):
        values = sps_values(sps) | {"weights": weights_status(sps)}
        print_table([f"SPS {number}", ""], [(name, _shown(value)) for name, value in values.items()], to_stdout=True)
    if frame_table:
        has_times = any(row.times for row in facts.frames)
        cells = [
            (
                str(row.index),
                row.frame_type,
                str(row.qp_frame),
                str(row.size_bytes),
                str(row.offset),
                "yes" if row.reset else "",
                *([_times_shown(row.times, facts.all_sps[row.sps_number])] if has_times else []),
            )
            for row in facts.frames
        ]
        columns = ["frame", "type", "qp_frame", "size_bytes", "offset", "reset", *(["seconds"] if has_times else [])]
        print_table(columns, cells, to_stdout=True)


def _track_shown(values: dict[str, Any]) -> str:
    return " ".join(str(values[key]) for key in ("kind", "codec", "language") if values[key])


def _times_shown(times: tuple[int, ...], sps: "Sps") -> str:
    """Returns the times of a unit's pictures in seconds."""
    base = sps.time_base
    return "" if base is None else " ".join(f"{time * base.den / base.num:.6f}" for time in times)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value)
