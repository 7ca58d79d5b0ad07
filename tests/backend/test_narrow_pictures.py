"""Bfloat16 convolutions of some processors give wrong values where the output is one sample wide: dcvc avoids those.

Such a processor is played here by a convolution that gives what is not a number for the shapes that go wrong there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dcvc_cli.backend import float_torch
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec import backends
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.registry import find_model
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.weights.file import NetworkWeights
from dcvc_cli.weights.store import weights_by_name

real_convolution = torch.nn.functional.conv2d


def faulty_convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: Any, stride: int = 1, padding: int = 0, groups: int = 1
) -> torch.Tensor:
    out = real_convolution(x, weight, bias, stride=stride, padding=padding, groups=groups)
    return out * torch.nan if x.dtype == torch.bfloat16 and stride > 1 and out.shape[-1] == 1 else out


def nothing_but_nan(x: torch.Tensor, weight: torch.Tensor, bias: Any, **options: Any) -> torch.Tensor:
    return real_convolution(x, weight, bias, **options) * torch.nan


def encoder_of(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, convolution: Callable[..., torch.Tensor]
) -> FramePayloadEncoder:
    """Makes an exact encoder of the weights in the box, whose own half computes in `precision` with `convolution`."""
    monkeypatch.setattr(backends, "_analysis_precision", lambda weights, device: precision)
    # As weights are that carry no exponents of the encoder's half.
    monkeypatch.setattr(NetworkWeights, "analysis", None)
    monkeypatch.setattr(float_torch.F, "conv2d", convolution)
    model = find_model("lite")
    networks = backends.open_networks(weights_by_name("lite").networks, Precision.EXACT, threads=1)
    return FramePayloadEncoder(*model.networks.values(), networks, EntropyFormat.COMPACT, None)


def waves(width: int, height: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    luma = 0.5 + 0.25 * np.sin(columns / 7) + 0.15 * np.cos(rows / 5)
    return np.stack([luma, np.full_like(luma, 0.4), np.full_like(luma, 0.6)]).astype(np.float32)


@pytest.mark.native
@pytest.mark.parametrize(("width", "height"), [(16, 64), (16, 304), (32, 64), (64, 16)])
def test_narrow_pictures_come_out_right(monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> None:
    encoder = encoder_of(monkeypatch, Precision.BFLOAT16, faulty_convolution)
    values = waves(width, height)
    for payload in (encoder.encode_i(values, 40), encoder.encode_p(values, 40, False)):
        planes = encoder.filtered()
        assert payload
        assert planes is not None
        luma = encoder.networks["video"].synthesis.export_planes(
            encoder.output(), halve_chroma=True, truncate_chroma=False
        )[0]
        error = np.mean((luma[:height, :width] / 255.0 - values[0]) ** 2)
        assert -10 * np.log10(error) > 38


@pytest.mark.native
@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.FLOAT32])
def test_latents_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    encoder = encoder_of(monkeypatch, precision, nothing_but_nan)
    with pytest.raises(EnvironmentFault, match="latents that are not finite"):
        encoder.encode_i(waves(32, 32), 40)


@pytest.mark.native
def test_a_p_frame_with_latents_that_are_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(monkeypatch, Precision.FLOAT32, real_convolution)
    encoder.encode_i(waves(32, 32), 40)
    monkeypatch.setattr(float_torch.F, "conv2d", nothing_but_nan)
    with pytest.raises(EnvironmentFault, match="latents that are not finite"):
        encoder.encode_p(waves(32, 32), 40, False)
