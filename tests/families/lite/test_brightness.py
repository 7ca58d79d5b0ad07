"""Changes of brightness (docs/motion.md, "Brightness"): samples by the formula, numbers that come back, damage that is
told, and fades that cost a fraction of what they cost without."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.pictures import values_from_picture
from dcvc_cli.coding.opened_models import OpenedModel, open_model
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.family import BRIGHTNESS_SYNTAX, FLOOR_SYNTAX
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.lite.motion.brightness import (
    SAME_BRIGHTNESS,
    Brightness,
    BrightnessCoder,
    FrameBrightness,
    brightened,
    find_brightness,
)
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import Context, EncoderState, TwinBitReader, TwinBitWriter, code_nonzero
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat

OFFSETS = st.integers(-255, 255)
BRIGHTNESSES = st.none() | st.builds(Brightness, st.integers(0, 511), st.tuples(OFFSETS, OFFSETS, OFFSETS))
FRAMES = st.lists(st.tuples(st.booleans(), BRIGHTNESSES, BRIGHTNESSES), min_size=1, max_size=6)
SIZE = 96
ROW, COLUMN = np.indices((SIZE, SIZE))


@given(BRIGHTNESSES, st.lists(st.integers(0, 8192), min_size=3, max_size=3))
def test_samples_follow_the_formula(brightness: Brightness | None, samples: list[int]):
    """Every sample is limit(p + ((scale * (s - p) + 128) >> 8) + 32 * offset), p = 0 for luma and 4096 for chroma."""
    given_samples = np.array(samples, np.int16).reshape(3, 1, 1)
    expected = samples
    if brightness is not None:
        expected = [
            min(max(pivot + ((brightness.scale * (sample - pivot) + 128) >> 8) + 32 * offset, 0), 8192)
            for sample, pivot, offset in zip(samples, (0, 4096, 4096), brightness.offsets, strict=True)
        ]
    assert brightened(given_samples, brightness).ravel().tolist() == expected


def test_the_layout_stays():
    """Samples of any layout keep it, and the given array is not written to."""
    squares = np.full((3, 8, 2, 8, 2), 4000, np.int16).transpose(0, 2, 1, 4, 3)
    changed = brightened(squares, Brightness(128))
    assert changed.strides == squares.strides
    assert (squares == 4000).all()
    assert changed[:, 0, 0, 0, 0].tolist() == [2000, 4048, 4048]


@given(FRAMES)
@settings(deadline=None)
def test_changes_come_back(frames: list[tuple[bool, Brightness | None, Brightness | None]]):
    """Consecutive frames in one coder each, long-term changes only where there is such a reference."""
    encoder, decoder = BrightnessCoder(), BrightnessCoder()
    for has_long_term, reference, long_term in frames:
        wanted = FrameBrightness(reference, long_term if has_long_term else None)
        state = encoder.encode_open(wanted, has_long_term, EncoderState())
        data = TwinBitWriter(state).coder.finish()
        start = TwinBitReader(data).coder.state
        assert decoder.decode_open(data, has_long_term, start)[0] == wanted


def test_no_changes_cost_next_to_nothing():
    """A hundred frames without changes fit into a byte."""
    coder, state = BrightnessCoder(), EncoderState()
    for _ in range(100):
        state = coder.encode_open(SAME_BRIGHTNESS, True, state)
    assert len(TwinBitWriter(state).coder.finish()) <= 1


def bits_of(scale: int, offsets: tuple[int, int, int]) -> TwinBitWriter:
    """Writes the change of a first frame's reference, bit by bit as docs/motion.md has them."""
    writer, zero, sign = TwinBitWriter(), [Context() for _ in range(3)], [Context() for _ in range(3)]
    prefix = [[Context() for _ in range(9)] for _ in range(3)]
    writer.bit(Context(64512), 1)
    writer.bit(Context(), 1)
    for kind, number in ((0, scale - 256), (1, offsets[0]), (2, offsets[1]), (2, offsets[2])):
        writer.bit(zero[kind], number != 0)
        if number:
            code_nonzero(writer.bit, sign[kind], prefix[kind], number)
    return writer


def test_the_bits_of_the_page():
    """used, own, a scale of 192 as -64, and offsets 1, 0, -2."""
    brightness = FrameBrightness(Brightness(192, (1, 0, -2)))
    assert BrightnessCoder().encode_open(brightness, False, EncoderState()) == bits_of(192, (1, 0, -2)).coder.state


@pytest.mark.parametrize(("scale", "offset"), [(512, 0), (-1, 0), (256, 256), (256, -256), (1279, 1023)])
def test_numbers_out_of_range_are_damage(scale: int, offset: int):
    """A decoder refuses what no encoder writes."""
    data = bits_of(scale, (0, offset, 0)).coder.finish()
    with pytest.raises(StreamError, match="brightness"):
        BrightnessCoder().decode_open(data, False, TwinBitReader(data).coder.state)


