"""The published elementary stream: the published cases unit by unit, and remux in both directions, byte for byte."""

import hashlib
import io
import json
from dataclasses import replace

import pytest

from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.random_access import read_index
from dcvc_cli.bitstream.sei import UserData
from dcvc_cli.bitstream.sps import HashKind, Precision, Sps, quantise_skip_threshold
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import FrameUnit, SeiUnit
from dcvc_cli.bitstream.validate import validate_stream
from dcvc_cli.families.rt.elementary_stream import (
    ElementaryFrameUnit,
    ElementaryReader,
    ElementarySps,
    ElementarySpsUnit,
    ElementaryWriter,
    write_elementary_frame_header,
    write_elementary_sps,
)
from dcvc_cli.families.rt.remux import dcvc_to_elementary, elementary_to_dcvc
from dcvc_cli.format.entropy_format import EntropyFormat
from tests.support.published import CONFORMANCE

CASES = sorted(path.parent for path in CONFORMANCE.glob("*/stream.bin"))
TEMPLATE = Sps(1, 1, precision=Precision.FLOAT64, model_variant="rt", frame_rate_num=30)
I, P = NalType.I, NalType.P  # noqa: E741
SIZE = ElementarySps(48, 80, False, False)


def to_dcvc(stream: bytes, template: Sps = TEMPLATE) -> bytes:
    sink = io.BytesIO()
    elementary_to_dcvc(io.BytesIO(stream), sink, template)
    return sink.getvalue()


def to_elementary(stream: bytes) -> bytes:
    sink = io.BytesIO()
    dcvc_to_elementary(StreamReader(io.BytesIO(stream)), sink)
    return sink.getvalue()


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> tuple[dict, bytes]:
    return json.loads((request.param / "case.json").read_text(encoding="utf-8")), (
        request.param / "stream.bin"
    ).read_bytes()


def test_cases_were_found() -> None:
    assert len(CASES) >= 5


def test_units_of_the_published_cases(case: tuple[dict, bytes]) -> None:
    settings, stream = case
    found = []
    for unit in ElementaryReader(io.BytesIO(stream)):
        if isinstance(unit, ElementarySpsUnit):
            entry = {"type": "SPS", "height": unit.sps.height, "width": unit.sps.width, "size": len(unit.raw)}
            entry |= {"ec_part": int(unit.sps.ec_part), "use_ada_i": int(unit.sps.use_ada_i)}
        else:
            entry = {
                "type": unit.frame_type.name,
                "qp": unit.qp,
                "size": len(unit.header) + len(unit.payload),
                "payload_size": len(unit.payload),
            }
            entry |= {"payload_sha256": hashlib.sha256(unit.payload).hexdigest(), "use_ada_i": int(unit.sps.use_ada_i)}
        found.append(entry | {"offset": unit.offset, "sps_id": unit.sps_id})
    assert found == settings["units"]


def test_elementary_writer_makes_the_published_bytes(case: tuple[dict, bytes]) -> None:
    settings, stream = case
    sink = io.BytesIO()
    writer = ElementaryWriter(sink)
    frames = [unit for unit in ElementaryReader(io.BytesIO(stream)) if isinstance(unit, ElementaryFrameUnit)]
    sizes = [writer.write_frame(frame.frame_type, frame.sps, frame.qp, frame.payload) for frame in frames]
    assert sink.getvalue() == stream
    assert sizes == [info["bytes"] for info in settings["frame_info"]]


