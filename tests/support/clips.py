"""Clips made on the spot."""

import numpy as np


def y4m_clip(width: int, height: int, num_frames: int, tags: str = "F30:1 Ip A1:1 C420jpeg", seed: int = 0) -> bytes:
    """A moving gradient with a little noise, as y4m."""
    random = np.random.default_rng(seed)
    parts = [f"YUV4MPEG2 W{width} H{height} {tags}\n".encode()]
    rows, columns = np.mgrid[0:height, 0:width]
    chroma_shape = ((height + 1) // 2, (width + 1) // 2)
    for index in range(num_frames):
        luma = (rows * 2 + columns * 3 + index * 4 + random.integers(0, 6, (height, width))) % 220 + 16
        chroma = [np.full(chroma_shape, value + index % 8) for value in (110, 140)]
        parts += [b"FRAME\n", *(plane.astype(np.uint8).tobytes() for plane in (luma, *chroma))]
    return b"".join(parts)
