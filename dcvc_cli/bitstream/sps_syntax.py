"""Bytes of the sequence parameter set, versions 1 and 2 (docs/bitstream.md, "SPS" and "SPS of version 1")."""

from collections.abc import Callable
from typing import Any, TypeVar

from dcvc_cli.bitstream import sps_blocks
from dcvc_cli.bitstream.faults import BitstreamError, Rule, UnsupportedStreamError
from dcvc_cli.bitstream.sps import (
    CHROMA_FORMATS,
    CHROMA_LOCATIONS,
    COLOUR_RANGES,
    FORMAT_VERSIONS,
    INTERLACINGS,
    MAX_ARITHMETIC_LEVEL,
    MAX_NETWORKS,
    MAX_QP_OFFSETS,
    HashKind,
    Precision,
    Sps,
)
from dcvc_cli.bitstream.sps_blocks import TimeBase, UnknownBlock, Vbv
from dcvc_cli.bitstream.varint import ByteReader
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay

LATER_BIT_DEPTH = 12
"""Reserved: a stream of this depth is intact and needs a newer dcvc."""
VERSION_1_FAMILY = "dcvc-rt"
_OWN_FAMILIES_IN_VERSION_1 = {"lite": "lite", "tiny-lite": "lite"}
"""Families by the name of a variant that version 1 lists under `dcvc-rt`, but whose payloads follow that family's
syntax."""
T = TypeVar("T")


def write_sps(sps: Sps) -> bytes:
    """Makes the payload of an SPS in its own format version."""
    return _write_version_1(sps) if sps.format_version == 1 else _write_version_2(sps)


def read_sps(payload: bytes) -> Sps:
    """Inverts write_sps.

    Raises:
        UnsupportedStreamError: the format, precision, arithmetic level, bit depth or a block is newer than this dcvc.
        BitstreamError: the payload does not follow the layout for another reason (sps-content).
    """
    reader = ByteReader(payload)
    version = reader.uint(1) if payload else 0
    if version not in FORMAT_VERSIONS:
        known = f"versions {FORMAT_VERSIONS[0]} and {FORMAT_VERSIONS[-1]}"
        raise _unsupported(f"the stream has format version {version}, this dcvc reads {known}")
    try:
        sps = _read_version_1(reader) if version == 1 else _read_version_2(reader)
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


# --- fields that both versions have ---


def _write_name(name: str) -> bytes:
    return bytes([len(name)]) + name.encode("ascii")


def _write_pictures(sps: Sps) -> bytes:
    """Makes the 28 bytes of size, sample format, colour, frame rate and aspect ratio."""
    parts = [
        sps.width.to_bytes(2, "big"),
        sps.height.to_bytes(2, "big"),
        bytes([sps.bit_depth, CHROMA_FORMATS[sps.chroma_format]]),
        bytes([sps.colour_primaries, sps.transfer, sps.matrix, COLOUR_RANGES[sps.full_range]]),
        bytes([CHROMA_LOCATIONS[sps.chroma_location], INTERLACINGS[sps.interlacing]]),
        *(part.to_bytes(4, "big") for part in (*sps.frame_rate, sps.sar_num, sps.sar_den)),
    ]
    return b"".join(parts)


def _read_profile(reader: ByteReader) -> dict[str, Any]:
    precision, level = reader.uint(1), reader.uint(1)
    if precision not in list(Precision):
        raise _unsupported(f"the stream needs arithmetic profile {precision}, this dcvc knows 0..{max(Precision):d}")
    if level > MAX_ARITHMETIC_LEVEL:
        known = f"levels up to {MAX_ARITHMETIC_LEVEL}"
        raise _unsupported(f"the stream needs level {level} of the exact arithmetic rules, this dcvc knows {known}")
    return {"precision": Precision(precision), "arithmetic_level": level}


def _read_name(reader: ByteReader) -> str:
    return reader.take(reader.uint(1)).decode("latin-1")


def _read_pictures(reader: ByteReader) -> dict[str, Any]:
    fields: dict[str, Any] = {"width": reader.uint(2), "height": reader.uint(2), "bit_depth": reader.uint(1)}
    fields["chroma_format"] = _name_of(CHROMA_FORMATS, reader.uint(1), "chroma format")
    fields |= {name: reader.uint(1) for name in ("colour_primaries", "transfer", "matrix")}
    fields["full_range"] = _name_of(COLOUR_RANGES, reader.uint(1), "colour range")
    fields["chroma_location"] = _name_of(CHROMA_LOCATIONS, reader.uint(1), "chroma location")
    fields["interlacing"] = _name_of(INTERLACINGS, reader.uint(1), "interlacing")
    return fields | {name: reader.uint(4) for name in ("frame_rate_num", "frame_rate_den", "sar_num", "sar_den")}


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


# --- version 1 ---


def _write_version_1(sps: Sps) -> bytes:
    """Makes an SPS payload of version 1: 66 bytes and the two model names."""
    family = VERSION_1_FAMILY if _has_own_family(sps) else sps.model_family
    parts = [
        bytes([1, sps.precision, sps.arithmetic_level]),
        _write_name(family),
        _write_name(sps.model_variant),
        *(fingerprint.to_bytes(8, "big") for fingerprint in sps.fingerprints),
        _write_pictures(sps),
        sps.skip_threshold_millionths.to_bytes(4, "big"),
        bytes([sps.entropy_format, sps.truncate_chroma]),
        sps.reset_interval.to_bytes(2, "big"),
        bytes(sps.qp_offsets),
        bytes([sps.hash_kind]),
    ]
    return b"".join(parts)


