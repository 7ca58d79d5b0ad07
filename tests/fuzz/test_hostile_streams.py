"""Streams of an attacker through everything that reads streams: an error of dcvc's own or pictures, never anything
else.

Each kind runs a few streams here, and DCVC_HOSTILE_STREAMS of them where that is set, with what came of them on the
last line: `DCVC_HOSTILE_STREAMS=5000 pytest -s tests/fuzz/test_hostile_streams.py`.
"""

import io
import os
import random
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dcvc_cli.app import run
from dcvc_cli.bitstream.concat import concat_streams, repair_stream
from dcvc_cli.bitstream.nal import SIGNATURE, NalType, read_header
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import StartUnit, write_end
from dcvc_cli.bitstream.validate import validate_stream
from dcvc_cli.bitstream.varint import write_uv
from dcvc_cli.coding.decode import OpenedStream
from dcvc_cli.coding.inspect import inspect_stream, sps_values
from dcvc_cli.coding.on_error import OnError
from dcvc_cli.coding.opened_models import StreamNetworks
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.errors import DcvcError, ExitCode
from dcvc_cli.format.limits import Limits

WITNESSES = Path(__file__).resolve().parents[1] / "data" / "witnesses"
NUM_STREAMS = int(os.environ.get("DCVC_HOSTILE_STREAMS", "40"))
LIMITS = Limits(max_pixels=1 << 12, max_frames=600)
"""What a service would grant, small so that time goes into the parsers."""
WITNESS_OF = {"witness-tiny": "tiny", "witness-tiny-lite": "lite_tiny"}
"""The streams of format version 1 that each model has, by the beginning of their names."""
pytestmark = pytest.mark.native


@dataclass(frozen=True)
class RawUnit:
    """A unit before its check: first byte, flags of a frame unit, payload."""

    first: int
    flags: int
    payload: bytes

    @property
    def type(self) -> int:
        return self.first >> 4


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> list[list[RawUnit]]:
    """Units of small streams: two models, two entropy formats, both format versions; those of version 1 are
    witnesses."""
    folder = tmp_path_factory.mktemp("streams")
    frames = b"".join(b"FRAME\n" + bytes((7 * n + 31 * t) % 256 for n in range(270)) for t in range(4))
    (folder / "in.y4m").write_bytes(b"YUV4MPEG2 W18 H10 F25:1 C420jpeg\n" + frames)
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVC_HOME", str(WITNESSES))
        for model in WITNESS_OF:
            for entropy_format in ("partitioned", "compact"):
                options = [
                    "--model",
                    model,
                    "--entropy-format",
                    entropy_format,
                    "--keyint",
                    "3",
                    "--threads",
                    "1",
                    "-q",
                    "-y",
                ]
                assert (
                    run(["encode", str(folder / "in.y4m"), "-o", str(folder / "out.dcvc"), *options]) == ExitCode.DONE
                )
                witness = WITNESSES / f"{WITNESS_OF[model]}_{entropy_format}.dcvc"
                made += [split((folder / "out.dcvc").read_bytes()), split(witness.read_bytes())]
    return made


def split(data: bytes) -> list[RawUnit]:
    units = []
    for unit in StreamReader(io.BytesIO(data)):
        if isinstance(unit, StartUnit):
            continue
        whole = data[unit.offset : unit.offset + unit.size_bytes - 4]
        header = read_header(whole)
        flags = whole[1] if header.nal_type.is_frame else 0
        units.append(RawUnit(whole[0], flags, whole[header.header_size :]))
    return units


def assemble(units: list[RawUnit], with_end: bool = False) -> bytes:
    """Makes a stream whose checks are all right, whatever its units say."""
    data = bytearray(SIGNATURE)
    sps: dict[int, bytes] = {}
    i_check, number, checks = b"", 0, b""
    for unit in units:
        head = bytes([unit.first]) + (bytes([unit.flags]) if unit.type in (NalType.I, NalType.P) else b"")
        body = head + write_uv(len(unit.payload)) + unit.payload
        seed, suffix = b"", b""
        if unit.type == NalType.SPS:
            sps[unit.first & 15] = body
        elif unit.type == NalType.I:
            seed, suffix, number = sps.get(unit.first & 15, b""), b"\0", 0
        elif unit.type == NalType.P:
            number += 1
            seed, suffix = sps.get(unit.first & 15, b"") + i_check, bytes([number % 256])
        check = zlib.crc32(seed + body + suffix).to_bytes(4, "big")
        if unit.type == NalType.I:
            i_check = check
        checks += check
        data += body + check
    if with_end:
        frames = sum(unit.type in (NalType.I, NalType.P) for unit in units)
        body = b"\x50\x14" + write_end(frames, 0, len(data), zlib.crc32(checks))
        data += body + zlib.crc32(body).to_bytes(4, "big")
    return bytes(data)


