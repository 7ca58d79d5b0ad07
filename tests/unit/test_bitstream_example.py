"""The worked example of docs/bitstream.md is what the code writes, and the checks in it follow the formulas of that page."""

import io
import re
import zlib
from pathlib import Path

from dcvc_cli.bitstream.faults import Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import HashKind, Sps, quantise_skip_threshold
from dcvc_cli.bitstream.stream import StreamReader, StreamWriter
from dcvc_cli.bitstream.units import Damage, FrameUnit
from dcvc_cli.bitstream.validate import validate_stream

DOCUMENT = Path(__file__).parents[2] / "docs" / "bitstream.md"
EXAMPLE_SPS = Sps(
    18,
    10,
    image_fingerprint=0x0123456789ABCDEF,
    video_fingerprint=0xFEDCBA9876543210,
    frame_rate_num=30000,
    frame_rate_den=1001,
    skip_threshold_millionths=quantise_skip_threshold(0.12),
    hash_kind=HashKind.CRC32,
)


def documented_bytes() -> bytes:
    block = re.search(r"```hex\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert block, "the document has no hex block"
    return bytes.fromhex("".join(re.match(r"((?: ?[0-9a-f]{2})+)(?:  |$)", line.strip()).group(1) for line in block.group(1).splitlines()))


def written_bytes() -> bytes:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_sps(0, EXAMPLE_SPS)
    writer.write_frame(NalType.I, 0, 32, False, bytes.fromhex("0000800055"))
    writer.write_hash(HashKind.CRC32, bytes.fromhex("cafef00d"))
    writer.write_frame(NalType.P, 0, 40, True, bytes.fromhex("00008000"))
    writer.write_text("qp=32")
    writer.finish()
    return sink.getvalue()


def test_document_shows_what_the_code_writes() -> None:
    assert documented_bytes().hex(" ") == written_bytes().hex(" ")


def test_checks_follow_the_documented_formulas() -> None:
    data = documented_bytes()
    sps, sps_check = data[8:87], data[87:91]
    assert zlib.crc32(sps).to_bytes(4, "big") == sps_check
    i_unit, i_check = data[91:99], data[99:103]
    assert zlib.crc32(sps + i_unit + b"\0").to_bytes(4, "big") == i_check
    p_unit, p_check = data[116:123], data[123:127]
    assert zlib.crc32(sps + i_check + p_unit + b"\1").to_bytes(4, "big") == p_check
    checks = sps_check + i_check + data[112:116] + p_check + data[135:139] + data[154:158]
    assert zlib.crc32(checks).to_bytes(4, "big") == data[176:180]


def test_example_is_valid_and_reads_back() -> None:
    data = documented_bytes()
    assert validate_stream(io.BytesIO(data)) == []
    units = list(StreamReader(io.BytesIO(data)))
    assert b"".join(data[unit.offset : unit.offset + unit.size_bytes] for unit in units if not isinstance(unit, Damage)) == data
    frames = [unit for unit in units if isinstance(unit, FrameUnit)]
    assert [(frame.frame_type, frame.qp, frame.reset, frame.payload.hex()) for frame in frames] == [
        (NalType.I, 32, False, "0000800055"),
        (NalType.P, 40, True, "00008000"),
    ]
    assert all(frame.sps == EXAMPLE_SPS for frame in frames)


def test_document_names_every_rule() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [rule for rule in Rule if f"`{rule.value}`" not in text] == []
