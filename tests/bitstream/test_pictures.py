"""Units of several pictures, in another order than they are shown, with times, and what travels beside them
(docs/bitstream.md)."""

import io
import zlib
from dataclasses import replace

import pytest

from dcvc_cli.bitstream.concat import concat_streams, repair_stream
from dcvc_cli.bitstream.display_order import DisplayOrder
from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.limits import FrameLimits
from dcvc_cli.bitstream.nal import NalType, write_unit
from dcvc_cli.bitstream.picture_header import PictureHeader, read_picture_header, write_picture_header
from dcvc_cli.bitstream.random_access import find_access_point, read_index
from dcvc_cli.bitstream.sei import hash_picture
from dcvc_cli.bitstream.sps import HashKind, Sps
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.tracks import (
    Metadata,
    TrackHeader,
    TrackPacket,
    read_metadata,
    read_track,
    write_metadata,
    write_track,
)
from dcvc_cli.bitstream.units import Damage, EndUnit, FrameUnit, LaterUnit, MetadataUnit, SeiUnit, TrackUnit
from dcvc_cli.bitstream.validate import validate_stream

PLAIN = Sps(64, 48)
CHUNKS = Sps(64, 48, max_pictures=8, hash_kind=HashKind.CRC32)
TIMED = Sps(64, 48, time_base=TimeBase(1000, 1))
FULL = Sps(64, 48, max_pictures=4, max_reorder=2, time_base=TimeBase(90000, 1))
AUDIO = TrackHeader(1, "audio", "aac", "eng", TimeBase(48000, 1), b"\x11\x90")
I, P = NalType.I, NalType.P  # noqa: E741


def make_stream(sps: Sps, frames: list[tuple[NalType, PictureHeader]], hashed: bool = False) -> bytes:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    for number, (frame_type, pictures) in enumerate(frames):
        writer.write_frame(frame_type, writer.use_sps(sps), 5, False, b"payload %d" % number, pictures)
        if hashed:
            digests = b"".join(hash_picture(HashKind.CRC32, [bytes([n])]) for n in range(pictures.num_pictures))
            writer.write_hash(HashKind.CRC32, digests)
    writer.finish()
    return sink.getvalue()


def frames_of(data: bytes, **options: object) -> list[FrameUnit]:
    return [unit for unit in StreamReader(io.BytesIO(data), **options) if isinstance(unit, FrameUnit)]


@pytest.mark.parametrize(
    ("sps", "is_key", "header", "hexed"),
    [
        (PLAIN, True, PictureHeader(), ""),
        (CHUNKS, False, PictureHeader(8), "08"),
        (replace(CHUNKS, max_reorder=3), False, PictureHeader(2, (3, -3)), "02 06 00"),
        (TIMED, True, PictureHeader(1, (), (1 << 40,)), "00 00 01 00 00 00 00 00"),
        (TIMED, False, PictureHeader(1, (), (40,)), "28"),
        (FULL, True, PictureHeader(2, (0, 1), (7, 3003)), "02 02 03 00 00 00 00 00 00 00 07 8b bb"),
    ],
)
def test_picture_header_bytes(sps: Sps, is_key: bool, header: PictureHeader, hexed: str) -> None:
    data = write_picture_header(sps, is_key, header)
    assert data.hex(" ") == hexed
    assert read_picture_header(sps, is_key, data + b"coded") == (header, len(data))
    for size in range(len(data)):
        with pytest.raises(BitstreamError) as caught:
            read_picture_header(sps, is_key, data[:size])
        assert caught.value.rule is Rule.PICTURE_HEADER


@pytest.mark.parametrize(
    ("sps", "is_key", "header"),
    [
        (PLAIN, False, PictureHeader(2)),
        (CHUNKS, False, PictureHeader(9)),
        (CHUNKS, False, PictureHeader(0)),
        (CHUNKS, False, PictureHeader(1, (0,))),
        (FULL, False, PictureHeader(1, (3,), (0,))),
        (FULL, True, PictureHeader(1, (1,), (0,))),
        (FULL, False, PictureHeader(1, (1,))),
        (TIMED, False, PictureHeader(1, (), (1 << 30,))),
        (TIMED, True, PictureHeader(1, (), (1 << 63,))),
    ],
)
def test_picture_headers_that_have_no_form(sps: Sps, is_key: bool, header: PictureHeader) -> None:
    with pytest.raises(ValueError, match=r"."):
        write_picture_header(sps, is_key, header)
    writer = StreamWriter(io.BytesIO())
    writer.write_frame(I, writer.use_sps(PLAIN), 1, False, b"")
    with pytest.raises(BitstreamError):
        writer.write_frame(I if is_key else P, writer.use_sps(sps), 1, False, b"", header)


