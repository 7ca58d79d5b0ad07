"""Compiles the CUDA kernels for the GPUs that a wheel serves without a compiler, into kernels/cuda/cubin. A wheel that
is built afterwards has them.

    pip install nvidia-cuda-nvrtc==13.5.37
    python tools/make_cubins.py

It needs no GPU. All wheels of a release get the machine code of one compiler, so another version is refused.
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dcvc_cli.backend.cuda.arguments import kernel_folder  # noqa: E402
from dcvc_cli.backend.cuda.compiler import (  # noqa: E402
    SHIPPED_TARGETS,
    SHIPPED_VERSION,
    compile_all,
    find_nvrtc,
    shipped_folder,
    write_all,
)


def main() -> None:
    found = find_nvrtc(SHIPPED_VERSION[0]).version
    if found != SHIPPED_VERSION:
        version, wanted = (".".join(map(str, pair)) for pair in (found, SHIPPED_VERSION))
        sys.exit(f"NVRTC {version} is installed, cubins are made by {wanted}")
    shutil.rmtree(kernel_folder() / "cubin", ignore_errors=True)
    for target in SHIPPED_TARGETS:
        write_all(shipped_folder(target), compile_all(target, SHIPPED_VERSION[0]))
        print(shipped_folder(target))


if __name__ == "__main__":
    main()
