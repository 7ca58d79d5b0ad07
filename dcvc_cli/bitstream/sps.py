"""Sequence parameter set of the .dcvc stream (docs/bitstream.md, "SPS"): what a decoder needs besides the weights.

The bytes of both versions are in sps_syntax.py.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

from dcvc_cli.bitstream.sps_blocks import TimeBase, UnknownBlock, Vbv
from dcvc_cli.errors import UsageError
from dcvc_cli.format.constants import BIT_DEPTHS, DEFAULT_FAMILY, DEFAULT_MODEL, MAX_SIDE
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.ranges import check_range

FORMAT_VERSION = 2
"""The version that dcvc writes. dcvc also reads version 1, and writes it where it joins or repairs streams of it."""
FORMAT_VERSIONS = (1, 2)
MAX_ARITHMETIC_LEVEL = 1
"""Highest level of docs/exact-arithmetic.md's rules that this version knows."""
MAX_NAME_SIZE = 31
MAX_SPS_PAYLOAD_SIZE = 4096
MAX_NETWORKS = 8
MAX_PICTURES = 64
"""Largest number of pictures in a frame unit."""
MAX_REORDER = 64
"""Largest difference between coding order and display order, in pictures."""
MAX_QP_OFFSETS, MAX_QP_OFFSET = 32, 127
MAX_FAMILY_BLOCK_SIZE = 1024
SKIP_THRESHOLD_UNIT = 1_000_000
"""The skip threshold is sent in millionths, so that 0.12 and 100.0 are exact decimals."""


class Precision(IntEnum):
    """The arithmetic of the decoder. Only EXACT decodes bit-identically on every machine."""

    EXACT = 0
    FLOAT16 = 1
    BFLOAT16 = 2
    FLOAT32 = 3
    FLOAT64 = 4


class HashKind(IntEnum):
    """The kind of picture hashes in a stream."""

    NONE = 0
    CRC32 = 1
    MD5 = 2


CHROMA_FORMATS = {"yuv420": 1, "yuv422": 2, "rgb": 3, "yuv444": 4}
"""Names as in dcvc_cli.format.types.ChromaFormat; "rgb" is R G B at 4:4:4."""
CHROMA_LOCATIONS = {"": 0, "jpeg": 1, "mpeg2": 2, "paldv": 3}
INTERLACINGS = {"?": 0, "p": 1, "t": 2, "b": 3, "m": 4}
COLOUR_RANGES: dict[bool | None, int] = {False: 0, True: 1, None: 2}
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


