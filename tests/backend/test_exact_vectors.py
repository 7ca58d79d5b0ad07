"""The test vectors of docs/exact-arithmetic.md, against the rules, the reference and every instruction set."""

import json
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_network import ExactConv, ExactNetwork, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.entropy.scale_index import scale_thresholds
from dcvc_cli.graph.blocks import DepthConvBlock, FourfoldBlock

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "exact-arithmetic.md"
VECTORS = json.loads(DOCUMENT.read_text().split("```json\n")[1].split("```")[0])


def vectors(rule):
    found = [vector for vector in VECTORS if vector["rule"] == rule]
    assert found
    return found


def backends(network):
    yield ExactTwin(network), False
    try:
        from dcvc_cli import _kernels
    except ImportError:
        return
    from dcvc_cli.backend.exact_native import ExactNative, make_engine

    for isa in _kernels.usable_isas():
        yield ExactNative(network, make_engine(2, isa)), True


def test_rescale():
    for vector in vectors("rescale"):
        # Python integers do not overflow: the formula as it is written.
        plain = [max(-32768, min(32767, (s * vector["multiplier"] + vector["addend"]) >> 32)) for s in vector["sum"]]
        assert plain == vector["result"]
        assert (
            rules.rescale(np.array(vector["sum"]), vector["multiplier"], vector["addend"]).tolist() == vector["result"]
        )


def test_activation_and_step_size():
    for vector in vectors("wsilu"):
        x = np.array(vector["x"], np.int16).reshape(1, 1, -1)
        for ops, is_native in backends(ExactNetwork({}, 8)):
            value = ExactValue(np.ascontiguousarray(x.transpose(1, 2, 0)) if is_native else x, vector["exponent"])
            assert ops.wsilu(value).data.ravel().tolist() == vector["result"]
    for vector in vectors("half_to_two"):
        assert rules.half_to_two(np.array(vector["x"]), vector["exponent"]).tolist() == vector["result"]


def test_scale_rows():
    for vector in vectors("scale_row"):
        scales = np.array(vector["scale"], np.int16)
        assert rules.row_of_scale(vector["exponent"])[scales.view(np.uint16)].tolist() == vector["row"]
        limit = vector["threshold_millionths"] << vector["exponent"]
        assert [int(s * 10**6 > limit) for s in vector["scale"]] == vector["coded"]
        assert (
            scales > rules.largest_skipped(vector["threshold_millionths"] / 10**6, vector["exponent"])
        ).tolist() == [c == 1 for c in vector["coded"]]


def test_samples():
    for vector in vectors("samples"):
        assert rules.samples_from_sum(np.array(vector["values"]), 0, truncate=False).tolist() == vector["result"]
    for vector in vectors("halved_chroma"):
        assert rules.samples_from_sum(np.array(vector["sums"]), 2, truncate=False).tolist() == vector["result"]


def as_value(x, exponent, *, is_native):
    """Returns (c, h, w) integers as a backend's value."""
    data = np.array(x, np.int16)
    return ExactValue(np.ascontiguousarray(data.transpose(1, 2, 0)) if is_native else data, exponent)


def flat(value, *, is_native):
    return (value.data.transpose(2, 0, 1) if is_native else value.data).ravel().tolist()


def test_pictures_around_zero():
    for vector in vectors("clamp_centred"):
        # Whole cells of 8x8, so that the kernels see a picture.
        x = np.resize(np.array(vector["x"], np.int16), (192, 1, 1))
        for ops, is_native in backends(ExactNetwork({}, 8)):
            picture = ops.clamp_centred(as_value(x, vector["exponent"], is_native=is_native))
            assert flat(picture, is_native=is_native)[:12] == vector["result"]
            assert flat(ops.from_centre(picture), is_native=is_native)[:12] == [v + 4096 for v in vector["result"]]


def test_sums_of_four():
    for vector in vectors("add_fours"):
        x = np.array(vector["x"], np.int16).reshape(-1, 1, 1)
        for ops, is_native in backends(ExactNetwork({}, 8)):
            assert flat(ops.add_fours(as_value(x, 8, is_native=is_native)), is_native=is_native) == vector["result"]


@pytest.mark.parametrize("rule", ["block", "fourfold_block"])
def test_block(rule):
    for vector in vectors(rule):
        c = vector["channels"]
        block = (
            DepthConvBlock("block", c, c, shortcut=bool(vector["shortcut"]))
            if rule == "block"
            else FourfoldBlock("block", c, c, vector["inner"])
        )
        shapes = dict(block.shapes())
        layers = {}
        for key, one in vector["layers"].items():
            weight = np.array(one["weight"], np.int16).reshape(shapes[f"block.{key}.weight"])
            layers[f"block.{key}"] = ExactConv(
                weight, np.array(one["multiplier"], np.int32), np.array(one["addend"], np.int64), *one["exponents"]
            )
        x = np.array(vector["x"], np.int16).reshape(c, vector["height"], vector["width"])
        for ops, is_native in backends(ExactNetwork(layers, 8)):
            assert flat(block(ops, as_value(x, 8, is_native=is_native)), is_native=is_native) == vector["result"]


def test_stored_tables_are_the_functions():
    """The shipped integers against the formulas that they stand for; float64 is exact enough to check, never to build
    at run time."""
    u = np.arange(64) / 32
    g = u / (1 + np.exp(4 * u))
    assert np.abs(np.array(rules.WSILU_NODES[:64]) / 2**18 - g).max() < 0.00013
    u = np.arange(64) / 8
    assert (
        np.abs(np.array(rules.HALF_TO_TWO_NODES[:64]) / 2**13 - 1.5 * (1 / (1 + np.exp(-u)) - 0.5)).max()
        <= 0.51 / 2**13
    )
    assert np.abs(np.array(rules.SCALE_THRESHOLDS) / 2**20 - scale_thresholds()).max() <= 0.51 / 2**20
    assert pytest.approx(0.11, abs=1e-6) == rules.SCALE_THRESHOLDS[0] / 2**20
