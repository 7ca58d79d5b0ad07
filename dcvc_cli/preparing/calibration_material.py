"""Calibration material in the box: short clips made of integers, with the same samples on every machine.

Typical clips stand for usual content: overlapping shapes with texture, in parallax, after the dead-leaves model of
natural pictures (Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001). Strange clips drive
networks to the ends of their ranges: cuts between black and white, saturated flats, checkerboards, lines, noise, text,
strobes. Weights name the VERSION that prepared them.
"""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

VERSION = 1
NUM_PICTURES = 4
TYPICAL_SIDE, STRANGE_SIDE = 128, 64

Plane: TypeAlias = NDArray[np.int64]
Colour: TypeAlias = tuple[int, int, int]
"""Y, Cb and Cr, 8 bits each."""
Clip: TypeAlias = list[NDArray[np.float32]]
"""NUM_PICTURES pictures, float32 (3, side, side) in 0..1."""

BLACK, WHITE, GREY = (0, 128, 128), (255, 128, 128), (128, 128, 128)
STUDIO_BLACK, STUDIO_WHITE = (16, 128, 128), (235, 128, 128)
FULL_RANGE = {  # BT.709, full range
    "red": (54, 99, 255),
    "green": (182, 30, 12),
    "blue": (18, 255, 116),
    "yellow": (237, 1, 140),
    "cyan": (201, 157, 1),
    "magenta": (73, 226, 244),
}
STUDIO_RANGE = {"red": (63, 102, 240), "green": (173, 42, 26), "blue": (32, 240, 118)}  # BT.709, limited range
GLYPHS = (0x69F99F96, 0xE9E99E9E, 0x78888887, 0xF8E888F8, 0x99F99999, 0x1F244240, 0x0FF00FF0, 0xA5A5A5A5)
"""Strokes that look like letters, 4 x 8 dots each. Each bit is a dot."""


def hashed(count: int, seed: int) -> Plane:
    """Returns `count` numbers 0..65535 that look random, by splitmix64. Its integers wrap alike on every machine."""
    x = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(48)).astype(np.int64)


def typical_clips() -> list[Clip]:
    """Makes the typical clips: parallax of textured shapes, fine and coarse, quiet and quick, colourful and grey."""
    settings = [(1, 90, 60), (2, 30, 120), (3, 60, 90), (4, 160, 40), (5, 70, 60), (6, 40, 100)]
    return [_leaves(seed, num_shapes, largest) for seed, num_shapes, largest in settings]


