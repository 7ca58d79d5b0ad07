"""Clips made on the spot."""

from collections.abc import Sequence

import numpy as np


def y4m_clip(width: int, height: int, num_frames: int, tags: str = "F30:1 Ip A1:1 C420jpeg", seed: int = 0) -> bytes:
    """Makes a moving gradient with a little noise, as y4m."""
    random = np.random.default_rng(seed)
    parts = [f"YUV4MPEG2 W{width} H{height} {tags}\n".encode()]
    rows, columns = np.mgrid[0:height, 0:width]
    chroma_shape = ((height + 1) // 2, (width + 1) // 2)
    for index in range(num_frames):
        luma = (rows * 2 + columns * 3 + index * 4 + random.integers(0, 6, (height, width))) % 220 + 16
        chroma = [np.full(chroma_shape, value + index % 8) for value in (110, 140)]
        parts += [b"FRAME\n", *(plane.astype(np.uint8).tobytes() for plane in (luma, *chroma))]
    return b"".join(parts)


def clip_with_cuts(lengths: Sequence[int], width: int = 96, height: int = 72) -> bytes:
    """Scenes of so many pictures each as y4m: random detail of three sizes that moves left."""
    parts = [f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode()]
    chroma = bytes([128]) * (((width + 1) // 2) * ((height + 1) // 2))
    for seed, length in enumerate(lengths):
        random = np.random.default_rng(seed)
        texture = np.full((height, width + 2 * length), 120.0)
        for cell, strength in ((8, 12), (4, 24), (2, 24)):
            cells = random.normal(0, strength, (height // cell + 1, texture.shape[1] // cell + 1))
            texture += cells.repeat(cell, 0).repeat(cell, 1)[:height, : texture.shape[1]]
        samples = texture.clip(16, 235).astype(np.uint8)
        for index in range(length):
            parts += [b"FRAME\n", samples[:, 2 * index : 2 * index + width].tobytes(), chroma, chroma]
    return b"".join(parts)
