"""Whole frames on the emulated GPU: the same samples as on the CPU, from the same symbols."""

import numpy as np
import pytest

from dcvc_cli.backend.cuda.engine import CudaEngine
from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_native import ExactNative, make_engine
from dcvc_cli.backend.exact_twin import ExactTwin
from tests.cuda.emulated import EmulatedDevice
from tests.cuda.layer_checks import engine_on
from tests.families.uf.test_exact import UF_MODELS
from tests.families.uf.test_exact import decode as decode_uf
from tests.support.exact_frames import FramePair, decode, invent
from tests.support.models import SPECS, graphs
from tests.support.random_layers import random_network

pytestmark = pytest.mark.native


@pytest.mark.parametrize("own_memory", [True, False], ids=["own", "arena"])
@pytest.mark.parametrize(("size", "num_frames"), [((1, 1), 3), ((3, 5), 5)])
def test_frames_of_the_tiny_model(size, num_frames, own_memory, emulator):
    """I frame, P frames and a reset; after the second P frame the arena grows no more."""
    image, video = graphs(SPECS["tiny"])
    networks = random_network(image, 1), random_network(video, 2, "wide")
    cpu = make_engine(1)
    coded, expected = invent(FramePair(image, video, *(ExactNative(n, cpu) for n in networks)), size, num_frames, 30, 5)
    engine = engine_on(emulator) if own_memory else CudaEngine(EmulatedDevice(emulator, 0, False, 1))
    found = decode(FramePair(image, video, *(ExactCuda(n, engine) for n in networks)), coded, 30)
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True)), f"frame {k}"


@pytest.mark.parametrize("name", UF_MODELS)
def test_units_of_dcvc_uf(name, emulator):
    """An I frame, units of one picture and of several, a reset: the twin's pictures, and the same rows asked for."""
    pictures, seen = decode_uf(name, ExactTwin)
    engine = engine_on(emulator)
    assert decode_uf(name, lambda network: ExactCuda(network, engine)) == (pictures, seen)