def strange_clips() -> list[Clip]:
    """Makes the strange clips, with content that networks never saw in training."""
    side = STRANGE_SIDE
    colours = list(FULL_RANGE.values())
    clips = [
        [_flat(BLACK), *[_flat(WHITE)] * 3],
        [_flat(WHITE), *[_flat(BLACK)] * 3],
        [_flat(STUDIO_BLACK), _flat(STUDIO_WHITE), _flat(STUDIO_BLACK), _flat(STUDIO_WHITE)],
        [_flat(BLACK), _flat(WHITE), _flat(BLACK), _flat(GREY)],
        *(
            [_flat(one), _flat(one), _flat(other), _flat(other)]
            for one, other in zip(colours, colours[1:] + colours[:1], strict=True)
        ),
        [_flat(colours[2]), _flat(WHITE), _flat(colours[0]), _flat(BLACK)],
        [_flat(colour) for colour in (*STUDIO_RANGE.values(), GREY)],
        *(
            _moving(_checkerboard(cell, *ends), step)
            for cell, ends, step in ((1, (0, 255), 0), (1, (0, 255), 1), (2, (0, 255), 1), (8, (16, 235), 3))
        ),
        *(
            _moving(_lines(period, across), step)
            for period, across, step in ((2, True, 1), (2, False, 1), (5, True, 2), (16, False, 5))
        ),
        _moving(_lines(3, True) ^ _lines(7, False), 1),
        *(
            _noise(seed, spread, is_static=is_static)
            for seed, spread, is_static in ((11, 256, False), (12, 256, True), (13, 64, False))
        ),
        [_colour_noise(20 + k) for k in range(NUM_PICTURES)],
        *([_text(30 + k, 2 * t, is_dark=k > 0) for t in range(NUM_PICTURES)] for k in range(2)),
        _moving(np.tile(np.arange(side) * 255 // (side - 1), (side, 1)), 7),
        [_grey(np.tile((np.arange(side) * 4 + 40 * t)[:, None] % 256, (1, side))) for t in range(NUM_PICTURES)],
        [_blocks(40, t) for t in range(NUM_PICTURES)],
        [_mixed(_blocks(41, 0), _flat(BLACK), part) for part in (16, 10, 4, 0)],
        [_mixed(_blocks(42, 0), _flat(WHITE), part) for part in (16, 3, 16, 3)],
    ]
    return [[_values(picture) for picture in clip] for clip in clips]


def _values(picture: Plane) -> NDArray[np.float32]:
    return picture.astype(np.float32) / np.float32(255)


def _flat(colour: Colour) -> Plane:
    return np.broadcast_to(np.array(colour, np.int64)[:, None, None], (3, STRANGE_SIDE, STRANGE_SIDE)).copy()


def _grey(luma: Plane) -> Plane:
    return np.stack([luma, np.full_like(luma, 128), np.full_like(luma, 128)])


def _moving(luma: Plane, step: int) -> list[Plane]:
    return [_grey(np.roll(luma, (step * t, 2 * step * t), (0, 1))) for t in range(NUM_PICTURES)]


def _grid() -> tuple[Plane, Plane]:
    rows, columns = np.mgrid[0:STRANGE_SIDE, 0:STRANGE_SIDE]
    return rows.astype(np.int64), columns.astype(np.int64)


def _checkerboard(cell: int, low: int, high: int) -> Plane:
    rows, columns = _grid()
    return np.where((rows // cell + columns // cell) % 2, high, low)


def _lines(period: int, across: bool) -> Plane:
    return np.where(_grid()[int(across)] % period == 0, 255, 0)


def _noise(seed: int, spread: int, *, is_static: bool) -> list[Plane]:
    seeds = [seed] * NUM_PICTURES if is_static else [seed + 100 * t for t in range(NUM_PICTURES)]
    return [_grey(128 + hashed(STRANGE_SIDE**2, one).reshape(STRANGE_SIDE, -1) % spread - spread // 2) for one in seeds]


def _colour_noise(seed: int) -> Plane:
    return hashed(3 * STRANGE_SIDE**2, seed).reshape(3, STRANGE_SIDE, STRANGE_SIDE) % 256


def _text(seed: int, shift: int, *, is_dark: bool) -> Plane:
    """Draws lines of GLYPHS that scroll up by `shift` rows. Now and then a line is coloured."""
    lines = STRANGE_SIDE // 10 + 2
    columns = STRANGE_SIDE // 5
    chosen = hashed(lines * columns, seed).reshape(lines, columns)
    ink = np.array((20, 128, 128) if is_dark else (235, 128, 128), np.int64)
    picture = _flat((235, 128, 128) if is_dark else (16, 138, 120))
    page = np.zeros((lines * 10, STRANGE_SIDE), np.bool_)
    for line in range(lines):
        for column in range(columns):
            bits = GLYPHS[chosen[line, column] % len(GLYPHS)] >> np.arange(32) & 1
            page[line * 10 : line * 10 + 8, column * 5 : column * 5 + 4] = bits.reshape(8, 4)
    visible = page[shift : shift + STRANGE_SIDE]
    picture[:, visible] = ink[:, None]
    picture[1:, 10:18] = np.where(visible[10:18], np.array([[[90]], [[240]]]), picture[1:, 10:18])
    return picture


def _blocks(seed: int, shift: int) -> Plane:
    """Draws patches of 16x16 in saturated colours, black and white, that move to the right."""
    palette = np.array([*FULL_RANGE.values(), BLACK, WHITE], np.int64)
    cells = palette[hashed((STRANGE_SIDE // 16) ** 2, seed).reshape(STRANGE_SIDE // 16, -1) % len(palette)]
    return np.roll(cells.repeat(16, 0).repeat(16, 1).transpose(2, 0, 1), 3 * shift, 2)


def _mixed(first: Plane, second: Plane, part: int) -> Plane:
    """Mixes `part` sixteenths of the first picture with the rest of the second."""
    return (first * part + second * (16 - part) + 8) // 16


def _texture(side: int, seed: int, passes: int) -> Plane:
    """Makes smooth periodic noise within -128..127. More passes make it coarser."""
    noise = (hashed(side * side, seed).reshape(side, side) % 256 - 128) * 16
    for k in range(passes):
        for axis in (0, 1):
            distance = 1 + k // 2
            noise = (np.roll(noise, distance, axis) + 2 * noise + np.roll(noise, -distance, axis)) // 4
    peak = max(1, int(np.abs(noise).max()))
    return noise * 127 // peak


def _leaves(seed: int, num_shapes: int, largest: int) -> Clip:
    """Makes a clip of shapes of all sizes over each other. Each has a colour, a shade, a texture and a motion of its
    own."""
    side = TYPICAL_SIDE
    textures = [_texture(side, 1000 * seed + passes, passes) for passes in (1, 3, 6, 10)]
    numbers = hashed(12 * num_shapes, seed).reshape(num_shapes, 12)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.int64)
    clip = []
    for t in range(NUM_PICTURES):
        picture = np.stack([110 + textures[3] // 2, 128 + textures[2] // 8, 128 - textures[3] // 8])
        for shape in _shapes(numbers, largest):
            top, left = (position + speed * t // 2 for position, speed in zip(shape.place, shape.speed, strict=True))
            down, right = rows - top, columns - left
            inside = shape.covers(down, right)
            detail = np.roll(textures[shape.texture], (top, left), (0, 1)) * shape.contrast // 128
            shade = down * shape.slope // 16
            for plane, level in enumerate(shape.colour):
                painted = level + (detail + shade if plane == 0 else detail // 8)
                picture[plane] = np.where(inside, painted, picture[plane])
        clip.append(_values(np.clip(picture, 0, 255)))
    return clip


class _Shape:
    """A disc or a tilted bar of the dead-leaves clips, from twelve numbers 0..65535."""

    def __init__(self, numbers: Plane, largest: int) -> None:
        n = [int(number) for number in numbers]
        # The number of shapes of a radius r falls as 1 / r^2, so that there is detail of every scale.
        self.radius = max(2, largest * 256 // (256 + n[0] % 4096))
        self.place = n[1] % TYPICAL_SIDE, n[2] % TYPICAL_SIDE
        self.speed = n[3] % 9 - 4, n[4] % 13 - 6
        self.colour: Colour = (
            24 + n[5] % 208,
            128 + (n[6] % 97 - 48) * (n[8] % 3) // 2,
            128 + (n[7] % 97 - 48) * (n[8] % 3) // 2,
        )
        self.texture, self.contrast, self.slope = n[9] % 4, n[10] % 64, n[11] % 33 - 16
        self.is_disc, self.tilt = n[8] % 2 == 0, n[9] % 7 - 3

    def covers(self, down: Plane, right: Plane) -> NDArray[np.bool_]:
        if self.is_disc:
            return down * down + right * right <= self.radius * self.radius
        along, across = 4 * down + self.tilt * right, 4 * right - self.tilt * down
        return (np.abs(along) <= 10 * self.radius) & (np.abs(across) <= 2 * self.radius)


def _shapes(numbers: Plane, largest: int) -> Iterator[_Shape]:
    return (_Shape(row, largest) for row in numbers)
