#!/usr/bin/env bash
# PyAV 18.1.0 has no attribute for where chroma samples lie, and FFmpeg prints it at log level VERBOSE only.
#
# A decoder that reads H.264 or H.265 through PyAV and converts or writes y4m has to guess, and shifts chroma by half a
# luma sample where the guess is wrong. The position is in the text of Container.dumps_format(), once PyAV hands on the
# log of FFmpeg (set_level) and FFmpeg is told to say much (set_libav_level). With the default levels the text is empty.
#
# Output seen: attributes: none / default levels: 0 characters / INFO: not said / VERBOSE: topleft
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
from av import logging

with av.open("a.mkv", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"x264-params": "chromaloc=2"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
    container.mux(stream.encode())

with av.open("a.mkv") as container:
    stream = container.streams.video[0]
    frame = next(container.decode(stream))
    named = [name for value in (stream, stream.codec_context, frame) for name in dir(value) if "chroma" in name.lower()]
    texts = [container.dumps_format()]
    for level in (logging.INFO, logging.VERBOSE):
        logging.set_level(logging.INFO)
        logging.set_libav_level(level)
        texts.append(container.dumps_format())
print("attributes:", ", ".join(named) or "none")
print("default levels:", len(texts[0]), "characters")
print("INFO:", "topleft" if "topleft" in texts[1] else "not said")
print("VERBOSE:", "topleft" if "topleft" in texts[2] else "not said")
assert (named, texts[0], "topleft" in texts[1], "topleft" in texts[2]) == ([], "", False, True), "the behaviour changed"
PYTHON
