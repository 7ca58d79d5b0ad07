"""Reads test configurations in the form of the DCVC test programs: which clips are coded, how many frames, and how
often an I frame comes.

    {"root_path": "data", "test_classes": {"HEVC_B": {"test": 1, "base_path": "HEVC_B", "src_type": "yuv420",
    "sequences": {
        "BQTerrace_1920x1080_60.yuv": {"width": 1920, "height": 1080, "frames": 96, "intra_period": -1}}}}}

A sequence is the file, or the folder of PNG files, root_path/base_path/name. Other members, which other programs use,
are ignored.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dcvc_cli.errors import InputError
from dcvc_cli.format.types import PictureSize
from dcvc_cli.metrics.results import object_without_repeats

MAX_CONFIG_BYTES = 4 << 20
MOST_FRAMES = 1 << 24
FIRST_FRAME_ONLY = -1
"""Intra period of a clip whose first frame is its only I frame."""


class SourceType(StrEnum):
    """Kinds of clips.

    Attributes:
        YUV420: raw 8-bit planar 4:2:0 files.
        PNG: folders of 8-bit RGB pictures.
        VIDEO: y4m, mkv and mp4 files; dcvc's own addition to the form.
    """

    YUV420 = "yuv420"
    PNG = "png"
    VIDEO = "video"


@dataclass(frozen=True)
class SequenceSource:
    """One clip of a test set.

    Attributes:
        size: picture size by the configuration; None where it says none, which raw files do not allow.
        num_frames: how many frames are coded, from the first on.
        intra_period: frames from one I frame to the next, FIRST_FRAME_ONLY = only the first frame is one.
    """

    class_name: str
    name: str
    path: Path
    source_type: SourceType
    size: PictureSize | None
    num_frames: int
    intra_period: int = FIRST_FRAME_ONLY


def read_test_config(path: Path, root: Path | None = None) -> tuple[SequenceSource, ...]:
    """Reads the clips of all classes that are to be tested, in the order of the file.

    Args:
        root: folder in place of the file's root_path. A relative root_path starts at the current folder.

    Raises:
        InputError: the file is unreadable, not JSON, or no test configuration; the message names the place.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes, expected a test configuration of at most {MAX_CONFIG_BYTES}"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        raise InputError(
            f"cannot read the test configuration {path}: {getattr(fault, 'strerror', None) or fault}"
        ) from fault
    return parse_test_config(text, str(path), root)


def parse_test_config(text: str, origin: str, root: Path | None = None) -> tuple[SequenceSource, ...]:
    """Parses the text of a configuration. `origin` names it in messages. InputError as in `read_test_config`."""
    try:
        document = json.loads(text, object_pairs_hook=object_without_repeats)
    except (ValueError, RecursionError) as fault:
        raise InputError(
            f"{origin}: not a test configuration: {fault}", "expected JSON with root_path and test_classes"
        ) from fault
    config = _Members(document, origin)
    folder = root if root is not None else Path(config.text("root_path", default="."))
    sequences: list[SequenceSource] = []
    for class_name, members in config.members("test_classes").items():
        if members.values.get("test", 1) not in (0, False):
            sequences += _class_sequences(class_name, members, folder)
    if not sequences:
        raise InputError(
            f"{origin}: no sequence is to be tested, expected at least one in a class whose `test` is not 0"
        )
    return tuple(sequences)


def _class_sequences(class_name: str, members: "_Members", root: Path) -> list[SequenceSource]:
    kind = members.text("src_type", default=SourceType.YUV420.value)
    if kind not in list(SourceType):
        raise InputError(f"{members.place}: src_type {kind!r} is not known, expected {', '.join(SourceType)}")
    source_type, folder = SourceType(kind), root / members.text("base_path", default="")
    return [_sequence(class_name, name, folder, source_type, own) for name, own in members.members("sequences").items()]


def _sequence(class_name: str, name: str, folder: Path, source_type: SourceType, members: "_Members") -> SequenceSource:
    size = None
    if source_type is SourceType.YUV420 or "width" in members.values or "height" in members.values:
        width, height = members.whole("width"), members.whole("height")
        try:
            size = PictureSize(width, height)
        except ValueError as fault:
            raise InputError(f"{members.place}: {fault}") from fault
    num_frames = members.whole("frames")
    if not 1 <= num_frames <= MOST_FRAMES:
        raise InputError(f"{members.place}: frames is {num_frames}, expected 1..{MOST_FRAMES}")
    # Older test programs call the intra period "gop".
    named = "gop" if "gop" in members.values and "intra_period" not in members.values else "intra_period"
    intra_period = members.whole(named, default=FIRST_FRAME_ONLY)
    if intra_period != FIRST_FRAME_ONLY and not 1 <= intra_period <= MOST_FRAMES:
        raise InputError(
            f"{members.place}: {named} is {intra_period}, expected 1 or more, or -1 for the first frame only"
        )
    if not name or "\0" in name:
        raise InputError(f"{members.place}: expected the name of a file or folder")
    return SequenceSource(class_name, name, folder / name, source_type, size, num_frames, intra_period)


class _Members:
    """A JSON object that checks its members as they are taken out."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise InputError(f"{place}: found {type(value).__name__}, expected a JSON object")
        self.values: dict[str, Any] = value
        self.place = place

    def _member(self, name: str, default: Any) -> Any:
        if name not in self.values and default is None:
            raise InputError(f"{self.place}: no {name}, found {', '.join(self.values) or 'nothing'}"[:300])
        return self.values.get(name, default)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._member(name, default)
        if not isinstance(value, str) or "\0" in value:
            raise InputError(f"{self.place}: {name} is {json.dumps(value)[:100]}, expected a text")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        value = self._member(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(f"{self.place}: {name} is {json.dumps(value)[:100]}, expected a whole number")
        return value

    def members(self, name: str) -> dict[str, "_Members"]:
        inner = _Members(self._member(name, None), f"{self.place}: {name}")
        return {key: _Members(value, f"{self.place}: {key}") for key, value in inner.values.items()}
