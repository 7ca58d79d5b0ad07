#!/usr/bin/env bash
# FFmpeg (through PyAV 18.1.0) reports one constant rate for a Matroska file with a variable one.
#
# 14 pictures lie over 0.87 s, first 33 and then 167 ms apart. average_rate, base_rate and guessed_rate all say 30. Who
# takes any of them for the rate shows 0.47 s. Only the time stamps of all packets tell.
#
# Output seen: average 30, base 30, guessed 30 / 14 pictures in 0.87 s, which is 16.2 a second
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av

stamps = [round(1000 * number / 30) for number in (*range(10), 10, 15, 20, 25)]
with av.open("a.mkv", "w") as container:
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.time_base = Fraction(1, 1000)
    for stamp in stamps:
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts, frame.time_base = stamp, Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
with av.open("a.mkv") as container:
    stream = container.streams.video[0]
    rates = (stream.average_rate, stream.base_rate, stream.guessed_rate)
    packets = [(packet.pts, packet.duration) for packet in container.demux(stream) if packet.pts is not None]
seconds = sum(max(packets)) * float(Fraction(1, 1000))
print("average {}, base {}, guessed {}".format(*rates))
print(f"{len(packets)} pictures in {seconds:.2f} s, which is {len(packets) / seconds:.1f} a second")
assert rates == (30, 30, 30) and len(packets) / seconds < 20, "the behaviour changed"
PYTHON
