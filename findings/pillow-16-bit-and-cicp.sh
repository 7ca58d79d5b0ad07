#!/usr/bin/env bash
# Pillow 12.0.0 reads a PNG with 16 bits a sample as 8-bit RGB and without its cICP chunk, and says neither.
#
# The lower eight bits of every sample are dropped: mode is "RGB" as of an 8-bit file. The cICP chunk, which says that
# the samples are BT.2100 PQ, is not in Image.info, and a copy that Pillow saves has none: HDR turns into washed-out SDR.
#
# Output seen: mode RGB, sample 18 of 0x12FF / info: [] / cICP in the copy: False
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==12.0.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
import zlib

from PIL import Image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
samples = b"\0" + struct.pack(">HHH", 0x12FF, 0x3400, 0x56FF)
data = chunk(b"IHDR", header) + chunk(b"cICP", bytes([9, 16, 0, 1])) + chunk(b"IDAT", zlib.compress(samples))
open("a.png", "wb").write(b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b""))
with Image.open("a.png") as image:
    image.load()
    mode, sample, info = image.mode, image.getpixel((0, 0))[0], sorted(image.info)
    image.save("b.png")
is_kept = b"cICP" in open("b.png", "rb").read()
print(f"mode {mode}, sample {sample} of 0x12FF")
print("info:", info)
print("cICP in the copy:", is_kept)
assert (mode, sample, info, is_kept) == ("RGB", 0x12, [], False), "the behaviour changed"
PYTHON
