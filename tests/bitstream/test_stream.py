"""Stream writer and reader: order of units, pipes, joined files, random access, damage, validation, joining."""

import contextlib
import io
import os
import threading
import tracemalloc
import zlib
from dataclasses import replace

import pytest

from dcvc_cli.bitstream.concat import concat_streams
from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError, UnsupportedStreamError
from dcvc_cli.bitstream.limits import general_limits
from dcvc_cli.bitstream.nal import SIGNATURE, NalType, UnitHeader, write_frame_unit, write_header, write_unit
from dcvc_cli.bitstream.random_access import find_access_point, read_index, scan_units
from dcvc_cli.bitstream.sei import FreeText, PictureHash, UserData
from dcvc_cli.bitstream.sps import HashKind, Sps
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import (
    Damage,
    EndUnit,
    FrameUnit,
    IndexUnit,
    SeiUnit,
    SpsUnit,
    StartUnit,
    write_end,
    write_index,
)
from dcvc_cli.bitstream.validate import validate_stream

SPS = Sps(64, 48, hash_kind=HashKind.CRC32)
I, P = NalType.I, NalType.P  # noqa: E741


def payload_of(number: int, size: int = 50) -> bytes:
    return bytes((number * 37 + place * 11) % 256 for place in range(size))


def make_stream(num_frames: int = 9, keyint: int = 4, sps: Sps = SPS, index_all_frames: bool = False) -> bytes:
    sink = io.BytesIO()
    writer = StreamWriter(sink, index_all_frames)
    writer.write_text("qp=32")
    writer.write_sps(0, sps)
    for number in range(num_frames):
        is_i = number % keyint == 0
        writer.write_frame(I if is_i else P, 0, 32, number % keyint == 1, payload_of(number))
        if number % 3 == 0 and sps.hash_kind:
            writer.write_hash(HashKind.CRC32, payload_of(number, 4))
    writer.finish()
    assert writer.size_bytes == len(sink.getvalue())
    return sink.getvalue()


def read(data: bytes, **options: object) -> list:
    return list(StreamReader(io.BytesIO(data), **options))


def frames_of(units: list) -> list[FrameUnit]:
    return [unit for unit in units if isinstance(unit, FrameUnit)]


def damages_of(units: list) -> list[Damage]:
    return [unit for unit in units if isinstance(unit, Damage)]


def unit_at(data: bytes, kind: type, number: int) -> slice:
    unit = [unit for unit in read(data) if isinstance(unit, kind)][number]
    return slice(unit.offset, unit.offset + unit.size_bytes)


def without(data: bytes, part: slice) -> bytes:
    return data[: part.start] + data[part.stop :]


def test_units_come_back_in_order_and_cover_every_byte() -> None:
    data = make_stream()
    units = read(data)
    kinds = [type(unit) for unit in units]
    assert kinds[:5] == [StartUnit, SeiUnit, SpsUnit, FrameUnit, SeiUnit]
    assert kinds[-2:] == [IndexUnit, EndUnit]
    position = 0
    for unit in units:
        assert unit.offset == position
        position += unit.size_bytes
    assert position == len(data)
    frames = frames_of(units)
    assert [frame.payload for frame in frames] == [payload_of(number) for number in range(9)]
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert [frame.frame_index for frame in frames] == list(range(9))
    assert [frame.reset for frame in frames] == [number % 4 == 1 for number in range(9)]
    assert all(frame.decodable and frame.sps == SPS for frame in frames)
    messages = [unit.message for unit in units if isinstance(unit, SeiUnit)]
    assert messages[:2] == [FreeText("qp=32"), PictureHash(HashKind.CRC32, payload_of(0, 4), 0)]


def test_sps_is_repeated_before_every_i_unit_once() -> None:
    kinds = [type(unit).__name__ for unit in read(make_stream(sps=replace(SPS, hash_kind=HashKind.NONE)))]
    assert kinds == ["StartUnit", "SeiUnit"] + (["SpsUnit"] + ["FrameUnit"] * 4) * 2 + [
        "SpsUnit",
        "FrameUnit",
        "IndexUnit",
        "EndUnit",
    ]


def test_frame_numbers_wrap_at_256() -> None:
    frames = frames_of(read(make_stream(num_frames=600, keyint=1000)))
    assert [frame.number for frame in frames] == [number % 256 for number in range(600)]
    assert all(frame.decodable for frame in frames)