def test_published_cases_round_trip_through_dcvc(case: tuple[dict, bytes]) -> None:
    settings, stream = case
    threshold = settings["force_zero_thres"]
    template = replace(
        TEMPLATE,
        skip_threshold_millionths=quantise_skip_threshold(threshold),
        reset_interval=settings["reset_interval"],
    )
    ours = to_dcvc(stream, template)
    assert validate_stream(io.BytesIO(ours)) == []
    assert to_elementary(ours) == stream
    assert to_dcvc(to_elementary(ours), template) == ours
    frames = [unit for unit in StreamReader(io.BytesIO(ours)) if isinstance(unit, FrameUnit)]
    for frame, info in zip(frames, settings["frame_info"], strict=True):
        assert (frame.frame_type.name, frame.qp, int(frame.reset)) == (info["type"], info["qp"], info["use_ada_i"])
        assert hashlib.sha256(frame.payload).hexdigest() == info["payload_sha256"]
        assert (frame.sps.width, frame.sps.height) == (settings["width"], settings["height"])
        assert frame.sps.skip_threshold == threshold
        assert (frame.sps.entropy_format is EntropyFormat.PUBLISHED_TWO) == settings["two_coders"]
    assert not any(isinstance(unit, SeiUnit) for unit in StreamReader(io.BytesIO(ours)))
    assert read_index(io.BytesIO(ours)).num_frames == settings["frames"]


def deviating_streams() -> dict[str, bytes]:
    """Makes elementary streams that a decoder follows but the published encoder does not write"""
    reset = replace(SIZE, use_ada_i=True)
    frame_i, frame_p = (
        write_elementary_frame_header(I, 0, 9, 4) + b"abcd",
        write_elementary_frame_header(P, 0, 9, 4) + b"efgh",
    )
    plain = write_elementary_sps(0, SIZE)
    streams = {
        "other id": write_elementary_sps(7, SIZE)
        + write_elementary_frame_header(I, 7, 1, 1)
        + b"x"
        + write_elementary_frame_header(P, 7, 2, 0),
        "sent again": plain + frame_i + plain + frame_p + frame_p,
        "sent early": plain
        + write_elementary_sps(1, reset)
        + frame_i
        + frame_p
        + write_elementary_frame_header(P, 1, 3, 1)
        + b"y"
        + frame_p,
        "replaced": plain + frame_i + write_elementary_sps(0, reset) + frame_p + plain + frame_p,
        "reset on I": write_elementary_sps(0, reset) + frame_i + frame_p,
        "long integers": b"\x00\x80\x30\xc0\x00\x00\x50\x00" + b"\x10\x09\x80\x04abcd" + frame_p,
        "unused bits": plain[:-1] + b"\xfa" + frame_i + frame_p,
        "tail": plain + frame_i + plain + write_elementary_sps(3, reset),
        "coders change": plain
        + frame_i
        + write_elementary_sps(1, replace(SIZE, ec_part=True))
        + write_elementary_frame_header(P, 1, 3, 1)
        + b"y",
    }
    streams["all ids"] = b"".join(
        write_elementary_sps(number % 16, ElementarySps(8 + number, 8, False, False))
        + write_elementary_frame_header(I, number % 16, 1, 1)
        + b"z"
        for number in range(40)
    )
    return streams


@pytest.mark.parametrize("name", deviating_streams())
def test_deviating_streams_round_trip_too(name: str) -> None:
    stream = deviating_streams()[name]
    ours = to_dcvc(stream)
    assert to_elementary(ours) == stream
    assert validate_stream(io.BytesIO(ours)) == []
    kept = [u for u in StreamReader(io.BytesIO(ours)) if isinstance(u, SeiUnit) and isinstance(u.message, UserData)]
    assert bool(kept) == (name != "coders change")


def test_kept_bytes_that_do_not_fit_are_not_used() -> None:
    """User data is outside input: it must not put other units into the elementary stream."""
    from dcvc_cli.families.rt.remux import KEPT_BYTES_UUID

    good = write_elementary_sps(0, SIZE) + write_elementary_frame_header(I, 0, 9, 4) + b"abcd"
    for kept in (
        b"",
        b"junk",
        good,
        write_elementary_sps(0, SIZE) + write_elementary_frame_header(I, 0, 10, 4),
        write_elementary_sps(0, SIZE),
    ):
        sink = io.BytesIO()
        writer = StreamWriter(sink)
        writer.write_user_data(KEPT_BYTES_UUID, kept)
        writer.write_frame(I, writer.use_sps(Sps(80, 48)), 9, False, b"abcd")
        writer.write_user_data(KEPT_BYTES_UUID, b"junk")
        writer.finish()
        out = io.BytesIO()
        report = dcvc_to_elementary(StreamReader(io.BytesIO(sink.getvalue())), out)
        assert out.getvalue() == good
        assert any(phrase.startswith("2 kept headers") for phrase in report.lost)