def test_chunks_are_counted_in_pictures() -> None:
    chunk = (P, PictureHeader(8))
    data = make_stream(
        CHUNKS, [(I, PictureHeader(1)), chunk, (P, PictureHeader(3)), (I, PictureHeader(1)), chunk], hashed=True
    )
    assert validate_stream(io.BytesIO(data)) == []
    units = list(StreamReader(io.BytesIO(data)))
    frames = [unit for unit in units if isinstance(unit, FrameUnit)]
    assert [frame.frame_index for frame in frames] == [0, 1, 9, 12, 13]
    assert [frame.number for frame in frames] == [0, 1, 2, 0, 1]
    assert [frame.payload for frame in frames] == [b"payload %d" % number for number in range(5)]
    assert [len(unit.message.digests) for unit in units if isinstance(unit, SeiUnit)] == [1, 8, 3, 1, 8]
    assert [unit.num_frames for unit in units if isinstance(unit, EndUnit)] == [21]
    index = read_index(io.BytesIO(data))
    assert [entry.frame_number for entry in index.entries] == [0, 12]
    assert index.num_frames == 21


def test_a_hash_for_each_picture_of_a_unit_or_none() -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_frame(I, writer.use_sps(CHUNKS), 5, False, b"", PictureHeader(2))
    writer.write_hash(HashKind.CRC32, b"1234")
    with pytest.raises(BitstreamError, match="1 picture hashes follow a unit of 2 pictures"):
        list(StreamReader(io.BytesIO(sink.getvalue())))


def test_times_count_from_the_start_of_the_stream() -> None:
    frames = [(I, (0,)), (P, (40,)), (P, (47,)), (I, (100,)), (P, (1,))]
    data = make_stream(TIMED, [(frame_type, PictureHeader(1, (), times)) for frame_type, times in frames])
    assert validate_stream(io.BytesIO(data)) == []
    assert [frame.times for frame in frames_of(data)] == [(0,), (40,), (47,), (100,), (101,)]


@pytest.mark.parametrize(
    "frames", [[(I, (5,)), (P, (0,))], [(I, (0,)), (P, (9,)), (P, (9,))], [(I, (0,)), (P, (9,)), (I, (9,))]]
)
def test_time_that_does_not_go_on_is_a_fault(frames: list[tuple[NalType, tuple[int, ...]]]) -> None:
    data = make_stream(TIMED, [(frame_type, PictureHeader(1, (), times)) for frame_type, times in frames])
    with pytest.raises(BitstreamError) as caught:
        list(StreamReader(io.BytesIO(data)))
    assert caught.value.rule is Rule.TIME_ORDER
    damage = [unit for unit in StreamReader(io.BytesIO(data), tolerant=True) if isinstance(unit, Damage)]
    assert damage[0].rule is Rule.TIME_ORDER


def test_a_broken_picture_header_costs_its_unit_and_those_that_need_it() -> None:
    data = bytearray(
        make_stream(
            CHUNKS, [(I, PictureHeader(1)), (P, PictureHeader(2)), (P, PictureHeader(2)), (I, PictureHeader(1))]
        )
    )
    units = frames_of(bytes(data))
    writer_of_wrong = StreamWriter(sink := io.BytesIO())
    writer_of_wrong.write_frame(I, writer_of_wrong.use_sps(CHUNKS), 5, False, b"payload 0")
    body = replace(units[1], pictures=PictureHeader(1)).payload
    writer_of_wrong.write_frame(P, 0, 5, False, body)
    stream = bytearray(sink.getvalue())
    place = stream.rindex(b"\x01" + body)
    stream[place] = 9
    found = list(StreamReader(io.BytesIO(_with_new_check(bytes(stream), place, len(body) + 1)), tolerant=True))
    assert [unit.rule for unit in found if isinstance(unit, Damage)] == [Rule.PICTURE_HEADER, Rule.END_MISSING]
    assert sum(isinstance(unit, FrameUnit) for unit in found) == 1