def test_a_copy_learns_on_its_own():
    """Trials of an encoder leave the coder as it was."""
    coder = BrightnessCoder()
    before = coder.encode_open(SAME_BRIGHTNESS, True, EncoderState())
    other, trial = copy(coder), copy(coder)
    trial.encode_open(FrameBrightness(Brightness(100)), True, EncoderState())
    assert coder.encode_open(SAME_BRIGHTNESS, True, before) == other.encode_open(SAME_BRIGHTNESS, True, before)


def scene(shift: int = 0) -> np.ndarray:
    """Makes a textured picture (3, SIZE, SIZE) in 0..8192."""
    luma = 4000 + 2400 * np.sin((ROW + shift) / 5) * np.cos((COLUMN + 2 * shift) / 7)
    return np.stack([luma, 4096 + luma / 8, 4096 - luma / 8]).astype(np.int16)


def test_a_fade_is_found():
    """The change of a fade to black gives the darker picture, to a grey level."""
    before = scene()
    darker = brightened(before, Brightness(200, (3, 0, 0)))
    found = find_brightness(darker, before)
    assert found is not None
    assert abs(brightened(before, found).astype(int) - darker).max() <= 32


@pytest.mark.parametrize("other", [scene(), scene(3), np.full((3, SIZE, SIZE), 4000, np.int16), scene()[:, :, ::-1]])
def test_other_differences_give_none(other: np.ndarray):
    """The same picture, motion, one colour, and a mirrored picture."""
    assert find_brightness(other, scene()) is None


@pytest.fixture(scope="module")
def model() -> OpenedModel:
    pytest.importorskip("torch")
    return open_model("lite", None, "cpu", 1)


def fade(frames: int) -> list[Picture]:
    """Makes a moving scene that fades to black."""
    pictures = []
    for index in range(frames):
        faded = brightened(scene(index), Brightness(256 - 40 * index, (2 * index, 0, 0))).astype(np.int32) * 255 >> 13
        luma, cb, cr = faded[0], faded[1, ::2, ::2], faded[2, ::2, ::2]
        pictures.append(Picture(tuple(np.ascontiguousarray(plane, np.uint8) for plane in (luma, cb, cr))))  # type: ignore[arg-type]
    return pictures


VIDEO_FORMAT = VideoFormat(PictureSize(SIZE, SIZE))


def bytes_of_fade(model: OpenedModel, has_brightness: bool) -> tuple[int, float]:
    """Codes a fade; returns (bytes of its P frames, squared error of luma)."""
    lite = model.weights.model
    parts = lite.networks["image"], lite.networks["video"], model.networks, EntropyFormat.COMPACT, 0.12
    encoder = FramePayloadEncoder(*parts, has_brightness=has_brightness)  # type: ignore[arg-type]
    size, error = 0, 0.0
    for index, picture in enumerate(fade(5)):
        values = values_from_picture(picture, VIDEO_FORMAT)
        payload = encoder.encode_p(values, 40, False) if index else encoder.encode_i(values, 40)
        size += len(payload) if index else 0
        shown = encoder.picture(VIDEO_FORMAT, truncate_chroma=False)
        error += float(((shown.planes[0].astype(float) - picture.planes[0]) ** 2).sum())
    return size, error


@pytest.mark.native
def test_a_fade_costs_half(model: OpenedModel):
    """At the same QP, changes of brightness halve the bytes of a fade's P frames, and the error does not grow."""
    (size, error), (size_without, error_without) = (
        bytes_of_fade(model, has_brightness) for has_brightness in (True, False)
    )
    assert 2 * size < size_without
    assert error < 1.05 * error_without


@pytest.mark.native
@pytest.mark.parametrize("entropy_format", [EntropyFormat.COMPACT, EntropyFormat.PARTITIONED])
@pytest.mark.parametrize("syntax", [FLOOR_SYNTAX, BRIGHTNESS_SYNTAX])
def test_a_decoder_follows(model: OpenedModel, entropy_format: EntropyFormat, syntax: int):
    """Decoded pictures of a fade are the encoder's, also in streams of the syntax before."""
    lite, choices = model.weights.model, CodingChoices(keyint=-1, entropy_format=entropy_format)
    sps = replace(sps_for(VIDEO_FORMAT, model.weights, model.precision, choices), syntax=syntax)
    parts = lite.networks["image"], lite.networks["video"], model.networks, entropy_format, sps.skip_threshold
    encoder = FramePayloadEncoder(*parts, has_brightness=syntax == BRIGHTNESS_SYNTAX)  # type: ignore[arg-type]
    decoder = lite.decoder(model.networks, sps)
    for index, picture in enumerate(fade(4)):
        values = values_from_picture(picture, VIDEO_FORMAT)
        payload = encoder.encode_p(values, 30, False) if index else encoder.encode_i(values, 30)
        frame_type = NalType.P if index else NalType.I
        (theirs,) = decoder.push(FrameUnit(0, len(payload), frame_type, 0, sps, 30, False, payload, index, index))
        ours = encoder.picture(VIDEO_FORMAT, truncate_chroma=False)
        for one, other in zip(ours.planes, theirs.planes, strict=True):
            np.testing.assert_array_equal(one, other)
