"""The worked examples of docs/bitstream.md are what the code writes, and the checks in them follow the formulas of that
page."""

import io
import re
import zlib
from pathlib import Path

import pytest

from dcvc_cli.bitstream.faults import Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import PictureHeader
from dcvc_cli.bitstream.sps import HashKind, Sps, quantise_skip_threshold
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.tracks import ITU_T_T35, TrackHeader, TrackPacket
from dcvc_cli.bitstream.units import Damage, FrameUnit
from dcvc_cli.bitstream.validate import validate_stream
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.hdr import ContentLight

DOCUMENT = Path(__file__).parents[2] / "docs" / "bitstream.md"
BYTES = re.compile(r"((?: ?[0-9a-f]{2})+)(?:  |$)")
SPS_1 = Sps(
    18,
    10,
    fingerprints=(0x0123456789ABCDEF, 0xFEDCBA9876543210),
    frame_rate_num=30000,
    frame_rate_den=1001,
    skip_threshold_millionths=quantise_skip_threshold(0.12),
    hash_kind=HashKind.CRC32,
    format_version=1,
)
SPS_2 = Sps(
    18,
    10,
    model_family="toy",
    model_variant="chunks",
    fingerprints=(0x0123456789ABCDEF, 0xFEDCBA9876543210),
    frame_rate_num=30000,
    frame_rate_den=1001,
    skip_threshold_millionths=quantise_skip_threshold(0.12),
    entropy_format=EntropyFormat.COMPACT,
    qp_offsets=(8, 0, 1, 0, 3, 0, 1, 0),
    hash_kind=HashKind.CRC32,
    max_pictures=2,
    max_reorder=1,
    time_base=TimeBase(90000, 1),
    content_light=ContentLight(1000, 400),
)
I_PAYLOAD, P_PAYLOAD = bytes.fromhex("0000800055"), bytes.fromhex("00008000")


def documented_bytes(version: int) -> bytes:
    blocks = re.findall(r"```hex\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2, "the document has an example of each format version, the newest first"
    lines = blocks[2 - version].splitlines()
    return bytes.fromhex("".join(BYTES.match(line.strip()).group(1) for line in lines))  # type: ignore[union-attr]


def written_bytes(version: int) -> bytes:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    if version == 1:
        writer.write_sps(0, SPS_1)
        writer.write_frame(NalType.I, 0, 32, False, I_PAYLOAD)
        writer.write_hash(HashKind.CRC32, bytes.fromhex("cafef00d"))
        writer.write_frame(NalType.P, 0, 40, True, P_PAYLOAD)
        writer.write_text("qp=32")
    else:
        writer.write_sps(0, SPS_2)
        writer.write_track(TrackHeader(1, "audio", "aac", "eng", TimeBase(48000, 1), bytes.fromhex("1190")))
        writer.write_frame(NalType.I, 0, 32, False, I_PAYLOAD, PictureHeader(1, (0,), (0,)))
        writer.write_hash(HashKind.CRC32, bytes.fromhex("cafef00d"))
        writer.write_frame(NalType.P, 0, 40, True, P_PAYLOAD, PictureHeader(2, (1, -1), (6006, 3003)))
        writer.write_metadata(1, ITU_T_T35, bytes.fromhex("b5003c"))
        writer.write_track(TrackPacket(1, 1024, 1024, bytes.fromhex("2110")))
    writer.finish()
    return sink.getvalue()


@pytest.mark.parametrize("version", [1, 2])
def test_document_shows_what_the_code_writes(version: int) -> None:
    assert documented_bytes(version).hex(" ") == written_bytes(version).hex(" ")


@pytest.mark.parametrize("version", [1, 2])
def test_checks_follow_the_documented_formulas(version: int) -> None:
    data = documented_bytes(version)
    units = [unit for unit in StreamReader(io.BytesIO(data)) if not isinstance(unit, Damage)]
    sps = i_check = checks = b""
    number = 0
    for unit in units[1:]:
        whole = data[unit.offset : unit.offset + unit.size_bytes]
        body, check = whole[:-4], whole[-4:]
        prefix, suffix = b"", b""
        if body[0] >> 4 == NalType.I:
            prefix, suffix, number, i_check = sps, b"\0", 0, check
        elif body[0] >> 4 == NalType.P:
            number += 1
            prefix, suffix = sps + i_check, bytes([number])
        elif body[0] >> 4 == NalType.SPS:
            sps = body
        elif body[0] >> 4 == NalType.END:
            assert zlib.crc32(checks).to_bytes(4, "big") == body[-4:]
        assert zlib.crc32(prefix + body + suffix).to_bytes(4, "big") == check
        checks += check


def test_examples_are_valid_and_read_back() -> None:
    for version, sps, headers in (
        (1, SPS_1, [PictureHeader(), PictureHeader()]),
        (2, SPS_2, [PictureHeader(1, (0,), (0,)), PictureHeader(2, (1, -1), (6006, 3003))]),
    ):
        data = documented_bytes(version)
        assert validate_stream(io.BytesIO(data)) == []
        units = list(StreamReader(io.BytesIO(data)))
        assert b"".join(data[unit.offset : unit.offset + unit.size_bytes] for unit in units) == data
        frames = [unit for unit in units if isinstance(unit, FrameUnit)]
        assert [(frame.frame_type, frame.qp, frame.reset, frame.payload) for frame in frames] == [
            (NalType.I, 32, False, I_PAYLOAD),
            (NalType.P, 40, True, P_PAYLOAD),
        ]
        assert [frame.pictures for frame in frames] == headers
        assert all(frame.sps == sps for frame in frames)


def test_document_names_every_rule() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [rule for rule in Rule if f"`{rule.value}`" not in text] == []
