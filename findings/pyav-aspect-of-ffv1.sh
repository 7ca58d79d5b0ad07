#!/usr/bin/env bash
# PyAV sets a sample aspect ratio on the codec only: codec_context.sample_aspect_ratio reads back as it was set, and
# codecs whose own headers hold it (libx264, mpeg4) carry it into mkv. FFV1 in mkv loses it without a word: Matroska's
# display size is written from the stream's ratio, which PyAV has no way to set.
# Seen with PyAV 18.1.0.
#
# Output seen: mpeg4 in mkv: sample aspect ratio 4/3 / ffv1 in mkv: sample aspect ratio None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - << 'END'
from fractions import Fraction

import av
import numpy as np

found = {}
for codec in ("mpeg4", "ffv1"):
    with av.open(f"{codec}.mkv", "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        assert stream.codec_context.sample_aspect_ratio == Fraction(4, 3)
        frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), "yuv420p")
        frame.pts = 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(f"{codec}.mkv") as file:
        found[codec] = file.streams.video[0].sample_aspect_ratio
    print(f"{codec} in mkv: sample aspect ratio {found[codec]}")
if found != {"mpeg4": Fraction(4, 3), "ffv1": None}:
    raise SystemExit("the behaviour changed")
END
