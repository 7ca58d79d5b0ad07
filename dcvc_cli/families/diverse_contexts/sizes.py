"""Widths of the networks of DCVC-DC and DCVC-FM: the published ones, and small ones for tests."""

from dataclasses import dataclass

COMPONENTS = 2
"""Number of components of a vector."""
UNetWidths = tuple[int, int, int]
"""Channels at 1/1, 1/2 and 1/4."""


@dataclass(frozen=True)
class VideoSizes:
    """Channels of a video network.

    Attributes:
        feature, half, quarter: channels of features and contexts at 1/1, 1/2 and 1/4. `feature` is a multiple of
            `groups`.
        latent: channels of y, a multiple of 4.
        motion: channels of mv_y, mv_z and the motion feature, a multiple of 4.
        last: channels of the contextual decoder's output.
        groups: number of groups of offset diversity.
        offset: channels inside the layers of offset diversity.
        flow: channels between the five layers of a level of motion estimation.
    """

    feature: int = 48
    half: int = 64
    quarter: int = 96
    latent: int = 128
    motion: int = 64
    last: int = 32
    unet: UNetWidths = (32, 64, 128)
    groups: int = 16
    offset: int = 64
    flow: tuple[int, int, int, int] = (32, 64, 32, 16)


@dataclass(frozen=True)
class ImageSizes:
    """Channels of an image network.

    Attributes:
        latent: channels of y, a multiple of 4.
        hyper: channels of z, if they are not those of y.
        width, inner: channels at 1/2 and 1/4.
        last: channels of the refinement's input.
    """

    hyper: int
    latent: int = 256
    width: int = 128
    inner: int = 192
    last: int = 16
    unet: UNetWidths = (32, 64, 128)


TINY_VIDEO = VideoSizes(
    feature=4, half=4, quarter=4, latent=8, motion=4, last=4, unet=(4, 4, 4), groups=2, offset=4, flow=(4, 4, 4, 4)
)
TINY_IMAGE = ImageSizes(hyper=4, latent=8, width=4, inner=4, last=4, unet=(4, 4, 4))