def test_writer_refuses_what_no_reader_could_read() -> None:
    writer = StreamWriter(io.BytesIO())
    for call, rule in (
        (lambda: writer.write_frame(I, 0, 0, False, b""), Rule.SPS_MISSING),
        (lambda: writer.write_hash(HashKind.CRC32, b"1234"), Rule.HASH_FRAME),
    ):
        with pytest.raises(BitstreamError) as caught:
            call()
        assert caught.value.rule is rule
    writer.write_sps(0, SPS)
    writer.write_sps(1, Sps(80, 48))
    for call, rule in (
        (lambda: writer.write_frame(P, 0, 0, False, b""), Rule.P_WITHOUT_I),
        (
            lambda: writer.write_frame(I, 0, 0, False, bytes(general_limits(SPS).max_payload_size + 1)),
            Rule.LENGTH_LIMIT,
        ),
    ):
        with pytest.raises(BitstreamError) as caught:
            call()
        assert caught.value.rule is rule
    writer.write_frame(I, 0, 0, False, b"")
    with pytest.raises(BitstreamError, match="another model"):
        writer.write_frame(P, 1, 0, False, b"")
    writer.write_sps(2, replace(SPS, format_version=1))
    with pytest.raises(BitstreamError, match="QP 64"):
        writer.write_frame(I, 2, 64, False, b"")
    writer.finish()
    with pytest.raises(ValueError, match="finished"):
        writer.write_text("late")


def test_use_sps_shares_ids_and_takes_turns_after_16() -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    for width in [*range(1, 21), 20, 1]:
        writer.write_frame(I, writer.use_sps(Sps(width, 48)), 0, False, bytes([width]))
    writer.finish()
    units = read(sink.getvalue())
    assert [frame.sps.width for frame in frames_of(units)] == [frame.payload[0] for frame in frames_of(units)]
    assert validate_stream(io.BytesIO(sink.getvalue())) == []


@pytest.mark.parametrize("buffered", [True, False])
def test_pipe_delivers_each_unit_as_soon_as_it_is_whole(buffered: bool) -> None:
    data = make_stream()
    parts = [data[unit.offset : unit.offset + unit.size_bytes] for unit in read(data)]
    read_end, write_end = os.pipe()
    with (
        os.fdopen(read_end, "rb", buffering=-1 if buffered else 0) as source,
        os.fdopen(write_end, "wb", buffering=0) as sink,
    ):
        units = iter(StreamReader(source))
        for part in parts:
            sink.write(part)
            assert next(units).size_bytes == len(part)
        sink.close()
        assert list(units) == []


def test_partial_writes_of_a_raw_pipe_lose_nothing() -> None:
    class Dribble:
        data = b""

        def write(self, data: memoryview) -> int:
            self.data += bytes(data[:7])
            return min(7, len(data))

    sink = Dribble()
    writer = StreamWriter(sink)
    writer.write_sps(0, SPS)
    writer.write_frame(I, 0, 1, False, payload_of(0))
    writer.finish()
    assert frames_of(read(sink.data))[0].payload == payload_of(0)


def test_joined_files_read_as_one() -> None:
    first, second = make_stream(), make_stream(5, sps=Sps(80, 64))
    units = read(first + second)
    assert [frame.payload for frame in frames_of(units)] == [payload_of(n) for n in (*range(9), *range(5))]
    assert [frame.sps.width for frame in frames_of(units)] == [64] * 9 + [80] * 5
    assert validate_stream(io.BytesIO(first + second)) == []
    index = read_index(io.BytesIO(first + second))
    assert index.num_frames == 14
    assert [entry.frame_number for entry in index.entries] == [0, 4, 8, 9, 13]


def test_units_of_one_encoder_joined_without_signature_read_as_one() -> None:
    first = make_stream()
    middle = first[unit_at(first, SpsUnit, 0).start : unit_at(first, IndexUnit, 0).start]
    units = read(first[: unit_at(first, IndexUnit, 0).start] + middle, tolerant=True)
    assert len(frames_of(units)) == 18
    assert all(frame.decodable for frame in frames_of(units))
    assert [damage.rule for damage in damages_of(units)] == [Rule.END_MISSING]


@pytest.mark.parametrize("index_all_frames", [False, True])
def test_every_access_point_decodes_alone(index_all_frames: bool) -> None:
    data = make_stream(index_all_frames=index_all_frames) + make_stream(3)
    index, scanned = read_index(io.BytesIO(data)), scan_units(io.BytesIO(data))
    assert scanned.num_frames == index.num_frames == 12
    assert set(index.entries) <= set(scanned.entries)
    assert len(scanned.entries) == 12
    all_frames = frames_of(read(data))
    for number in range(12):
        point = find_access_point(io.BytesIO(data), index, number)
        assert point is not None
        assert point == scanned.access_point(number)
        source = io.BytesIO(data)
        source.seek(point.offset)
        frames = frames_of(list(StreamReader(source, start_offset=point.offset)))
        expected = all_frames[point.frame_number :]
        assert [(f.offset, f.payload, f.decodable) for f in frames] == [(f.offset, f.payload, True) for f in expected]
    assert find_access_point(io.BytesIO(data), index, 12) is None
    assert scanned.access_point(12) is None


