"""Exact bytes and refusals of the small parts: uv, headers, checks, SPS, SEI, index and end payloads."""

import contextlib
import hashlib
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from dcvc_cli.bitstream import nal, sei, units
from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError, UnsupportedStreamError
from dcvc_cli.bitstream.limits import FrameLimits, general_limits, limits_under
from dcvc_cli.bitstream.nal import NalType, UnitHeader
from dcvc_cli.bitstream.sps import HashKind, Precision, Sps, quantise_skip_threshold
from dcvc_cli.bitstream.sps_blocks import TimeBase, UnknownBlock, Vbv
from dcvc_cli.bitstream.sps_syntax import read_sps, write_sps
from dcvc_cli.bitstream.varint import ByteReader, read_uv, write_uv
from dcvc_cli.errors import ExitCode, UsageError
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from tests.support.models import SPECS

SPS = Sps(1296, 736)
FULL_SPS = Sps(
    width=1920,
    height=1080,
    model_family="uf",
    model_variant="ht-s",
    syntax=255,
    fingerprints=(1, (1 << 64) - 1, 3),
    bit_depth=10,
    chroma_format="yuv422",
    entropy_format=EntropyFormat.FAMILY,
    qp_offsets=(0, 127, 3, 4, 5),
    max_pictures=64,
    max_reorder=64,
    time_base=TimeBase(90000, 1),
    family_block=b"\0abc",
    mastering_display=MasteringDisplay((13250, 34500, 7500, 3000, 34000, 16000), (15635, 16450), 10_000_000, 1),
    content_light=ContentLight(1000, 400),
    vbv=Vbv(4_000_000, 6_000_000, 5_400_000),
    other_blocks=(UnknownBlock(100, b"later"),),
)
BLOCKS_OF_FULL_SPS = (10, 10 + 7, 10 + 7 + 14, 10 + 7 + 14 + 6, 10 + 7 + 14 + 6 + 26, 10 + 7 + 14 + 6 + 26 + 6)
"""Sizes of its blocks from the last to the first, added up: a payload that ends between two blocks is whole."""


