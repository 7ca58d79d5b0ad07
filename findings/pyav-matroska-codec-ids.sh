#!/usr/bin/env bash
# Matroska names a codec by a string, and readers pass over tracks whose string they do not know. FFmpeg's muxer writes
# only the strings of its own list: a track of another codec is refused, and no option sets the string. Its demuxer
# is as liberal as the format asks: where the string in the file is one that FFmpeg does not know, the track is there and
# hands out its packets. Such a track cannot be copied into another Matroska file either.
# Seen with PyAV 18.1.0.
#
# Output seen: cinepak: refused / track with an unknown codec id: 3 packets, copy refused
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet av==18.1.0
cd "$folder"
"$folder/venv/bin/python" - << 'END'
from fractions import Fraction
from pathlib import Path

import av

try:
    with av.open("cinepak.mkv", "w") as file:
        file.add_mux_stream("cinepak", rate=25, width=64, height=48)
    cinepak = "taken"
except ValueError:
    cinepak = "refused"
print(f"cinepak: {cinepak}")

with av.open("known.mkv", "w", options={"write_crc32": "0"}) as file:
    track = file.add_mux_stream("snow", rate=25, width=64, height=48)
    for number in range(3):
        packet = av.Packet(bytes([number]))
        packet.pts = packet.dts = number
        packet.time_base, packet.stream = Fraction(1, 25), track
        file.mux(packet)
Path("unknown.mkv").write_bytes(Path("known.mkv").read_bytes().replace(b"V_SNOW", b"V_MINE", 1))
with av.open("unknown.mkv") as file:
    track = file.streams.video[0]
    num_packets = sum(packet.size > 0 for packet in file.demux(track))
    try:
        with av.open("copy.mkv", "w") as copy:
            copy.add_stream_from_template(track)
        copied = "taken"
    except ValueError:
        copied = "refused"
print(f"track with an unknown codec id: {num_packets} packets, copy {copied}")
if (cinepak, num_packets, copied) != ("refused", 3, "refused"):
    raise SystemExit("the behaviour changed")
END