def test_index_is_refused_where_the_end_is_gone() -> None:
    data = make_stream()
    for broken in (
        b"",
        data[:-1],
        data[:100],
        without(data, slice(0, 1)),
        data + b"x",
        data[:-30] + b"\0" + data[-29:],
    ):
        with pytest.raises(BitstreamError):
            read_index(io.BytesIO(broken))


def test_truncation_yields_all_whole_units_first() -> None:
    data = make_stream()
    units = read(data)
    for size in range(1, len(data)):
        seen = []
        with pytest.raises(BitstreamError) as caught:
            seen.extend(StreamReader(io.BytesIO(data[:size])))
        assert isinstance(caught.value, TruncatedStreamError)
        assert caught.value.rule in (Rule.TRUNCATED, Rule.END_MISSING)
        whole = [unit for unit in units if unit.offset + unit.size_bytes <= size]
        reader = iter(StreamReader(io.BytesIO(data[:size]), tolerant=True))
        assert [next(reader) for _ in whole] == whole
        rest = list(reader)
        assert [damage.rule for damage in rest] == [caught.value.rule]


def test_not_our_file() -> None:
    for data, words in (
        (b"", "empty"),
        (b"YUV4MPEG2 W64", "no .dcvc stream"),
        (b"\x00\x30\x50\x00", "remux"),
        (SIGNATURE.replace(b"\r\n", b"\n") + bytes(20), "text-mode"),
    ):
        for tolerant in (False, True):
            with pytest.raises(BitstreamError, match=words):
                read(data, tolerant=tolerant)


def test_lost_p_unit_is_noticed_and_the_next_i_frame_recovers() -> None:
    data = make_stream()
    broken = without(data, unit_at(data, FrameUnit, 5))
    with pytest.raises(BitstreamError, match="1 frames are missing"):
        read(broken)
    units = read(broken, tolerant=True)
    assert [(frame.frame_index, frame.decodable) for frame in frames_of(units)][4:] == [
        (4, True),
        (5, False),
        (6, False),
        (7, True),
    ]
    assert [damage.rule for damage in damages_of(units)] == [Rule.LOST_FRAMES, Rule.END_MISMATCH]


def test_repeated_or_moved_units_are_noticed() -> None:
    data = make_stream(sps=replace(SPS, hash_kind=HashKind.NONE))
    first, second = unit_at(data, FrameUnit, 1), unit_at(data, FrameUnit, 2)
    repeated = data[: first.stop] + data[first] + data[first.stop :]
    swapped = data[: first.start] + data[second] + data[first] + data[second.stop :]
    for broken in (repeated, swapped):
        with pytest.raises(BitstreamError, match="is due"):
            read(broken)


def test_lost_i_unit_never_lets_its_p_frames_pass() -> None:
    """Also right after another I frame, where the number of the P frame fits."""
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_sps(0, SPS)
    for frame_type in (I, I, P, P, I, P):
        writer.write_frame(frame_type, 0, 8, False, payload_of(writer.num_frames))
    writer.finish()
    data = sink.getvalue()
    lost = slice(unit_at(data, SpsUnit, 1).start, unit_at(data, FrameUnit, 1).stop)
    units = read(without(data, lost), tolerant=True)
    assert [frame.payload for frame in frames_of(units) if frame.decodable] == [payload_of(n) for n in (0, 4, 5)]


def test_lost_sps_never_lets_its_frames_pass() -> None:
    """Joined without signatures, the second SPS has the id of the first: frames do not verify under the wrong one."""
    first, second = make_stream(), make_stream(6, sps=replace(SPS, skip_threshold_millionths=120000))
    joined = first[: unit_at(first, IndexUnit, 0).start] + second[unit_at(second, FrameUnit, 0).start :]
    units = read(joined, tolerant=True)
    decodable = [frame.payload for frame in frames_of(units) if frame.decodable]
    assert decodable == [payload_of(n) for n in (*range(9), 4, 5)]
    assert damages_of(units)[0].rule is Rule.CHECK