@pytest.mark.parametrize(
    ("value", "hexed"),
    [(0, "00"), (127, "7f"), (128, "8080"), (16383, "bfff"), (16384, "c0004000"), ((1 << 30) - 1, "ffffffff")],
)
def test_uv_bytes(value: int, hexed: str) -> None:
    assert write_uv(value).hex() == hexed
    assert read_uv(bytes.fromhex(hexed) + b"rest") == (value, len(hexed) // 2)


def test_uv_refusals() -> None:
    for value in (-1, 1 << 30):
        with pytest.raises(ValueError, match="uv holds"):
            write_uv(value)
    for hexed in ("8000", "807f", "c0000000", "c0003fff"):
        with pytest.raises(BitstreamError) as caught:
            read_uv(bytes.fromhex(hexed))
        assert caught.value.rule is Rule.LENGTH_FORM
        assert ByteReader(bytes.fromhex(hexed)).uv(shortest=False) == int(hexed, 16) & (
            (1 << (8 * len(hexed) // 2 - 2)) - 1
        )
    for hexed in ("", "80", "c00040"):
        with pytest.raises(TruncatedStreamError):
            read_uv(bytes.fromhex(hexed))


def test_byte_reader_consumes_nothing_past_the_end() -> None:
    reader = ByteReader(b"\x01\x02\x03")
    assert reader.uint(2) == 0x0102
    for read in (lambda: reader.uint(2), lambda: reader.take(2), lambda: reader.take(-1)):
        with pytest.raises(TruncatedStreamError):
            read()
    assert (reader.offset, reader.remaining) == (2, 1)


def test_p_unit_overhead_is_at_most_8_bytes_below_16384() -> None:
    for size, overhead in ((0, 7), (127, 7), (128, 8), (16383, 8), (16384, 10)):
        unit = nal.write_frame_unit(UnitHeader(NalType.P, 3, size, 71, True), bytes(size), 0, 5)
        assert len(unit) - size == overhead


@pytest.mark.parametrize(
    ("header", "hexed"),
    [
        (UnitHeader(NalType.SPS, 15, 77), "0f4d"),
        (UnitHeader(NalType.I, 1, 300, 63), "113f812c"),
        (UnitHeader(NalType.P, 2, 5, 71, True), "22c705"),
        (UnitHeader(NalType.END, 0, 20), "5014"),
    ],
)
def test_header_bytes(header: UnitHeader, hexed: str) -> None:
    assert nal.write_header(header).hex() == hexed
    assert nal.read_header(bytes.fromhex(hexed)) == header


@pytest.mark.parametrize(
    ("hexed", "rule"),
    [
        ("d000", Rule.UNIT_TYPE),
        ("f000", Rule.UNIT_TYPE),
        ("3100", Rule.UNIT_TYPE),
        ("108000", Rule.RESET_ON_I),
        ("20008001", Rule.LENGTH_FORM),
        ("20", Rule.TRUNCATED),
        ("20c7c000", Rule.TRUNCATED),
    ],
)
def test_header_refusals(hexed: str, rule: Rule) -> None:
    with pytest.raises(BitstreamError) as caught:
        nal.read_header(bytes.fromhex(hexed))
    assert caught.value.rule is rule
    assert caught.value.exit_code is ExitCode.STREAM


def test_frame_number_is_found_from_the_check() -> None:
    body = zlib.crc32(b"a frame unit")
    for number in range(256):
        assert nal.find_frame_number(body, zlib.crc32(b"a frame unit" + bytes([number]))) == number
    assert nal.find_frame_number(body, zlib.crc32(b"a frame unit" + b"\0") ^ 1) is None


def test_signature_survives_no_text_mode() -> None:
    text_modes = [
        nal.SIGNATURE.replace(b"\r\n", b"\n"),
        nal.SIGNATURE.replace(b"\n", b"\r\n"),
        bytes(byte & 0x7F for byte in nal.SIGNATURE),
        nal.SIGNATURE.split(b"\x1a")[0],
        nal.SIGNATURE.decode("utf-8", errors="replace").encode(),
    ]
    assert nal.SIGNATURE not in text_modes


def test_version_1_sps_round_trip_of_every_field() -> None:
    sps = Sps(
        width=16384,
        height=1,
        precision=Precision.FLOAT64,
        arithmetic_level=0,
        model_family="a" * 31,
        model_variant="b.c_d-9",
        fingerprints=((1 << 64) - 1, 1),
        chroma_format="rgb",
        colour_primaries=9,
        transfer=16,
        matrix=255,
        full_range=False,
        chroma_location="paldv",
        interlacing="m",
        frame_rate_num=(1 << 32) - 1,
        frame_rate_den=1001,
        sar_num=4,
        sar_den=3,
        skip_threshold_millionths=(1 << 32) - 1,
        entropy_format=EntropyFormat.PARTITIONED,
        truncate_chroma=True,
        reset_interval=65535,
        qp_offsets=(8, 7, 6, 5, 4, 3, 2, 1),
        hash_kind=HashKind.MD5,
        format_version=1,
    )
    payload = write_sps(sps)
    assert read_sps(payload) == sps
    assert len(payload) == 66 + 31 + 7
    for size in range(1, len(payload)):
        with pytest.raises(BitstreamError):
            read_sps(payload[:size])
    with pytest.raises(BitstreamError, match="after its last field"):
        read_sps(payload + b"\0")


@pytest.mark.parametrize("threshold", [0.12, 100.0, 0.11, 0.000001, 4294.967295, 1 / 3])
def test_skip_threshold_is_the_nearest_double_of_its_decimal(threshold: float) -> None:
    sps = replace(SPS, skip_threshold_millionths=quantise_skip_threshold(threshold))
    assert read_sps(write_sps(sps)).skip_threshold == float(f"{threshold:.6f}")


def test_version_2_sps_round_trip_of_every_field() -> None:
    payload = write_sps(FULL_SPS)
    assert read_sps(payload) == FULL_SPS
    assert len(payload) == 47 + 2 + 4 + 3 * 8 + 5 + (2 + 4) + (2 + 24) + (2 + 4) + (2 + 12) + (2 + 8) + (2 + 5)
    whole = {len(payload), *(len(payload) - size for size in BLOCKS_OF_FULL_SPS)}
    for size in range(1, len(payload)):
        if size not in whole:
            with pytest.raises(BitstreamError):
                read_sps(payload[:size])


def test_version_1_lists_lite_under_another_family() -> None:
    sps = replace(SPS, model_family="lite", model_variant="lite", format_version=1)
    payload = write_sps(sps)
    assert payload[3:16] == b"\x07dcvc-rt\x04lite"
    assert read_sps(payload) == sps
    with pytest.raises(BitstreamError, match="version 1 does not have"):
        read_sps(payload[:3] + b"\x04lite" + payload[11:])


def test_blocks_that_reading_needs_are_refused_and_others_kept() -> None:
    payload = write_sps(SPS)
    kept = read_sps(payload + bytes([77, 2, 1, 2]))
    assert kept.other_blocks == (UnknownBlock(77, b"\1\2"),)
    assert write_sps(kept) == payload + bytes([77, 2, 1, 2])
    with pytest.raises(UnsupportedStreamError, match="SPS block 129"):
        read_sps(payload + bytes([129, 0]))
    for wrong in (bytes([77, 0, 77, 0]), bytes([77, 0, 5, 0]), bytes([0, 0]), bytes([2, 3, 1, 2, 3]), bytes([77, 9])):
        with pytest.raises(BitstreamError) as caught:
            read_sps(payload + wrong)
        assert caught.value.rule is Rule.SPS_CONTENT
    deep = bytearray(payload)
    deep[payload.index(b"\x08\x01\x02\x02\x02")] = 12
    with pytest.raises(UnsupportedStreamError, match="12 bits a sample"):
        read_sps(bytes(deep))


def test_skip_threshold_limits() -> None:
    assert SPS.skip_threshold is None
    assert quantise_skip_threshold(None) == 0
    for threshold in (0.0, -1.0, 1e-7, 4295.0, float("nan"), float("inf")):
        with pytest.raises(UsageError):
            quantise_skip_threshold(threshold)


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"height": 16385},
        {"bit_depth": 12},
        {"chroma_format": "yuv411"},
        {"model_variant": ""},
        {"model_variant": "x" * 32},
        {"model_family": "RT"},
        {"arithmetic_level": 0},
        {"frame_rate_num": 0},
        {"sar_den": 1},
        {"qp_offsets": (0,) * 33},
        {"qp_offsets": (128,)},
        {"reset_interval": 65536},
        {"fingerprints": (1 << 64, 0)},
        {"fingerprints": (1,) * 9},
        {"syntax": 0},
        {"syntax": 256},
        {"max_pictures": 0},
        {"max_pictures": 65},
        {"max_reorder": 65},
        {"family_block": bytes(1025)},
        {"other_blocks": (UnknownBlock(9, b""), UnknownBlock(5, b""))},
        {"format_version": 3},
        {"format_version": 1, "bit_depth": 10},
        {"format_version": 1, "chroma_format": "yuv444"},
        {"format_version": 1, "qp_offsets": (0,) * 7},
        {"format_version": 1, "qp_offsets": (9,) * 8},
        {"format_version": 1, "fingerprints": (1, 2, 3)},
        {"format_version": 1, "syntax": 2},
        {"format_version": 1, "entropy_format": EntropyFormat.FAMILY},
        {"format_version": 1, "max_pictures": 8},
        {"format_version": 1, "max_reorder": 1},
        {"format_version": 1, "family_block": b"x"},
        {"format_version": 1, "time_base": TimeBase(1, 1)},
    ],
)
def test_sps_refuses(changes: dict) -> None:
    with pytest.raises(ValueError, match=r"."):
        replace(SPS, **changes)


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [(0, 3, "format version 3"), (1, 5, "arithmetic profile 5"), (2, 2, "level 2 of the exact arithmetic rules")],
)
def test_newer_streams_are_refused_in_one_sentence(position: int, value: int, words: str) -> None:
    payload = bytearray(write_sps(SPS))
    payload[position] = value
    with pytest.raises(UnsupportedStreamError, match=words) as caught:
        read_sps(bytes(payload))
    assert "newer dcvc" in str(caught.value)


