"""The lossless layer against its slow twin: the same bytes of any pictures, and the same end of any bytes."""

from copy import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.families.lite.lossless.layer import TWIN_VARIABLE, LayerCoder, padded_samples
from dcvc_cli.families.lite.lossless.planes import Levels, Planes, Sizes
from dcvc_cli.families.lite.lossless.twin import TwinLayerCoder

_lossless = pytest.importorskip("dcvc_cli._lossless")
pytestmark = pytest.mark.native


def sizes_of(height: int, width: int) -> Sizes:
    half = ((height + 1) // 2, (width + 1) // 2)
    return (height, width), half, half


def random_planes(rng: np.random.Generator, sizes: Sizes, kind: str, padding: int) -> Planes:
    made = []
    for height, width in sizes:
        shape = height + padding, width + padding
        noise = rng.integers(0, 8193, shape)
        made.append(
            {"noise": noise, "extreme": 8192 * (noise & 1), "flat": np.full(shape, 4000)}[kind].astype(np.int16)
        )
    return made[0], made[1], made[2]


def random_levels(rng: np.random.Generator, sizes: Sizes, picture: Planes, depth: int, kind: str) -> Levels:
    largest, made = (1 << depth) - 1, []
    for size, plane in zip(sizes, picture, strict=True):
        near = plane[: size[0], : size[1]].astype(np.int64) * largest // 8192 + rng.integers(-2, 3, size)
        made.append(
            np.clip(near if kind == "near" else rng.integers(0, largest + 1, size), 0, largest).astype(np.uint16)
        )
    return made[0], made[1], made[2]


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_bytes_are_those_of_the_twin(depth: int):
    """I and P frames one after the other, learning as they go."""
    for seed, (height, width) in enumerate([(1, 1), (7, 9), (12, 5)]):
        rng, sizes = np.random.default_rng(seed), sizes_of(height, width)
        native, twin, decoder = _lossless.LayerCoder(), TwinLayerCoder(), _lossless.LayerCoder()
        for frame, kind in enumerate(("near", "noise", "near")):
            picture, past = (random_planes(rng, sizes, "noise", seed) for _ in range(2))
            compensated = past if frame else None
            levels = random_levels(rng, sizes, picture, depth, kind)
            data = native.encode(levels, picture, compensated, depth)
            assert data == twin.encode(levels, picture, compensated, depth), (seed, frame)
            found = decoder.decode(data, sizes, picture, compensated, depth)
            assert found is not None
            for one, other in zip(levels, found, strict=True):
                np.testing.assert_array_equal(one, other)


def test_the_twin_reads_it():
    rng, sizes = np.random.default_rng(5), sizes_of(6, 7)
    picture = random_planes(rng, sizes, "noise", 0)
    levels = random_levels(rng, sizes, picture, 8, "near")
    data = _lossless.LayerCoder().encode(levels, picture, None, 8)
    found = TwinLayerCoder().decode(data, sizes, picture, None, 8)
    assert found is not None
    assert all(np.array_equal(one, other) for one, other in zip(levels, found, strict=True))
    assert TwinLayerCoder().decode(data + b"\1", sizes, picture, None, 8) is None


@settings(max_examples=30)
@given(st.binary(max_size=60), st.integers(1, 6), st.integers(1, 6), st.sampled_from([8, 10]))
def test_any_bytes_end_as_in_the_twin(data: bytes, height: int, width: int, depth: int):
    """They are refused by both, or are the levels of both."""
    sizes = sizes_of(height, width)
    picture = random_planes(np.random.default_rng(1), sizes, "noise", 0)
    found = _lossless.LayerCoder().decode(data, sizes, picture, None, depth)
    expected = TwinLayerCoder().decode(data, sizes, picture, None, depth)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
        assert _lossless.LayerCoder().encode(found, picture, None, depth) == data


def test_flat_content_takes_next_to_nothing():
    sizes = sizes_of(64, 64)
    picture = random_planes(np.random.default_rng(0), sizes, "flat", 0)
    levels = tuple(np.full(size, 16, np.uint16) for size in sizes)
    assert len(_lossless.LayerCoder().encode(levels, picture, None, 8)) < 100


def test_a_copy_learns_alone():
    rng, sizes = np.random.default_rng(2), sizes_of(9, 9)
    picture = random_planes(rng, sizes, "noise", 0)
    levels = random_levels(rng, sizes, picture, 8, "near")
    coder = LayerCoder(8)
    coder.encode(levels, picture, None)
    other = copy(coder)
    assert coder.encode(levels, picture, None) == other.encode(levels, picture, None)
    coder.reset()
    assert coder.encode(levels, picture, None) == LayerCoder(8).encode(levels, picture, None)


def test_damage_is_an_error_of_the_stream():
    sizes = sizes_of(9, 9)
    picture = random_planes(np.random.default_rng(3), sizes, "noise", 0)
    with pytest.raises(StreamError, match="the lossless layer of a frame is damaged"):
        LayerCoder(8).decode(b"\xff" * 9, sizes, picture, None)


def test_wrong_arrays_are_refused():
    sizes = sizes_of(4, 4)
    picture = random_planes(np.random.default_rng(4), sizes, "noise", 0)
    levels = tuple(np.zeros(size, np.uint16) for size in sizes)
    too_high = (np.full((4, 4), 256, np.uint16), *levels[1:])
    too_small = tuple(plane[:1] for plane in picture)
    beyond = (np.full((4, 4), 8193, np.int16), *picture[1:])
    for planes, foretold, depth, told in (
        (too_high, picture, 8, "above the largest"),
        (levels, too_small, 8, "no smaller than that of the levels"),
        (levels, beyond, 8, r"0\.\.8192"),
        (levels, picture, 7, "8 to 12 bits"),
        ((levels[0], levels[0], levels[1]), picture, 8, "chroma must be"),
    ):
        with pytest.raises(ValueError, match=told):
            _lossless.LayerCoder().encode(planes, foretold, None, depth)
    with pytest.raises(TypeError):
        _lossless.LayerCoder().encode(tuple(plane.astype(np.uint8) for plane in levels), picture, None, 8)


def test_padded_samples():
    """Every 8-bit level gives the nearest sample; chroma and edges are repeated."""
    column = np.arange(256, dtype=np.uint16)[:, None]
    half = np.array([[0], [255]], np.uint16).repeat(64, axis=0)
    samples = padded_samples((column, half, half), (256, 16), 8)
    assert samples.shape == (3, 256, 16)
    np.testing.assert_array_equal(samples[0, :, 15], np.rint(np.arange(256) * 8192 / 255))
    assert samples[1, 127, 3] == 0
    assert samples[2, 128, 3] == 8192


def test_the_variable_chooses_the_twin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TWIN_VARIABLE, "fast")
    with pytest.raises(EnvironmentFault, match="DCVC_LOSSLESS must be native or twin"):
        LayerCoder(8)
