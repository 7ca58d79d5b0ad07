"""Joins clips to one with known cuts, flashes, fades and shaking, to measure scene cuts on.

    python tools/make_scene_clip.py FOLDER -o scenes.y4m

writes scenes.y4m and, beside it, scenes.json with the numbers of the frames where scenes begin. FOLDER holds video
files of 32 frames and more. Everything is picked by the order of their names: the same folder gives the same clip.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from dcvc_cli.format.types import Picture, PictureSize, VideoFormat
from dcvc_cli.media import open_reader, open_writer

WIDTH, HEIGHT = 176, 144
NUM_CUTS = 20
LENGTHS = (12, 31, 17, 24, 20)
FADE, FLASHES, SHAKE = 12, {5: 1, 11: 2, 16: 3}, 9
"""Frames of a fade; frames of the flash in these scenes; the scene whose camera shakes."""


def frames_of(path: Path, count: int) -> list[np.ndarray]:
    """(144, 176) pictures as three planes in one array (216, 176), every sample picked from the nearest place."""
    frames = []
    with open_reader(str(path), max_frames=count) as reader:
        for picture in reader:
            planes = []
            for plane, (height, width) in zip(
                picture.planes, ((HEIGHT, WIDTH), *[(HEIGHT // 2, WIDTH // 2)] * 2), strict=True
            ):
                factor = min(plane.shape[0] / height, plane.shape[1] / width)
                rows = ((np.arange(height) + 0.5) * factor).astype(int)
                columns = ((np.arange(width) + 0.5) * factor).astype(int)
                step = max(1, int(factor))
                sums = np.zeros((height, width))
                for down in range(step):
                    for right in range(step):
                        at = (
                            np.minimum(rows + down, plane.shape[0] - 1),
                            np.minimum(columns + right, plane.shape[1] - 1),
                        )
                        sums += plane[at[0]][:, at[1]]
                planes.append(sums / step**2)
            frames.append(planes)
    return frames


def mixed(first: list[np.ndarray], second: list[np.ndarray], share: float) -> list[np.ndarray]:
    return [a * (1 - share) + b * share for a, b in zip(first, second, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", dest="output", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first clip taken")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.mp4"))
    paths = paths[arguments.first :: max(1, len(paths) // (NUM_CUTS + 4))][: NUM_CUTS + 4]
    clips = [frames_of(path, LENGTHS[number % len(LENGTHS)]) for number, path in enumerate(paths)]
    black, white = (
        [np.full((HEIGHT, WIDTH), y), *[np.full((HEIGHT // 2, WIDTH // 2), 128.0)] * 2] for y in (16.0, 235.0)
    )
    for scene, length in FLASHES.items():
        for index in range(6, 6 + length):
            clips[scene][index] = mixed(clips[scene][index], white, 0.8)
    random = np.random.default_rng(0)
    shaken = clips[SHAKE]
    for index, planes in enumerate(shaken):
        down, right = 2 * random.integers(-5, 6, 2)
        shaken[index] = [np.roll(p, (down // s, right // s), (0, 1)) for p, s in zip(planes, (1, 2, 2), strict=True)]
    # The first scenes go over into each other: through black, by a dissolve, and through white.
    frames = list(clips[0])
    for through, clip in zip((black, None, white), clips[1:4], strict=True):
        steps = [(index + 1) / (FADE + 1) for index in range(FADE)]
        if through is None:
            frames += [mixed(frames[-1], clip[0], share) for share in steps]
        else:
            frames += [mixed(frames[-1], through, share) for share in steps] + [through] * 3
            frames += [mixed(through, clip[0], share) for share in steps]
        frames += clip
    cuts = []
    for clip in clips[4:]:
        cuts.append(len(frames))
        frames += clip
    video_format = VideoFormat(PictureSize(WIDTH, HEIGHT))
    with open_writer(str(arguments.output), video_format, overwrite=True) as writer:
        for planes in frames:
            writer.write(Picture(tuple(np.rint(p).clip(0, 255).astype(np.uint8) for p in planes)))
        writer.complete()
    facts = {"frames": len(frames), "cuts": cuts, "sources": [path.name for path in paths]}
    arguments.output.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
