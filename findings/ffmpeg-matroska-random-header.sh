#!/usr/bin/env bash
# FFmpeg (through PyAV 18.1.0) writes another Matroska file of the same packets in every run.
#
# Segment and tracks get random numbers, unless the muxer is asked for `bitexact` output. Who compares files by their
# hash, or caches by it, must ask.
#
# Output seen: without bitexact the files differ, with bitexact they are the same
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
cat > mux.py <<'PYTHON'
import sys

import av

options = {"fflags": "+bitexact"} if sys.argv[2] == "bitexact" else {}
with av.open(sys.argv[1], "w", options=options) as container:
    stream = container.add_stream("ffv1", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    frame = av.VideoFrame(64, 48, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    container.mux(stream.encode(frame))
    container.mux(stream.encode())
PYTHON
for run in 1 2; do
  venv/bin/python mux.py "random$run.mkv" random
  venv/bin/python mux.py "exact$run.mkv" bitexact
done
if cmp -s random1.mkv random2.mkv || ! cmp -s exact1.mkv exact2.mkv; then
  echo "the behaviour changed" >&2
  exit 1
fi
echo "without bitexact the files differ, with bitexact they are the same"
