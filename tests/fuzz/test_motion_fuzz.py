"""Motion from damaged, truncated and random bytes: StreamError or legal vectors, the same as the slow twin's, never a
crash or a wait."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.bitstream.varint import ByteReader, write_uv
from dcvc_cli.codec.networks import CodecNetwork, CodecNetworks
from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.lite.frames import FramePayloadDecoder
from dcvc_cli.families.lite.motion import twin as reference
from dcvc_cli.families.lite.motion.field import TWIN_VARIABLE, FieldCoder, compensate
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.lite.motion.twin import TwinFieldCoder
from dcvc_cli.format.entropy_format import EntropyFormat
from tests.support.models import WITH_MOTION, graphs
from tests.support.motions import by_squares, differences

native = pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native
SIDES = st.sampled_from([2, 4, 8])
SIZE = (32, 48)
P_FRAMES = (1, 2, 3)
OUR_FORMATS = (EntropyFormat.PARTITIONED, EntropyFormat.COMPACT)
T = TypeVar("T", FieldCoder, TwinFieldCoder)


def outcome(coder: FieldCoder | TwinFieldCoder, data: bytes, rows: int, columns: int) -> list | None:
    """Returns the motion as lists, checked to be legal; None if the bytes are refused."""
    try:
        motion = coder.decode(data, rows, columns)
    except StreamError:
        return None
    return legal_lists(motion, rows, columns)


def legal_lists(motion: Motion, rows: int, columns: int) -> list:
    fields = [motion.vectors] if motion.tracks is None else [motion.vectors, motion.tracks]
    for field in fields:
        assert field.shape == (rows, columns, 2)
        assert abs(field).max() <= 1023
    if motion.blends is not None:
        assert motion.blends.shape == (rows // 2, columns // 2)
        assert motion.blends.max() <= 2
        fields.append(motion.blends)
    return [field.tolist() for field in fields]


def some_bytes() -> tuple[bytes, Motion]:
    motion = Motion(np.random.default_rng(3).integers(-60, 61, (4, 6, 2)).astype(np.int16))
    return FieldCoder().encode(motion), motion


def after_still_frames(coder: T, number: int, rows: int = 4, columns: int = 6) -> T:
    """Makes a decoder that has decoded so many frames in which nothing moves: if any, the next one has a long-term
    reference."""
    for _ in range(number):
        coder.decode(b"", rows, columns)
    return coder


def blend_bytes() -> tuple[bytes, Motion]:
    """Makes bytes of a second frame, nearly all for blends and tracks: its vectors are zero."""
    tracks = np.random.default_rng(5).integers(-300, 301, (2, 3, 2)).astype(np.int16)
    motion = Motion(np.zeros((4, 6, 2), np.int16), by_squares(tracks), np.array([[1, 2, 2], [2, 1, 1]], np.uint8))
    return after_still_frames(FieldCoder(), 1).encode(motion), motion


HOSTILE_BYTES = st.one_of(
    st.binary(max_size=60),
    st.integers(0, 40).map(lambda count: b"\xff" * count),
    st.binary(max_size=20).map(lambda data: data + b"\0"),
)


@settings(max_examples=400, deadline=None)
@given(data=HOSTILE_BYTES, rows=SIDES, columns=SIDES, number=st.sampled_from([0, 0, 1, 2, 10]))
def test_random_bytes_end_as_in_the_twin(data: bytes, rows: int, columns: int, number: int):
    fast, slow = (after_still_frames(coder, number, rows, columns) for coder in (FieldCoder(), TwinFieldCoder()))
    assert outcome(fast, data, rows, columns) == outcome(slow, data, rows, columns)


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(HOSTILE_BYTES, min_size=2, max_size=8))
def test_sequences_of_random_bytes_end_as_in_the_twin(frames: list[bytes]):
    """What damage left behind is followed by the next frames alike."""
    fast, slow = FieldCoder(), TwinFieldCoder()
    for data in frames:
        found = outcome(fast, data, 4, 4)
        assert found == outcome(slow, data, 4, 4)
        if found is None:
            fast.reset()
            slow.reset()


@pytest.mark.parametrize(("some", "number"), [(some_bytes, 0), (blend_bytes, 1)])
def test_truncated_bytes(some: Callable[[], tuple[bytes, Motion]], number: int):
    data, motion = some()
    for size in range(len(data)):
        fast, slow = (after_still_frames(coder, number) for coder in (FieldCoder(), TwinFieldCoder()))
        found = outcome(fast, data[:size], 4, 6)
        assert found == outcome(slow, data[:size], 4, 6)
        assert found != legal_lists(motion, 4, 6)


@pytest.mark.parametrize(("some", "number"), [(some_bytes, 0), (blend_bytes, 1)])
def test_flipped_bits(some: Callable[[], tuple[bytes, Motion]], number: int):
    data, _ = some()
    for position in range(len(data)):
        for flip in (1, 16, 128):
            damaged = bytearray(data)
            damaged[position] ^= flip
            fast, slow = (after_still_frames(coder, number) for coder in (FieldCoder(), TwinFieldCoder()))
            assert outcome(fast, bytes(damaged), 4, 6) == outcome(slow, bytes(damaged), 4, 6)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("extra", [b"\0", b"\1" * 9, b"\xff" * 9, bytes(1000)])
def test_left_over_bytes_are_refused(extra: bytes, number: int):
    data, _ = blend_bytes() if number else some_bytes()
    with pytest.raises(StreamError, match="motion vectors"):
        after_still_frames(FieldCoder(), number).decode(data + extra, 4, 6)


@pytest.mark.parametrize("vector", [(1024, 0), (0, -1024), (2046, -2046)])
def test_a_track_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, vector: tuple[int, int]):
    """Written by an encoder that knows no limit, in the last block, so that everything before it is intact."""
    blends = np.array([[0, 1, 0], [0, 0, 2]], np.uint8)
    motion = Motion(np.zeros((4, 6, 2), np.int16), np.broadcast_to(np.array(vector, np.int16), (4, 6, 2)), blends)
    with pytest.raises(StreamError, match="longer than 1023"):
        after_still_frames(TwinFieldCoder(), 1).encode(motion)
    monkeypatch.setattr(reference, "MAX_VECTOR", 4000)
    data = after_still_frames(TwinFieldCoder(), 1).encode(motion)
    monkeypatch.undo()
    for coder in (FieldCoder(), TwinFieldCoder()):
        with pytest.raises(StreamError, match="motion vectors"):
            after_still_frames(coder, 1).decode(data, 4, 6)


def test_a_coder_can_be_used_again_after_damage():
    coder = FieldCoder()
    for some, number in ((some_bytes, 0), (blend_bytes, 1)):
        data, motion = some()
        after_still_frames(coder, number)
        with pytest.raises(StreamError):
            coder.decode(data + b"\0", 4, 6)
        coder.reset()
        assert not coder.has_long_term
        assert differences(motion, after_still_frames(coder, number).decode(data, 4, 6)) == []
        coder.reset()


@pytest.mark.parametrize("number", [0, 1])
def test_few_bytes_for_a_huge_picture(number: int):
    """A large field costs its own size, whatever the bytes are."""
    for data in (b"", b"\x01", b"\x80" * 3):
        outcome(after_still_frames(FieldCoder(), number, 512, 512), data, 512, 512)


FIELD, BLENDS = np.zeros((2, 2, 2), np.int16), np.zeros((1, 1), np.uint8)
LUMA, SQUARES = np.zeros((16, 16), np.uint8), np.zeros((1, 2, 8, 2, 8), np.int16)


def coder_with_long_term() -> Any:
    coder = native.VectorCoder()
    coder.encode(FIELD, None, None)
    return coder


@pytest.mark.parametrize(
    "call",
    [
        lambda: native.VectorCoder().decode(b"", 3, 2),
        lambda: native.VectorCoder().decode(b"", 0, 2),
        lambda: native.VectorCoder().encode(np.full((2, 2, 2), 1024, np.int16), None, None),
        lambda: native.VectorCoder().encode(np.zeros((3, 2, 2), np.int16), None, None),
        lambda: coder_with_long_term().encode(FIELD, FIELD, None),
        lambda: coder_with_long_term().encode(FIELD, None, BLENDS),
        lambda: coder_with_long_term().encode(FIELD, np.full((2, 2, 2), -1024, np.int16), BLENDS),
        lambda: coder_with_long_term().encode(FIELD, np.zeros((2, 4, 2), np.int16), BLENDS),
        lambda: coder_with_long_term().encode(FIELD, FIELD, np.zeros((1, 2), np.uint8)),
        lambda: coder_with_long_term().encode(FIELD, FIELD, BLENDS[0]),
        lambda: coder_with_long_term().encode(FIELD, FIELD, np.full((1, 1), 3, np.uint8)),
        lambda: native.VectorCoder().search(LUMA[:, :8].repeat(3, 1), LUMA[:, :8].repeat(3, 1), None, 1.0),
        lambda: native.VectorCoder().search(LUMA, LUMA.repeat(2, 1), None, 1.0),
        lambda: native.VectorCoder().search(LUMA, LUMA, None, float("nan")),
        lambda: native.VectorCoder().search(LUMA, LUMA, LUMA, 1.0),
        lambda: coder_with_long_term().search(LUMA, LUMA, LUMA.repeat(2, 1), 1.0),
        lambda: native.compensate(SQUARES, None, np.zeros((2, 3, 2), np.int16), None, None, 8192),
        lambda: native.compensate(SQUARES, None, np.full((2, 2, 2), -1024, np.int16), None, None, 8192),
        lambda: native.compensate(SQUARES, None, FIELD, None, None, 16384),
        lambda: native.compensate(SQUARES.reshape(1, 16, 16), None, FIELD, None, None, 8192),
        lambda: native.compensate(np.zeros((1, 2, 8, 2, 16), np.int16)[..., ::2], None, FIELD, None, None, 8192),
        lambda: native.compensate(SQUARES.transpose(0, 1, 4, 3, 2), None, FIELD, None, None, 8192),
        lambda: native.compensate(np.broadcast_to(np.int16(0), (1, 2, 8, 2, 8)), None, FIELD, None, None, 8192),
        lambda: native.compensate(SQUARES, None, FIELD, FIELD, BLENDS, 8192),
        lambda: native.compensate(SQUARES, SQUARES, FIELD, FIELD, None, 8192),
        lambda: native.compensate(SQUARES, SQUARES, FIELD, np.full((2, 2, 2), 1024, np.int16), BLENDS, 8192),
        lambda: native.compensate(SQUARES, SQUARES.repeat(2, 0), FIELD, FIELD, BLENDS, 8192),
        lambda: native.compensate(SQUARES, SQUARES.repeat(2, 1), FIELD, FIELD, BLENDS, 8192),
        lambda: native.compensate(SQUARES, SQUARES.transpose(0, 1, 4, 3, 2), FIELD, FIELD, BLENDS, 8192),
        lambda: native.compensate(
            np.zeros((1, 3, 8, 2, 8), np.int16), SQUARES, np.zeros((3, 2, 2), np.int16), FIELD, BLENDS, 8192
        ),
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[], object]):
    with pytest.raises(ValueError, match=r"must|longer|blend|long-term"):
        call()


@pytest.mark.parametrize("implementation", ["native", "twin"])
def test_blends_without_a_long_term_reference_are_refused(monkeypatch: pytest.MonkeyPatch, implementation: str):
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    with pytest.raises(ValueError, match="long-term"):
        compensate(np.zeros((3, 16, 16), np.int16), Motion(FIELD, FIELD, BLENDS))


IMAGE, VIDEO = graphs(WITH_MOTION)


@pytest.fixture(scope="module")
def networks() -> CodecNetworks:
    """Returns the test model with motion, untrained."""
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.float_torch import InferenceOperations
    from dcvc_cli.entropy.factorised import factorised_table
    from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters

    parameters = {"image": initial_image_parameters(IMAGE, 0), "video": initial_video_parameters(VIDEO, 0)}
    parts = {}
    for name, part in parameters.items():
        table = factorised_table({key: value.detach().numpy() for key, value in part.items()})
        operations = InferenceOperations({key: value.detach().to(torch.float32) for key, value in part.items()})
        parts[name] = CodecNetwork(operations, operations, table)
    return CodecNetworks(parts)


def coded(networks: CodecNetworks, entropy_format: EntropyFormat) -> list[bytes]:
    """Makes an I and P frames of a picture that moves. The networks code them, so that each byte bears on the
    picture."""
    encoder = FramePayloadEncoder(IMAGE, VIDEO, networks, entropy_format, None)
    encoder.may_code_alone = False
    return [encoder.encode_i(moved(0), 40), *(encoder.encode_p(moved(k), 40, reset=k == 2) for k in P_FRAMES)]


def moved(steps: int) -> np.ndarray:
    scene = (
        np.random.default_rng(0).random((3, SIZE[0] // 8, SIZE[1] // 8)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    )
    return np.roll(scene, 3 * steps, 2)


@pytest.fixture(scope="module")
def payloads(networks: CodecNetworks) -> dict[EntropyFormat, list[bytes]]:
    return {entropy_format: coded(networks, entropy_format) for entropy_format in OUR_FORMATS}


def fresh_decoder(
    networks: CodecNetworks, payloads: list[bytes], entropy_format: EntropyFormat, number: int = 0
) -> FramePayloadDecoder:
    """Makes a decoder that has decoded the I frame and so many P frames."""
    decoder = FramePayloadDecoder(IMAGE, VIDEO, networks, entropy_format, None, SIZE)
    decoder.decode_i(payloads[0], 40)
    for k in range(1, number + 1):
        decoder.decode_p(payloads[k], 40, reset=k == 2)
    return decoder


@pytest.mark.parametrize("entropy_format", OUR_FORMATS)
def test_frames_with_motion_decode(
    networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]], entropy_format: EntropyFormat
):
    decoder = fresh_decoder(networks, payloads[entropy_format], entropy_format)
    for k in P_FRAMES:
        decoder.decode_p(payloads[entropy_format][k], 40, reset=k == 2)
        assert decoder.output().shape[-2:] == SIZE


def test_the_decoder_has_the_pictures_of_the_encoder(networks: CodecNetworks):
    """Over changes of the long-term reference, with an I frame in between; some of a picture is new, some is as it was
    before the last picture."""
    encoder = FramePayloadEncoder(IMAGE, VIDEO, networks, EntropyFormat.COMPACT, None)
    decoder = FramePayloadDecoder(IMAGE, VIDEO, networks, EntropyFormat.COMPACT, None, SIZE)
    search, found, rng = encoder.field_coder.search, [], np.random.default_rng(2)
    encoder.field_coder.search = lambda *arguments: found.append(search(*arguments)) or found[-1]
    for k in range(16):
        values = moved(k // 2)
        values[:, 16 * (k % 2) : 16 * (k % 2) + 16, 16:32] = rng.random((3, 2, 2)).repeat(8, 1).repeat(8, 2)
        if k in (0, 13):
            decoder.decode_i(encoder.encode_i(values, 40), 40)
        else:
            decoder.decode_p(encoder.encode_p(values, 40 + k % 3, reset=k % 5 == 1), 40 + k % 3, reset=k % 5 == 1)
        assert bool((decoder.output() == encoder.output()).all()), k
    assert [k for k, motion in enumerate(found) if motion.blends is None] == [0, 12]
    assert sum(motion.blends is not None and bool(motion.blends.any()) for motion in found) > 5


def test_the_formats_hold_the_same_pictures(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    """And compact payloads are shorter by the bytes that only told the parts from each other."""
    outputs = []
    for entropy_format in OUR_FORMATS:
        decoder = fresh_decoder(networks, payloads[entropy_format], entropy_format)
        for k in P_FRAMES:
            decoder.decode_p(payloads[entropy_format][k], 40, reset=k == 2)
        outputs.append(decoder.output())
    assert bool((outputs[0] == outputs[1]).all())
    saved = [
        len(long) - len(short)
        for long, short in zip(*(payloads[entropy_format] for entropy_format in OUR_FORMATS), strict=True)
    ]
    assert saved[0] >= 3
    assert min(saved[1:]) >= 4


def test_motion_that_does_not_fit_into_its_payload(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    frames = payloads[EntropyFormat.PARTITIONED]
    reader = ByteReader(frames[1])
    assert reader.uv() > 0, "this picture should have vectors"
    rest = frames[1][reader.offset :]
    damaged = [
        b"",
        b"\x80",
        b"\xff\xff\xff\xff" + rest,
        write_uv(len(rest) + 1) + rest,
        write_uv(len(rest)) + rest,
        b"\x80\x01" + rest,
    ]
    for data in damaged:
        with pytest.raises(StreamError):
            fresh_decoder(networks, frames, EntropyFormat.PARTITIONED).decode_p(data, 40, reset=False)


def test_every_truncation_of_a_frame_is_refused(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    frames = payloads[EntropyFormat.PARTITIONED]
    for size in range(min(len(frames[1]), 24)):
        with pytest.raises(StreamError):
            fresh_decoder(networks, frames, EntropyFormat.PARTITIONED).decode_p(frames[1][:size], 40, reset=False)


@pytest.mark.parametrize("number", [0, 1])
def test_damaged_compact_frames(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]], number: int):
    """Cut, changed, lengthened and made up: refused, or another picture; never anything else."""
    frames, rng = payloads[EntropyFormat.COMPACT], np.random.default_rng(4)
    decoder = fresh_decoder(networks, frames, EntropyFormat.COMPACT, number)
    original = frames[number + 1]
    decoder.decode_p(original, 40, reset=number == 1)
    intact = decoder.output()
    damaged = [original[:size] for size in range(0, len(original), 1 + len(original) // 8)]
    damaged += [original + extra for extra in (b"\0", b"\1", b"\xff" * 20)] + [b"\xff" * 8, b"\xff" * 300]
    for position in rng.integers(0, len(original), 8):
        damaged.append(
            original[:position] + bytes([original[position] ^ int(rng.integers(1, 256))]) + original[position + 1 :]
        )
    num_refused = 0
    for data in damaged:
        decoder = fresh_decoder(networks, frames, EntropyFormat.COMPACT, number)
        try:
            decoder.decode_p(data, 40, reset=number == 1)
        except StreamError:
            num_refused += 1
            continue
        assert not bool((decoder.output() == intact).all())
    assert num_refused > 0
