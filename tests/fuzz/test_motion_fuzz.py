"""Motion vectors from damaged, truncated and random bytes: StreamError or a legal field, the same as the slow twin's, never a crash or a wait."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.bitstream.varint import write_uv
from dcvc_cli.codec.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.codec.networks import CodecNetwork, CodecNetworks
from dcvc_cli.entropy_format import EntropyFormat
from dcvc_cli.errors import StreamError
from dcvc_cli.motion.blocks import FieldCoder
from dcvc_cli.motion.reference import ReferenceFieldCoder

native = pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native
SIDES = st.sampled_from([2, 4, 8])
SIZE = (32, 48)
OUR_FORMATS = (EntropyFormat.PARTITIONED, EntropyFormat.COMPACT)


def outcome(coder: FieldCoder | ReferenceFieldCoder, data: bytes, rows: int, columns: int) -> list | None:
    """The field as lists, checked to be legal; None if the bytes are refused."""
    try:
        field = coder.decode(data, rows, columns)
    except StreamError:
        return None
    assert field.shape == (rows, columns, 2)
    assert abs(field).max() <= 1023
    return field.tolist()


def some_bytes() -> tuple[bytes, np.ndarray]:
    field = np.random.default_rng(3).integers(-60, 61, (4, 6, 2)).astype(np.int16)
    return FieldCoder().encode(field), field


HOSTILE_BYTES = st.one_of(
    st.binary(max_size=60),
    st.integers(0, 40).map(lambda count: b"\xff" * count),
    st.binary(max_size=20).map(lambda data: data + b"\0"),
)


@settings(max_examples=300, deadline=None)
@given(data=HOSTILE_BYTES, rows=SIDES, columns=SIDES)
def test_random_bytes_end_as_in_the_twin(data: bytes, rows: int, columns: int):
    assert outcome(FieldCoder(), data, rows, columns) == outcome(ReferenceFieldCoder(), data, rows, columns)


def test_truncated_bytes():
    data, field = some_bytes()
    for size in range(len(data)):
        found = outcome(FieldCoder(), data[:size], 4, 6)
        assert found == outcome(ReferenceFieldCoder(), data[:size], 4, 6)
        assert found != field.tolist()


def test_flipped_bits():
    data, _ = some_bytes()
    for position in range(len(data)):
        for flip in (1, 16, 128):
            damaged = bytearray(data)
            damaged[position] ^= flip
            assert outcome(FieldCoder(), bytes(damaged), 4, 6) == outcome(ReferenceFieldCoder(), bytes(damaged), 4, 6)


@pytest.mark.parametrize("extra", [b"\0", b"\1" * 9, b"\xff" * 9, bytes(1000)])
def test_left_over_bytes_are_refused(extra: bytes):
    data, _ = some_bytes()
    with pytest.raises(StreamError, match="motion vectors"):
        FieldCoder().decode(data + extra, 4, 6)


def test_a_coder_can_be_used_again_after_damage():
    data, field = some_bytes()
    coder = FieldCoder()
    with pytest.raises(StreamError):
        coder.decode(data + b"\0", 4, 6)
    coder.reset()
    np.testing.assert_array_equal(coder.decode(data, 4, 6), field)


def test_few_bytes_for_a_huge_picture():
    """A large field costs its own size, whatever the bytes are."""
    for data in (b"", b"\x01", b"\x80" * 3):
        outcome(FieldCoder(), data, 512, 512)


@pytest.mark.parametrize(
    "call",
    [
        lambda: native.VectorCoder().decode(b"", 3, 2),
        lambda: native.VectorCoder().decode(b"", 0, 2),
        lambda: native.VectorCoder().encode(np.full((2, 2, 2), 1024, np.int16)),
        lambda: native.VectorCoder().encode(np.zeros((3, 2, 2), np.int16)),
        lambda: native.VectorCoder().search(np.zeros((16, 24), np.uint8), np.zeros((16, 24), np.uint8), 1.0),
        lambda: native.VectorCoder().search(np.zeros((16, 16), np.uint8), np.zeros((16, 32), np.uint8), 1.0),
        lambda: native.VectorCoder().search(np.zeros((16, 16), np.uint8), np.zeros((16, 16), np.uint8), float("nan")),
        lambda: native.compensate(np.zeros((1, 2, 8, 2, 8), np.int16), np.zeros((2, 3, 2), np.int16), 8192),
        lambda: native.compensate(np.zeros((1, 2, 8, 2, 8), np.int16), np.full((2, 2, 2), -1024, np.int16), 8192),
        lambda: native.compensate(np.zeros((1, 2, 8, 2, 8), np.int16), np.zeros((2, 2, 2), np.int16), 16384),
        lambda: native.compensate(np.zeros((1, 16, 16), np.int16), np.zeros((2, 2, 2), np.int16), 8192),
        lambda: native.compensate(np.zeros((1, 2, 8, 2, 16), np.int16)[..., ::2], np.zeros((2, 2, 2), np.int16), 8192),
        lambda: native.compensate(np.zeros((1, 2, 8, 2, 8), np.int16).transpose(0, 1, 4, 3, 2), np.zeros((2, 2, 2), np.int16), 8192),
        lambda: native.compensate(np.broadcast_to(np.int16(0), (1, 2, 8, 2, 8)), np.zeros((2, 2, 2), np.int16), 8192),
    ],
)
def test_wrong_arguments_are_refused(call: Callable[[], object]):
    with pytest.raises(ValueError, match=r"must|longer"):
        call()


@pytest.fixture(scope="module")
def networks() -> CodecNetworks:
    """The test model with motion, untrained."""
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.float_torch import InferenceOperations
    from dcvc_cli.models.image import ImageModel
    from dcvc_cli.models.spec import TINY
    from dcvc_cli.models.video import VideoModel
    from dcvc_cli.training.export import export_model
    from dcvc_cli.training.initialise import initial_image_parameters, initial_video_parameters

    image, video = ImageModel(TINY.image), VideoModel(replace(TINY.video, motion=True))
    parameters = [initial_image_parameters(image, 0), initial_video_parameters(video, 0)]
    weights = export_model("tiny", *({key: value.detach().numpy() for key, value in part.items()} for part in parameters), "untrained, for tests")
    parts = []
    for model, part, table in zip((image, video), parameters, (weights.image.z_table, weights.video.z_table), strict=True):
        operations = InferenceOperations({key: value.detach().to(torch.float32) for key, value in part.items()})
        parts.append(CodecNetwork(model, operations, operations, table))
    return CodecNetworks(*parts)


def coded(networks: CodecNetworks, entropy_format: EntropyFormat) -> list[bytes]:
    """An I and two P frames of a picture that moves."""
    scene = np.random.default_rng(0).random((3, SIZE[0] // 8, SIZE[1] // 8)).repeat(8, 1).repeat(8, 2).astype(np.float32)
    encoder = FramePayloadEncoder(networks, entropy_format, None)
    return [encoder.encode_i(scene, 40), *(encoder.encode_p(np.roll(scene, 3 * k, 2), 40, reset=k == 2) for k in (1, 2))]


@pytest.fixture(scope="module")
def payloads(networks: CodecNetworks) -> dict[EntropyFormat, list[bytes]]:
    return {entropy_format: coded(networks, entropy_format) for entropy_format in OUR_FORMATS}


def fresh_decoder(networks: CodecNetworks, payloads: list[bytes], entropy_format: EntropyFormat) -> FramePayloadDecoder:
    decoder = FramePayloadDecoder(networks, entropy_format, None, SIZE)
    decoder.decode_i(payloads[0], 40)
    return decoder


@pytest.mark.parametrize("entropy_format", OUR_FORMATS)
def test_frames_with_motion_decode(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]], entropy_format: EntropyFormat):
    decoder = fresh_decoder(networks, payloads[entropy_format], entropy_format)
    for k in (1, 2):
        decoder.decode_p(payloads[entropy_format][k], 40, reset=k == 2)
        assert decoder.output().shape[-2:] == SIZE


def test_the_formats_hold_the_same_pictures(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    """And compact payloads are shorter by the bytes that only told the parts from each other."""
    outputs = []
    for entropy_format in OUR_FORMATS:
        decoder = fresh_decoder(networks, payloads[entropy_format], entropy_format)
        for k in (1, 2):
            decoder.decode_p(payloads[entropy_format][k], 40, reset=k == 2)
        outputs.append(decoder.output())
    assert bool((outputs[0] == outputs[1]).all())
    saved = [len(long) - len(short) for long, short in zip(*(payloads[entropy_format] for entropy_format in OUR_FORMATS), strict=True)]
    assert saved[0] >= 3
    assert min(saved[1:]) >= 4


def test_motion_that_does_not_fit_into_its_payload(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    frames = payloads[EntropyFormat.PARTITIONED]
    assert 0 < frames[1][0] < 128, "this picture's vectors should take a few bytes"
    rest = frames[1][1:]
    damaged = [b"", b"\x80", b"\xff\xff\xff\xff" + rest, write_uv(len(rest) + 1) + rest, write_uv(len(rest)) + rest, b"\x80\x01" + rest]
    for data in damaged:
        with pytest.raises(StreamError):
            fresh_decoder(networks, frames, EntropyFormat.PARTITIONED).decode_p(data, 40, reset=False)


def test_every_truncation_of_a_frame_is_refused(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    frames = payloads[EntropyFormat.PARTITIONED]
    for size in range(min(len(frames[1]), 24)):
        with pytest.raises(StreamError):
            fresh_decoder(networks, frames, EntropyFormat.PARTITIONED).decode_p(frames[1][:size], 40, reset=False)


def test_damaged_compact_frames(networks: CodecNetworks, payloads: dict[EntropyFormat, list[bytes]]):
    """Cut, changed, lengthened and made up: refused, or another picture; never anything else."""
    frames = payloads[EntropyFormat.COMPACT]
    decoder = fresh_decoder(networks, frames, EntropyFormat.COMPACT)
    decoder.decode_p(frames[1], 40, reset=False)
    intact = decoder.output()
    rng = np.random.default_rng(4)
    damaged = [frames[1][:size] for size in range(0, len(frames[1]), 1 + len(frames[1]) // 12)]
    damaged += [frames[1] + extra for extra in (b"\0", b"\1", b"\xff" * 20)] + [b"\xff" * 8, b"\xff" * 300]
    for position in rng.integers(0, len(frames[1]), 12):
        damaged.append(frames[1][:position] + bytes([frames[1][position] ^ int(rng.integers(1, 256))]) + frames[1][position + 1 :])
    num_refused = 0
    for data in damaged:
        decoder = fresh_decoder(networks, frames, EntropyFormat.COMPACT)
        try:
            decoder.decode_p(data, 40, reset=False)
        except StreamError:
            num_refused += 1
            continue
        assert not bool((decoder.output() == intact).all())
    assert num_refused > 0
