#!/usr/bin/env bash
# FFmpeg (through PyAV 18.1.0) lists a cover ahead of the film where the mp4 file has it there, as a video stream.
#
# Tag editors write artwork (moov/udta/meta/ilst/covr) in front of the tracks. Then streams.video[0] and decode(video=0)
# are the cover: one picture of another size, at a base rate of 90000. Only its disposition tells it from video.
#
# Output seen: video[0]: mjpeg 32x32, 1 picture, base rate 90000, attached_pic / video[1]: mpeg4 64x48
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct

import av


def write(name, codec, pixel_format, size):
    with av.open(name, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(*size, pixel_format)))
        container.mux(stream.encode())


def box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


write("film.mp4", "mpeg4", "yuv420p", (64, 48))
write("cover.mjpeg", "mjpeg", "yuvj420p", (32, 32))
film, cover = open("film.mp4", "rb").read(), open("cover.mjpeg", "rb").read()
cover = cover[: cover.index(b"\xff\xd9") + 2]
moov = film.index(b"moov") - 4  # the last box, so nothing behind it moves
tracks = moov + 8 + struct.unpack(">I", film[moov + 8 : moov + 12])[0]
item = box(b"covr", box(b"data", struct.pack(">II", 13, 0), cover))
artwork = box(b"udta", box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"mdirappl", bytes(9)), box(b"ilst", item)))
open("film.mp4", "wb").write(film[:moov] + box(b"moov", film[moov + 8 : tracks], artwork, film[tracks:]))

with av.open("film.mp4") as container:
    first, second = container.streams.video
    is_artwork = bool(first.disposition & av.stream.Disposition.attached_pic)
    pictures = list(container.decode(video=0))
    sizes = [f"{s.codec_context.name} {s.width}x{s.height}" for s in (first, second)]
    disposition = "attached_pic" if is_artwork else "no artwork"
    print(f"video[0]: {sizes[0]}, {len(pictures)} picture, base rate {first.base_rate}, {disposition}")
    print(f"video[1]: {sizes[1]}")
    seen = (sizes, len(pictures), first.base_rate, is_artwork)
    assert seen == (["mjpeg 32x32", "mpeg4 64x48"], 1, 90000, True), "the behaviour changed"
PYTHON
