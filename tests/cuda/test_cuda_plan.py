"""What the backend plans in Python is what the headers under kernels/cuda say: packing, columns, tiles, memory."""

import ctypes

import numpy as np
import pytest

from dcvc_cli.backend.cuda.arena import Arena
from dcvc_cli.backend.cuda.kernels import LARGE, choose_tile
from dcvc_cli.backend.cuda.packing import (
    chunked_columns,
    fours_columns,
    fragment_places,
    plain_columns,
    sub_pixel_columns,
)

pytestmark = pytest.mark.native
ORDERS = ((plain_columns, 1), (chunked_columns, 2), (fours_columns, 4), (sub_pixel_columns, 4))
"""In the order of ColumnOrder, and what the number of outputs is a multiple of."""


@pytest.fixture(scope="module")
def plan(emulator):
    return ctypes.CDLL(str(emulator))


def test_weights_lie_in_the_same_places(plan):
    found = [[plan.plan_weight_place(column, channel) for channel in range(64)] for column in range(64)]
    assert np.array_equal(found, fragment_places())


@pytest.mark.parametrize("order", range(4))
def test_columns_have_the_same_outputs(order, plan):
    columns_of, multiple = ORDERS[order]
    for outputs in np.random.default_rng(order).integers(1, 150, 25) * multiple:
        expected = columns_of(int(outputs))
        found = [plan.plan_output_of_column(order, int(outputs), column) for column in range(len(expected))]
        assert plan.plan_num_columns(order, int(outputs)) == len(expected)
        assert np.array_equal(found, expected), outputs


def test_products_take_the_same_tiles(plan):
    rng, taken = np.random.default_rng(0), set()
    for _ in range(2000):
        positions, columns = (int(2**power) for power in rng.uniform(0, (17, 12)))
        multiprocessors = int(rng.choice((1, 46, 108, 132, 148)))
        is_large = choose_tile(positions, columns, multiprocessors) == LARGE
        assert plan.plan_takes_large_tile(positions, columns, multiprocessors) == is_large
        taken.add(is_large)
    assert taken == {True, False}


@pytest.mark.parametrize("between", [0, 4096])
def test_requests_get_the_same_addresses(between, plan):
    """Parts of all sizes, given back in any order."""
    for seed in range(40):
        rng, following = np.random.default_rng(seed), [1 << 20]

        def new_piece(size, following=following):
            following.append(following[-1] + size + between)
            return following[-2]

        arena, requests, expected, handed = Arena(new_piece), [], [], []
        for number in range(120):
            if handed and rng.random() < 0.4:
                given = handed.pop(rng.integers(len(handed)))
                arena.free(expected[given])
                requests.append(-1 - given)
                expected.append(0)
            else:
                handed.append(number)
                requests.append(int(rng.integers(0, (5000, 40 << 20)[rng.random() < 0.1])))
                expected.append(arena.allocate(requests[-1]))
        asked, found = np.array(requests, np.int64), np.empty(len(requests), np.int64)
        plan.plan_addresses(
            asked.ctypes.data_as(ctypes.c_void_p),
            len(asked),
            ctypes.c_int64(between),
            found.ctypes.data_as(ctypes.c_void_p),
        )
        assert found.tolist() == expected, f"seed {seed}"
