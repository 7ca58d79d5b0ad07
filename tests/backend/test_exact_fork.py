"""A forked child computes with the engine of its parent, whatever the parent's threads were doing."""

import os
import threading
import time

import numpy as np
import pytest

from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.graph.blocks import Conv
from tests.support.random_layers import native_value, random_conv, random_values

pytest.importorskip("dcvc_cli._kernels")
from dcvc_cli.backend.exact_native import ExactNative, make_engine

pytestmark = [pytest.mark.native, pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")]
LIMIT_SECONDS = 10


def exit_code(child: int) -> int:
    """Returns the exit code of a child that must end in time; kills it otherwise."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -1


def forked(work) -> int:
    """Returns exit code of a child that runs `work`: 0 if it returns True. The child never returns to pytest."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return exit_code(child)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 3])
def test_child_and_parent_go_on_after_a_fork(threads):
    rng = np.random.default_rng(0)
    ops = ExactNative(ExactNetwork({"layer": random_conv(rng, (70, 34, 3, 3), "narrow")}, 8), make_engine(threads))
    layer, x = Conv("layer", 34, 70, kernel=3, padding=1), native_value(random_values(rng, (34, 40, 50), "full"))
    expected = layer(ops, x).data.copy()

    def same() -> bool:
        return all(np.array_equal(layer(ops, x).data, expected) for _ in range(3))

    assert forked(same) == 0
    assert forked(lambda: forked(same) == 0 and same()) == 0
    assert same()
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [layer(ops, x) for _ in iter(stop.is_set, True)])
    busy.start()
    try:
        assert [forked(same) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        busy.join()
    assert same()
