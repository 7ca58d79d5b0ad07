"""Widths and depths of DCVC-UF's four networks. Source of the published values: DCVC-UF (2026)."""

from dataclasses import dataclass, replace
from enum import Enum

CELL_CHANNELS = 192
"""Channels of a picture in 8x8 cells: 3 planes of 64 samples."""


class Block(Enum):
    """The two forms of DCVC-UF's depth-conv block: inner branches of full or of half width."""

    FULL = 1
    HALF = 2


@dataclass(frozen=True)
class ImageSizes:
    """Sizes of the image model. Widths are channels, depths are numbers of blocks.

    Attributes:
        inner: width of analysis and synthesis on the 1/8 grid.
        latent: channels of y.
        hyper: channels of z.
        prior: width of the prior networks.
        encoder_depth, decoder_depth, fusion_depth, spatial_depth: blocks behind the first block of each part.
    """

    inner: int = 384
    latent: int = 256
    hyper: int = 128
    prior: int = 512
    encoder_depth: int = 6
    decoder_depth: int = 12
    fusion_depth: int = 3
    spatial_depth: int = 3


@dataclass(frozen=True)
class VideoSizes:
    """Sizes of a video model: LD, HT-S or HT-L.

    Attributes:
        pictures: pictures in a unit.
        block: form of the blocks on the 1/8 grid.
        feature: width of memory, contexts and features.
        latent: channels of y.
        hyper: channels of z.
        hyper_inner: channels inside the hyper networks.
        prior: width of the spatial prior.
        adaptor_i_depth, adaptor_m_depth, extractor_depth, encoder_depth, decoder_depth: numbers of blocks.
        steps: number of coding steps, 2 or 4.
        refines_scales: whether the spatial prior gives scales as well as means. Each step is a sequence of symbols
            then; else all steps are one sequence.
        scales_memory_first: whether q_feature scales the memory before the temporal prior, or the prior's output.
        up_kernel: kernel size of the layer from the latents to the 1/8 grid.
        up_bias: whether that layer and the layers of the hyper decoder have a bias.
        shortcut: whether blocks of the hyper networks and the temporal prior have an outer shortcut.
        has_last_conv: whether a 1x1 layer stands behind the decoder's blocks.
        head: width of the heads of a chunk.
        pair_heads: whether pictures 2j and 2j + 1 share the first block of their heads.
        head_depth: blocks of a head at its own width.
    """

    pictures: int
    block: Block
    feature: int
    latent: int
    hyper: int
    hyper_inner: int
    prior: int
    adaptor_i_depth: int
    adaptor_m_depth: int
    extractor_depth: int
    encoder_depth: int
    decoder_depth: int
    steps: int
    refines_scales: bool
    scales_memory_first: bool
    up_kernel: int
    up_bias: bool
    shortcut: bool
    has_last_conv: bool
    head: int
    pair_heads: bool
    head_depth: int


IMAGE = ImageSizes()
LD = VideoSizes(
    pictures=1,
    block=Block.HALF,
    feature=256,
    latent=128,
    hyper=128,
    hyper_inner=128,
    prior=256,
    adaptor_i_depth=4,
    adaptor_m_depth=4,
    extractor_depth=5,
    encoder_depth=3,
    decoder_depth=3,
    steps=2,
    refines_scales=False,
    scales_memory_first=False,
    up_kernel=1,
    up_bias=False,
    shortcut=False,
    has_last_conv=True,
    head=256,
    pair_heads=False,
    head_depth=3,
)
HT_S = VideoSizes(
    pictures=8,
    block=Block.HALF,
    feature=512,
    latent=256,
    hyper=128,
    hyper_inner=256,
    prior=512,
    adaptor_i_depth=4,
    adaptor_m_depth=6,
    extractor_depth=5,
    encoder_depth=6,
    decoder_depth=7,
    steps=4,
    refines_scales=False,
    scales_memory_first=True,
    up_kernel=1,
    up_bias=False,
    shortcut=False,
    has_last_conv=False,
    head=256,
    pair_heads=True,
    head_depth=3,
)
HT_L = VideoSizes(
    pictures=8,
    block=Block.FULL,
    feature=512,
    latent=256,
    hyper=128,
    hyper_inner=256,
    prior=512,
    adaptor_i_depth=3,
    adaptor_m_depth=10,
    extractor_depth=2,
    encoder_depth=7,
    decoder_depth=11,
    steps=4,
    refines_scales=True,
    scales_memory_first=True,
    up_kernel=3,
    up_bias=True,
    shortcut=True,
    has_last_conv=False,
    head=256,
    pair_heads=False,
    head_depth=5,
)

TINY_IMAGE = ImageSizes(
    inner=24, latent=16, hyper=8, prior=16, encoder_depth=1, decoder_depth=1, fusion_depth=1, spatial_depth=1
)
"""The tiny sizes are for tests only; no weights ship for them."""


def _tiny(sizes: VideoSizes) -> VideoSizes:
    """Returns smaller sizes of the same model."""
    return replace(
        sizes,
        feature=24,
        latent=16,
        hyper=8,
        hyper_inner=16,
        prior=16,
        head=24,
        adaptor_i_depth=1,
        adaptor_m_depth=1,
        extractor_depth=1,
        encoder_depth=2,
        decoder_depth=1,
        head_depth=1,
    )


TINY_LD, TINY_HT_S, TINY_HT_L = _tiny(LD), _tiny(HT_S), _tiny(HT_L)
