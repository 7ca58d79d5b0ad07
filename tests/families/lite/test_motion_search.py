"""The motion search finds known motion exactly, no motion where nothing moves, always legal vectors, and less motion at
a higher price."""

import numpy as np
import pytest

from dcvc_cli.families.lite.motion.field import (
    FIRST_SEARCH_LAMBDA,
    FieldCoder,
    compensate,
    luma_of_values,
    luma_samples,
    search_lambda,
)
from dcvc_cli.families.lite.motion.motion import Motion
from tests.support.motions import Following, differences, still

native = pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native


def smooth_picture(height: int, width: int, seed: int) -> np.ndarray:
    """Makes random waves, int16 (3, h, w) in 0..8192: no two places look alike, and interpolation loses little."""
    rng = np.random.default_rng(seed)
    spectrum = rng.standard_normal((height, width)) + 1j * rng.standard_normal((height, width))
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    waves = np.fft.ifft2(spectrum * np.exp(-80 * (x**2 + y**2))).real
    plane = np.rint((waves - waves.min()) / np.ptp(waves) * 8192).astype(np.int16)
    return np.stack([plane] * 3)


def one_vector(rows: int, columns: int, vector: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(vector, np.int16), (rows, columns, 2)).copy()


@pytest.mark.parametrize("vector", [(20, -12), (4, 0), (-28, 36), (21, -11), (22, -10), (1, 0), (-3, 2), (-7, -5)])
@pytest.mark.parametrize("qp", [12, 40, 63])
def test_a_moved_picture(vector: tuple[int, int], qp: int):
    reference, field = smooth_picture(96, 128, 5), one_vector(12, 16, vector)
    coder = FieldCoder()
    motion = coder.search(luma_samples(compensate(reference, Motion(field))[0]), reference, qp)
    found = motion.vectors
    is_wrong = (found != field).any(axis=2)
    if qp == 12 and np.abs(vector).max() < 4:
        is_wrong[:2, :2] = (
            False  # the first vector is the dearest: at a high price a fraction of a sample may not be worth it
        )
    wrong = np.argwhere(is_wrong)
    assert len(wrong) == 0, f"{len(wrong)} vectors are wrong, the first at {wrong[0]}: {found[tuple(wrong[0])]}"
    assert len(coder.encode(motion)) < 8


def test_two_motions():
    reference, field = smooth_picture(96, 128, 6), one_vector(12, 16, (16, 8))
    field[4:8, 6:12] = (-24, 4)
    found = FieldCoder().search(luma_samples(compensate(reference, Motion(field))[0]), reference, 40).vectors
    same = (found == field).all(axis=2)
    assert same[4:8, 6:12].mean() > 0.9
    assert same.mean() > 0.95


@pytest.mark.parametrize("size", [(16, 16), (16, 64), (80, 48)])
def test_nothing_moves(size: tuple[int, int]):
    noise = np.random.default_rng(1).integers(0, 8193, (3, *size)).astype(np.int16)
    for picture in (noise, smooth_picture(*size, 2), np.full((3, *size), 77, np.int16)):
        coder = FieldCoder()
        for long_term in (None, picture, noise):
            found = coder.search(luma_samples(picture[0]), picture, 30, long_term)
            assert not found.vectors.any()
            assert found.blends is None or not found.blends.any()
            assert coder.encode(found) == b""