def changed(data: bytes, source: random.Random, most: int = 4) -> bytes:
    """Draws a stream with a few bytes changed, put in or taken out."""
    work = bytearray(data)
    for _ in range(source.randint(1, most)):
        place = source.randrange(len(work) + 1)
        choice = source.random()
        if choice < 0.6 and place < len(work):
            work[place] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
        elif choice < 0.8:
            work[place:place] = source.randbytes(source.randint(1, 9))
        else:
            del work[place : place + source.randint(1, 9)]
    return bytes(work)


def flipped(units: list[RawUnit], source: random.Random) -> bytes:
    return changed(assemble(units), source, 8)


def cut(units: list[RawUnit], source: random.Random) -> bytes:
    data = assemble(units)
    return data[: source.randrange(len(data))]


def noise(units: list[RawUnit], source: random.Random) -> bytes:
    start = assemble(units)[: source.choice([0, 8, 95, 150])]
    return start + source.randbytes(source.randrange(3000))


def with_other_sps(units: list[RawUnit], source: random.Random) -> bytes:
    """Draws one SPS, changed alike wherever it is repeated: fields of an attacker."""
    payload = changed(next(unit.payload for unit in units if unit.type == NalType.SPS), source)
    return assemble(
        [replace(unit, payload=payload) if unit.type == NalType.SPS else unit for unit in units], source.random() < 0.5
    )


def with_other_payloads(units: list[RawUnit], source: random.Random) -> bytes:
    made = []
    for unit in units:
        if unit.type in (NalType.I, NalType.P) and source.random() < 0.5:
            payload = (
                changed(unit.payload, source) if source.random() < 0.7 else source.randbytes(source.randrange(400))
            )
            flags = source.randrange(256) if source.random() < 0.3 else unit.flags
            unit = replace(unit, payload=payload, flags=flags)
        made.append(unit)
    return assemble(made)


def with_other_order(units: list[RawUnit], source: random.Random) -> bytes:
    made = list(units)
    for _ in range(source.randint(1, 4)):
        place, other = source.randrange(len(made)), source.randrange(len(made))
        choice = source.random()
        if choice < 0.4:
            made[place], made[other] = made[other], made[place]
        elif choice < 0.7:
            made.insert(place, made[other])
        elif len(made) > 1:
            del made[place]
    return assemble(made)


def with_other_messages(units: list[RawUnit], source: random.Random) -> bytes:
    """Draws SEI, metadata, track, index, end and later units of an attacker between the frames."""
    made = []
    for unit in units:
        made.append(unit)
        if source.random() < 0.6:
            kind = source.choice(
                [NalType.SEI, NalType.METADATA, NalType.TRACK, NalType.INDEX, NalType.END, *range(8, 13)]
            )
            payload = source.randbytes(source.choice([0, 1, 3, 7, 13, 20, 26, 100]))
            start = bytes([source.choice([0, 1, 2]), source.choice([0, 1])])
            made.append(RawUnit(kind << 4, 0, (start + payload)[: 20 if kind == NalType.END else None]))
    return assemble(
        [
            replace(unit, payload=unit.payload[:20].ljust(20, b"\0")) if unit.type == NalType.END else unit
            for unit in made
        ]
    )


def lying(units: list[RawUnit], source: random.Random) -> bytes:
    """Makes an index or end unit that says something else."""
    kind = source.choice([NalType.INDEX, NalType.END])
    return assemble(
        [replace(unit, payload=changed_in_place(unit.payload, source)) if unit.type == kind else unit for unit in units]
    )


def changed_in_place(data: bytes, source: random.Random) -> bytes:
    work = bytearray(data)
    for _ in range(source.randint(1, 4)):
        work[source.randrange(len(work))] = source.choice([0, 1, 0xFF, source.randrange(256)])
    return bytes(work)


