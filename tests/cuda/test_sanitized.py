"""The kernels and their emulator under AddressSanitizer and UndefinedBehaviorSanitizer, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cuda.emulated import SANITIZERS, build
from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]
CHECKS = """
import sys
import numpy as np
from tests.cuda.layer_checks import check_layers, engines_of_all_orders
from tests.cuda import test_emulated_layers, test_emulated_pictures, test_primitives
from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_network import ExactNetwork
engines = engines_of_all_orders(sys.argv[1])
check_layers(range(int(sys.argv[2])), engines)
test_emulated_layers.test_longest_sums_do_not_wrap(engines)
test_emulated_layers.test_values_agree(engines)
test_emulated_layers.test_coding_steps_agree(engines)
test_emulated_layers.test_the_encoders_choice_agrees(engines)
test_emulated_layers.test_float_latents_on_the_device_agree(engines)
test_emulated_layers.test_the_encoders_hyper_latents_agree((-128, 127), engines)
test_primitives.test_the_emulator_does_what_the_manual_says(sys.argv[1])
ops = [ExactCuda(ExactNetwork({}, 6), engine) for engine in engines]
test_emulated_pictures.test_output_samples_agree(ops)
test_emulated_pictures.test_output_of_every_format_agrees(True, ops)
test_emulated_pictures.test_the_floor_agrees(True, 10, ops)
test_emulated_pictures.test_the_floor_agrees(False, 8, ops)
test_emulated_pictures.test_compensation_agrees((2, 2), 1023, ops)
test_emulated_pictures.test_the_output_filter_agrees(True, ops)
print("all bits equal")
"""


@pytest.mark.slow
def test_kernels_under_sanitizers(tmp_path):
    library = build(tmp_path, *SANITIZERS)
    runtime = subprocess.run(
        [tool("g++"), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = os.environ | {
        "LD_PRELOAD": runtime,
        "PYTHONPATH": str(ROOT),
        "ASAN_OPTIONS": "detect_leaks=0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", CHECKS, str(library), os.environ.get("DCVC_RANDOM_LAYERS", "40")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "all bits equal" in done.stdout