def test_what_is_lost_is_named() -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    sps = Sps(80, 48, skip_threshold_millionths=120000, hash_kind=HashKind.CRC32, frame_rate_num=24)
    writer.write_frame(I, writer.use_sps(sps), 9, False, b"abcd")
    writer.write_hash(HashKind.CRC32, b"1234")
    writer.write_text("made by hand")
    writer.finish()
    report = dcvc_to_elementary(StreamReader(io.BytesIO(sink.getvalue())), io.BytesIO())
    lost = "; ".join(report.lost)
    for words in (
        "threshold, 0.12",
        "lite/lite",
        "exact",
        "24/1",
        "1 picture hashes",
        "1 texts",
        "1 indexes",
        "checks",
        "yuv420",
    ):
        assert words in lost
    assert report.num_frames == 1
    assert elementary_to_dcvc(io.BytesIO(to_elementary(sink.getvalue())), io.BytesIO(), TEMPLATE).lost == ()


@pytest.mark.parametrize("entropy_format", [EntropyFormat.PARTITIONED, EntropyFormat.COMPACT])
def test_our_own_payloads_are_refused(entropy_format: EntropyFormat) -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    writer.write_frame(I, writer.use_sps(Sps(80, 48, entropy_format=entropy_format)), 9, False, b"abcd")
    writer.finish()
    with pytest.raises(BitstreamError, match=entropy_format.name.lower()):
        to_elementary(sink.getvalue())


@pytest.mark.parametrize(
    ("stream", "rule"),
    [
        (b"", Rule.TRUNCATED),
        (write_elementary_sps(0, SIZE), Rule.TRUNCATED),
        (b"\x30", Rule.UNIT_TYPE),
        (b"\x10\x09\x00", Rule.SPS_MISSING),
        (b"\x00\x00\x05\x00", Rule.SPS_CONTENT),
        (b"\x00\xff\xff\xff\xff\x05\x00", Rule.SPS_CONTENT),
        (write_elementary_sps(0, SIZE) + b"\x10\x40\x00", Rule.QP_RANGE),
        (write_elementary_sps(0, SIZE) + b"\x20\x48\x00", Rule.QP_RANGE),
        (write_elementary_sps(0, SIZE) + b"\x10\x00\xff\xff\xff\xff", Rule.LENGTH_LIMIT),
        (write_elementary_sps(0, SIZE) + b"\x20\x00\x01x", Rule.P_WITHOUT_I),
        (
            write_elementary_sps(0, SIZE)
            + b"\x10\x00\x01x"
            + write_elementary_sps(0, ElementarySps(64, 80, False, False))
            + b"\x20\x00\x00",
            Rule.SPS_CHANGED,
        ),
    ],
)
def test_damaged_elementary_streams(stream: bytes, rule: Rule) -> None:
    with pytest.raises(BitstreamError) as caught:
        to_dcvc(stream)
    assert caught.value.rule is rule
    assert caught.value.offset is not None


def test_truncated_elementary_stream_yields_its_whole_units() -> None:
    stream = b"".join(deviating_streams()["sent early"] for _ in range(2))
    whole = list(ElementaryReader(io.BytesIO(stream)))
    ends = [
        unit.offset + len(unit.raw if isinstance(unit, ElementarySpsUnit) else unit.header + unit.payload)
        for unit in whole
    ]
    for size in range(len(stream)):
        seen = []
        try:
            seen.extend(ElementaryReader(io.BytesIO(stream[:size])))
            complete = True
        except TruncatedStreamError:
            complete = False
        assert complete == (size in {0, *ends})
        count = sum(end <= size for end in ends)
        reader = iter(ElementaryReader(io.BytesIO(stream[:size])))
        assert [next(reader) for _ in range(count)] == whole[:count]
