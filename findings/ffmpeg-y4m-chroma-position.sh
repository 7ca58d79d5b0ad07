#!/usr/bin/env bash
# ffmpeg 7.0.2 tags y4m pictures C420jpeg (chroma in the centre) where it does not know where chroma lies.
#
# C420jpeg is a statement, and readers believe it. Raw video and FFV1 say nothing about the position, and their y4m says
# centre; H.264 that says nothing comes out as C420mpeg2, the default of its standard.
#
# Output seen: raw: C420jpeg / FFV1: C420jpeg / H.264: C420mpeg2
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.6.0
cd "$folder"
ffmpeg=$(venv/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
head -c 13824 /dev/zero > a.yuv # three pictures of 64x48
raw="-f rawvideo -s 64x48 -pix_fmt yuv420p -i a.yuv"
"$ffmpeg" -v error $raw raw.y4m
"$ffmpeg" -v error $raw -c:v ffv1 a.mkv && "$ffmpeg" -v error -i a.mkv ffv1.y4m
"$ffmpeg" -v error $raw -c:v libx264 a.mp4 && "$ffmpeg" -v error -i a.mp4 h264.y4m
seen=$(for name in raw ffv1 h264; do head -n 1 $name.y4m | tr ' ' '\n' | grep '^C'; done | paste -sd ' ')
echo "raw, FFV1, H.264: $seen"
[ "$seen" = "C420jpeg C420jpeg C420mpeg2" ] || { echo "the behaviour changed"; exit 1; }
