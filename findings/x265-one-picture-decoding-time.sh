#!/usr/bin/env bash
# x265 with B frames, its default, gives the packet of a clip of one picture a decoding time that nothing determines: 0
# in one run, a number far from it in the next. FFmpeg's wrapper hands it on, and the mp4 muxer refuses the packet ("not
# yet implemented") or writes it. Clips of three pictures are right, and so is one picture without B frames.
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2).
#
# Output seen: one picture: 59 of 60 wrong / without B frames: 0 of 60 wrong / three pictures: 0 of 60 wrong
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - << 'END'
from fractions import Fraction

import av
import numpy as np

NUM_RUNS = 60


def first_decoding_time(num_pictures: int, parameters: str) -> int:
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"x265-params": "log-level=none" + parameters}
    packets = []
    for number in range(num_pictures):
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 128, np.uint8), "yuv420p")
        frame.pts, frame.time_base = number, encoder.time_base
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return packets[0].dts


def num_wrong(num_pictures: int, parameters: str) -> int:
    return sum(not -8 <= first_decoding_time(num_pictures, parameters) <= 0 for _ in range(NUM_RUNS))


one, plain, three = num_wrong(1, ""), num_wrong(1, ":bframes=0"), num_wrong(3, "")
print(f"one picture: {one} of {NUM_RUNS} wrong")
print(f"without B frames: {plain} of {NUM_RUNS} wrong")
print(f"three pictures: {three} of {NUM_RUNS} wrong")
if not one or plain or three:
    raise SystemExit("the behaviour changed")
END
