"""The sources of the CUDA kernels, and the arguments of each kernel as ctypes structures, read from
`kernels/cuda/arguments.hpp`.

One text describes the structures for both sides, so they cannot differ; tests compare their sizes with the compiled
ones.
"""

import ctypes
import functools
import re
from pathlib import Path
from typing import Any

from dcvc_cli.errors import EnvironmentFault

HEADERS_FOLDER = "kernels/cuda"
"""The folder of the kernels as `#include` lines name it."""
SOURCES = ("matrix.cu", "pointwise.cu", "latents.cu", "picture.cu", "primitives.cu")
_STRUCT = re.compile(r"struct (\w+) \{\n(.*?)\n\};", re.S)
_FIELD = re.compile(r"^\s*(?:const )?(\w+)(\*)? (\w+)(?:\[(\d+)\])?;", re.M)


@functools.cache
def kernel_folder() -> Path:
    """Finds the kernels' sources: inside the installed package, or beside it in a source tree.

    Raises:
        EnvironmentFault: they are in neither place.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / HEADERS_FOLDER, package.parent / HEADERS_FOLDER):
        if (folder / "arguments.hpp").is_file():
            return folder
    raise EnvironmentFault("the sources of the CUDA kernels are missing", "reinstall dcvc")


def parse_structures(text: str) -> dict[str, type[ctypes.Structure]]:
    """Reads the structures of a header whose fields are pointers, int32_t, and arrays of these."""
    structures: dict[str, type[ctypes.Structure]] = {}
    for name, body in _STRUCT.findall(text):
        fields: list[tuple[str, Any]] = []
        for kind, pointer, field, count in _FIELD.findall(body):
            if not pointer and kind != "int32_t":
                raise ValueError(f"{name}.{field} has type {kind}, expected a pointer or int32_t")
            item: Any = ctypes.c_void_p if pointer else ctypes.c_int32
            fields.append((field, item * int(count) if count else item))
        structures[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return structures


@functools.cache
def argument_structures() -> dict[str, type[ctypes.Structure]]:
    """Returns the structures of all kernels by name."""
    return parse_structures((kernel_folder() / "arguments.hpp").read_text(encoding="utf-8"))


def kernel_sources() -> dict[str, str]:
    """Reads the text of every header and source, by the name under which it is included or compiled."""
    folder = kernel_folder()
    paths = sorted((*folder.glob("*.hpp"), *folder.glob("*.cu"), folder.parent / "base" / "samples.hpp"))
    return {f"kernels/{path.parent.name}/{path.name}": path.read_text(encoding="utf-8") for path in paths}
