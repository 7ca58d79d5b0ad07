#!/usr/bin/env bash
# The number of frames that FFmpeg reports (PyAV 18.1.0, Stream.frames) is what the header says, right or wrong.
#
# An AVI file whose pictures are further apart than its frame rate holds empty chunks between them, and the header counts
# those: 10 pictures are reported as 400, at 1000 frames a second. An mp4 file that was cut short behind its index
# reports all pictures of the whole file, and reading it ends early without any error.
#
# Output seen: avi: 400 frames at 1000 announced, 10 decoded / mp4 cut short: 10 announced, 6 decoded, no error
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np


def write(name, **options):
    random = np.random.default_rng(0)
    with av.open(name, "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 256, (72, 64), np.uint8), format="yuv420p")
            frame.pts, frame.time_base = 40 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def count(name):
    with av.open(name) as container:
        stream = container.streams.video[0]
        return stream.frames, stream.average_rate, sum(1 for _ in container.decode(stream))


write("a.avi")
write("whole.mp4", movflags="faststart")
data = open("whole.mp4", "rb").read()
assert data.index(b"moov") < data.index(b"mdat")
open("cut.mp4", "wb").write(data[: len(data) * 2 // 3])
avi, cut = count("a.avi"), count("cut.mp4")
print(f"avi: {avi[0]} frames at {avi[1]} announced, {avi[2]} decoded")
print(f"mp4 cut short: {cut[0]} announced, {cut[2]} decoded, no error")
assert avi[0] > 100 and avi[1] == 1000 and avi[2] == 10, "the behaviour changed"
assert cut[0] == 10 and 0 < cut[2] < 10, "the behaviour changed"
PYTHON
