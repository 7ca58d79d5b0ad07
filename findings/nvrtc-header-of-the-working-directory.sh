#!/usr/bin/env bash
# NVRTC 13.5.37 takes a header from the process's working directory before it looks into the folders given with -I.
#
# The program compiled has a name without a folder and comes from memory, so the working directory has nothing to do with
# it. A stale header that happens to lie there is compiled without a word. --no-source-include leaves it out.
#
# Output seen: -I given/: 2, the working directory's / with --no-source-include: 1, that of given/
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nvidia-cuda-nvrtc==13.5.37
mkdir "$folder/given" "$folder/working"
echo '#define VALUE 1' >"$folder/given/header.hpp"
echo '#define VALUE 2' >"$folder/working/header.hpp"
cd "$folder/working"
"$folder/venv/bin/python" - "$folder/given" <<'PYTHON'
import ctypes
import re
import sys
from importlib import metadata

paths = {file.name: str(file.locate()) for file in metadata.files("nvidia-cuda-nvrtc")}
builtins = next(path for name, path in paths.items() if name.startswith("libnvrtc-builtins.so"))
ctypes.CDLL(builtins, mode=ctypes.RTLD_GLOBAL)
nvrtc = ctypes.CDLL(paths["libnvrtc.so.13"])
SOURCE = b'#include "header.hpp"\nextern "C" __global__ void kernel(int* out) { *out = VALUE; }'


def value(*options):
    """The VALUE that was compiled, read from the PTX text."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), SOURCE, b"kernel.cu", 0, None, None) == 0
    words = [f"-I{sys.argv[1]}".encode(), b"-arch=compute_80", *options]
    assert nvrtc.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words)) == 0
    assert nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)) == 0
    text = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetPTX(program, text) == 0
    return int(re.search(r"mov\.\w+\s+%r\d+, (\d+);", text.value.decode())[1])


found = value(), value(b"--no-source-include")
print(f"-I given/: {found[0]}, the working directory's / with --no-source-include: {found[1]}, that of given/")
assert found == (2, 1), "the behaviour changed"
PYTHON
