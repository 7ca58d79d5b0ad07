"""Clips of content that no codec is trained on, for tests and tools that look at quality over QPs: 4:2:0, 8 bits."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.format.types import Picture

HEIGHT, WIDTH = 48, 64
ROW, COLUMN = np.indices((HEIGHT, WIDTH))
HALF_ROW, HALF_COLUMN = np.indices((HEIGHT // 2, WIDTH // 2))
BLACK = 16


def picture(luma: NDArray, cb: NDArray | None = None, cr: NDArray | None = None) -> Picture:
    """Values are limited to 0..255 and rounded down. Chroma has half the size of luma; grey where there is none."""
    grey = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128)
    planes = luma, grey if cb is None else cb, grey if cr is None else cr
    luma, cb, cr = (np.ascontiguousarray(plane.clip(0, 255)).astype(np.uint8) for plane in planes)
    return Picture((luma, cb, cr))


def checkerboard(k: int) -> Picture:
    """Pixel by pixel, still."""
    return picture((ROW + COLUMN) % 2 * 255)


def soft_checkerboard(k: int) -> Picture:
    """In all planes, still."""
    luma, chroma = ((row + column) % 2 * 2 - 1 for row, column in ((ROW, COLUMN), (HALF_ROW, HALF_COLUMN)))
    return picture(128 + 20 * luma, 128 + 20 * chroma, 128 - 20 * chroma)


def large_checkerboard(k: int) -> Picture:
    """Of 2x2 squares in luma and of 1x1 in chroma, moving."""
    luma, chroma = (ROW // 2 + (COLUMN + k) // 2) % 2, (HALF_ROW + HALF_COLUMN) % 2
    return picture(40 + 170 * luma, 80 + 96 * chroma, 176 - 96 * chroma)


def lines(k: int) -> Picture:
    """Of one pixel, flipping."""
    return picture((COLUMN + k) % 2 * 255)


def lines_of_three(k: int) -> Picture:
    """One bright line of three, moving."""
    return picture(np.where((ROW + k) % 3 == 0, 255, 0))


def page(seed: int, shift: int = 0, ink: int = 16, paper: int = 235) -> NDArray:
    """Luma of random 5x7 letters."""
    glyphs = np.random.default_rng(seed).integers(0, 2, (HEIGHT // 8 + 4, WIDTH // 6 + 1, 7, 5))
    luma = np.full((HEIGHT + 32, WIDTH + 6), paper)
    for row, line in enumerate(glyphs):
        for column, glyph in enumerate(line):
            luma[8 * row : 8 * row + 7, 6 * column : 6 * column + 5] = np.where(glyph, ink, paper)
    return luma[shift : shift + HEIGHT, :WIDTH]


def still_text(k: int) -> Picture:
    return picture(page(5))


def scrolling_text(k: int) -> Picture:
    return picture(page(5, 3 * k))


def pages(k: int) -> Picture:
    """Black, then another page of text each frame."""
    return picture(np.full((HEIGHT, WIDTH), BLACK) if k == 0 else page(5 + k))


def noise(k: int) -> Picture:
    """White, another one each frame."""
    rng, half = np.random.default_rng(k), (HEIGHT // 2, WIDTH // 2)
    luma, cb, cr = rng.normal(128, 80, (HEIGHT, WIDTH)), rng.normal(128, 27, half), rng.normal(128, 27, half)
    return picture(luma, cb, cr)


def still_noise(k: int) -> Picture:
    return noise(0)


def squares(k: int) -> Picture:
    """Of strong colours, others in every second frame."""
    planes = np.random.default_rng(7 + k // 2).integers(0, 2, (3, HEIGHT // 8, WIDTH // 8)) * 200 + 25
    luma, cb, cr = (plane.repeat(side, 0).repeat(side, 1) for plane, side in zip(planes, (8, 4, 4), strict=True))
    return picture(luma, cb, cr)


def bars(k: int) -> Picture:
    """Of saturated colours, moving."""
    colours = np.array([(235, 128, 128), (210, 16, 146), (170, 166, 16), (145, 54, 34), (106, 202, 222), (81, 90, 240)])
    luma, cb, cr = (
        (colours[(column + shift) // width % 6]).T
        for column, shift, width in (
            (COLUMN[0], 2 * k, 11),
            (HALF_COLUMN[0] * 2, 2 * k, 11),
            (HALF_COLUMN[0] * 2, 2 * k, 11),
        )
    )
    tall = np.ones((HEIGHT, 1), int)
    return picture(tall * luma[0], tall[::2] * cb[1], tall[::2] * cr[2])


def dots(k: int) -> Picture:
    """White on black, others each frame."""
    return picture(np.where(np.random.default_rng(k).random((HEIGHT, WIDTH)) < 0.03, 255, BLACK))


def windows(k: int) -> Picture:
    """Flat areas of colour with a window of text that scrolls."""
    luma, cb, cr = np.full((HEIGHT, WIDTH), 90), np.full(HALF_ROW.shape, 150), np.full(HALF_ROW.shape, 100)
    luma[8:40, 8:56] = page(3, k, 30, 220)[8:40, 8:56]
    cb[4:20, 4:28], cr[4:20, 4:28] = 128, 128
    luma[2:7, 8:56], cb[1:3, 4:28], cr[1:3, 4:28] = 60, 190, 110
    return picture(luma, cb, cr)


def cartoon_planes(k: int) -> tuple[NDArray, NDArray, NDArray]:
    """Discs of one colour with an outline, on two colours."""
    luma, cb, cr = np.where(ROW < 30, 180, 90), np.where(HALF_ROW < 15, 160, 90), np.where(HALF_ROW < 15, 100, 120)
    for x, y, radius, colour in ((20 + 2 * k, 20, 12, (200, 90, 170)), (46 - k, 30, 9, (70, 180, 150))):
        distance, half = np.hypot(COLUMN - x, ROW - y), np.hypot(2 * HALF_COLUMN - x, 2 * HALF_ROW - y)
        luma = np.where(distance < radius, np.where(distance > radius - 1.5, 20, colour[0]), luma)
        cb, cr = (np.where(half < radius, one, plane) for one, plane in zip(colour[1:], (cb, cr), strict=True))
    return luma, cb, cr


def cartoon(k: int) -> Picture:
    return picture(*cartoon_planes(k))


def fade_to_cartoon(k: int) -> Picture:
    luma, cb, cr = cartoon_planes(0)
    return picture(BLACK + (luma - BLACK) * k / 3, 128 + (cb - 128) * k / 3, 128 + (cr - 128) * k / 3)


def fade_to_text(k: int) -> Picture:
    return picture(BLACK + (page(5) - BLACK) * k / 3)


def slopes(k: int) -> Picture:
    """Smooth, moving."""
    return picture(2 * (ROW + COLUMN + k), 2 * HALF_ROW + k + 80, 2 * HALF_COLUMN - k + 90)


def steep_slopes(k: int) -> Picture:
    """With edges where they wrap, moving."""
    return picture((7 * (COLUMN + k) + 3 * ROW) % 256, 5 * HALF_ROW + 60, (9 * HALF_COLUMN + 5 * k) % 256)


def noisy_slopes(k: int) -> Picture:
    rng = np.random.default_rng(k)
    luma, cb, cr = 2 * (ROW + COLUMN), HALF_ROW + 100, HALF_COLUMN + 100
    return picture(*(plane + rng.normal(0.5, 1, plane.shape) for plane in (luma, cb, cr)))


def waves(k: int) -> Picture:
    """A zone plate: every frequency at once, moving."""
    phase = ((COLUMN - 32) ** 2 + (ROW - 24) ** 2) / 24 + k
    return picture(
        128 + 110 * np.cos(phase), 128 + 60 * np.cos(phase[::2, ::2] / 4), 128 + 60 * np.sin(phase[::2, ::2] / 4)
    )


def colour_cuts(k: int) -> Picture:
    """Another saturated colour each frame."""
    luma, cb, cr = ((29, 255, 107), (235, 128, 128), (81, 90, 240), (16, 128, 128))[k % 4]
    return picture(np.full(ROW.shape, luma), np.full(HALF_ROW.shape, cb), np.full(HALF_ROW.shape, cr))


STRANGE_CLIPS: dict[str, Callable[[int], Picture]] = {
    "checkerboard": checkerboard,
    "soft checkerboard": soft_checkerboard,
    "large checkerboard, moving": large_checkerboard,
    "lines, flipping": lines,
    "lines of three, moving": lines_of_three,
    "text": still_text,
    "text, scrolling": scrolling_text,
    "pages of text": pages,
    "white noise": noise,
    "white noise, still": still_noise,
    "squares, changing": squares,
    "bars, moving": bars,
    "dots": dots,
    "windows": windows,
    "cartoon, moving": cartoon,
    "fade to cartoon": fade_to_cartoon,
    "fade to text": fade_to_text,
    "slopes, moving": slopes,
    "steep slopes, moving": steep_slopes,
    "slopes with faint noise": noisy_slopes,
    "zone plate, moving": waves,
    "colours, cut": colour_cuts,
}