@pytest.mark.parametrize("sps", [replace(SPS, format_version=1), SPS, FULL_SPS], ids=["version 1", "plain", "full"])
def test_every_single_byte_of_an_sps_is_checked(sps: Sps) -> None:
    payload = write_sps(sps)
    for position in range(len(payload)):
        for value in range(256):
            changed = payload[:position] + bytes([value]) + payload[position + 1 :]
            with contextlib.suppress(BitstreamError):
                assert write_sps(read_sps(changed)) == changed


def test_payload_limit_covers_every_models_latents() -> None:
    assert max(model.latent for spec in SPECS.values() for model in (spec.image, spec.video)) <= 384
    assert max(model.hyper for spec in SPECS.values() for model in (spec.image, spec.video)) <= 128


def test_payload_limit_covers_the_costliest_symbols() -> None:
    for width, height in ((1, 1), (18, 10), (64, 64), (1920, 1080)):
        num_symbols = 384 * -(-width // 16) * -(-height // 16) + 128 * -(-width // 64) * -(-height // 64)
        for version in (1, 2):
            limits = general_limits(Sps(width, height, format_version=version))
            assert limits.max_payload_size >= num_symbols * 28 / 8
            assert (limits.max_qp_i, limits.max_qp_p) == ((63, 71) if version == 1 else (127, 127))
    assert general_limits(Sps(16384, 16384)).max_payload_size == (1 << 30) - 1


def test_limits_of_a_family_narrow_those_of_the_format() -> None:
    sps = Sps(64, 64)
    assert limits_under(sps, None) == limits_under(sps, lambda _: None) == general_limits(sps)
    narrow = limits_under(sps, lambda _: FrameLimits(63, 127, (1 << 30) - 1))
    assert (narrow.max_qp_i, narrow.max_qp_p) == (63, 127)
    assert narrow.max_payload_size == general_limits(sps).max_payload_size


def test_what_may_change_under_a_p_frame() -> None:
    assert replace(SPS, entropy_format=EntropyFormat.PUBLISHED_TWO, skip_threshold_millionths=5).can_follow(SPS)
    assert replace(SPS, vbv=Vbv(1, 1, 0), content_light=ContentLight(1, 1)).can_follow(SPS)
    for changes in (
        {"width": 8},
        {"model_variant": "rt"},
        {"fingerprints": (0, 3)},
        {"syntax": 2},
        {"time_base": TimeBase(1, 1)},
        {"precision": Precision.FLOAT32},
        {"format_version": 1},
    ):
        assert not replace(SPS, **changes).can_follow(SPS)


def test_picture_hashes_are_those_of_the_raw_file() -> None:
    planes = [bytes(range(24)), bytes(6), memoryview(b"\xff" * 6)]
    whole = b"".join(bytes(plane) for plane in planes)
    assert sei.hash_picture(HashKind.CRC32, planes) == struct.pack(">I", zlib.crc32(whole))
    assert sei.hash_picture(HashKind.MD5, planes) == hashlib.md5(whole).digest()
    with pytest.raises(ValueError, match="no picture hash"):
        sei.hash_picture(HashKind.NONE, planes)


@pytest.mark.parametrize(
    ("message", "hexed"),
    [
        (sei.PictureHash(HashKind.CRC32, b"\1\2\3\4", 7), "00010701020304"),
        (sei.PictureHash(HashKind.MD5, bytes(16), 255), "0002ff" + "00" * 16),
        (sei.UserData(bytes(range(16)), b"ab"), "01000102030405060708090a0b0c0d0e0f6162"),
        (sei.FreeText("é"), "02c3a9"),
        (sei.UnknownSei(200, b"x"), "c878"),
    ],
)
def test_sei_bytes(message: sei.SeiMessage, hexed: str) -> None:
    assert sei.write_sei(message).hex() == hexed
    assert sei.read_sei(bytes.fromhex(hexed)) == message


@pytest.mark.parametrize(
    "hexed", ["", "00", "0000070102", "00030701020304", "000107010203", "0001070102030405", "0100", "02ff"]
)
def test_sei_refusals(hexed: str) -> None:
    with pytest.raises(BitstreamError) as caught:
        sei.read_sei(bytes.fromhex(hexed))
    assert caught.value.rule is Rule.SEI_CONTENT


def test_sei_writer_refusals() -> None:
    for message in (
        sei.PictureHash(HashKind.MD5, b"1234", 0),
        sei.UserData(b"short", b""),
        sei.FreeText("x" * (1 << 20)),
    ):
        with pytest.raises(ValueError, match=r"\d"):
            sei.write_sei(message)


def test_index_and_end_bytes() -> None:
    entries = [units.IndexEntry(NalType.I, 0, 8), units.IndexEntry(NalType.P, 1, 1 << 40)]
    payload = units.write_index(entries)
    assert payload.hex() == "01000000000000000000000008" + "02000000010000010000000000"
    assert units.read_index_payload(payload) == tuple(entries)
    for broken in (payload[:-1], payload[13:] + payload[:13], b"\x03" + payload[1:]):
        with pytest.raises(BitstreamError) as caught:
            units.read_index_payload(broken)
        assert caught.value.rule is Rule.INDEX_CONTENT
    end = units.write_end(5, 19, 158, 0xDEADBEEF)
    assert end.hex() == "0000000500000013000000000000009edeadbeef"
    assert units.read_end(end, 158) == units.EndUnit(158, 26, 5, 19, 158, 0xDEADBEEF)


def test_package_needs_the_standard_library_only() -> None:
    root = Path(__file__).parents[2]
    names = sorted(path.stem for path in (root / "dcvc_cli" / "bitstream").glob("*.py") if path.stem != "__init__")
    imports = "; ".join(f"import dcvc_cli.bitstream.{name}" for name in names)
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); {imports}; print(*[m for m in sys.modules if m.split('.')[0] "
        "in ('numpy', 'torch', 'rich')])"
    )
    result = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