def _with_new_check(data: bytes, place: int, size: int) -> bytes:
    """Returns the stream up to the P unit whose payload starts at `place`, its check made anew."""
    units = list(StreamReader(io.BytesIO(data), tolerant=True))
    sps = next(unit for unit in units if type(unit).__name__ == "SpsUnit")
    frame = next(unit for unit in units if isinstance(unit, FrameUnit))
    sps_bytes = data[sps.offset : sps.offset + sps.size_bytes - 4]
    i_check = data[frame.offset + frame.size_bytes - 4 : frame.offset + frame.size_bytes]
    start = frame.offset + frame.size_bytes
    body = data[start : place + size]
    return data[:start] + body + zlib.crc32(sps_bytes + i_check + body + b"\1").to_bytes(4, "big")


def test_display_order() -> None:
    order: DisplayOrder[str] = DisplayOrder(2)
    shown = order.push(0, "0")
    for shift, name in ((2, "3"), (-1, "1"), (-1, "2"), (0, "4")):
        shown += order.push(shift, name)
    assert shown == ["0", "1", "2", "3", "4"]
    assert order.push(1, "6") == []
    assert order.restart() == ["6"]
    assert order.push(0, "I") == ["I"]
    with pytest.raises(BitstreamError, match="display number 0"):
        order.push(-1, "again")
    gap: DisplayOrder[int] = DisplayOrder(1)
    gap.push(1, 1)
    with pytest.raises(BitstreamError, match="number 0 never came"):
        gap.push(1, 2)
    straight: DisplayOrder[int] = DisplayOrder(0)
    assert [straight.push(0, n) for n in range(3)] == [[0], [1], [2]]


def test_metadata_and_tracks_travel_and_older_kinds_of_units_are_passed_over() -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    with pytest.raises(BitstreamError, match="before any SPS of format version 2"):
        writer.write_track(AUDIO)
    writer.write_sps(0, PLAIN)
    writer.write_track(AUDIO)
    writer.write_frame(I, 0, 5, False, b"abc")
    writer.write_metadata(0, 7, b"message")
    writer._write_unit(write_unit(NalType.LATER_9, 0, b"of a later version"))
    writer.write_track(TrackPacket(1, 960, 1024, b"packet"))
    writer.write_frame(P, 0, 5, False, b"d")
    writer.finish()
    data = sink.getvalue()
    assert validate_stream(io.BytesIO(data)) == []
    units = list(StreamReader(io.BytesIO(data)))
    assert [unit.message for unit in units if isinstance(unit, TrackUnit)] == [
        AUDIO,
        TrackPacket(1, 960, 1024, b"packet"),
    ]
    assert [unit.message for unit in units if isinstance(unit, MetadataUnit)] == [Metadata(0, 0, 7, b"message")]
    assert [unit.nal_type for unit in units if isinstance(unit, LaterUnit)] == [NalType.LATER_9]
    copied = io.BytesIO()
    report = concat_streams([("a.dcvc", io.BytesIO(data))], copied)
    assert report.notes == ("units of type 9 in a.dcvc, which this dcvc does not know, are left out",)
    later = next(unit for unit in units if isinstance(unit, LaterUnit))
    copied.seek(0)
    assert len(list(StreamReader(copied))) == len(units) - 1
    assert later.size_bytes == 1 + 1 + 18 + 4


def test_units_of_version_2_are_no_units_under_version_1() -> None:
    stream = make_stream(replace(PLAIN, format_version=1), [(I, PictureHeader())])
    end = stream.index(b"\x40\x0d")
    data = stream[:end] + write_unit(NalType.TRACK, 0, write_track(AUDIO)) + stream[end:]
    with pytest.raises(BitstreamError) as caught:
        list(StreamReader(io.BytesIO(data)))
    assert caught.value.rule is Rule.UNIT_TYPE


