"""Damaged, cut, random and hostile bytes: an error or a record of damage, in bounded time and memory, never a wrong
frame."""

import contextlib
import io
import random
import tracemalloc

import pytest

from dcvc_cli.bitstream.concat import concat_streams
from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.limits import general_limits
from dcvc_cli.bitstream.nal import SIGNATURE, NalType, UnitHeader, write_header, write_unit
from dcvc_cli.bitstream.random_access import read_index, scan_units
from dcvc_cli.bitstream.sps import HashKind, Sps
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import Damage, FrameUnit
from dcvc_cli.bitstream.validate import validate_stream
from dcvc_cli.families.rt.elementary_stream import ElementaryReader, ElementarySps, ElementaryWriter
from dcvc_cli.families.rt.remux import dcvc_to_elementary, elementary_to_dcvc

SPS = Sps(64, 48, hash_kind=HashKind.CRC32)


def make_stream() -> bytes:
    source = random.Random(20)
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_text("qp=32")
    for number in range(7):
        frame_type = NalType.P if number % 4 else NalType.I
        writer.write_frame(
            frame_type, writer.use_sps(SPS), 32, number % 4 == 1, source.randbytes(source.choice([5, 40, 130]))
        )
        if number % 2:
            writer.write_hash(HashKind.CRC32, source.randbytes(4))
    writer.finish()
    return sink.getvalue()


STREAM = make_stream()
FRAMES = [unit for unit in StreamReader(io.BytesIO(STREAM)) if isinstance(unit, FrameUnit)]
PAYLOADS = [unit.payload for unit in FRAMES]


def check_tolerant(data: bytes) -> list:
    """Reads `data` in tolerant mode: it ends, keeps inside the data, and every decodable frame follows the one it
    needs."""
    units = list(StreamReader(io.BytesIO(data), tolerant=True))
    position = 0
    for unit in units:
        assert position <= unit.offset <= len(data)
        assert unit.offset + unit.size_bytes <= len(data)
        position = unit.offset + (0 if isinstance(unit, Damage) and not unit.size_bytes else unit.size_bytes)
    frames = [unit for unit in units if isinstance(unit, FrameUnit)]
    numbers = [PAYLOADS.index(frame.payload) for frame in frames]
    assert numbers == sorted(set(numbers))
    for place, frame in enumerate(frames):
        if frame.frame_type is NalType.P and frame.decodable:
            assert place
            assert numbers[place - 1] == numbers[place] - 1
            assert frames[place - 1].decodable
    return units


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x80, 0xFF])
def test_every_single_byte_flip_is_found(flip: int) -> None:
    for position in range(len(STREAM)):
        broken = bytearray(STREAM)
        broken[position] ^= flip
        data = bytes(broken)
        with pytest.raises(BitstreamError):
            list(StreamReader(io.BytesIO(data)))
        units = check_tolerant(data)
        assert any(isinstance(unit, Damage) for unit in units)
        assert sum(isinstance(unit, FrameUnit) for unit in units) >= len(FRAMES) - 4
        faults = validate_stream(io.BytesIO(data))
        assert faults
        assert min(fault.offset for fault in faults) <= position


def test_every_single_byte_removed_or_doubled_is_found() -> None:
    for position in range(len(STREAM)):
        for data in (STREAM[:position] + STREAM[position + 1 :], STREAM[: position + 1] + STREAM[position:]):
            if data == STREAM:
                continue
            with pytest.raises(BitstreamError):
                list(StreamReader(io.BytesIO(data)))
            if position >= len(SIGNATURE):
                check_tolerant(data)
            assert validate_stream(io.BytesIO(data))


def test_every_truncation_is_found() -> None:
    for size in range(len(STREAM)):
        data = STREAM[:size]
        with pytest.raises(BitstreamError):
            list(StreamReader(io.BytesIO(data)))
        assert len(validate_stream(io.BytesIO(data))) == 1
        with pytest.raises(BitstreamError):
            read_index(io.BytesIO(data))
        if size:
            check_tolerant(data)


def test_every_cut_out_unit_is_found() -> None:
    units = list(StreamReader(io.BytesIO(STREAM)))
    for unit in units:
        data = STREAM[: unit.offset] + STREAM[unit.offset + unit.size_bytes :]
        with pytest.raises(BitstreamError):
            list(StreamReader(io.BytesIO(data)))
        if unit.offset:
            check_tolerant(data)


