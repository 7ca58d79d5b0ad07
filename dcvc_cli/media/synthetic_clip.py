"""A clip made on the spot: texture that pans, a square that moves against it, the same bytes on every machine."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.format.types import Picture, PictureSize, Rational, VideoFormat

PAN_PER_FRAME = (2, 1)
"""Samples to the right and down that the texture moves a frame."""
SMOOTHING_PASSES = 3
NAME = "built-in moving texture"


def _texture(random: np.random.RandomState, height: int, width: int, spread: int) -> NDArray[np.int32]:
    """Makes smooth periodic noise around 128, about -spread..spread. Integers only, so that no machine rounds
    differently."""
    noise = random.randint(0, 256, (height, width)).astype(np.int32) * 16
    for _ in range(SMOOTHING_PASSES):
        for axis in (0, 1):
            noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) // 4
    deviation = noise - 128 * 16
    peak = max(1, int(np.abs(deviation).max()))
    return 128 + deviation * spread // peak


def synthetic_pictures(video_format: VideoFormat, num_frames: int) -> Iterator[Picture]:
    """Makes 4:2:0 pictures of the format's size. Uses numpy's frozen generator, so the clip never changes."""
    random = np.random.RandomState(20)
    textures = [
        _texture(random, height, width, spread)
        for (height, width), spread in zip(video_format.plane_shapes, (90, 40, 40), strict=True)
    ]
    for index in range(num_frames):
        planes = []
        for texture, subsampling, level in zip(textures, (1, 2, 2), (200, 90, 160), strict=True):
            height, width = texture.shape
            plane = np.roll(
                texture, (index * PAN_PER_FRAME[1] // subsampling, index * PAN_PER_FRAME[0] // subsampling), (0, 1)
            ).astype(np.uint8)
            side = max(1, min(height, width) // 3)
            left, top = max(0, width - side - index * 3 // subsampling) % width, height // 3
            plane[top : top + side, left : left + side] = level
            planes.append(plane)
        yield Picture((planes[0], planes[1], planes[2]))


def synthetic_format(width: int, height: int) -> VideoFormat:
    """Returns a format of 30 frames a second, 4:2:0."""
    return VideoFormat(PictureSize(width, height), frame_rate=Rational(30, 1))
