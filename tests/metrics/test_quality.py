"""PSNR and MS-SSIM against definitions written out, values of the conformance cases, and pytorch-msssim where it
agrees."""

import json
import math

import numpy as np
import pytest

from dcvc_cli.metrics import msssim, psnr
from tests.support.published import CONFORMANCE


def noisy_pair(height: int, width: int, noise: float = 20.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1)).repeat(8, 0).repeat(8, 1)[:height, :width]
    original = np.clip(coarse * 0.5 + 60 + rng.normal(0, 10, (height, width)), 0, 255).astype(np.uint8)
    return original, np.clip(original + rng.normal(0, noise, (height, width)), 0, 255).astype(np.uint8)


def test_psnr_by_hand():
    original = np.zeros((2, 2), np.uint8)
    changed = np.array([[0, 0], [0, 10]], np.uint8)
    assert psnr.psnr_plane(original, changed) == pytest.approx(10 * math.log10(255**2 / 25))
    assert psnr.psnr_plane(changed, original) == psnr.psnr_plane(original, changed)


@pytest.mark.parametrize(
    ("mse", "expected"),
    [
        (0.0, 99.9),
        (1e-10, 99.9),
        (1.1e-10, 99.9),
        (1e-5, 98.1308),
        (255.0**2, 0.0),
        (math.nan, -999.9),
        (math.inf, -999.9),
    ],
)
def test_psnr_limits(mse, expected):
    assert psnr.psnr_from_mse(mse) == pytest.approx(expected, abs=1e-4)


def test_psnr_of_unrounded_samples():
    original = np.full((3, 5), 255, np.uint8)
    assert psnr.psnr_plane(original, np.full((3, 5), 254.5)) == pytest.approx(10 * math.log10(255**2 / 0.25))
    assert psnr.psnr_plane(original, np.full((3, 5), 300.0, np.float32)) == 99.9
    assert psnr.psnr_plane(original, np.full((3, 5), np.nan)) == -999.9


def test_psnr_of_large_planes_does_not_depend_on_blocks(monkeypatch):
    original, changed = noisy_pair(67, 41)
    whole = psnr.squared_error_sum(original, changed)
    monkeypatch.setattr(psnr, "_BLOCK_SAMPLES", 100)
    assert psnr.squared_error_sum(original, changed) == whole == ((original.astype(int) - changed) ** 2).sum()


def test_psnr_weights():
    planes = [noisy_pair(*shape, seed=seed) for seed, shape in enumerate([(8, 8), (4, 4), (4, 4)])]
    result = psnr.psnr_yuv([pair[0] for pair in planes], [pair[1] for pair in planes])
    assert result.y == psnr.psnr_plane(*planes[0])
    assert result.yuv == pytest.approx((6 * result.y + result.u + result.v) / 8)


def test_psnr_rgb_is_one_mse():
    original = [np.zeros((2, 2), np.uint8)] * 3
    changed = [np.full((2, 2), value, np.uint8) for value in (1, 2, 3)]
    assert psnr.psnr_rgb(original, changed) == pytest.approx(10 * math.log10(255**2 / (14 / 3)))


def test_psnr_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="cannot be compared"):
        psnr.psnr_plane(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="expected uint8"):
        psnr.psnr_plane(np.zeros((2, 2)), np.zeros((2, 2)))  # type: ignore[arg-type]


def test_psnr_of_the_conformance_pictures():
    # The published values are of unrounded pictures, the files hold rounded luma and truncated chroma: close, not
    # equal.
    folder = CONFORMANCE / "two_small_96x80"
    case = json.loads((folder / "case.json").read_text())
    size = 96 * 80 * 3 // 2
    for frame in case["frame_info"]:
        original, output = (
            np.fromfile(folder / name, np.uint8, size, offset=frame["index"] * size)
            for name in ("input.yuv", "recon.yuv")
        )
        luma = psnr.psnr_plane(original[: 96 * 80].reshape(80, 96), output[: 96 * 80].reshape(80, 96))
        assert luma == pytest.approx(frame["psnr_y"], abs=0.002)
        assert psnr.weighted_yuv(frame["psnr_y"], frame["psnr_u"], frame["psnr_v"]) == pytest.approx(
            frame["psnr_yuv"], abs=1e-9
        )


