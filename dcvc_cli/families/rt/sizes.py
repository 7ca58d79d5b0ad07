"""Widths and depths of the networks: `rt` has the published sizes, `lite` is ours and the default.

The values of `rt` are those of Li et al., "Towards Practical Real-Time Neural Video Compression", CVPR 2025 (DCVC-RT).
`lite` keeps the graph and shrinks widths and depths to at most 50 kMAC per pixel for decoding an I frame and 30 for a P frame.
"""

from dataclasses import dataclass, replace

SOURCE_CHANNELS = 192
"""3 planes in 8x8 cells."""
NUM_IMAGE_QPS = 64
REFERENCE_QP_OFFSETS = (0, 8, 0, 4, 0, 4, 0, 4)
NO_DEAD_ZONES = (0.0,) * 8
DEFAULT_RESET_INTERVAL = 32
"""P frames between drops of the reference feature, in coding and in training."""
NUM_VIDEO_QPS = 72
"""64 QPs and 8 more rows for the largest QP offset of a P frame."""


@dataclass(frozen=True)
class ImageSpec:
    """Sizes of the image model (DMCI). Widths are channels, depths are numbers of depth-conv blocks.

    `hyper_out` is the width in which the hyper decoder hands on what z says, 0 that of the latents.
    With `direct` latents there is a linear path beside the networks, from the picture to all latents and back; so many latents start as a
    transform of the picture on this path (training.initialise), the others through the networks.
    """

    internal: int = 368
    latent: int = 256
    hyper: int = 128
    hyper_out: int = 0
    prior: int = 512
    encoder_depth: int = 6
    decoder_depth: int = 12
    fusion_depth: int = 3
    spatial_depth: int = 3
    direct: int = 0
    num_qps: int = NUM_IMAGE_QPS


@dataclass(frozen=True)
class VideoSpec:
    """Sizes of the video model (DMC). `feature` is the width of the recurrent feature on the 1/8 grid.

    With `motion` the reference frame is compensated with coded block vectors and the networks code what is left (docs/motion.md),
    and frames are put out filtered (docs/output-filter.md).
    `hyper_out` is the width in which the hyper decoder hands on what z says, 0 that of the latents. `up_kernel` is that of the layer from
    the latents back to the 1/8 grid. `direct`: as in ImageSpec, from what compensation leaves and back to what is added to the compensated
    frame; only with motion.
    """

    feature: int = 256
    latent: int = 128
    hyper: int = 128
    hyper_out: int = 0
    prior: int = 384
    recon: int = 320
    extractor_depths: tuple[int, int] = (2, 4)
    encoder_depth: int = 2
    decoder_depth: int = 3
    recon_depth: int = 4
    fusion_depth: int = 3
    spatial_depth: int = 2
    up_kernel: int = 3
    direct: int = 0
    num_qps: int = NUM_VIDEO_QPS
    motion: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """A family member: the two networks that code a sequence.

    qp_offsets: added to the QP of P frame i by i mod 8, the quality hierarchy that serves the model best.
    dead_zones: of the encoder's quantiser in P frame i, by i mod 8 (families.lite.dead_zone); the networks were trained with them.
    intra_dead_zone: that of I frames; an encoder's matter, like the others.
    late_qps: by how much finer P frames are coded when the I frame has worn off (families.rt.gop).
    """

    name: str
    image: ImageSpec
    video: VideoSpec
    qp_offsets: tuple[int, ...] = REFERENCE_QP_OFFSETS
    dead_zones: tuple[float, ...] = NO_DEAD_ZONES
    intra_dead_zone: float = 0.0
    late_qps: int = 0


RT = ModelSpec("rt", ImageSpec(), VideoSpec())
LITE = ModelSpec(
    "lite",
    ImageSpec(
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
    VideoSpec(
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
        motion=True,
    ),
    # With motion one good frame in eight carries the others; measured in docs/training.md.
    qp_offsets=(8, 0, 1, 0, 3, 0, 1, 0),
    dead_zones=(0.015, 0.04, 0.04, 0.045, 0.05, 0.055, 0.06, 0.08),
    intra_dead_zone=0.015,
    late_qps=6,
)
TINY = ModelSpec(
    "tiny",
    ImageSpec(internal=24, latent=16, hyper=8, prior=16, encoder_depth=1, decoder_depth=1, fusion_depth=1, spatial_depth=1),
    VideoSpec(
        feature=24,
        latent=16,
        hyper=8,
        prior=16,
        recon=24,
        extractor_depths=(1, 1),
        encoder_depth=1,
        decoder_depth=1,
        recon_depth=1,
        fusion_depth=1,
        spatial_depth=1,
    ),
)
"""For tests only: no weights ship for it."""
TINY_LITE = replace(
    LITE,
    name="tiny-lite",
    image=replace(TINY.image, latent=32, direct=16, hyper_out=12),
    video=replace(TINY.video, latent=32, direct=16, hyper_out=12, motion=True, up_kernel=1, extractor_depths=(1, 0)),
)
"""For tests only: everything that `lite` has, in the widths of `tiny`."""

SPECS = {spec.name: spec for spec in (RT, LITE, TINY, TINY_LITE)}
