"""Widths and depths of the networks: `rt` has the published sizes.

They are those of Li et al., "Towards Practical Real-Time Neural Video Compression", CVPR 2025 (DCVC-RT).
"""

from dataclasses import dataclass
from typing import ClassVar

SOURCE_CHANNELS = 192
"""Channels of a picture in 8x8 cells: 3 planes of 64 samples."""
NUM_IMAGE_QPS = 64
PUBLISHED_QP_OFFSETS = (0, 8, 0, 4, 0, 4, 0, 4)
NO_DEAD_ZONES = (0.0,) * 8
NUM_VIDEO_QPS = 72
"""64 QPs and 8 more rows for the largest QP offset of a P frame."""


@dataclass(frozen=True)
class ImageSpec:
    """Sizes of the image model (DMCI). Widths are channels, depths are numbers of depth-conv blocks.

    Attributes:
        hyper_out: width of the hyper decoder's output; 0 = as many channels as the latents have.
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
    num_qps: int = NUM_IMAGE_QPS
    direct: ClassVar[int] = 0


@dataclass(frozen=True)
class VideoSpec:
    """Sizes of the video model (DMC). Widths are channels, depths are numbers of depth-conv blocks.

    Attributes:
        feature: width of the recurrent feature on the 1/8 grid.
        hyper_out: width of the hyper decoder's output; 0 = as many channels as the latents have.
        up_kernel: kernel size of the layer from the latents back to the 1/8 grid.
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
    num_qps: int = NUM_VIDEO_QPS
    direct: ClassVar[int] = 0


@dataclass(frozen=True)
class ModelSpec:
    """A model: the two networks that code a sequence, and what its encoder does best.

    Attributes:
        name: name of the model.
        image, video: sizes of its networks.
        qp_offsets: the pattern of good frames: added to the QP of P frame i, by i mod 8.
        dead_zones: dead zones of the encoder's quantiser in P frame i, by i mod 8 (families.lite.dead_zone). Training
            had them too.
        intra_dead_zone: dead zone of the encoder's quantiser in I frames.
        late_qps: by how much finer late P frames are coded (families.rt.gop.late_qp).
    """

    name: str
    image: ImageSpec
    video: VideoSpec
    qp_offsets: tuple[int, ...] = PUBLISHED_QP_OFFSETS
    dead_zones: tuple[float, ...] = NO_DEAD_ZONES
    intra_dead_zone: float = 0.0
    late_qps: int = 0


RT = ModelSpec("rt", ImageSpec(), VideoSpec())
TINY = ModelSpec(
    "tiny",
    ImageSpec(
        internal=24, latent=16, hyper=8, prior=16, encoder_depth=1, decoder_depth=1, fusion_depth=1, spatial_depth=1
    ),
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