def test_damaged_payload_costs_its_own_unit_only() -> None:
    data = make_stream()
    for number in range(9):
        part = unit_at(data, FrameUnit, number)
        broken = bytearray(data)
        broken[part.start + 20] ^= 0x55
        units = read(bytes(broken), tolerant=True)
        assert (damages_of(units)[0].offset, damages_of(units)[0].size_bytes) == (part.start, part.stop - part.start)
        assert len(frames_of(units)) == 8
        after_i = [frame.payload for frame in frames_of(units) if frame.decodable]
        assert after_i == [payload_of(n) for n in range(9) if n // 4 != number // 4 or n < number]


def test_junk_between_units_is_passed_over() -> None:
    data = make_stream(sps=replace(SPS, hash_kind=HashKind.NONE))
    cut = unit_at(data, FrameUnit, 2).start
    for junk in (b"\0", b"\x20\x20\x7f" * 100, bytes(range(256)) * 3, b"\x30\xff\xff\xff\xff" * 30):
        units = read(data[:cut] + junk + data[cut:], tolerant=True)
        assert [frame.payload for frame in frames_of(units)] == [payload_of(n) for n in range(9)]
        assert all(frame.decodable for frame in frames_of(units))
        assert (damages_of(units)[0].offset, damages_of(units)[0].size_bytes) == (cut, len(junk))


def test_long_damage_distrusts_frame_numbers() -> None:
    data = make_stream(300, keyint=1000, sps=replace(SPS, hash_kind=HashKind.NONE))
    lost = slice(unit_at(data, FrameUnit, 3).start, unit_at(data, FrameUnit, 259).start)
    junk = bytes(lost.stop - lost.start)
    units = read(data[: lost.start] + junk + data[lost.stop :], tolerant=True)
    assert [frame.decodable for frame in frames_of(units)] == [True] * 3 + [False] * 41


def test_hash_of_a_lost_frame_meets_no_other_frame() -> None:
    data = make_stream()
    with pytest.raises(BitstreamError) as caught:
        read(without(data, unit_at(data, FrameUnit, 3)))
    assert caught.value.rule is Rule.HASH_FRAME
    broken = bytearray(data)
    broken[unit_at(data, FrameUnit, 3).start + 10] ^= 1
    hashes = [
        unit.message
        for unit in read(bytes(broken), tolerant=True)
        if isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash)
    ]
    assert [message.digest for message in hashes] == [payload_of(n, 4) for n in (0, 6)]


def test_newer_format_is_not_taken_for_damage() -> None:
    payload = b"\x03" + write_sps(SPS)[1:]
    for tolerant in (False, True):
        with pytest.raises(UnsupportedStreamError, match="format version 3"):
            read(SIGNATURE + write_unit(NalType.SPS, 0, payload), tolerant=tolerant)


def test_hostile_length_allocates_nothing() -> None:
    head = SIGNATURE + write_unit(NalType.SPS, 0, write_sps(Sps(16384, 16384)))
    frame = write_header(UnitHeader(I, 0, (1 << 30) - 1, 1))
    tracemalloc.start()
    for tolerant in (False, True):
        with contextlib.suppress(BitstreamError):
            read(head + frame + bytes(1000), tolerant=tolerant)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    small = SIGNATURE + write_unit(NalType.SPS, 0, write_sps(SPS))
    with pytest.raises(BitstreamError, match="above the limit") as caught:
        read(small + frame)
    assert caught.value.rule is Rule.LENGTH_LIMIT


def test_memory_stays_flat_over_a_long_stream() -> None:
    read_fd, write_fd = os.pipe()

    def produce() -> None:
        with os.fdopen(write_fd, "wb") as sink:
            writer = StreamWriter(sink)
            writer.write_sps(0, SPS)
            for number in range(4000):
                writer.write_frame(P if number % 100 else I, 0, 1, False, bytes(3000))
            writer.finish()

    thread = threading.Thread(target=produce)
    thread.start()
    tracemalloc.start()
    with os.fdopen(read_fd, "rb") as source:
        num_frames = sum(isinstance(unit, FrameUnit) for unit in StreamReader(source))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    thread.join()
    assert num_frames == 4000
    assert peak < 1 << 20


def handmade(*units: bytes, num_frames: int, index: bytes | None = None, index_distance: int | None = None) -> bytes:
    """Makes a stream of given units with checks, index and end unit that are right unless told otherwise."""
    data = SIGNATURE + b"".join(units)
    index_unit = b"" if index is None else write_unit(NalType.INDEX, 0, index)
    check = 0
    for unit in (*units, *([index_unit] if index_unit else [])):
        check = zlib.crc32(unit[-4:], check)
    distance = len(index_unit) if index_distance is None else index_distance
    end = write_end(num_frames, distance, len(data) + len(index_unit), check)
    return data + index_unit + write_unit(NalType.END, 0, end)


