#!/usr/bin/env bash
# FFmpeg 9.0.2 (in imageio-ffmpeg 0.8.1): its filter xpsnr takes the original first, its filter libvmaf takes it second.
#
# XPSNR weights errors by the detail of the original, and only the first input gives the weights. Whoever feeds both
# filters alike, distorted clip first as libvmaf wants it, gets an XPSNR weighted by the distorted clip: another number,
# in the usual range, without a word. Here noise on a smooth picture hides in its own detail and gains 14 dB.
#
# Output seen: original first 13.95 dB, distorted first 28.01 dB (the last digits change from run to run)
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import re
import subprocess

import imageio_ffmpeg

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y"]
CLIP = ["-f", "lavfi", "-i", "gradients=size=640x480:rate=25:duration=0.4:seed=1:speed=0.01"]


def run(*words):
    return subprocess.run([*FFMPEG, *words], check=True, capture_output=True, text=True).stderr


def luma(first, second):
    log = run("-i", first, "-i", second, "-lavfi", "xpsnr", "-f", "null", "-")
    return float(re.search(r"XPSNR +y: ([\d.]+)", log)[1])


run(*CLIP, "-pix_fmt", "yuv420p", "original.y4m")
run("-i", "original.y4m", "-vf", "noise=all_seed=1:all_strength=20", "distorted.y4m")
right, wrong = luma("original.y4m", "distorted.y4m"), luma("distorted.y4m", "original.y4m")
print(f"original first {right:.2f} dB, distorted first {wrong:.2f} dB")
assert wrong - right > 5, "the behaviour changed"
PYTHON
