"""Files of `--stats`: what each frame took in a first pass, for second passes at any bitrate."""

import json
import os
from collections.abc import Mapping
from typing import Any

from dcvc_cli import __version__
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, OpenedModel
from dcvc_cli.coding.plan_making import source_facts
from dcvc_cli.control.two_pass import CodedFrame
from dcvc_cli.errors import InputError
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.types import VideoFormat
from dcvc_cli.media import OutputFile

STATS_FORMAT, STATS_VERSION = "dcvc stats", 2
MAX_STATS_BYTES = 1 << 30
MAX_FRAME_BITS = 1 << 34
SETTINGS_THAT_COUNT = (
    "keyint",
    "force_keyframes",
    "scenecut",
    "min_keyint",
    "reset_interval",
    "force_zero_thres",
    "entropy_format",
)
"""Settings that change which frames are I frames, or what a frame takes at a QP."""


def pass_key(
    source: str,
    span: tuple[int, int | None],
    video_format: VideoFormat,
    settings: EncodeSettings,
    opened: OpenedModel,
) -> dict[str, Any]:
    """Returns the clip and settings that a first pass holds for, as JSON values by name.

    Args:
        span: (pictures left out at the start, pictures coded at most).
    """
    size_bytes, digest = source_facts(source)
    values = {name: getattr(settings, name) for name in SETTINGS_THAT_COUNT}
    values["force_keyframes"] = list(settings.force_keyframes)
    values["has_buffer"] = settings.maxrate is not None
    return {
        "dcvc_version": __version__,
        "input": {"size_bytes": size_bytes, "digest": digest, "seek": span[0], "frames": span[1]},
        "video": {
            "size": str(video_format.size),
            "frame_rate": str(video_format.frame_rate),
            "chroma_format": video_format.chroma.value,
        },
        "model": {"precision": NAMES_OF_PRECISIONS[opened.precision], **opened.weights.fingerprint_texts},
        "settings": values,
    }


def write_stats(path: str, key: Mapping[str, Any], frames: list[CodedFrame]) -> None:
    """Writes the file of a first pass; InputError where it cannot be written."""
    rows = [[int(frame.is_key), frame.qp, frame.num_bits] for frame in frames]
    values = {"format": STATS_FORMAT, "stats_version": STATS_VERSION, **key, "frames": rows}
    with OutputFile(path, overwrite=False) as sink:
        sink.write((json.dumps(values) + "\n").encode())


def read_stats(path: str, key: Mapping[str, Any]) -> list[CodedFrame] | None:
    """Reads the frames of a first pass; None where there is no such file.

    Raises:
        InputError: the file is unreadable or no stats file, or it is of another input, other settings, weights or
            another version of dcvc.
    """
    if not os.path.lexists(path):
        return None
    way_out = "name a file that does not exist: the first pass is done again and kept there"
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_STATS_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MAX_STATS_BYTES:
        raise InputError(f"{path} is larger than {MAX_STATS_BYTES} bytes, the limit of a stats file", way_out)
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON, expected a file of --stats", way_out) from error
    if not isinstance(values, dict) or values.get("format") != STATS_FORMAT:
        raise InputError(f"{path} is no file of --stats", way_out)
    if values.get("stats_version") != STATS_VERSION:
        raise InputError(f"{path} is of another version of the stats format than {STATS_VERSION}", way_out)
    for name, expected in key.items():
        if values.get(name) != expected:
            found = json.dumps(values.get(name))[:200]
            raise InputError(
                f"{path} is the first pass of another {name}: {found}, not {json.dumps(expected)}", way_out
            )
    rows = values.get("frames")
    if not isinstance(rows, list) or not rows or not all(_is_row(row) for row in rows):
        raise InputError(f"{path} does not hold together: its frames are no rows of type, QP and bits", way_out)
    return [CodedFrame(bool(row[0]), row[1], row[2]) for row in rows]


def _is_row(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 3
        and all(type(value) is int for value in row)
        and row[0] in (0, 1)
        and 0 <= row[1] <= MAX_BASE_QP
        and 0 <= row[2] < MAX_FRAME_BITS
    )
