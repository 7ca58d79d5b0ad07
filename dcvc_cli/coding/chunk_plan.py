"""The plan of a clip and its file. A plan splits the clip into chunks that any machines code apart; the coded chunks
are then joined."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from dcvc_cli import __version__
from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.sps_syntax import read_sps
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.control.levels import MAX_LEVEL, PARTS
from dcvc_cli.errors import DcvcError, InputError, UsageError
from dcvc_cli.format.types import PictureSize, Rational, VideoFormat

PLAN_FORMAT = "dcvc plan"
PLAN_VERSION = 2
"""2: chunks have QPs, which `--target` found."""
MAX_PLAN_BYTES = 64 << 20
MAX_CHUNK_FRAMES = 1_000_000
MACHINE_SETTINGS = ("device", "threads")
"""Settings of the machine that codes a chunk; no plan holds them."""


@dataclass(frozen=True)
class InputOptions:
    """How the input is read, the same for every chunk.

    Attributes:
        size: picture size of raw video, None for anything else.
        frame_rate: frames per second, whatever the input says; None for what it says.
        input_format: y4m, yuv, png or video; None to look.
        bit_depth: of raw video and of PNG files, as open_reader takes it.
        primaries: code point of the colour primaries, whatever the input says; `transfer` and `matrix` likewise.
        full_range: range of the samples, whatever the input says.
        seek: pictures that are left out at the start.
        frames: pictures after those, None for all.
        keep_tracks: whether the other tracks of a video file are read; they decide what is time 0.
    """

    size: PictureSize | None = None
    frame_rate: Rational | None = None
    input_format: str | None = None
    bit_depth: int | None = None
    primaries: int | None = None
    transfer: int | None = None
    matrix: int | None = None
    full_range: bool | None = None
    seek: int = 0
    frames: int | None = None
    keep_tracks: bool = True

    def tagged(self, video_format: VideoFormat) -> VideoFormat:
        """Returns the format of an input with these colour tags over its own."""
        tags = {name: getattr(self, name) for name in ("primaries", "transfer", "matrix", "full_range")}
        given = {name: value for name, value in tags.items() if value is not None}
        return replace(video_format, colour=replace(video_format.colour, **given))


@dataclass(frozen=True)
class Chunk:
    """Pictures that are coded apart from the others; the first one is an I frame.

    Attributes:
        number: from 0, in the order of the clip.
        start: number of the first picture, counted from the first one that the plan codes.
        num_frames: at least 1.
        begins: why the chunk begins there: "start", "scene" or "length".
        digest: of the pictures and their times.
        levels: QPs of its scenes in eighths; nothing where the settings choose the QPs.
    """

    number: int
    start: int
    num_frames: int
    begins: str
    digest: str
    levels: tuple[int, ...] = ()

    def to_values(self) -> dict[str, Any]:
        """The chunk as JSON has it."""
        values = asdict(self)
        values["qps"] = [level / PARTS for level in values.pop("levels")]
        return values


@dataclass(frozen=True)
class Plan:
    """Facts in which all machines that code chunks of a clip agree.

    Attributes:
        source: path of the input where the plan was made; other machines may have another.
        source_bytes: size of that file; None for a folder or a pattern.
        source_digest: of the first and the last MiB of that file; None likewise.
        options: how the input is read.
        carries_tracks: whether the joined stream has other tracks, which are read when the parts are joined.
        settings: how every chunk is coded; device and threads are those of the machine that codes it.
        allow_float: whether arithmetic that differs from machine to machine may code it.
        fingerprints: names of networks and their fingerprints, as texts.
        sps: payload of the SPS that every chunk has.
        chunks: in order, without a gap.
        dcvc_version: of the program that made the plan.
    """

    source: str
    source_bytes: int | None
    source_digest: str | None
    options: InputOptions
    carries_tracks: bool
    settings: EncodeSettings
    allow_float: bool
    fingerprints: Mapping[str, str]
    sps: bytes
    chunks: tuple[Chunk, ...]
    dcvc_version: str = field(default=__version__)

    @property
    def num_frames(self) -> int:
        return sum(chunk.num_frames for chunk in self.chunks)

    @cached_property
    def stream_format(self) -> Sps:
        """Returns the SPS that every chunk has."""
        return read_sps(self.sps)

    @cached_property
    def digest(self) -> str:
        """Returns 32 hexadecimal digits that name the plan: a digest of its contents without the input's path."""
        values = self.to_values()
        del values["input"]["path"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]

    def label(self, number: int) -> str:
        """Returns the end of the settings text of chunk `number`."""
        return f"{self.common_label} chunk={number}"

    @property
    def common_label(self) -> str:
        """Returns the end of the settings text of the joined stream."""
        return f"plan={self.digest}"

    def chunk(self, number: int) -> Chunk:
        """Returns the chunk of a number; UsageError where there is none."""
        if not 0 <= number < len(self.chunks):
            raise UsageError(f"the plan has no chunk {number}, expected 0..{len(self.chunks) - 1}")
        return self.chunks[number]

    def to_values(self) -> dict[str, Any]:
        """Makes JSON values of the plan."""
        settings = asdict(self.settings)
        for name in MACHINE_SETTINGS:
            del settings[name]
        settings["force_keyframes"] = list(self.settings.force_keyframes)
        sps = self.stream_format
        return {
            "format": PLAN_FORMAT,
            "plan_version": PLAN_VERSION,
            "dcvc_version": self.dcvc_version,
            "input": {
                "path": self.source,
                "size_bytes": self.source_bytes,
                "digest": self.source_digest,
                "options": asdict(self.options),
                "carries_tracks": self.carries_tracks,
            },
            "settings": settings,
            "allow_float": self.allow_float,
            "model": {"family": sps.model_family, "name": sps.model_variant, "syntax": sps.syntax}
            | {**self.fingerprints},
            "sps": self.sps.hex(),
            "num_frames": self.num_frames,
            "chunks": [chunk.to_values() for chunk in self.chunks],
        }

    def to_json(self) -> bytes:
        """Makes the plan's file."""
        return (json.dumps(self.to_values(), indent=1) + "\n").encode()


