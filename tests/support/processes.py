"""What tests of the command line share: the root of the checkout and the type of a function that runs `dcvc`."""

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]
