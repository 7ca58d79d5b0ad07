"""Widths and depths of `lite`, the default: smaller than those of `rt`, with direct latents.

Decoding takes at most 50 kMAC per pixel in an I frame and 30 in a P frame.
"""

from dataclasses import dataclass, replace

from dcvc_cli.families.rt.sizes import ImageSpec, ModelSpec, VideoSpec


@dataclass(frozen=True)
class LiteImageSpec(ImageSpec):
    """Sizes of the image model.

    Attributes:
        direct: number of latents that start as a transform of the picture, on the direct path
            (docs/decisions/0015-direct-latents.md). The networks make the others. 0: there is no direct path.
    """

    direct: int = 0  # type: ignore[misc]


@dataclass(frozen=True)
class LiteVideoSpec(VideoSpec):
    """Sizes of the video model.

    Attributes:
        direct: as in LiteImageSpec, but the transform takes the difference between picture and compensated frame, and
            its inverse is added to the compensated frame.
    """

    direct: int = 0  # type: ignore[misc]


@dataclass(frozen=True)
class LiteSpec(ModelSpec):
    """Sizes of the two networks, and the pattern of QPs that suits them."""

    image: LiteImageSpec
    video: LiteVideoSpec


LITE = LiteSpec(
    "lite",
    LiteImageSpec(
        internal=128,
        latent=384,
        hyper=64,
        hyper_out=96,
        prior=192,
        encoder_depth=4,
        decoder_depth=6,
        fusion_depth=2,
        spatial_depth=2,
        direct=128,
    ),
    LiteVideoSpec(
        feature=128,
        latent=384,
        hyper=64,
        hyper_out=96,
        prior=192,
        recon=128,
        extractor_depths=(1, 0),
        encoder_depth=2,
        decoder_depth=3,
        recon_depth=3,
        fusion_depth=2,
        spatial_depth=2,
        up_kernel=1,
        direct=256,
    ),
    # With motion, one good frame in eight serves as reference of the others.
    qp_offsets=(8, 0, 1, 0, 3, 0, 1, 0),
    dead_zones=(0.015, 0.04, 0.04, 0.045, 0.05, 0.055, 0.06, 0.08),
    intra_dead_zone=0.015,
    late_qps=6,
)
TINY_LITE = replace(
    LITE,
    name="tiny-lite",
    image=LiteImageSpec(
        internal=24,
        latent=32,
        hyper=8,
        hyper_out=12,
        prior=16,
        encoder_depth=1,
        decoder_depth=1,
        fusion_depth=1,
        spatial_depth=1,
        direct=16,
    ),
    video=LiteVideoSpec(
        feature=24,
        latent=32,
        hyper=8,
        hyper_out=12,
        prior=16,
        recon=24,
        extractor_depths=(1, 0),
        encoder_depth=1,
        decoder_depth=1,
        recon_depth=1,
        fusion_depth=1,
        spatial_depth=1,
        up_kernel=1,
        direct=16,
    ),
)
"""For tests only: all parts of `lite` in the widths of `tiny`."""