@dataclass(frozen=True)
class Sps:
    """A sequence parameter set: what all frames that name it share.

    Attributes:
        width: luma samples, 1..16384.
        height: luma samples, 1..16384.
        precision: arithmetic profile of the decoder.
        arithmetic_level: version of the rules of EXACT, from 1; float precisions ignore it.
        model_family: 1..31 characters of a-z 0-9 . _ -
        model_variant: 1..31 characters of a-z 0-9 . _ -
        syntax: version of the family's payload syntax, 1..255.
        fingerprints: 0..8 64-bit fingerprints of the exact weights of the family's networks, in the family's order;
            0 = not known.
        bit_depth: 8 or 10.
        chroma_format: "yuv420", "yuv422", "yuv444" or "rgb".
        colour_primaries: ITU-T H.273 code point 0..255, 2 = unspecified.
        transfer: likewise.
        matrix: likewise.
        full_range: whether samples have full range; None = unknown.
        chroma_location: y4m's tag, carried through.
        interlacing: y4m's tag, carried through.
        frame_rate_num: with frame_rate_den a fraction of 32-bit parts, both 0 = unknown.
        frame_rate_den: see frame_rate_num.
        sar_num: sample aspect ratio, with sar_den a fraction of 32-bit parts, both 0 = unknown.
        sar_den: see sar_num.
        skip_threshold_millionths: T = value / 10^6 as the nearest double; 0 = unset, nothing is skipped.
        entropy_format: how symbols become bytes.
        truncate_chroma: whether 4:2:0 chroma of the output is truncated to 8 bits, as by the published codec's file
            writer; else it is rounded.
        reset_interval: frames between resets, 0..65535; 0 = never. It tells what the encoder did; decoders obey the
            frame headers.
        qp_offsets: 0..32 numbers of 0..127, added to the QP of P frames by frame index modulo their count. They tell
            what the encoder did.
        hash_kind: kind of the stream's picture hashes.
        max_pictures: largest number of pictures in a frame unit, 1..64.
        max_reorder: largest difference between coding order and display order in pictures, 0..64; 0 = the orders are
            the same.
        time_base: ticks of the time stamps of pictures; None = there are none, and all pictures last equally long.
        family_block: at most 1024 bytes of the family's own.
        mastering_display: colour volume of the display on which the pictures were graded, or None.
        content_light: brightest sample and brightest mean of a picture, or None.
        vbv: the buffer that the encoder kept to, or None.
        other_blocks: blocks of a later version that decoding does not need, in order of their kind. They are carried
            through.
        format_version: 1 or 2. Version 1 has two fingerprints, 8 QP offsets of 0..8, 8 bits, 4:2:0 or R G B, one
            picture a unit, one syntax and no blocks.

    Raises:
        ValueError: a value is outside its range.
    """

    width: int
    height: int
    precision: Precision = Precision.EXACT
    arithmetic_level: int = 1
    model_family: str = DEFAULT_FAMILY
    model_variant: str = DEFAULT_MODEL
    syntax: int = 1
    fingerprints: tuple[int, ...] = (0, 0)
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
    entropy_format: EntropyFormat = EntropyFormat.PUBLISHED_ONE
    truncate_chroma: bool = False
    reset_interval: int = 32
    qp_offsets: tuple[int, ...] = (0, 8, 0, 4, 0, 4, 0, 4)
    hash_kind: HashKind = HashKind.NONE
    max_pictures: int = 1
    max_reorder: int = 0
    time_base: TimeBase | None = None
    family_block: bytes = b""
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    vbv: Vbv | None = None
    other_blocks: tuple[UnknownBlock, ...] = ()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        check_range("format version", self.format_version, FORMAT_VERSIONS[0], FORMAT_VERSIONS[-1])
        self._check_model()
        self._check_pictures()
        self._check_coding()
        if self.format_version == 1:
            self._check_version_1()

    def _check_model(self) -> None:
        check_range("arithmetic level", self.arithmetic_level, 1 if self.precision is Precision.EXACT else 0, 255)
        for name in (self.model_family, self.model_variant):
            if not 1 <= len(name) <= MAX_NAME_SIZE or not _NAME_CHARACTERS.issuperset(name):
                raise ValueError(f"model name {name!r} is not 1..{MAX_NAME_SIZE} characters of a-z 0-9 . _ -")
        check_range("family syntax", self.syntax, 1, 255)
        check_range("number of fingerprints", len(self.fingerprints), 0, MAX_NETWORKS)
        for fingerprint in self.fingerprints:
            check_range("fingerprint", fingerprint, 0, (1 << 64) - 1)
        check_range("size of the family's block", len(self.family_block), 0, MAX_FAMILY_BLOCK_SIZE)

    def _check_pictures(self) -> None:
        check_range("width", self.width, 1, MAX_SIDE)
        check_range("height", self.height, 1, MAX_SIDE)
        if self.bit_depth not in BIT_DEPTHS:
            raise ValueError(f"bit depth {self.bit_depth} is not one of {', '.join(map(str, BIT_DEPTHS))}")
        for what, value, codes in (
            ("chroma format", self.chroma_format, CHROMA_FORMATS),
            ("chroma location", self.chroma_location, CHROMA_LOCATIONS),
            ("interlacing", self.interlacing, INTERLACINGS),
        ):
            if value not in codes:
                raise ValueError(f"{what} {value!r} is not one of {', '.join(map(repr, codes))}")
        for what, number in (
            ("primaries", self.colour_primaries),
            ("transfer", self.transfer),
            ("matrix", self.matrix),
        ):
            check_range(f"colour {what}", number, 0, 255)
        for what, num, den in (
            ("frame rate", self.frame_rate_num, self.frame_rate_den),
            ("sample aspect ratio", self.sar_num, self.sar_den),
        ):
            if not (0 <= num < 1 << 32 and 0 <= den < 1 << 32) or bool(num) != bool(den):
                raise ValueError(f"{what} {num}/{den} is neither 0/0 nor a fraction of 32-bit numbers above 0")

    def _check_coding(self) -> None:
        check_range("skip threshold (millionths)", self.skip_threshold_millionths, 0, (1 << 32) - 1)
        check_range("reset interval", self.reset_interval, 0, 65535)
        check_range("number of QP offsets", len(self.qp_offsets), 0, MAX_QP_OFFSETS)
        if not all(0 <= offset <= MAX_QP_OFFSET for offset in self.qp_offsets):
            raise ValueError(f"QP offsets {self.qp_offsets} are not numbers in 0..{MAX_QP_OFFSET}")
        check_range("pictures a unit", self.max_pictures, 1, MAX_PICTURES)
        check_range("reordered pictures", self.max_reorder, 0, MAX_REORDER)
        kinds = [block.kind for block in self.other_blocks]
        if kinds != sorted(set(kinds)):
            raise ValueError(f"blocks of kinds {kinds} do not stand in the order of their kinds, each once")

    def _check_version_1(self) -> None:
        if len(self.qp_offsets) != 8 or not all(offset <= 8 for offset in self.qp_offsets):
            raise ValueError(f"QP offsets {self.qp_offsets} are not 8 numbers in 0..8, as format version 1 has")
        if len(self.fingerprints) != 2 or self.entropy_format is EntropyFormat.FAMILY or self.bit_depth != 8:
            raise ValueError("format version 1 has two fingerprints, an entropy format of its list and 8 bits")
        has_blocks = any(getattr(self, name) != nothing for name, nothing in _NO_BLOCKS.items())
        if self.max_pictures != 1 or self.max_reorder or has_blocks:
            raise ValueError("format version 1 has one picture a unit in display order and no blocks")
        if self.chroma_format not in ("yuv420", "rgb") or self.syntax != 1:
            raise ValueError("format version 1 has 4:2:0 or R G B and syntax 1")

    @property
    def skip_threshold(self) -> float | None:
        """Returns t as the double nearest to the decimal fraction; None if nothing is skipped."""
        return self.skip_threshold_millionths / SKIP_THRESHOLD_UNIT if self.skip_threshold_millionths else None

    @property
    def frame_rate(self) -> tuple[int, int]:
        """Returns (numerator, denominator), (0, 0) = unknown."""
        return self.frame_rate_num, self.frame_rate_den

    def can_follow(self, other: "Sps") -> bool:
        """Returns whether a P frame under this SPS may refer to a frame under `other`.

        Pictures, model and the layout of units must be the same. Only the coding of symbols, the skip threshold, the
        informative fields and the hash kind may differ.
        """
        same = replace(
            self,
            entropy_format=other.entropy_format,
            skip_threshold_millionths=other.skip_threshold_millionths,
            reset_interval=other.reset_interval,
            qp_offsets=other.qp_offsets,
            hash_kind=other.hash_kind,
            mastering_display=other.mastering_display,
            content_light=other.content_light,
            vbv=other.vbv,
            other_blocks=other.other_blocks,
        )
        return same == other


_NO_BLOCKS = {
    "time_base": None,
    "family_block": b"",
    "mastering_display": None,
    "content_light": None,
    "vbv": None,
    "other_blocks": (),
}


def quantise_skip_threshold(threshold: float | None) -> int:
    """Rounds a skip threshold to millionths; None becomes 0.

    Raises:
        UsageError: the threshold is outside 0.000001..4294.967295.
    """
    if threshold is None:
        return 0
    if not 0.5 / SKIP_THRESHOLD_UNIT < threshold < 4294.9672955:
        raise UsageError(f"skip threshold {threshold} is outside 0.000001..4294.967295", "leave it out to skip nothing")
    return round(threshold * SKIP_THRESHOLD_UNIT)