def msssim_written_out(x: np.ndarray, y: np.ndarray, weights: tuple[float, ...]) -> float:
    """Returns the definition with nothing saved: a two-dimensional window, five filtered maps, reflection before the
    2x2 mean."""
    distance = np.arange(11) - 5.0
    taps = np.exp(-(distance**2) / 4.5)
    window = np.outer(taps, taps) / taps.sum() ** 2

    def filtered(plane: np.ndarray) -> np.ndarray:
        return np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(plane, (11, 11)), window)

    result = 1.0
    x, y = x.astype(float), y.astype(float)
    for scale, weight in enumerate(weights):
        mean_x, mean_y = filtered(x), filtered(y)
        variance_x, variance_y = filtered(x * x) - mean_x**2, filtered(y * y) - mean_y**2
        covariance = filtered(x * y) - mean_x * mean_y
        contrast = (2 * covariance + 58.5225) / (variance_x + variance_y + 58.5225)
        luminance = (2 * mean_x * mean_y + 6.5025) / (mean_x**2 + mean_y**2 + 6.5025)
        result *= (contrast.mean() if scale < len(weights) - 1 else (contrast * luminance).mean()) ** weight
        x, y = (np.pad(plane, ((0, 1), (0, 1)), mode="symmetric") for plane in (x, y))
        x, y = ((plane[:-1, :-1] + plane[1:, :-1] + plane[:-1, 1:] + plane[1:, 1:])[::2, ::2] / 4 for plane in (x, y))
    return float(result)


@pytest.mark.parametrize("shape", [(176, 176), (181, 203), (175, 300), (300, 88), (95, 89)])
def test_msssim_is_the_definition(shape):
    pair = noisy_pair(*shape)
    weights = msssim.WEIGHTS_5_SCALES if min(shape) >= 176 else msssim.WEIGHTS_4_SCALES
    assert msssim.msssim_plane(*pair) == pytest.approx(msssim_written_out(*pair, weights), rel=1e-12)


@pytest.mark.parametrize("shape", [(176, 208), (288, 352)])
def test_msssim_agrees_with_pytorch_msssim_at_even_scales(shape):
    torch = pytest.importorskip("torch")
    pytorch_msssim = pytest.importorskip("pytorch_msssim")
    pair = noisy_pair(*shape)
    x, y = (torch.from_numpy(plane.astype(np.float64))[None, None] for plane in pair)
    assert msssim.msssim_plane(*pair) == pytest.approx(pytorch_msssim.ms_ssim(x, y, data_range=255).item(), abs=1e-6)


def test_msssim_edges():
    original, changed = noisy_pair(120, 100)
    assert msssim.msssim_plane(original, original) == pytest.approx(1.0, abs=1e-12)
    assert msssim.msssim_plane(original, 255 - original) == 0.0
    assert msssim.msssim_plane(original[:87], changed[:87]) is None
    with pytest.raises(ValueError, match="cannot be compared"):
        msssim.msssim_plane(original, changed[:-1])


def test_msssim_falls_with_noise():
    values = [msssim.msssim_plane(*noisy_pair(176, 176, noise)) for noise in (2.0, 10.0, 30.0, 80.0)]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]


def test_msssim_of_pictures():
    luma, chroma = noisy_pair(176, 176), noisy_pair(88, 88)
    result = msssim.msssim_yuv([luma[0], chroma[0], chroma[0]], [luma[1], chroma[1], chroma[0]])
    assert result.v == pytest.approx(1.0, abs=1e-12)
    assert result.yuv == pytest.approx((6 * result.y + result.u + result.v) / 8)
    assert msssim.msssim_rgb([luma[0]] * 3, [luma[1]] * 3) == pytest.approx(result.y)
    small = noisy_pair(72, 88)
    assert msssim.msssim_yuv([luma[0], *small], [luma[1], *small]).yuv is None
    assert msssim.msssim_rgb([small[0]] * 3, [small[1]] * 3) is None
