"""Whatever picture headers, metadata and track units hold comes back, and any bytes are read or refused."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.picture_header import PictureHeader, read_picture_header, write_picture_header
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.tracks import (
    TRACK_KINDS,
    Metadata,
    TrackHeader,
    TrackPacket,
    read_metadata,
    read_track,
    write_metadata,
    write_track,
)

BYTE = st.integers(0, 255)
ABOVE_0 = st.integers(1, (1 << 32) - 1)
TIMES = st.integers(0, (1 << 63) - 1)
TRACK_NUMBERS = st.integers(1, 255)
LANGUAGES = st.just("") | st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=3)
TRACKS = st.one_of(
    st.builds(
        TrackHeader,
        TRACK_NUMBERS,
        st.sampled_from(TRACK_KINDS),
        st.text(max_size=60).filter(lambda text: len(text.encode()) < 256),
        LANGUAGES,
        st.builds(TimeBase, ABOVE_0, ABOVE_0),
        st.binary(max_size=40),
    ),
    st.builds(TrackPacket, TRACK_NUMBERS, TIMES, st.integers(0, (1 << 30) - 1), st.binary(max_size=40)),
)
LAYOUTS = st.builds(
    Sps,
    st.just(64),
    st.just(48),
    max_pictures=st.integers(1, 64),
    max_reorder=st.integers(0, 64),
    time_base=st.none() | st.just(TimeBase(1000, 1)),
)


@st.composite
def picture_headers(draw: st.DrawFn) -> tuple[Sps, bool, PictureHeader]:
    sps, is_key = draw(LAYOUTS), draw(st.booleans())
    count = draw(st.integers(1, sps.max_pictures))
    shifts = [draw(st.integers(-sps.max_reorder, sps.max_reorder)) for _ in range(count)] if sps.max_reorder else []
    if is_key and shifts:
        shifts[0] = 0
    times = [draw(st.integers(0, (1 << 30) - 1)) for _ in range(count)] if sps.time_base else []
    if is_key and times:
        times[0] = draw(TIMES)
    return sps, is_key, PictureHeader(count, tuple(shifts), tuple(times))


@settings(max_examples=80, deadline=None)
@given(picture_headers(), st.binary(max_size=8))
def test_picture_header_round_trip(made: tuple[Sps, bool, PictureHeader], rest: bytes) -> None:
    sps, is_key, header = made
    data = write_picture_header(sps, is_key, header)
    assert read_picture_header(sps, is_key, data + rest) == (header, len(data))


@settings(max_examples=80, deadline=None)
@given(TRACKS)
def test_track_round_trip(message: TrackHeader | TrackPacket) -> None:
    assert read_track(write_track(message)) == message


@settings(max_examples=80, deadline=None)
@given(st.builds(Metadata, BYTE, st.integers(0, 63), BYTE, st.binary(max_size=40)))
def test_metadata_round_trip(message: Metadata) -> None:
    assert read_metadata(write_metadata(message)) == message


@settings(max_examples=200, deadline=None)
@given(LAYOUTS, st.booleans(), st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(sps: Sps, is_key: bool, data: bytes) -> None:
    try:
        header, size = read_picture_header(sps, is_key, data)
        assert write_picture_header(sps, is_key, header) == data[:size]
    except BitstreamError:
        pass
    for read, write in ((read_track, write_track), (read_metadata, write_metadata)):
        try:
            assert write(read(data)) == data
        except BitstreamError:
            continue
