"""Sequence parameter set of the .dcvc stream (docs/bitstream.md, "SPS"): everything that a decoder needs besides the weights it names."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

from dcvc_cli.bitstream.faults import BitstreamError, Rule, UnsupportedStreamError
from dcvc_cli.bitstream.varint import UV_LIMIT, ByteReader
from dcvc_cli.entropy_format import EntropyFormat
from dcvc_cli.errors import UsageError

FORMAT_VERSION = 1
MAX_ARITHMETIC_LEVEL = 1
"""Highest level of docs/exact-arithmetic.md's rules that this version knows."""
MAX_SIDE = 16384
MAX_NAME_SIZE = 31
MAX_SPS_PAYLOAD_SIZE = 255
SKIP_THRESHOLD_UNIT = 1_000_000
"""The skip threshold is sent in millionths, so that 0.12 and 100.0 are exact decimals."""


class Precision(IntEnum):
    """The arithmetic of everything that the decoder computes. Only EXACT decodes bit-identically on every machine."""

    EXACT = 0
    FLOAT16 = 1
    BFLOAT16 = 2
    FLOAT32 = 3
    FLOAT64 = 4


class HashKind(IntEnum):
    """Decoded-picture hash that the encoder writes."""

    NONE = 0
    CRC32 = 1
    MD5 = 2


CHROMA_FORMATS = {"yuv420": 1, "rgb": 3}
"""Names as in dcvc_cli.types.ChromaFormat; "rgb" is 4:4:4."""
CHROMA_LOCATIONS = {"": 0, "jpeg": 1, "mpeg2": 2, "paldv": 3}
INTERLACINGS = {"?": 0, "p": 1, "t": 2, "b": 3, "m": 4}
COLOUR_RANGES: dict[bool | None, int] = {False: 0, True: 1, None: 2}
T = TypeVar("T")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


