#!/usr/bin/env bash
# FFmpeg's Matroska muxer writes a file with a track, a tag and an attachment and no packet without an error, and
# FFmpeg's Matroska demuxer does not open that file: "End of file". With one packet in any track it opens.
# Who keeps the header of a film, for its codec parameters and attachments, has to put a packet into it.
# Seen with PyAV 18.1.0 (libavformat 62.12.102).
#
# Output seen: 525 bytes without a packet: End of file / 578 bytes with one packet: opens, ['subtitle', 'attachment']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0
"$folder/venv/bin/python" - << 'END'
import io
from fractions import Fraction

import av


def written(num_packets: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as file:
        file.metadata["title"] = "A film"
        track = file.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        file.add_attachment("letters.ttf", "font/ttf", b"font")
        file.start_encoding()
        for number in range(num_packets):
            packet = av.Packet(b"words")
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 1000), track
            file.mux(packet)
    return buffer.getvalue()


empty, one = written(0), written(1)
assert empty.startswith(b"\x1a\x45\xdf\xa3") and b"letters.ttf" in empty and b"A film" in empty
try:
    av.open(io.BytesIO(empty))
except av.error.EOFError as error:
    print(f"{len(empty)} bytes without a packet: {error.strerror}")
else:
    raise SystemExit("the behaviour changed: the file without a packet opens")
with av.open(io.BytesIO(one)) as file:
    print(f"{len(one)} bytes with one packet: opens, {[stream.type for stream in file.streams]}")
END