def test_random_pictures_give_legal_vectors():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        height, width = (16 * int(side) for side in rng.integers(1, 5, 2))
        if seed % 10 == 0:
            width = 640
        reference = rng.integers(0, 8193, (3, height, width)).astype(np.int16)
        current = rng.integers(0, 256, (height, width)).astype(np.uint8)
        encoder, decoder, following, long_term = FieldCoder(), FieldCoder(), Following(), None
        for picture in range(4):
            found = encoder.search(current, reference, int(rng.integers(72)), long_term)
            told = f"seed {seed} picture {picture} size {height} x {width}"
            assert found.vectors.shape == (height // 8, width // 8, 2), told
            assert abs(found.vectors).max() <= 1023, told
            assert (found.blends is None) == (long_term is None), told
            complete = following.complete(found)
            assert differences(complete, found) == [], told
            assert differences(complete, decoder.decode(encoder.encode(found), height // 8, width // 8)) == [], told
            long_term, reference = (
                reference,
                np.ascontiguousarray(rng.permutation(reference, axis=int(rng.integers(1, 3)))),
            )


def test_a_higher_price_gives_fewer_bytes():
    rng = np.random.default_rng(8)
    reference = smooth_picture(96, 128, 8)
    field = (rng.integers(-3, 4, (12, 16, 2)) * 3).astype(np.int16)
    luma = luma_samples(compensate(reference, Motion(field))[0]).astype(np.int16) + rng.integers(-6, 7, (96, 128))
    current, sizes, errors = luma.clip(0, 255).astype(np.uint8), [], []
    for qp in (63, 32, 0):
        coder = FieldCoder()
        found = coder.search(current, reference, qp)
        sizes.append(len(coder.encode(found)))
        errors.append(int(abs(luma_samples(compensate(reference, found)[0]).astype(int) - current).sum()))
    assert sizes == sorted(sizes, reverse=True), sizes
    assert sizes[0] > 1.5 * sizes[2], sizes
    assert errors[0] < errors[2], errors


@pytest.mark.parametrize("size", [(96, 128), (16, 256), (256, 16), (144, 176)])
def test_threads_change_nothing(size):
    """The third frame, so that vectors, tracks and blends are searched, all of them noisy."""
    scene = smooth_picture(*size, 17)
    pictures = [with_noise(np.roll(scene, k, 2), k) for k in range(4)]
    found = {}
    for threads in (1, 2, 3, 7):
        coder, motions = FieldCoder(), []
        for k in range(1, 4):
            motions.append(
                coder.search(luma_samples(pictures[k][0]), pictures[k - 1], 30, pictures[0] if k > 1 else None, threads)
            )
            coder.encode(motions[-1])
        found[threads] = motions
    assert size[0] == 16 or found[1][2].blends.any()
    for motions in found.values():
        assert all(differences(one, other) == [] for one, other in zip(found[1], motions, strict=True))


def test_a_number_of_threads_that_there_cannot_be():
    picture = np.zeros((3, 16, 16), np.int16)
    for threads in (0, -1, 257):
        with pytest.raises(ValueError, match="threads must be 1"):
            FieldCoder().search(luma_samples(picture[0]), picture, 30, None, threads)


def test_the_search_sees_the_last_field():
    """Motion that goes on costs less than motion that begins."""
    reference, field = smooth_picture(64, 64, 3), one_vector(8, 8, (20, -12))
    field[2:4, 2:6] = (-16, 8)
    current = luma_samples(compensate(reference, Motion(field))[0])
    coder = FieldCoder()
    sizes = [len(coder.encode(coder.search(current, reference, 40))) for _ in range(4)]
    assert sizes[3] < sizes[0], sizes


def with_noise(picture: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-500, 501, picture.shape)
    return (picture + noise).clip(0, 8192).astype(np.int16)


def coder_after(motion: Motion) -> FieldCoder:
    """Makes a coder whose next frame has a long-term reference."""
    coder = FieldCoder()
    coder.encode(motion)
    return coder


def test_the_mean_of_two_noisy_pictures():
    """Two pictures have different noise, so their mean has less. Samples between two also have less, so vectors are
    fractions."""
    scene = smooth_picture(64, 96, 11)
    reference, long_term = with_noise(scene, 1), with_noise(scene, 2)
    found = coder_after(still(8, 12)).search(luma_samples(scene[0]), reference, 50, long_term)
    assert (found.blends == 1).all()
    assert abs(found.vectors).max() <= 3
    assert abs(found.tracks).max() <= 3
    errors = [
        abs(compensate(reference, motion, long_term)[0].astype(int) - scene[0]).mean()
        for motion in (found, Motion(found.vectors))
    ]
    assert errors[0] < 0.8 * errors[1], errors


def test_the_mean_follows_motion():
    """The scene moves on by (3, -1) samples a picture; what was found for the picture before leads to the long-term
    reference."""
    wide = smooth_picture(128, 160, 12)
    first, second, third = (wide[:, 20 - k : 84 - k, 20 + 3 * k : 116 + 3 * k] for k in range(3))
    pan = Motion(one_vector(8, 12, (12, -4)))
    found = coder_after(pan).search(luma_samples(third[0]), with_noise(second, 1), 50, with_noise(first, 2))
    inside = np.s_[2:-2, 2:-2]
    assert (found.blends == 1).mean() > 0.8
    assert abs(found.vectors[inside] - (12, -4)).max() <= 3
    assert abs(found.tracks[inside] - (24, -8)).max() <= 3


def test_what_is_uncovered_comes_from_the_long_term():
    scene = smooth_picture(96, 128, 13)
    covered = scene.copy()
    covered[:, 32:48, 48:64] = np.random.default_rng(0).integers(0, 8193, (3, 16, 16))
    found = coder_after(still(12, 16)).search(luma_samples(scene[0]), covered, 40, scene)
    assert found.blends[2, 3] == 2
    assert np.array_equal(compensate(covered, found, scene), scene)
    assert not found.tracks[4:6, 6:8].any()
    assert abs(compensate(covered, found, scene)[0, 32:48, 48:64] - scene[0, 32:48, 48:64]).max() == 0


def test_a_better_long_term_is_worth_its_bits():
    """The poorer the reference, the more blocks leave it; and what is found predicts better than the reference
    alone."""
    scene, shares = smooth_picture(96, 128, 14), []
    current = luma_samples(scene[0])
    for strength in (0, 1, 8):
        poor = (scene + strength * (with_noise(scene, 3) - scene) / 4).clip(0, 8192).astype(np.int16)
        found = coder_after(still(12, 16)).search(current, poor, 40, scene)
        shares.append(float(found.blends.astype(bool).mean()))
        with_long_term, without = (
            abs(compensate(poor, motion, scene)[0] - scene[0]).sum() for motion in (found, Motion(found.vectors))
        )
        assert with_long_term < without or strength == 0
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[2] > 0.9


def test_a_search_without_the_long_term():
    """A frame without a long-term reference, or a search that gets none, predicts from the reference alone. The search
    refuses a long-term reference that the frame does not have."""
    picture, coder = smooth_picture(32, 32, 15), FieldCoder()
    with pytest.raises(ValueError, match="long-term"):
        coder.search(luma_samples(picture[0]), picture, 40, picture)
    for _ in range(3):
        found = coder.search(luma_samples(picture[0]), picture, 40)
        assert found.tracks is None
        assert found.blends is None
        coder.encode(found)
        assert coder.has_long_term


def test_the_price_falls_with_the_qp():
    prices = [search_lambda(qp) for qp in range(72)]
    assert prices[0] == FIRST_SEARCH_LAMBDA
    assert prices == sorted(prices, reverse=True)


def test_both_ways_to_luma_agree():
    samples = np.arange(8193, dtype=np.int16)
    values = (samples / 8192).astype(np.float32)[None, None]
    difference = luma_of_values(values).astype(int) - luma_samples(samples)
    assert abs(difference).max() <= 1
    assert (np.flatnonzero(difference) % 2 == 0).all()  # halves are rounded differently, nothing else