def _has_own_family(sps: Sps) -> bool:
    return _OWN_FAMILIES_IN_VERSION_1.get(sps.model_variant) == sps.model_family


def _read_version_1(reader: ByteReader) -> Sps:
    profile = _read_profile(reader)
    family, variant = _read_name(reader), _read_name(reader)
    own = _OWN_FAMILIES_IN_VERSION_1.get(variant)
    if own is not None:
        if family != VERSION_1_FAMILY:
            raise ValueError(f"variant {variant!r} of family {family!r}, which format version 1 does not have")
        family = own
    return Sps(
        **profile,
        model_family=family,
        model_variant=variant,
        fingerprints=(reader.uint(8), reader.uint(8)),
        **_read_pictures(reader),
        skip_threshold_millionths=reader.uint(4),
        entropy_format=EntropyFormat(reader.uint(1)),
        truncate_chroma=_read_flag(reader, "truncated chroma"),
        reset_interval=reader.uint(2),
        qp_offsets=tuple(reader.take(8)),
        hash_kind=HashKind(reader.uint(1)),
        format_version=1,
    )


# --- version 2 ---


def _write_version_2(sps: Sps) -> bytes:
    """Makes an SPS payload of version 2: 47 bytes, the two model names, the fingerprints, the QP offsets and the
    blocks."""
    parts = [
        bytes([2, sps.precision, sps.arithmetic_level]),
        _write_name(sps.model_family),
        _write_name(sps.model_variant),
        bytes([sps.syntax, len(sps.fingerprints)]),
        *(fingerprint.to_bytes(8, "big") for fingerprint in sps.fingerprints),
        _write_pictures(sps),
        sps.skip_threshold_millionths.to_bytes(4, "big"),
        bytes([sps.entropy_format, sps.truncate_chroma, sps.hash_kind, sps.max_pictures, sps.max_reorder]),
        sps.reset_interval.to_bytes(2, "big"),
        bytes([len(sps.qp_offsets), *sps.qp_offsets]),
        sps_blocks.write_blocks(_blocks_of(sps)),
    ]
    return b"".join(parts)


def _blocks_of(sps: Sps) -> dict[int, bytes]:
    blocks = {block.kind: block.data for block in sps.other_blocks}
    if sps.family_block:
        blocks[sps_blocks.FAMILY] = sps.family_block
    for kind, value in (
        (sps_blocks.MASTERING_DISPLAY, sps.mastering_display),
        (sps_blocks.CONTENT_LIGHT, sps.content_light),
        (sps_blocks.VBV, sps.vbv),
        (sps_blocks.TIME_BASE, sps.time_base),
    ):
        if value is not None:
            blocks[kind] = value.write()
    return blocks


def _read_version_2(reader: ByteReader) -> Sps:
    fields = _read_profile(reader)
    fields |= {"model_family": _read_name(reader), "model_variant": _read_name(reader), "syntax": reader.uint(1)}
    fields["fingerprints"] = tuple(reader.uint(8) for _ in range(_count(reader, "fingerprints", MAX_NETWORKS)))
    fields |= _read_pictures(reader)
    if fields["bit_depth"] == LATER_BIT_DEPTH:
        raise _unsupported(f"the stream has {LATER_BIT_DEPTH} bits a sample, this dcvc reads 8 and 10")
    fields["skip_threshold_millionths"] = reader.uint(4)
    fields["entropy_format"] = EntropyFormat(reader.uint(1))
    fields["truncate_chroma"] = _read_flag(reader, "truncated chroma")
    fields["hash_kind"] = HashKind(reader.uint(1))
    fields |= {name: reader.uint(1) for name in ("max_pictures", "max_reorder")}
    fields["reset_interval"] = reader.uint(2)
    fields["qp_offsets"] = tuple(reader.take(_count(reader, "QP offsets", MAX_QP_OFFSETS)))
    blocks = sps_blocks.read_blocks(reader)
    family_block = blocks.pop(sps_blocks.FAMILY, None)
    if family_block == b"":
        raise ValueError("the family's block is empty, it must be left out")
    return Sps(
        **fields,
        family_block=family_block or b"",
        mastering_display=_take_block(blocks, sps_blocks.MASTERING_DISPLAY, MasteringDisplay.read),
        content_light=_take_block(blocks, sps_blocks.CONTENT_LIGHT, ContentLight.read),
        vbv=_take_block(blocks, sps_blocks.VBV, Vbv.read),
        time_base=_take_block(blocks, sps_blocks.TIME_BASE, TimeBase.read),
        other_blocks=tuple(UnknownBlock(kind, data) for kind, data in blocks.items()),
    )


def _count(reader: ByteReader, what: str, limit: int) -> int:
    count = reader.uint(1)
    if count > limit:
        raise ValueError(f"{count} {what}, at most {limit} are allowed")
    return count


def _take_block(blocks: dict[int, bytes], kind: int, read: Callable[[ByteReader], T]) -> T | None:
    """Takes the block of a kind out of `blocks`. Returns None if there is none."""
    if kind not in blocks:
        return None
    reader = ByteReader(blocks.pop(kind))
    value = read(reader)
    if reader.remaining:
        raise ValueError(f"block {kind} has {reader.remaining} bytes after its last field")
    return value
