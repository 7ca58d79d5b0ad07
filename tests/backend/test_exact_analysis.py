"""The encoder's half in integers: made of stored weights and exponents, the same on every instruction set."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_analysis import analysis_network, num_exponents
from dcvc_cli.backend.exact_native import ExactNative, make_engine
from dcvc_cli.backend.exact_network import ExactConv, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.backend.operations import Operations
from dcvc_cli.backend.reproducible import ReproducibleOperations
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.graph.blocks import Conv, encoder_layers
from dcvc_cli.weights.file import ModelWeights, NetworkWeights, read_weights, write_weights
from dcvc_cli.weights.stored_arrays import ANALYSIS_EXPONENTS

native = pytest.importorskip("dcvc_cli._kernels")
ISAS = native.usable_isas()
QP = 30


@pytest.fixture(scope="module")
def prepared(tiny_home: Path) -> ModelWeights:
    return read_weights(tiny_home / "weights" / "tiny-exact.safetensors")


@pytest.fixture(scope="module")
def picture() -> NDArray[np.float32]:
    """Makes smooth shapes with detail on top, 3 x 80 x 48: latents of 5x3, which the hyper encoder pads."""
    random = np.random.default_rng(5)
    coarse = random.random((3, 5, 3)).repeat(16, 1).repeat(16, 2)
    fine = random.random((3, 80, 48)) - 0.5
    return np.clip(coarse + fine / 10, 0, 1).astype(np.float32)


def analysed(ops: Operations, network: NetworkWeights, picture: NDArray[np.float32], context: Any) -> tuple[Any, Any]:
    """Returns y and z of a picture; a network that takes a context gets this one."""
    model: Any = network.model
    frame = ops.frame_from_values(picture)
    y = model.analysis(ops, frame, *([] if context is None else [context]), QP)
    return y, model.hyper_analysis(ops, y)


def decoder_context(network: NetworkWeights, size: tuple[int, int]) -> NDArray[np.int16]:
    """Makes a context (c, h, w) as the decoder's half might hand it over, with 10 bits behind the point."""
    random = np.random.default_rng(6)
    return random.integers(-900, 900, (network.model.spec.feature, *size), dtype=np.int16)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["image", "video"])
def test_every_instruction_set_and_the_twin_find_the_same_latents(
    prepared: ModelWeights, picture: NDArray[np.float32], name: str
) -> None:
    network = prepared.networks[name]
    integers = network.analysis
    assert integers is not None
    found = []
    for ops in [ExactTwin(integers), *(ExactNative(integers, make_engine(2, isa)) for isa in ISAS)]:
        context = None
        if name == "video":
            planes = decoder_context(network, (10, 6))
            data = planes if isinstance(ops, ExactTwin) else np.ascontiguousarray(planes.transpose(1, 2, 0))
            context = ops.context_from(ops, ExactValue(data, 10))
        y, z = analysed(ops, network, picture, context)
        found.append((ops.to_float(y), ops.round_z(z)))
    for y, z in found[1:]:
        assert np.array_equal(y, found[0][0])
        assert np.array_equal(z, found[0][1])
    assert found[0][1].shape[1:] == (2, 1)
    assert np.abs(found[0][0]).max() > 1


def test_integers_are_near_the_numbers_that_they_stand_for(
    prepared: ModelWeights, picture: NDArray[np.float32]
) -> None:
    network = prepared.networks["image"]
    integers = network.analysis
    assert integers is not None
    exact, numbers = ExactTwin(integers), ReproducibleOperations(network.parameters())
    y = exact.to_float(analysed(exact, network, picture, None)[0])
    wanted = analysed(numbers, network, picture, None)[0]
    assert np.abs(y - wanted).max() < 0.05 * np.abs(wanted).max()


def test_stored_weights_are_taken_as_they_are(prepared: ModelWeights) -> None:
    network = prepared.networks["image"]
    integers = network.analysis
    assert integers is not None
    for layer in encoder_layers(network.model):
        numbers = integers.layers[layer.name]
        if isinstance(numbers, ExactConv) and np.abs(network.arrays[f"{layer.name}.weight"]).max() <= 127:
            assert np.array_equal(numbers.weight, network.arrays[f"{layer.name}.weight"])


def test_a_row_that_could_overflow_loses_its_last_bits() -> None:
    class Wide:
        encoder_only = ("enc.",)

        def __init__(self) -> None:
            self.layer = Conv("enc.wide", 8, 2)

    weight = np.array([[32767] * 8, [5, -3, 0, 0, 0, 0, 0, 1]], np.int16).reshape(2, 8, 1, 1)
    arrays = {
        "enc.wide.weight": weight,
        "enc.wide.weight.step": np.array([0.001, 0.5], np.float32),
        "enc.wide.bias": np.zeros(2, np.float32),
    }
    layer = analysis_network(Wide(), arrays, np.array([8, 3, 8], np.int8)).conv("enc.wide")
    assert np.abs(layer.weight[0].astype(int)).sum() <= rules.MAX_ROW_SUM
    assert np.array_equal(layer.weight[1], weight[1])
    # Its steps are doubled as often as its weights are halved: what the row stands for is the same.
    stands_for = layer.weight[0].ravel().astype(float) * layer.multiplier[0] / 2.0**rules.SHIFT * 2.0 ** (8 - 3)
    assert stands_for == pytest.approx(np.full(8, 32.767), rel=1e-4)


def test_exponents_change_no_fingerprint(prepared: ModelWeights) -> None:
    for network in prepared.networks.values():
        without = {key: value for key, value in network.arrays.items() if key != ANALYSIS_EXPONENTS}
        assert replace(network, arrays=without).fingerprint == network.fingerprint
        assert replace(network, arrays=without).analysis is None


@pytest.mark.parametrize("damage", ["short", "long", "negative", "large", "type"])
def test_damaged_exponents_are_named(prepared: ModelWeights, tmp_path: Path, damage: str) -> None:
    network = prepared.networks["image"]
    good = network.arrays[ANALYSIS_EXPONENTS]
    assert good.shape == (num_exponents(network.model),)
    bad = {
        "short": good[:-1],
        "long": np.append(good, np.int8(3)),
        "negative": np.where(np.arange(len(good)) == 4, -1, good).astype(np.int8),
        "large": np.where(np.arange(len(good)) == 4, 16, good).astype(np.int8),
        "type": good.astype(np.int16),
    }[damage]
    damaged = replace(network, arrays=network.arrays | {ANALYSIS_EXPONENTS: bad})
    path = tmp_path / "bad.safetensors"
    write_weights(path, replace(prepared, networks={**prepared.networks, "image": damaged}))
    with pytest.raises(EnvironmentFault, match=r"analysis\.exponents|exponents of the encoder's half"):
        _ = read_weights(path).networks["image"].analysis