def spliced(units: list[RawUnit], source: random.Random) -> bytes:
    """Parts of two streams, joined without a word."""
    data = assemble(units)
    other = assemble(changed_unit_order(units, source))
    return data[: source.randrange(len(data))] + other[source.randrange(len(other)) :]


def changed_unit_order(units: list[RawUnit], source: random.Random) -> list[RawUnit]:
    made = list(units)
    source.shuffle(made)
    return made


KINDS: dict[str, Callable[[list[RawUnit], random.Random], bytes]] = {
    "bytes changed": flipped,
    "cut": cut,
    "noise": noise,
    "SPS of an attacker": with_other_sps,
    "payloads of an attacker": with_other_payloads,
    "units in another order": with_other_order,
    "messages of an attacker": with_other_messages,
    "index or end that lies": lying,
    "two streams spliced": spliced,
}


def decode(path: Path, networks: StreamNetworks, source: random.Random) -> tuple[str, int, list[bytes]]:
    """(what came of one decode: "pictures", "losses told", or the name of dcvc's error; first frame wanted;
    pictures)."""
    on_error, seek = source.choice(list(OnError)), source.choice([0, 0, 0, 1, 3])
    pictures: list[bytes] = []
    try:
        with StreamSource(str(path)) as opened:
            stream = OpenedStream(opened, seek, source.choice([None, None, 2]), LIMITS, on_error)
            for frame in stream.frames(networks):
                assert frame.picture.planes[0].shape == (stream.sps.height, stream.sps.width)
                pictures.append(frame.picture.tobytes())
            return "losses told" if stream.losses.num_faults else "pictures", seek, pictures
    except DcvcError as error:
        return type(error).__name__, seek, pictures


@pytest.mark.timeout(6000)
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_streams(
    kind: str, streams: list[list[RawUnit]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    networks = StreamNetworks("cpu", threads=1)
    source = random.Random(f"{kind} 1")
    path = tmp_path / "hostile.dcvc"
    outcomes: Counter[str] = Counter()
    for number in range(NUM_STREAMS):
        data = KINDS[kind](streams[number * len(streams) // NUM_STREAMS], source)
        path.write_bytes(data)
        outcomes[decode(path, networks, source)[0]] += 1
        validate_stream(io.BytesIO(data))
        for consume in (
            lambda data: [sps_values(sps) for sps in inspect_stream("hostile", io.BytesIO(data)).all_sps],
            lambda data: concat_streams([("hostile", io.BytesIO(data))], io.BytesIO()),
        ):
            try:
                consume(data)
            except DcvcError:
                outcomes["refused elsewhere"] += 1
        repaired = io.BytesIO()
        try:
            repair_stream("hostile", io.BytesIO(data), repaired)
        except DcvcError:
            continue
        faults = {fault.rule.value for fault in validate_stream(io.BytesIO(repaired.getvalue()))}
        assert faults <= {"hash-kind"}, "a repaired stream is whole"
    print(f"\n{kind}: {NUM_STREAMS} streams: {dict(outcomes)}")


@pytest.mark.timeout(6000)
def test_a_lie_shows_no_other_picture(
    streams: list[list[RawUnit]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever index and end unit say: frame n that comes out is frame n of the stream."""
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    networks = StreamNetworks("cpu", threads=1)
    source = random.Random("lies")
    path = tmp_path / "lying.dcvc"
    expected: dict[int, list[bytes]] = {}
    for number in range(NUM_STREAMS):
        place = number * len(streams) // NUM_STREAMS
        if place not in expected:
            path.write_bytes(assemble(streams[place]))
            with StreamSource(str(path)) as opened:
                expected[place] = [frame.picture.tobytes() for frame in OpenedStream(opened).frames(networks)]
        path.write_bytes(lying(streams[place], source))
        _, seek, pictures = decode(path, networks, source)
        assert pictures == expected[place][seek:][: len(pictures)]


def test_the_generator_makes_whole_streams_when_it_changes_nothing(streams: list[list[RawUnit]]) -> None:
    versions = Counter(unit.payload[0] for units in streams for unit in units if unit.type == NalType.SPS)
    assert sorted(versions) == [1, 2]
    for units in streams:
        assert validate_stream(io.BytesIO(assemble(units))) == []
