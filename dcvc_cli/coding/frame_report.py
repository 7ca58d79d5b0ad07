"""Reports of coded and decoded frames, and their sums. Memory does not grow with the clip."""

from collections.abc import Callable
from dataclasses import dataclass, field

from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat
from dcvc_cli.metrics.msssim import grey_levels, msssim_rgb, msssim_yuv
from dcvc_cli.metrics.psnr import psnr_rgb, psnr_yuv

QUALITY_NAMES = ("psnr_y", "psnr_u", "psnr_v", "psnr", "msssim_y", "msssim_u", "msssim_v", "msssim")


@dataclass(frozen=True)
class FrameReport:
    """One frame.

    Attributes:
        index: 0-based number in the stream.
        frame_type: "I" or "P"; "lost" for a frame that another picture stands for.
        qp_frame: QP of the frame, 0..71: a P frame may have the base QP + 8.
        size_bytes: size of the frame's unit with header and check, and of the SPS that an I frame repeats before it.
        seconds: wall time of coding or decoding the frame, without reading and writing.
        quality: measures by the names of QUALITY_NAMES, PSNR in dB, MS-SSIM in 0..1. It holds the measures that were
            asked for and are defined. Combined values are (6Y + U + V) / 8 for Y Cb Cr, and over all planes
            for RGB.
    """

    index: int
    frame_type: str
    qp_frame: int
    size_bytes: int
    seconds: float
    quality: dict[str, float] = field(default_factory=dict)


FrameCallback = Callable[[FrameReport], None]


def picture_quality(
    original: Picture, decoded: Picture, video_format: VideoFormat, *, psnr: bool, msssim: bool
) -> dict[str, float]:
    """Measures a decoded picture against the original. A measure that is undefined for so small a picture is left out.

    Args:
        original, decoded: pictures of the format.
        psnr: measure PSNR, in dB.
        msssim: measure MS-SSIM, 0..1.

    Returns:
        measures by the names of QUALITY_NAMES.
    """
    found: dict[str, float | None] = {}
    grey = [[grey_levels(plane, video_format) for plane in picture.planes] for picture in (original, decoded)]
    if video_format.chroma is ChromaFormat.RGB:
        if psnr:
            found["psnr"] = psnr_rgb(original.planes, decoded.planes, video_format.max_level)
        if msssim:
            found["msssim"] = msssim_rgb(*grey)
    else:
        if psnr:
            ratio = psnr_yuv(original.planes, decoded.planes, video_format.max_level)
            found |= {"psnr_y": ratio.y, "psnr_u": ratio.u, "psnr_v": ratio.v, "psnr": ratio.yuv}
        if msssim:
            similarity = msssim_yuv(*grey)
            found |= {
                "msssim_y": similarity.y,
                "msssim_u": similarity.u,
                "msssim_v": similarity.v,
                "msssim": similarity.yuv,
            }
    return {name: value for name, value in found.items() if value is not None}


@dataclass
class Totals:
    """Sums over the frames of a run."""

    num_frames: int = 0
    num_i_frames: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    i_bytes: int = 0
    qp_min: int | None = None
    qp_max: int | None = None
    _qp_sum: int = 0
    _quality: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, report: FrameReport) -> None:
        self.num_frames += 1
        self.num_i_frames += report.frame_type == "I"
        self.size_bytes += report.size_bytes
        self.seconds += report.seconds
        self.i_bytes += report.size_bytes if report.frame_type == "I" else 0
        qp = report.qp_frame
        self.qp_min = qp if self.qp_min is None else min(self.qp_min, qp)
        self.qp_max = qp if self.qp_max is None else max(self.qp_max, qp)
        self._qp_sum += qp
        for name, value in report.quality.items():
            total, count = self._quality.get(name, (0.0, 0))
            self._quality[name] = (total + value, count + 1)

    @property
    def qp_mean(self) -> float | None:
        """Returns the mean QP of the frames; None without frames."""
        return self._qp_sum / self.num_frames if self.num_frames else None

    def mean_quality(self) -> dict[str, float]:
        """Means over frames, by name."""
        return {name: total / count for name, (total, count) in self._quality.items()}


def bits_per_pixel(size_bytes: int, num_frames: int, num_pixels: int) -> float:
    """Returns bits per luma sample of the whole clip; 0 for no frames."""
    return 8 * size_bytes / (num_frames * num_pixels) if num_frames else 0.0


def bitrate_kbps(size_bytes: int, num_frames: int, frame_rate: float) -> float | None:
    """Thousands of bits per second of playing time; None for no frames or an unknown frame rate."""
    return size_bytes * 8 / 1000 * frame_rate / num_frames if num_frames and frame_rate else None
