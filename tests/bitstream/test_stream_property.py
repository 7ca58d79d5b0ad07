"""Whatever is written comes back, and whatever stands between intact units is passed over."""

import io
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.nal import SIGNATURE, NalType, UnitHeader, read_header, write_header
from dcvc_cli.bitstream.sei import FreeText, PictureHash, UnknownSei, UserData, read_sei, write_sei
from dcvc_cli.bitstream.sps import BIT_DEPTHS, CHROMA_FORMATS, CHROMA_LOCATIONS, INTERLACINGS, HashKind, Precision, Sps
from dcvc_cli.bitstream.sps_blocks import TimeBase, UnknownBlock, Vbv
from dcvc_cli.bitstream.sps_syntax import read_sps, write_sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import Damage, FrameUnit, SeiUnit
from dcvc_cli.bitstream.validate import validate_stream
from dcvc_cli.bitstream.varint import read_uv, write_uv
from dcvc_cli.format.entropy_format import SHARED_FORMATS, EntropyFormat
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay

U32 = st.integers(0, (1 << 32) - 1)
U16 = st.integers(0, (1 << 16) - 1)
ABOVE_0 = st.integers(1, (1 << 32) - 1)
XY = st.integers(0, 50000)
U64 = st.integers(0, (1 << 64) - 1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=31)
FRACTIONS = st.one_of(st.just((0, 0)), st.tuples(st.integers(1, (1 << 32) - 1), st.integers(1, (1 << 32) - 1)))


@st.composite
def sps_values(draw: st.DrawFn) -> Sps:
    entropy_format = draw(st.sampled_from(SHARED_FORMATS))
    frame_rate, aspect = draw(FRACTIONS), draw(FRACTIONS)
    version_1 = Sps(
        width=draw(st.integers(1, 16384)),
        height=draw(st.integers(1, 16384)),
        precision=draw(st.sampled_from(Precision)),
        model_family=draw(NAMES),
        model_variant=draw(NAMES),
        fingerprints=(draw(U64), draw(U64)),
        chroma_format=draw(st.sampled_from(["rgb", "yuv420"])),
        colour_primaries=draw(st.integers(0, 255)),
        transfer=draw(st.integers(0, 255)),
        matrix=draw(st.integers(0, 255)),
        full_range=draw(st.sampled_from([None, False, True])),
        chroma_location=draw(st.sampled_from(sorted(CHROMA_LOCATIONS))),
        interlacing=draw(st.sampled_from(sorted(INTERLACINGS))),
        frame_rate_num=frame_rate[0],
        frame_rate_den=frame_rate[1],
        sar_num=aspect[0],
        sar_den=aspect[1],
        skip_threshold_millionths=draw(U32),
        entropy_format=entropy_format,
        truncate_chroma=draw(st.booleans()),
        reset_interval=draw(st.integers(0, 65535)),
        qp_offsets=tuple(draw(st.lists(st.integers(0, 8), min_size=8, max_size=8))),
        hash_kind=draw(st.sampled_from(HashKind)),
        format_version=1,
    )
    if draw(st.booleans()):
        return version_1
    return replace(
        version_1,
        format_version=2,
        syntax=draw(st.integers(1, 255)),
        fingerprints=tuple(draw(st.lists(U64, max_size=8))),
        bit_depth=draw(st.sampled_from(BIT_DEPTHS)),
        chroma_format=draw(st.sampled_from(sorted(CHROMA_FORMATS))),
        entropy_format=draw(st.sampled_from(EntropyFormat)),
        qp_offsets=tuple(draw(st.lists(st.integers(0, 127), max_size=32))),
        max_pictures=draw(st.integers(1, 64)),
        max_reorder=draw(st.integers(0, 64)),
        time_base=draw(st.none() | st.builds(TimeBase, ABOVE_0, ABOVE_0)),
        family_block=draw(st.binary(max_size=1024)),
        mastering_display=draw(
            st.none() | st.builds(MasteringDisplay, st.tuples(*[XY] * 6), st.tuples(XY, XY), U32, U32)
        ),
        content_light=draw(st.none() | st.builds(ContentLight, U16, U16)),
        vbv=draw(st.none() | st.builds(Vbv, ABOVE_0, st.just((1 << 32) - 1), U32)),
        other_blocks=tuple(
            UnknownBlock(kind, draw(st.binary(max_size=40)))
            for kind in sorted(draw(st.sets(st.integers(4, 127), max_size=3)))
        ),
    )


MESSAGES = st.one_of(
    st.builds(
        PictureHash, st.just(HashKind.CRC32), st.integers(1, 64).map(lambda n: bytes(4 * n)), st.integers(0, 255)
    ),
    st.builds(PictureHash, st.just(HashKind.MD5), st.integers(1, 64).map(lambda n: bytes(16 * n)), st.integers(0, 255)),
    st.builds(UserData, st.binary(min_size=16, max_size=16), st.binary(max_size=40)),
    st.builds(FreeText, st.text(max_size=40)),
    st.builds(UnknownSei, st.integers(3, 255), st.binary(max_size=40)),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, (1 << 30) - 1), st.binary(max_size=4))
def test_uv_round_trip(value: int, rest: bytes) -> None:
    data = write_uv(value)
    assert read_uv(data + rest) == (value, len(data))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(NalType), st.integers(0, 15), st.integers(0, (1 << 30) - 1), st.integers(0, 127), st.booleans())
