"""The emulator's primitives against a second reading of the PTX manual, in NumPy: what a GPU is tried with first."""

import numpy as np

from tests.cuda.layer_checks import engine_on
from tests.gpu.primitives import expected, random_words, run_probe


def test_the_emulator_does_what_the_manual_says(emulator):
    for seed in range(40):
        words = random_words(np.random.default_rng(seed))
        found, wanted = run_probe(engine_on(emulator, seed, bool(seed % 2)), words), expected(words)
        places = np.argwhere(found != wanted)
        assert len(places) == 0, f"seed {seed}: word {places[0][1]} of lane {places[0][0]}"