def test_random_bytes() -> None:
    source = random.Random(21)
    for _ in range(300):
        noise = source.randbytes(source.randrange(400))
        for data in (noise, SIGNATURE + noise, STREAM[:91] + noise, STREAM[: source.randrange(len(STREAM))] + noise):
            for consume in (
                lambda d: list(StreamReader(io.BytesIO(d))),
                lambda d: list(StreamReader(io.BytesIO(d), tolerant=True)),
                lambda d: read_index(io.BytesIO(d)),
                lambda d: scan_units(io.BytesIO(d)),
                lambda d: dcvc_to_elementary(StreamReader(io.BytesIO(d)), io.BytesIO()),
                lambda d: elementary_to_dcvc(io.BytesIO(d), io.BytesIO(), SPS),
                lambda d: concat_streams([("x", io.BytesIO(d))], io.BytesIO()),
            ):
                with contextlib.suppress(BitstreamError):
                    consume(data)
            validate_stream(io.BytesIO(data))


def test_every_flip_of_an_elementary_stream_returns_or_refuses() -> None:
    sink = io.BytesIO()
    writer = ElementaryWriter(sink)
    for number in range(4):
        writer.write_frame(
            NalType.P if number else NalType.I, ElementarySps(48, 64, False, number == 1), 5, PAYLOADS[number]
        )
    stream = sink.getvalue()
    for position in range(len(stream)):
        for flip in (1, 0x40, 0x80, 0xFF):
            broken = bytearray(stream)
            broken[position] ^= flip
            out = io.BytesIO()
            try:
                units = list(ElementaryReader(io.BytesIO(bytes(broken))))
                elementary_to_dcvc(io.BytesIO(bytes(broken)), out, SPS)
            except BitstreamError:
                continue
            assert units
            back = io.BytesIO()
            dcvc_to_elementary(StreamReader(io.BytesIO(out.getvalue())), back)
            assert back.getvalue() == bytes(broken)


FALSE_STARTS = [
    write_header(UnitHeader(NalType.I, 0, 65536, 1)),
    write_header(UnitHeader(NalType.P, 0, 8000, 1)),
    write_header(UnitHeader(NalType.SEI, 0, 1 << 20)),
    b"\x30\x7f",
    b"\x20\x20",
    b"\x00",
    SIGNATURE[:-1] + b"\x00",
]


@pytest.mark.parametrize("pattern", FALSE_STARTS)
def test_false_starts_cost_linear_work(pattern: bytes) -> None:
    """Each false start names a length that must be looked at: without a bound the work would grow with the square of
    the size."""
    size = 1 << 17
    head = SIGNATURE + write_unit(NalType.SPS, 0, write_sps(SPS))
    data = head + (pattern * (size // len(pattern) + 1))[:size] + STREAM[len(SIGNATURE) :]
    reader = StreamReader(io.BytesIO(data), tolerant=True)
    payloads = [unit.payload for unit in reader if isinstance(unit, FrameUnit)]
    assert payloads == PAYLOADS
    assert reader.scan_work <= 64 * len(data) + (64 << 20) + 5 * general_limits(SPS).max_payload_size


def test_work_of_a_search_is_bounded_even_where_every_byte_is_a_false_start() -> None:
    limit = general_limits(SPS).max_payload_size
    head = SIGNATURE + write_unit(NalType.SPS, 0, write_sps(SPS))
    frame = write_header(UnitHeader(NalType.I, 0, limit, 1))
    num_bytes = 2 << 20
    data = head + frame * (num_bytes // len(frame))
    reader = StreamReader(io.BytesIO(data), tolerant=True)
    assert [type(unit) for unit in reader][-1] is Damage
    assert reader.scan_work <= 64 * len(data) + (64 << 20) + 5 * limit
    assert num_bytes // len(frame) * limit > 4 * reader.scan_work, "the bound was not met, the test proves nothing"


@pytest.mark.parametrize("pattern", FALSE_STARTS)
def test_memory_of_a_search_is_bounded(pattern: bytes) -> None:
    head = SIGNATURE + write_unit(NalType.SPS, 0, write_sps(Sps(640, 480)))
    junk = pattern.ljust(4096, b"\xee") * 1024
    source = io.BytesIO(head + junk + STREAM[len(SIGNATURE) :])
    tracemalloc.start()
    num_units = sum(not isinstance(unit, Damage) for unit in StreamReader(source, tolerant=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_units > len(FRAMES)
    assert peak < 4 << 20


def test_an_endless_source_of_one_unit_is_bounded_by_the_limit() -> None:
    class Endless:
        num_bytes = 0

        def __init__(self, head: bytes) -> None:
            self._head = head

        def read(self, size: int, /) -> bytes:
            data, self._head = self._head[:size], self._head[size:]
            data = data or bytes(size)
            self.num_bytes += len(data)
            return data

    head = (
        SIGNATURE
        + write_unit(NalType.SPS, 0, write_sps(SPS))
        + write_header(UnitHeader(NalType.I, 0, general_limits(SPS).max_payload_size, 1))
    )
    source = Endless(head)
    with pytest.raises(BitstreamError):
        list(StreamReader(source))
    assert source.num_bytes <= len(head) + general_limits(SPS).max_payload_size + (1 << 16)
