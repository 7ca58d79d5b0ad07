"""Writes CSV and JSON reports of an encode frame by frame, so that memory does not grow with the clip."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from dcvc_cli.coding.encode import EncodeSummary
from dcvc_cli.coding.frame_report import QUALITY_NAMES, FrameReport

SCHEMA_VERSION = 1
"""Version of every JSON document about coding. Within a version names may be added, and none is changed or removed."""
_COLUMNS = ("index", "type", "qp_base", "qp_frame", "size_bytes", "bpp", *QUALITY_NAMES, "seconds")


class TextSink(Protocol):
    """An OutputFile, or the binary side of standard output."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


def frame_row(report: FrameReport, qp_base: int, num_pixels: int) -> dict[str, Any]:
    """Puts one frame under the names of the reports, with the measures that were taken.

    Args:
        qp_base: QP that was asked for; the frame's own may be higher.
        num_pixels: luma samples of a picture.
    """
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
    """Writes a head line, then a line for each frame. The cell of a measure that was not taken stays empty."""

    def __init__(self, sink: TextSink) -> None:
        self.sink = sink
        sink.write((",".join(_COLUMNS) + "\n").encode())

    def add(self, row: Mapping[str, Any]) -> None:
        self.sink.write((",".join(str(row.get(name, "")) for name in _COLUMNS) + "\n").encode())

    def finish(self, sums: Mapping[str, Any]) -> None:
        """Does nothing: the JSON report has the sums."""


class JsonReport:
    """Writes one document: settings, a line for each frame, sums.

    Args:
        head: JSON values that stand before the frames, by name: `settings`, `video`, `model`.
    """

    def __init__(self, sink: TextSink, head: Mapping[str, Any]) -> None:
        self.sink, self._separator = sink, "\n"
        lines = "".join(
            f"{json.dumps(name)}: {json.dumps(value)},\n"
            for name, value in {"schema_version": SCHEMA_VERSION, **head}.items()
        )
        sink.write(("{\n" + lines + '"frames": [').encode())

    def add(self, row: Mapping[str, Any]) -> None:
        self.sink.write((self._separator + json.dumps(row)).encode())
        self._separator = ",\n"

    def finish(self, sums: Mapping[str, Any]) -> None:
        """Writes the sums, JSON values by name, and ends the document."""
        self.sink.write(f'\n],\n"summary": {json.dumps(sums)}\n}}\n'.encode())


def summary_values(summary: EncodeSummary) -> dict[str, Any]:
    """Returns the sums of an encode as JSON values."""
    values = asdict(summary)
    quality = values.pop("quality")
    return {
        name: round(value, 6) if isinstance(value, float) else value for name, value in {**values, **quality}.items()
    }