@dataclass(frozen=True)
class Sps:
    """What every frame that names this SPS shares. ValueError for a value outside the stated ranges.

    Args:
        width, height: luma samples, 1..16384.
        precision: arithmetic profile of the decoder; arithmetic_level: version of the rules of EXACT, from 1;
            float precisions ignore it.
        model_family, model_variant: 1..31 characters of a-z 0-9 . _ -
        image_fingerprint, video_fingerprint: 64-bit fingerprints of the exact weights; 0 = not known.
        bit_depth: 8 (10 is reserved).
        chroma_format: "yuv420" or "rgb".
        colour_primaries, transfer, matrix: ITU-T H.273 code points 0..255, 2 = unspecified. full_range: None = unknown.
        chroma_location, interlacing: y4m's tags, carried through.
        frame_rate_num / _den, sar_num / _den: fractions of 32-bit parts, both parts 0 = unknown.
        skip_threshold_millionths: T = value / 10^6 as the nearest double; 0 = unset, nothing is skipped.
        truncate_chroma: 4:2:0 chroma of the output is truncated to 8 bits, as the reference's file writer does, instead of rounded.
        reset_interval: frames, 0 = never (0..65535), and qp_offsets: added to the QP of P frames by frame index mod 8 (0..8):
            both tell what the encoder did; the decoder obeys the frame headers.
        hash_kind: picture hash that the encoder writes.
    """

    width: int
    height: int
    precision: Precision = Precision.EXACT
    arithmetic_level: int = 1
    model_family: str = "dcvc-rt"
    model_variant: str = "lite"
    image_fingerprint: int = 0
    video_fingerprint: int = 0
    bit_depth: int = 8
    chroma_format: str = "yuv420"
    colour_primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None
    chroma_location: str = ""
    interlacing: str = "p"
    frame_rate_num: int = 25
    frame_rate_den: int = 1
    sar_num: int = 0
    sar_den: int = 0
    skip_threshold_millionths: int = 0
    entropy_format: EntropyFormat = EntropyFormat.REFERENCE_ONE
    truncate_chroma: bool = False
    reset_interval: int = 32
    qp_offsets: tuple[int, ...] = (0, 8, 0, 4, 0, 4, 0, 4)
    hash_kind: HashKind = HashKind.NONE

    def __post_init__(self) -> None:
        _check_range("width", self.width, 1, MAX_SIDE)
        _check_range("height", self.height, 1, MAX_SIDE)
        _check_range("arithmetic level", self.arithmetic_level, 1 if self.precision is Precision.EXACT else 0, 255)
        for name in (self.model_family, self.model_variant):
            if not 1 <= len(name) <= MAX_NAME_SIZE or not _NAME_CHARACTERS.issuperset(name):
                raise ValueError(f"model name {name!r} is not 1..{MAX_NAME_SIZE} characters of a-z 0-9 . _ -")
        _check_range("image fingerprint", self.image_fingerprint, 0, (1 << 64) - 1)
        _check_range("video fingerprint", self.video_fingerprint, 0, (1 << 64) - 1)
        _check_range("bit depth", self.bit_depth, 8, 8)
        for what, value, codes in (
            ("chroma format", self.chroma_format, CHROMA_FORMATS),
            ("chroma location", self.chroma_location, CHROMA_LOCATIONS),
            ("interlacing", self.interlacing, INTERLACINGS),
        ):
            if value not in codes:
                raise ValueError(f"{what} {value!r} is not one of {', '.join(map(repr, codes))}")
        for what, number in (("primaries", self.colour_primaries), ("transfer", self.transfer), ("matrix", self.matrix)):
            _check_range(f"colour {what}", number, 0, 255)
        for what, num, den in (
            ("frame rate", self.frame_rate_num, self.frame_rate_den),
            ("sample aspect ratio", self.sar_num, self.sar_den),
        ):
            if not (0 <= num < 1 << 32 and 0 <= den < 1 << 32) or bool(num) != bool(den):
                raise ValueError(f"{what} {num}/{den} is neither 0/0 nor a fraction of 32-bit numbers above 0")
        _check_range("skip threshold (millionths)", self.skip_threshold_millionths, 0, (1 << 32) - 1)
        _check_range("reset interval", self.reset_interval, 0, 65535)
        if len(self.qp_offsets) != 8 or not all(0 <= offset <= 8 for offset in self.qp_offsets):
            raise ValueError(f"QP offsets {self.qp_offsets} are not 8 numbers in 0..8")

    @property
    def skip_threshold(self) -> float | None:
        """T as the double nearest to the decimal fraction, None where nothing is skipped."""
        return self.skip_threshold_millionths / SKIP_THRESHOLD_UNIT if self.skip_threshold_millionths else None

    @property
    def max_frame_payload_size(self) -> int:
        """Bytes that no frame payload of this picture size exceeds: 4 a latent symbol (the costliest takes 28 bits, the rest is
        room for vectors) of the 384 latents that models have at most, and 4096."""
        num_y = 384 * (-(-self.width // 16)) * (-(-self.height // 16))
        num_z = 128 * (-(-self.width // 64)) * (-(-self.height // 64))
        return min(4096 + 4 * (num_y + num_z), UV_LIMIT - 1)

    def can_follow(self, other: "Sps") -> bool:
        """Whether a P frame under this SPS may refer to a frame under `other`: same pictures and model, only the coding of symbols,
        the skip threshold, the informative fields and the hash kind may differ."""
        return (
            replace(
                self,
                entropy_format=other.entropy_format,
                skip_threshold_millionths=other.skip_threshold_millionths,
                reset_interval=other.reset_interval,
                qp_offsets=other.qp_offsets,
                hash_kind=other.hash_kind,
            )
            == other
        )


def _check_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{what} {value} is outside {low}..{high}")


def quantise_skip_threshold(threshold: float | None) -> int:
    """Nearest millionth of a skip threshold (None = unset = 0); UsageError unless it is in 0.000001..4294.967295."""
    if threshold is None:
        return 0
    if not 0.5 / SKIP_THRESHOLD_UNIT < threshold < 4294.9672955:
        raise UsageError(f"skip threshold {threshold} is outside 0.000001..4294.967295", "leave it out to skip nothing")
    return round(threshold * SKIP_THRESHOLD_UNIT)


def write_sps(sps: Sps) -> bytes:
    """SPS payload, 66 bytes and the two model names."""
    parts = [
        bytes([FORMAT_VERSION, sps.precision, sps.arithmetic_level]),
        *(bytes([len(name)]) + name.encode("ascii") for name in (sps.model_family, sps.model_variant)),
        sps.image_fingerprint.to_bytes(8, "big"),
        sps.video_fingerprint.to_bytes(8, "big"),
        sps.width.to_bytes(2, "big"),
        sps.height.to_bytes(2, "big"),
        bytes([sps.bit_depth, CHROMA_FORMATS[sps.chroma_format]]),
        bytes([sps.colour_primaries, sps.transfer, sps.matrix, COLOUR_RANGES[sps.full_range]]),
        bytes([CHROMA_LOCATIONS[sps.chroma_location], INTERLACINGS[sps.interlacing]]),
        *(part.to_bytes(4, "big") for part in (sps.frame_rate_num, sps.frame_rate_den, sps.sar_num, sps.sar_den)),
        sps.skip_threshold_millionths.to_bytes(4, "big"),
        bytes([sps.entropy_format, sps.truncate_chroma]),
        sps.reset_interval.to_bytes(2, "big"),
        bytes(sps.qp_offsets),
        bytes([sps.hash_kind]),
    ]
    return b"".join(parts)


def read_sps(payload: bytes) -> Sps:
    """Inverse of write_sps. UnsupportedStreamError for a newer format, precision or arithmetic level, BitstreamError (sps-content) otherwise."""
    reader = ByteReader(payload)
    version = reader.uint(1) if payload else 0
    if version != FORMAT_VERSION:
        raise _unsupported(f"the stream has format version {version}, this dcvc reads version {FORMAT_VERSION}")
    try:
        sps = _read_fields(reader)
    except UnsupportedStreamError:
        raise
    except BitstreamError as error:
        raise BitstreamError(Rule.SPS_CONTENT, f"the SPS is shorter than its fields: {error.reason}") from error
    except ValueError as error:
        raise BitstreamError(Rule.SPS_CONTENT, f"the SPS holds a value that is not allowed: {error}") from error
    if reader.remaining:
        raise BitstreamError(Rule.SPS_CONTENT, f"the SPS has {reader.remaining} bytes after its last field")
    return sps


def _unsupported(message: str) -> UnsupportedStreamError:
    return UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")


def _read_fields(reader: ByteReader) -> Sps:
    precision, level = reader.uint(1), reader.uint(1)
    if precision not in list(Precision):
        raise _unsupported(f"the stream needs arithmetic profile {precision}, this dcvc knows 0..{max(Precision):d}")
    if level > MAX_ARITHMETIC_LEVEL:
        raise _unsupported(f"the stream needs level {level} of the exact arithmetic rules, this dcvc knows levels up to {MAX_ARITHMETIC_LEVEL}")
    family = reader.take(reader.uint(1)).decode("latin-1")
    variant = reader.take(reader.uint(1)).decode("latin-1")
    return Sps(
        precision=Precision(precision),
        arithmetic_level=level,
        model_family=family,
        model_variant=variant,
        image_fingerprint=reader.uint(8),
        video_fingerprint=reader.uint(8),
        width=reader.uint(2),
        height=reader.uint(2),
        bit_depth=reader.uint(1),
        chroma_format=_name_of(CHROMA_FORMATS, reader.uint(1), "chroma format"),
        colour_primaries=reader.uint(1),
        transfer=reader.uint(1),
        matrix=reader.uint(1),
        full_range=_name_of(COLOUR_RANGES, reader.uint(1), "colour range"),
        chroma_location=_name_of(CHROMA_LOCATIONS, reader.uint(1), "chroma location"),
        interlacing=_name_of(INTERLACINGS, reader.uint(1), "interlacing"),
        frame_rate_num=reader.uint(4),
        frame_rate_den=reader.uint(4),
        sar_num=reader.uint(4),
        sar_den=reader.uint(4),
        skip_threshold_millionths=reader.uint(4),
        entropy_format=EntropyFormat(reader.uint(1)),
        truncate_chroma=_read_flag(reader, "truncated chroma"),
        reset_interval=reader.uint(2),
        qp_offsets=tuple(reader.take(8)),
        hash_kind=HashKind(reader.uint(1)),
    )


def _read_flag(reader: ByteReader, what: str) -> bool:
    value = reader.uint(1)
    if value > 1:
        raise ValueError(f"{what} is {value}, expected 0 or 1")
    return bool(value)


def _name_of(codes: dict[T, int], code: int, what: str) -> T:
    for name, value in codes.items():
        if value == code:
            return name
    raise ValueError(f"{what} code {code} is not one of {sorted(codes.values())}")
