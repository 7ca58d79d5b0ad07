"""Several processes of one command, as accelerate launch and torchrun start them."""

import os
import socket
import subprocess
import sys

from tests.support.processes import ROOT

TIMEOUT_SECONDS = 600


def launch_two(*arguments: str) -> None:
    """Runs dcvc as two processes on CPUs of this machine, in the environment that accelerate launch and torchrun
    make."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "dcvc_cli", *arguments, "--device", "cpu"]
    base = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    processes = []
    for rank in ("0", "1"):
        environment = {**base, "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    try:
        for process in processes:
            _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
            process.wait()