def test_a_packet_before_its_header_is_named() -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_frame(I, writer.use_sps(PLAIN), 5, False, b"abc")
    writer.write_track(TrackPacket(3, 0, 0, b""))
    writer.finish()
    assert [fault.rule for fault in validate_stream(io.BytesIO(sink.getvalue()))] == [Rule.TRACK_MISSING]


@pytest.mark.parametrize(
    "message",
    [
        AUDIO,
        TrackHeader(255, "subtitles", "", "", TimeBase(1, 1), b""),
        TrackPacket(1, (1 << 63) - 1, (1 << 30) - 1, b""),
    ],
)
def test_track_round_trip(message: TrackHeader | TrackPacket) -> None:
    payload = write_track(message)
    assert read_track(payload) == message
    whole = len(payload) - len(message.setup if isinstance(message, TrackHeader) else message.data)
    for size in range(whole):
        with pytest.raises(BitstreamError) as caught:
            read_track(payload[:size])
        assert caught.value.rule is Rule.TRACK_CONTENT


@pytest.mark.parametrize(
    "hexed", ["", "0200", "0100", "01010000000000000000", "0001040000000000000001", "000101006161410000000100000001"]
)
def test_track_refusals(hexed: str) -> None:
    with pytest.raises(BitstreamError):
        read_track(bytes.fromhex(hexed))


def test_metadata_refusals() -> None:
    assert read_metadata(write_metadata(Metadata(255, 63, 0, b"x"))) == Metadata(255, 63, 0, b"x")
    for payload in (b"", b"\0\0", b"\0\x40\0"):
        with pytest.raises(BitstreamError):
            read_metadata(payload)
    with pytest.raises(ValueError, match="outside"):
        write_metadata(Metadata(0, 64, 0, b""))


def test_times_of_a_joined_stream_go_on() -> None:
    """Each stream starts where the last picture of the one before ends, whatever their time bases; tracks move
    along."""

    def part(sps: Sps, times: list[int], packet: int) -> io.BytesIO:
        sink = io.BytesIO()
        writer = StreamWriter(sink)
        writer.write_sps(0, sps)
        writer.write_track(AUDIO)
        for number, time in enumerate(times):
            header = PictureHeader(1, (), (time,)) if sps.time_base else PictureHeader()
            writer.write_frame(P if number else I, 0, 5, False, b"", header)
        writer.write_track(TrackPacket(1, packet, 0, b""))
        writer.finish()
        return io.BytesIO(sink.getvalue())

    sink = io.BytesIO()
    slow = replace(TIMED, time_base=TimeBase(90000, 1))
    parts = [part(TIMED, [0, 40, 100], 0), part(PLAIN, [0, 0], 480), part(slow, [90, 180], 0)]
    report = concat_streams([(f"{n}.dcvc", source) for n, source in enumerate(parts)], sink)
    assert validate_stream(io.BytesIO(sink.getvalue())) == []
    # 100 + 60 ms, then two frames at 25 a second.
    frames = frames_of(sink.getvalue())
    assert [frame.times for frame in frames] == [(0,), (40,), (100,), (), (), (90 + 21600,), (90 + 21600 + 180,)]
    packets = [
        unit.message.time
        for unit in StreamReader(io.BytesIO(sink.getvalue()))
        if isinstance(unit, TrackUnit) and unit.message != AUDIO
    ]
    assert packets == [0, 480 + 160 * 48, 240 * 48]
    assert "time base changes from 1000/1 to none in 1.dcvc" in report.notes