def test_validator_names_every_rule_and_decoders_forgive_two() -> None:
    sps = write_unit(NalType.SPS, 0, write_sps(SPS))
    seed = int.from_bytes(sps[-4:], "big")
    frame = write_frame_unit(UnitHeader(I, 0, 3, 5), b"abc", seed, 0)
    entries = write_index(list(scan_units(io.BytesIO(handmade(sps, frame, num_frames=1))).entries))
    assert validate_stream(io.BytesIO(handmade(sps, frame, num_frames=1, index=entries))) == []
    wrong_hash = write_unit(NalType.SEI, 0, b"\0\2\0" + bytes(16))
    wrong_entries = entries[:-1] + bytes([entries[-1] ^ 1])
    for data, rule, offset, is_forgiven in (
        (handmade(sps, frame, frame, num_frames=2), Rule.SPS_NOT_REPEATED, 8 + len(sps) + len(frame), True),
        (handmade(sps, frame, wrong_hash, num_frames=1), Rule.HASH_KIND, 8 + len(sps) + len(frame), True),
        (
            handmade(sps, frame, num_frames=1, index=wrong_entries),
            Rule.INDEX_MISMATCH,
            8 + len(sps) + len(frame),
            False,
        ),
        (handmade(sps, frame, num_frames=1, index=b""), Rule.INDEX_MISMATCH, 8 + len(sps) + len(frame), False),
        (
            handmade(sps, frame, num_frames=1, index=entries, index_distance=18),
            Rule.END_MISMATCH,
            8 + len(sps) + len(frame) + 19,
            False,
        ),
    ):
        assert [(fault.rule, fault.offset) for fault in validate_stream(io.BytesIO(data))] == [(rule, offset)]
        if is_forgiven:
            read(data)
            continue
        with pytest.raises(BitstreamError) as caught:
            read(data)
        assert (caught.value.rule, caught.value.offset) == (rule, offset)
    for data, rule in (
        (handmade(sps, frame, num_frames=2), Rule.END_MISMATCH),
        (handmade(sps, frame, num_frames=1) + b"more", Rule.AFTER_END),
        (b"", Rule.TRUNCATED),
        (b"not a stream", Rule.SIGNATURE),
    ):
        assert [fault.rule for fault in validate_stream(io.BytesIO(data))] == [rule]
        with pytest.raises(BitstreamError):
            read(data)


def test_concat_is_one_stream_with_the_same_payloads_and_hashes() -> None:
    parts = [
        make_stream(),
        make_stream(5, sps=Sps(80, 64, hash_kind=HashKind.CRC32, frame_rate_num=30)),
        make_stream(3),
    ]
    sink = io.BytesIO()
    report = concat_streams([(f"{n}.dcvc", io.BytesIO(part)) for n, part in enumerate(parts)], sink)
    joined = sink.getvalue()
    assert validate_stream(io.BytesIO(joined)) == []
    assert report.num_frames == 17
    stops = "; `dcvc decode` stops there, decode the parts apart"
    assert report.notes[0] == f"picture size changes from 64x48 to 80x64 in 1.dcvc{stops}"
    assert "frame rate changes from 25/1 to 30/1 in 1.dcvc" in report.notes
    units = read(joined)
    assert sum(isinstance(unit, EndUnit) for unit in units) == sum(isinstance(unit, IndexUnit) for unit in units) == 1
    assert {unit.sps_id for unit in units if isinstance(unit, SpsUnit)} == {0, 1}
    apart = [unit for part in parts for unit in read(part)]
    assert [frame.payload for frame in frames_of(units)] == [frame.payload for frame in frames_of(apart)]
    assert [frame.sps for frame in frames_of(units)] == [frame.sps for frame in frames_of(apart)]
    assert [u.message for u in units if isinstance(u, SeiUnit)] == [u.message for u in apart if isinstance(u, SeiUnit)]


def test_concat_refuses_a_damaged_part_by_name() -> None:
    data = make_stream()
    with pytest.raises(BitstreamError, match=r"^b\.dcvc: "):
        concat_streams([("a.dcvc", io.BytesIO(data)), ("b.dcvc", io.BytesIO(data[:-40]))], io.BytesIO())


def test_user_data_round_trip() -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_user_data(bytes(range(16)), b"mine")
    writer.finish()
    units = read(sink.getvalue())
    assert [unit.message for unit in units if isinstance(unit, SeiUnit)] == [UserData(bytes(range(16)), b"mine")]
    assert validate_stream(io.BytesIO(sink.getvalue())) == []