def read_plan(path: str) -> Plan:
    """Reads a plan.

    Raises:
        InputError: the file is unreadable, no plan, or its values do not fit together.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_PLAN_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MAX_PLAN_BYTES:
        raise InputError(f"{path} is larger than {MAX_PLAN_BYTES} bytes, the limit of a plan")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON, expected a file that `dcvc plan` made") from error
    if not isinstance(values, dict) or values.get("format") != PLAN_FORMAT:
        raise InputError(f"{path} is no plan, expected a file that `dcvc plan` made")
    if values.get("plan_version") != PLAN_VERSION:
        found, made_by = (str(values.get(name))[:20] for name in ("plan_version", "dcvc_version"))
        raise InputError(
            f"{path} is a plan of version {found}, made by dcvc {made_by}; dcvc {__version__} reads version "
            f"{PLAN_VERSION}",
            "make the plan again with `dcvc plan`, or use the dcvc that made it on all machines",
        )
    try:
        return _plan_of(values)
    except (BitstreamError, DcvcError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} does not hold together: {reason}", "make the plan again") from error


def _plan_of(values: dict[str, Any]) -> Plan:
    source = values["input"]
    model = values["model"]
    sps = bytes.fromhex(values["sps"])
    chunks = tuple(_chunk_of(chunk) for chunk in values["chunks"])
    start = 0
    for number, chunk in enumerate(chunks):
        if (chunk.number, chunk.start) != (number, start):
            raise ValueError(f"chunk {number} begins at picture {chunk.start}, expected {start}")
        start += chunk.num_frames
    if not chunks or values["num_frames"] != start:
        raise ValueError(f"its chunks have {start} pictures and it names {values['num_frames']}")
    read_sps(sps)
    plan = Plan(
        _checked(source["path"], str),
        _checked(source["size_bytes"], int, type(None)),
        _checked(source["digest"], str, type(None)),
        _options_of(source["options"]),
        _checked(source["carries_tracks"], bool),
        EncodeSettings(**values["settings"]),
        _checked(values["allow_float"], bool),
        {str(name): _checked(text, str) for name, text in model.items() if name not in ("family", "name", "syntax")},
        sps,
        chunks,
        _checked(values["dcvc_version"], str),
    )
    if any((plan.settings.target is None) == bool(chunk.levels) for chunk in chunks):
        raise ValueError("its chunks have QPs without --target, or none with it")
    if plan.to_values() != values:
        raise ValueError("it holds values that dcvc did not write")
    return plan


def _chunk_of(values: dict[str, Any]) -> Chunk:
    chunk = Chunk(
        _checked(values["number"], int),
        _checked(values["start"], int),
        _checked(values["num_frames"], int),
        _checked(values["begins"], str),
        _checked(values["digest"], str),
        tuple(_level_of(qp) for qp in values["qps"]),
    )
    if not 1 <= chunk.num_frames <= MAX_CHUNK_FRAMES:
        raise ValueError(f"chunk {chunk.number} has {chunk.num_frames} pictures, expected 1..{MAX_CHUNK_FRAMES}")
    return chunk


def _level_of(qp: Any) -> int:
    level = _checked(qp, int, float) * PARTS
    if not 0 <= level <= MAX_LEVEL or level != int(level):
        raise ValueError(f"a QP of {qp}, expected 0..{MAX_LEVEL // PARTS} in steps of 1/{PARTS}")
    return int(level)


def _options_of(values: dict[str, Any]) -> InputOptions:
    known = {option.name: values[option.name] for option in fields(InputOptions)}
    for name in ("bit_depth", "primaries", "transfer", "matrix", "frames"):
        _checked(known[name], int, type(None))
    _checked(known["input_format"], str, type(None))
    _checked(known["full_range"], bool, type(None))
    _checked(known["keep_tracks"], bool)
    if _checked(known["seek"], int) < 0 or (known["frames"] is not None and known["frames"] < 1):
        raise ValueError("it skips or takes a negative number of pictures")
    size, rate = known.pop("size"), known.pop("frame_rate")
    return InputOptions(
        size=None if size is None else PictureSize(_checked(size["width"], int), _checked(size["height"], int)),
        frame_rate=None if rate is None else Rational(_checked(rate["num"], int), _checked(rate["den"], int)),
        **known,
    )


def _checked(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"{str(value)[:40]!r} is {type(value).__name__}, expected {kinds[0].__name__}")
    return value
