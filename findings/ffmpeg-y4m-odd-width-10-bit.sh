#!/usr/bin/env bash
# ffmpeg 4.2.2 writes y4m of odd width and more than 8 bits short: a byte is missing in each row of chroma.
#
# A row of chroma of 17x6 pictures in 4:2:0 has 9 samples of 2 bytes. It writes 17 bytes of them, so that no reader finds
# the second picture. ffmpeg 7.0.2 writes 18. Debian 12 has ffmpeg 5.1.9, which writes as 4.2.2 does.
#
# Output seen: ffmpeg version 4.2.2-static: 12 bytes missing of two pictures / ffmpeg version 7.0.2-static: 0 bytes missing
# of two pictures
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
head -c 624 /dev/zero > a.yuv # two pictures of 17x6, 10-bit 4:2:0
python3 -m venv old && old/bin/pip install --quiet imageio-ffmpeg==0.4.8
python3 -m venv new && new/bin/pip install --quiet imageio-ffmpeg==0.6.0
seen=""
for version in old new; do
  ffmpeg=$($version/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
  "$ffmpeg" -v error -f rawvideo -s 17x6 -pix_fmt yuv420p10le -i a.yuv -strict -1 $version.y4m
  header=$(head -n 1 $version.y4m | wc -c)
  missing=$((header + 2 * (6 + 312) - $(wc -c < $version.y4m)))
  echo "$("$ffmpeg" -version | cut -d ' ' -f 1-3 | head -n 1): $missing bytes missing of two pictures"
  seen="$seen $missing"
done
[ "$seen" = " 12 0" ] || { echo "the behaviour changed"; exit 1; }
