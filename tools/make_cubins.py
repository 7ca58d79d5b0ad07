"""Compiles the CUDA kernels for the GPUs that a wheel serves without a compiler.

    python tools/make_cubins.py FOLDER

The build runs it with `-DDCVC_CUBINS=ON`: `pip wheel . --no-build-isolation
--config-settings=cmake.define.DCVC_CUBINS=ON`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dcvc_cli.backend.cuda.compiler import (  # noqa: E402
    SHIPPED_MAJOR,
    SHIPPED_TARGETS,
    compile_all,
    source_hash,
    write_all,
)


def main(folder: Path) -> None:
    for target in SHIPPED_TARGETS:
        write_all(folder / f"{target}-{source_hash(target)}", compile_all(target, SHIPPED_MAJOR))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