def test_times_are_compared_in_seconds() -> None:
    """A stream of fewer ticks a second goes on behind one of many: each tick number is lower than those before."""
    parts = []
    for index, rate in enumerate((90000, 12800, 1000, 1000)):
        sps = replace(TIMED, time_base=TimeBase(rate, 1))
        parts.append((f"{index}.dcvc", io.BytesIO(timed_stream(sps, [0, rate // 25, rate // 25 + 1]))))
    sink = io.BytesIO()
    concat_streams(parts, sink)
    assert validate_stream(io.BytesIO(sink.getvalue())) == []
    seconds = [frame.times[0] / frame.sps.time_base.num for frame in frames_of(sink.getvalue())]
    assert seconds == sorted(set(seconds))


def timed_stream(sps: Sps, times: list[int]) -> bytes:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_sps(0, sps)
    for number, time in enumerate(times):
        writer.write_frame(P if number else I, 0, 5, False, b"", PictureHeader(1, (), (time,)))
    writer.finish()
    return sink.getvalue()


def test_another_track_of_the_same_number_is_left_out_and_told() -> None:
    parts = []
    for header in (AUDIO, replace(AUDIO, codec="opus")):
        sink = io.BytesIO()
        writer = StreamWriter(sink)
        writer.write_sps(0, PLAIN)
        writer.write_track(header)
        writer.write_frame(I, 0, 5, False, b"")
        writer.write_track(TrackPacket(1, 0, 0, b""))
        writer.finish()
        parts.append((f"{header.codec}.dcvc", io.BytesIO(sink.getvalue())))
    sink = io.BytesIO()
    report = concat_streams(parts, sink)
    assert report.notes == ("track 1 of opus.dcvc (audio, opus) is left out: it is another than track 1 before it",)
    assert sum(isinstance(unit, TrackUnit) for unit in StreamReader(io.BytesIO(sink.getvalue()))) == 2


def test_a_family_sets_narrower_limits() -> None:
    data = make_stream(PLAIN, [(I, PictureHeader())])
    for limits, rule in ((FrameLimits(4, 127, 1000), Rule.QP_RANGE), (FrameLimits(127, 127, 3), Rule.LENGTH_LIMIT)):
        with pytest.raises(BitstreamError) as caught:
            list(StreamReader(io.BytesIO(data), limits_of=lambda _, limits=limits: limits))
        assert caught.value.rule is rule
        writer = StreamWriter(io.BytesIO(), limits_of=lambda _, limits=limits: limits)
        with pytest.raises(BitstreamError) as caught:
            writer.write_frame(I, writer.use_sps(PLAIN), 5, False, b"payload 0")
        assert caught.value.rule is rule


def test_repair_keeps_what_can_be_decoded_and_says_what_not() -> None:
    frames = [(P if number % 3 else I, PictureHeader()) for number in range(9)]
    data = make_stream(replace(PLAIN, hash_kind=HashKind.CRC32), frames, hashed=True)
    sink = io.BytesIO()
    assert repair_stream("a.dcvc", io.BytesIO(data), sink).notes == ()
    assert sink.getvalue() == data
    cut = data[: data.index(b"payload 7") + 4]
    sink = io.BytesIO()
    report = repair_stream("a.dcvc", io.BytesIO(cut), sink)
    assert report.num_frames == 7
    assert len(report.notes) == 1
    assert "[truncated]" in report.notes[0]
    assert validate_stream(io.BytesIO(sink.getvalue())) == []
    broken = data.replace(b"payload 4", b"PAYLOAD 4")
    sink = io.BytesIO()
    report = repair_stream("a.dcvc", io.BytesIO(broken), sink)
    assert validate_stream(io.BytesIO(sink.getvalue())) == []
    assert [frame.payload for frame in frames_of(sink.getvalue())] == [b"payload %d" % n for n in (0, 1, 2, 3, 6, 7, 8)]
    assert "1 frame that the end unit counts is not there" in report.notes
    assert "1 frame is left out: what it needs to be decoded is lost" in report.notes
    with pytest.raises(BitstreamError, match=r"^a\.dcvc: no frame can be decoded"):
        repair_stream("a.dcvc", io.BytesIO(data[:20]), io.BytesIO())


def test_seeking_counts_pictures_not_units() -> None:
    chunk = (P, PictureHeader(8))
    data = make_stream(CHUNKS, [(I, PictureHeader(1)), chunk, (P, PictureHeader(3)), (I, PictureHeader(1)), chunk])
    index = read_index(io.BytesIO(data))
    for frame_number, start in ((0, 0), (11, 0), (12, 12), (20, 12)):
        point = find_access_point(io.BytesIO(data), index, frame_number)
        assert point is not None
        assert point.frame_number == start
    assert find_access_point(io.BytesIO(data), index, 21) is None
    lying = data.replace(b"\x02\x08payload 1", b"\x02\x07payload 1").replace(b"\x08payload 1", b"\x07payload 1")
    with pytest.raises(BitstreamError) as caught:
        find_access_point(io.BytesIO(lying), index, 12)
    assert caught.value.rule is Rule.INDEX_MISMATCH
