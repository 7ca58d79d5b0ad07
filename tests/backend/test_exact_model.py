"""Whole frames in exact arithmetic: every implementation gives the same samples, and no float takes part."""

import re
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.backend import exact_base, exact_native, exact_rules, exact_twin
from dcvc_cli.backend.exact_network import ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.backend.reproducible import ReproducibleOperations
from dcvc_cli.errors import EnvironmentFault
from tests.support.exact_frames import CodedFrame, FramePair, RecordingCoder, decode, invent
from tests.support.models import SPECS, graphs
from tests.support.random_layers import random_network

_kernels = pytest.importorskip("dcvc_cli._kernels")
from dcvc_cli.backend.exact_native import ExactNative, make_engine  # noqa: E402

pytestmark = pytest.mark.native
ISAS = _kernels.usable_isas()
ROOT = Path(__file__).resolve().parents[2]


def models(name):
    return graphs(SPECS[name])


def same_planes(expected, found):
    return all(np.array_equal(a, b) for x, y in zip(expected, found, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize(
    ("name", "size", "num_frames"), [("tiny", (3, 5), 5), ("tiny", (1, 1), 3), ("lite", (2, 3), 3)]
)
def test_reference_and_kernels_decode_alike(name, size, num_frames):
    """I frame, P frames and a reset from invented symbols and integer parameters."""
    image, video = models(name)
    networks = random_network(image, 1), random_network(video, 2, "wide")
    coded, expected = invent(FramePair(image, video, *(ExactTwin(n) for n in networks)), size, num_frames, 30, 5)
    assert len({plane[0].tobytes() for plane in expected}) == num_frames
    assert np.std(expected[-1][0]) > 5, "the frame is flat: this test would see nothing"
    for isa in ISAS:
        for threads in (1, 2, 3):
            engine = make_engine(threads, isa)
            found = decode(FramePair(image, video, *(ExactNative(n, engine) for n in networks)), coded, 30)
            assert same_planes(expected, found), f"{name} {size} isa {isa} threads {threads}"


@pytest.mark.slow
def test_published_widths_decode_alike():
    image, video = models("rt")
    networks = random_network(image, 1), random_network(video, 2)
    engine = make_engine(2)
    coded, expected = invent(FramePair(image, video, *(ExactNative(n, engine) for n in networks)), (2, 2), 2, 63, 5)
    found = decode(FramePair(image, video, *(ExactTwin(n) for n in networks)), coded, 63)
    assert same_planes(expected, found)


def test_calibrated_network_codes_pictures():
    """From float parameters to integers: an encoder on one instruction set, decoders on all others, near the float
    pictures."""
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.exact_network import ExactNetwork
    from dcvc_cli.backend.float_torch import FloatOperations
    from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
    from dcvc_cli.preparing.quantise import ALL_WIDE, prepare_exact
    from dcvc_cli.training.export import export_model

    image, video = models("tiny")
    states = initial_image_parameters(image), initial_video_parameters(video)
    rng = np.random.default_rng(0)
    scene = rng.random((3, 5, 6)).repeat(16, 1).repeat(16, 2).astype(np.float32)
    pictures = [np.roll(scene, 3 * k, 2) for k in range(4)]
    with torch.no_grad():
        arrays = [{name: value.detach().numpy() for name, value in state.items()} for state in states]
        named = {"image": arrays[0], "video": arrays[1]}
        prepared = prepare_exact(export_model("tiny", named, ""), [pictures], named, ALL_WIDE)
        networks = [ExactNetwork.from_arrays(part.model, part.exact) for part in prepared.networks.values()]
        engine = make_engine(1)
        exact = encode(FramePair(image, video, *(ExactNative(n, engine) for n in networks)), states, pictures, 40)
        floats = encode(FramePair(image, video, *(FloatOperations(s) for s in states)), states, pictures, 40)
    for isa in ISAS:
        engine = make_engine(2, isa)
        found = decode(
            FramePair(image, video, *(ExactNative(n, engine) for n in networks)), [frame for frame, _ in exact], 40
        )
        assert same_planes([planes for _, planes in exact], found), isa
    for (_, ours), (_, theirs) in zip(exact, floats, strict=True):
        assert np.abs(ours[0].astype(int) - theirs[0]).mean() < 1.0


def test_a_quiet_channel_with_large_weights_becomes_integers():
    """Quiet channels are scaled up where that serves their precision, but not beyond what a multiplier can hold."""
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.float_torch import FloatOperations
    from dcvc_cli.codec.calibration import CalibrationSide
    from dcvc_cli.families.rt.initial_parameters import initial_image_parameters
    from dcvc_cli.families.rt.recipe import code_i_frame
    from dcvc_cli.preparing.calibration import RecordingOperations
    from dcvc_cli.preparing.quantise import SIGNAL_WIDE, quantise_network

    image = models("tiny")[0]
    state = initial_image_parameters(image)
    # A channel that hardly speaks, then weights that make up for it: what a scaled channel looks like in parameters
    # made from integers.
    state["dec.dec_2.dc.0.weight"][0] *= 1e-4
    state["dec.dec_2.dc.0.bias"][0] = 0
    state["dec.dec_2.dc.2.weight"][0] = 400
    picture = np.random.default_rng(0).random((3, 5, 6)).repeat(16, 1).repeat(16, 2).astype(np.float32)
    values = {name: value.detach().numpy() for name, value in state.items()}
    recorded = RecordingOperations(ReproducibleOperations(values))
    with torch.no_grad():
        code_i_frame(image, recorded, CalibrationSide(recorded, picture), 63)
        channels, group = (sides["dec.dec_2.dc.2"][1] for sides in (recorded.layer_channels, recorded.layer_groups))
        assert recorded.channels.gains(channels, recorded.groups.range(group))[0] > 1
        network = quantise_network(image, values, recorded, SIGNAL_WIDE)
        assert network.layers["dec.dec_2.dc.2"].multiplier.max() <= exact_rules.MAX_MULTIPLIER
        exact = encode(FramePair(image, None, ExactNative(network, make_engine(1)), None), (state,), [picture], 63)
        floats = encode(FramePair(image, None, FloatOperations(state), None), (state,), [picture], 63)
    assert np.abs(exact[0][1][0].astype(int) - floats[0][1][0]).mean() < 1.0


def encode(pair, states, pictures, qp):
    """Returns coded frames and planes; the analysis runs in float."""
    from dcvc_cli.backend.float_torch import FloatOperations

    coded = []
    for k, values in enumerate(pictures):
        model, ops, state = (pair.video, pair.video_ops, states[1]) if k else (pair.image, pair.image_ops, states[0])
        floats = FloatOperations(state)
        contexts = pair.contexts(qp, k == 3) if k else None
        source = floats.frame_from_values(values)
        ctx = (
            [contexts[0] if isinstance(ops, FloatOperations) else floats.from_float(ops.to_float(contexts[0]))]
            if k
            else []
        )
        y = model.analysis(floats, source, *ctx, qp)
        z = floats.round_z(model.hyper_analysis(floats, y))
        coder = RecordingCoder(ops, y if isinstance(ops, FloatOperations) else floats.to_float(y))
        size = floats.size(y)
        planes = pair.inter(z, size, coder, qp, contexts) if k else pair.intra(z, size, coder, qp)
        coded.append((CodedFrame(z, coder.steps, size), planes))
    return coded


@pytest.mark.parametrize("backend", [ExactTwin, ExactNative])
def test_no_float_takes_part_in_decoding(backend, monkeypatch):
    """Every array that any operation takes or gives is of integers, and asking for a float is an error."""

    def forbidden(*_args):
        raise AssertionError("a decoder asked for a float")

    class Watched(backend):
        to_float = forbidden
        quantise_step = forbidden

        def __getattribute__(self, name):
            value = super().__getattribute__(name)
            return watched(value) if callable(value) and name != "__class__" else value

    def check(value):
        if isinstance(value, ExactValue):
            assert value.data.dtype == np.int16
        elif isinstance(value, np.ndarray):
            assert value.dtype.kind in "iub"
        elif isinstance(value, tuple | list):
            for one in value:
                check(one)
        else:
            assert not isinstance(value, np.floating)

    def watched(function):
        def call(*args, **kwargs):
            check(args)
            result = function(*args, **kwargs)
            check(result)
            return result

        return call

    image, video = models("tiny")
    networks = random_network(image, 1), random_network(video, 2)
    coded, expected = invent(FramePair(image, video, *(ExactTwin(n) for n in networks)), (2, 3), 3, 30, 5)
    found = decode(FramePair(image, video, *(Watched(n) for n in networks)), coded, 30)
    assert same_planes(expected, found)


def test_sources_have_no_floating_point():
    for path in sorted((ROOT / "kernels" / "cpu").glob("*.[ch]pp")):
        code = re.sub(r"//.*", "", path.read_text())
        assert not re.search(r"\b(float|double|_ps|_pd|_ph)\b|_mm\d*_\w+_p[sdh]\b|<cmath>", code), path.name
    assert "float" not in Path(exact_rules.__file__).read_text().replace("no float", "").replace(
        "skip_threshold: float", ""
    )
    for module, allowed in ((exact_twin, 3), (exact_native, 3), (exact_base, 40)):
        lines = [
            line for line in Path(module.__file__).read_text().splitlines() if re.search(r"\bnp\.float|\bfloat\(", line)
        ]
        assert len(lines) <= allowed, lines


def damaged(arrays, name, change):
    copy = {key: value.copy() for key, value in arrays.items()}
    change(copy, name)
    return copy


DAMAGES = {
    "missing": lambda a, n: a.pop(f"{n}.weight"),
    "float weights": lambda a, n: a.update({f"{n}.weight": a[f"{n}.weight"].astype(np.float32)}),
    "another shape": lambda a, n: a.update({f"{n}.weight": a[f"{n}.weight"][:-1]}),
    "too large sum": lambda a, n: a.update({f"{n}.weight": np.full(a[f"{n}.weight"].shape, 32767, np.int16)}),
    "negative multiplier": lambda a, n: a[f"{n}.multiplier"].__setitem__(0, -1),
    "huge addend": lambda a, n: a[f"{n}.addend"].__setitem__(0, np.iinfo(np.int64).min),
    "exponent": lambda a, n: a[f"{n}.exponents"].__setitem__(0, 16),
    "shift": lambda a, n: a["q_scale_dec.shifts"].__setitem__(0, 31),
    "y_hat": lambda a, n: a.update({"y_hat.exponent": np.array([-1], np.int8)}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_hostile_weights_are_refused(damage):
    image, _ = models("tiny")
    arrays = random_network(image, 1).to_arrays()
    network_type = type(random_network(image, 1))
    network_type.from_arrays(image, arrays)
    with pytest.raises(EnvironmentFault, match="integer weights of"):
        network_type.from_arrays(image, damaged(arrays, "hyper_dec.0.conv.dc.0", DAMAGES[damage]))


def test_mismatched_exponents_are_refused():
    image, video = models("tiny")
    arrays = random_network(image, 1).to_arrays()
    arrays["dec.dec_2.dc.2.exponents"] = np.array([9, 8], np.int8)
    network = type(random_network(image, 1)).from_arrays(image, arrays)
    for backend in (ExactTwin(network), ExactNative(network)):
        with pytest.raises(EnvironmentFault, match="expects exponent"):
            invent(FramePair(image, video, backend, backend), (1, 1), 1, 0, 0)


def test_unusable_instruction_set_is_refused():
    with pytest.raises(EnvironmentFault, match="usable are: scalar"):
        make_engine(1, "neon-of-the-future")
