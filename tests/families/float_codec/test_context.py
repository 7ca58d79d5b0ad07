"""The context model: the C++ coder and its slow twin, both ways, in both precisions."""

from typing import Any

import numpy as np
import pytest
import torch

from dcvc_cli.backend.float_layers import FloatLayers
from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.families.float_codec.coder import StringDecoder, StringEncoder
from dcvc_cli.families.float_codec.context import ContextNetwork
from dcvc_cli.families.float_codec.context_twin import encode_context
from dcvc_cli.families.float_codec.tables import stored_table

pytestmark = pytest.mark.native
CHANNELS, SIZE = 5, (3, 4)
TABLE = stored_table("laplace_64")[0]


class Ops(FloatLayers):
    """Parameters alone."""

    def __init__(self, network: ContextNetwork, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(3)
        self.dtype, self.device = dtype, torch.device("cpu")
        self.parameters = {
            name: torch.randn(shape, generator=generator).to(dtype) * 0.3 for name, shape in network.shapes()
        }

    def conv(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        own = self.parameters
        return torch.nn.functional.conv2d(x, own[f"{layer.name}.weight"], own[f"{layer.name}.bias"])


def parts(dtype: torch.dtype, *, means_first: bool) -> tuple[ContextNetwork, Any, torch.Tensor, torch.Tensor]:
    network = ContextNetwork(
        "context", "parameters", CHANNELS, means_first=means_first, table="laplace_64", smallest=1e-5
    )
    generator = torch.Generator().manual_seed(4)
    prior = torch.randn(1, 2 * CHANNELS, *SIZE, generator=generator).to(dtype)
    y = torch.randn(1, CHANNELS, *SIZE, generator=generator).to(dtype) * 4
    return network, Ops(network, dtype), prior, y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("means_first", [True, False])
def test_the_coder_gives_the_twins_numbers_bit_for_bit(dtype: torch.dtype, means_first: bool):
    network, ops, prior, y = parts(dtype, means_first=means_first)
    found = network.encode(ops, prior, y)
    values = y[0].reshape(CHANNELS, -1).T.contiguous().numpy()
    expected = encode_context(
        network.weights(ops), network._base(ops, prior), values, SIZE, means_first=means_first, smallest=1e-5
    )
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert (one == other).all()
    assert len(np.unique(found[1])) > 3, "the parameters are such that rows differ"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_decoder_has_what_the_encoder_has(dtype: torch.dtype):
    network, ops, prior, y = parts(dtype, means_first=True)
    symbols, rows, restored = network.encode(ops, prior, y)
    encoder = StringEncoder()
    encoder.add(TABLE, symbols, rows)
    string = StringDecoder(encoder.finish())
    found = network.decode(ops, prior, string, TABLE)
    string.finish()
    for one, other in zip(found, (symbols, rows, restored), strict=True):
        assert (one == other).all()


def test_the_dense_form_predicts_the_same_from_the_same_values():
    network, ops, prior, y = parts(torch.float64, means_first=True)
    symbols, _, restored = network.encode(ops, prior, y)
    means, _ = network.predicted(ops, prior, network.as_tensor(ops, restored, SIZE))
    again = torch.round(y - means)[0].reshape(CHANNELS, -1).T.numpy()
    assert (again == symbols).all()


def test_latents_that_are_no_numbers_are_refused():
    network, ops, prior, y = parts(torch.float32, means_first=True)
    y[0, 0, 0, 0] = float("nan")
    with pytest.raises(EnvironmentFault, match="not finite"):
        network.encode(ops, prior, y)


def test_a_string_that_ends_early_is_an_error():
    network, ops, prior, _ = parts(torch.float32, means_first=True)
    with pytest.raises(StreamError, match="damaged"):
        network.decode(ops, prior, StringDecoder(b"\1\2\3\4\5\6\7\x08"), TABLE)


def test_masked_taps_are_not_read():
    network, ops, prior, y = parts(torch.float64, means_first=True)
    first = network.encode(ops, prior, y)[0]
    other = Ops(network, torch.float64)
    other.parameters["context.weight"][:, :, 2, 2:] = 7
    other.parameters["context.weight"][:, :, 3:] = 7
    assert (network.encode(other, prior, y)[0] == first).all()
