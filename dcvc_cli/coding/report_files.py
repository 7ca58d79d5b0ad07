"""CSV and JSON reports of an encode, written frame by frame: memory stays flat over a long clip."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from dcvc_cli.coding.encode import EncodeSummary
from dcvc_cli.coding.frame_report import QUALITY_NAMES, FrameReport

SCHEMA_VERSION = 1
"""Of every JSON document and line that dcvc writes about coding: names are added, never changed or removed, within a version."""
_COLUMNS = ("index", "type", "qp_base", "qp_frame", "size_bytes", "bpp", *QUALITY_NAMES, "seconds")


class TextSink(Protocol):
    """An OutputFile, or standard output's bytes."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


def frame_row(report: FrameReport, qp_base: int, num_pixels: int) -> dict[str, Any]:
    """One frame under the names of the reports; only measures that were taken."""
    return {
        "index": report.index,
        "type": report.frame_type,
        "qp_base": qp_base,
        "qp_frame": report.qp_frame,
        "size_bytes": report.size_bytes,
        "bpp": round(8 * report.size_bytes / num_pixels, 6),
        **{name: round(value, 6) for name, value in report.quality.items()},
        "seconds": round(report.seconds, 6),
    }


class CsvReport:
    """A head line, then a line a frame; cells of measures that were not taken stay empty."""

    def __init__(self, sink: TextSink) -> None:
        self.sink = sink
        sink.write((",".join(_COLUMNS) + "\n").encode())

    def add(self, row: Mapping[str, Any]) -> None:
        self.sink.write((",".join(str(row.get(name, "")) for name in _COLUMNS) + "\n").encode())

    def finish(self, summary: EncodeSummary) -> None:
        """Nothing: the sums stand in the JSON report."""


class JsonReport:
    """One document: what was asked for, a line a frame, the sums.

    Args:
        head: `settings`, `video` and the like, JSON values by name.
    """

    def __init__(self, sink: TextSink, head: Mapping[str, Any]) -> None:
        self.sink, self._separator = sink, "\n"
        lines = "".join(f"{json.dumps(name)}: {json.dumps(value)},\n" for name, value in {"schema_version": SCHEMA_VERSION, **head}.items())
        sink.write(("{\n" + lines + '"frames": [').encode())

    def add(self, row: Mapping[str, Any]) -> None:
        self.sink.write((self._separator + json.dumps(row)).encode())
        self._separator = ",\n"

    def finish(self, summary: EncodeSummary) -> None:
        self.sink.write(f'\n],\n"summary": {json.dumps(summary_values(summary))}\n}}\n'.encode())


def summary_values(summary: EncodeSummary) -> dict[str, Any]:
    """The sums of an encode as JSON values."""
    values = asdict(summary)
    quality = values.pop("quality")
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in {**values, **quality}.items()}