def test_header_round_trip(nal_type: NalType, sps_id: int, size: int, qp: int, reset: bool) -> None:
    is_p = nal_type is NalType.P
    names_sps = nal_type.is_frame or nal_type is NalType.SPS
    header = UnitHeader(nal_type, sps_id if names_sps else 0, size, qp if nal_type.is_frame else 0, reset and is_p)
    assert read_header(write_header(header)) == header
    assert len(write_header(header)) == header.header_size


@settings(max_examples=100, deadline=None)
@given(sps_values())
def test_sps_round_trip(sps: Sps) -> None:
    assert read_sps(write_sps(sps)) == sps


@settings(max_examples=100, deadline=None)
@given(MESSAGES)
def test_sei_round_trip(message: object) -> None:
    assert read_sei(write_sei(message)) == message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_parsers_of_any_bytes_return_or_refuse(data: bytes) -> None:
    for parse, write in ((read_sps, write_sps), (read_sei, write_sei), (read_header, write_header)):
        try:
            value = parse(data)
        except BitstreamError:
            continue
        written = write(value)
        assert data.startswith(written) if parse is read_header else written == data


FRAMES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 63), st.booleans(), st.binary(max_size=300), st.booleans()),
    min_size=1,
    max_size=12,
)


def write(frames: list, sps: Sps) -> tuple[bytes, list]:
    """Returns the stream and what a reader must yield: (type, qp, reset, payload) of frames, messages of SEI units."""
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    expected: list = []
    for number, (is_i, qp, reset, payload, hashed) in enumerate(frames):
        frame_type = NalType.I if is_i or number == 0 else NalType.P
        frame = (frame_type, qp, reset and frame_type is NalType.P, payload)
        writer.write_frame(frame_type, writer.use_sps(sps), *frame[1:])
        expected.append(frame)
        if hashed:
            writer.write_hash(HashKind.CRC32, payload[:4].ljust(4, b"\0"))
            expected.append(payload[:4].ljust(4, b"\0"))
    writer.finish()
    return sink.getvalue(), expected


def summary(units: list) -> list:
    found: list = []
    for unit in units:
        if isinstance(unit, FrameUnit):
            found.append((unit.frame_type, unit.qp, unit.reset, unit.payload))
        elif isinstance(unit, SeiUnit):
            found.append(unit.message.digest)
    return found


class Dribble:
    """A source that returns as few bytes as a pipe may."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._source = io.BytesIO(data)
        self._sizes = sizes
        self._turn = 0

    def read(self, size: int, /) -> bytes:
        self._turn += 1
        return self._source.read(max(1, min(size, self._sizes[self._turn % len(self._sizes)])))


@settings(max_examples=60, deadline=None)
@given(FRAMES, st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_streams_round_trip_in_whatever_pieces_they_arrive(frames: list, sizes: list[int]) -> None:
    data, expected = write(frames, Sps(64, 48, hash_kind=HashKind.CRC32))
    for tolerant in (False, True):
        units = list(StreamReader(Dribble(data, sizes), tolerant))
        assert summary(units) == expected
        assert not any(isinstance(unit, Damage) for unit in units)
    assert validate_stream(io.BytesIO(data)) == []


@settings(max_examples=60, deadline=None)
@given(FRAMES, st.binary(min_size=1, max_size=400), st.data())
def test_junk_between_units_costs_nothing_else(frames: list, junk: bytes, data: st.DataObject) -> None:
    assume(SIGNATURE not in junk)  # That would be a unit, and the start of another stream.
    stream, expected = write(frames, Sps(64, 48, hash_kind=HashKind.CRC32))
    units = list(StreamReader(io.BytesIO(stream)))
    cut = data.draw(st.sampled_from([unit.offset for unit in units[1:] if not isinstance(unit, SeiUnit)]))
    found = list(StreamReader(io.BytesIO(stream[:cut] + junk + stream[cut:]), tolerant=True))
    damage = next(unit for unit in found if isinstance(unit, Damage))
    assert damage.offset == cut
    if damage.size_bytes == len(junk):
        assert summary(found) == expected
    else:
        # Junk that reads as the header of a unit which ends just where a later unit starts is taken for that unit,
        # damaged.
        assert damage.offset + damage.size_bytes - len(junk) in {unit.offset for unit in units if unit.offset > cut}


@settings(max_examples=100, deadline=None)
@given(FRAMES, st.data())
def test_a_burst_of_damage_never_changes_a_frame(frames: list, data: st.DataObject) -> None:
    """Every frame that a tolerant reader calls decodable is one that was written, in order, with its whole chain back
    to its I frame."""
    stream, expected = write(frames, Sps(64, 48, hash_kind=HashKind.CRC32))
    start = data.draw(st.integers(8, len(stream) - 1))
    burst = data.draw(st.binary(min_size=1, max_size=60))
    broken = stream[:start] + burst + stream[start + len(burst) :]
    if broken == stream:
        return
    units = list(StreamReader(io.BytesIO(broken), tolerant=True))
    assert any(isinstance(unit, Damage) for unit in units)
    written = [entry for entry in expected if isinstance(entry, tuple)]
    position = -1
    for unit in units:
        if isinstance(unit, FrameUnit):
            found = (unit.frame_type, unit.qp, unit.reset, unit.payload)
            before, position = position, written.index(found, position + 1)
            if unit.frame_type is NalType.P and unit.decodable and len(set(written)) == len(written):
                assert position == before + 1
