"""What `dcvc encode` tells of an encode: lines for people, values for reports."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.limits import MAX_QP_P
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.format.constants import MAX_BASE_QP

if TYPE_CHECKING:
    from dcvc_cli.api.encoder import Encoder
    from dcvc_cli.coding.encode import EncodeSummary
    from dcvc_cli.coding.frame_report import FrameReport
    from dcvc_cli.coding.opened_models import OpenedModel
    from dcvc_cli.coding.quality_run import ReachedQuality
    from dcvc_cli.media import PictureReader


def _rate_warning(settings: EncodeSettings, summary: "EncodeSummary") -> str | None:
    """Says what to tell about a stream that is larger than what was asked for; None where it is not."""
    rate = summary.bitrate_kbps
    # A base QP of 0 gives QPs up to the largest offset of a good frame.
    is_least = summary.qp_min == 0 and summary.qp_max is not None and summary.qp_max <= MAX_QP_P - MAX_BASE_QP
    if settings.target_size is not None and summary.size_bytes > settings.target_size:
        comes_closer = "--passes 2 comes closer" if settings.passes == 1 else ""
        hint = (
            "QPs are about as low as they go"
            if is_least
            else comes_closer or "other tracks come on top; --no-tracks drops them"
        )
        return f"{summary.size_bytes} bytes are more than --target-size {settings.target_size}: {hint}"
    if settings.bitrate is not None and is_least and rate is not None and rate > settings.bitrate:
        return f"{rate:.2f} kbit/s are more than --bitrate {settings.bitrate:g}: QPs are about as low as they go"
    return None


def warnings_of(encoder: "Encoder", source: str) -> list[str]:
    """Says what may surprise about a finished stream.

    Args:
        source: name of the input.
    """
    summary, reached = encoder.summary, encoder.reached
    assert summary is not None
    found = []
    if encoder.num_packets_left_out:
        found.append(f"{encoder.num_packets_left_out} packets of other tracks are too large for a stream: left out")
    if warning := _rate_warning(encoder.settings, summary):
        found.append(warning)
    if summary.vbv_underflows:
        units = f"{summary.vbv_underflows} frame unit{'s' if summary.vbv_underflows > 1 else ''}"
        found.append(
            f"{units} at QP 0 still take more than the buffer of --maxrate and --bufsize holds then: the stream "
            "does not keep it"
        )
    if reached is not None and (warning := quality_warning(source, reached)):
        found.append(warning)
    return found


def quality_warning(source: str, reached: "ReachedQuality") -> str | None:
    """A warning where a clip or its scenes are further from a quality than its tolerance, else None."""
    if not reached.far:
        return None
    target, count = reached.target, f"{len(reached.far)} of {len(reached.scores)}"
    what = f"{count} scenes have, for instance," if target.each_scene else "the clip has"
    return f"{source}: {what} {reached.far[0]:.3f}, further than {target.tolerance:g} from {target}"


def report_head(opened: "OpenedModel", settings: EncodeSettings, reader: "PictureReader") -> dict[str, Any]:
    """Returns the values that stand before the frames of a JSON report."""
    from dcvc_cli import __version__
    from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS

    values = asdict(settings) | {
        "qp_i": settings.qp_base_i,
        "qp_p": settings.qp_base_p,
        "precision": NAMES_OF_PRECISIONS[opened.precision],
    }
    qp = values.pop("qp")
    values["qp_base"] = settings.qp_base_p if settings.lossless else qp
    size = reader.format.size
    video = {
        "width": size.width,
        "height": size.height,
        "frame_rate": str(reader.format.frame_rate),
        "chroma_format": reader.format.chroma.value,
    }
    model = {
        "name": opened.weights.name,
        **opened.weights.fingerprint_texts,
        "device": opened.device,
    }
    return {"dcvc_version": __version__, "settings": values, "video": video, "model": model}


def row_of(report: "FrameReport", settings: EncodeSettings, num_pixels: int) -> dict[str, Any]:
    from dcvc_cli.coding.report_files import frame_row

    return frame_row(report, settings.qp_base_i if report.frame_type == "I" else settings.qp_base_p, num_pixels)


def coding_line(opened: "OpenedModel", settings: EncodeSettings) -> str:
    from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS

    qp = (
        f"QP {settings.qp_base_i}"
        if settings.qp_base_i == settings.qp_base_p
        else f"QP {settings.qp_base_i} (I) {settings.qp_base_p} (P)"
    )
    if settings.lossless:
        qp = f"lossless, networks at QP {settings.qp_base_p}"
    passes = f"in {settings.passes} pass{'es' if settings.passes > 1 else ''}, QP"
    if settings.bitrate is not None:
        qp = f"{settings.bitrate:g} kbit/s {passes}"
    elif settings.target_size is not None:
        qp = f"{settings.target_size} bytes {passes}"
    elif settings.crf is not None:
        qp = f"CRF {settings.crf}, QP"
    elif settings.target is not None:
        qp = f"{settings.target}, QP"
    return (
        f"model {opened.weights.name}, {NAMES_OF_PRECISIONS[opened.precision]} on {opened.device}, {qp} of 0..63 "
        "(higher is better)"
    )


def frame_line(report: "FrameReport") -> str:
    """Writes one frame in one line, as -v prints it."""
    quality = "".join(f" {name}={value:.4f}" for name, value in report.quality.items())
    return (
        f"frame {report.index} {report.frame_type} qp={report.qp_frame} size={report.size_bytes} "
        f"seconds={report.seconds:.4f}{quality}"
    )


def summary_line(name: str, summary: "EncodeSummary") -> str:
    frames = f"{summary.num_frames} frame{'s' if summary.num_frames != 1 else ''} ({summary.num_i_frames} I)"
    rate = "" if summary.bitrate_kbps is None else f", {summary.bitrate_kbps:.2f} kbit/s"
    speed = summary.num_frames / max(summary.wall_seconds, 1e-9)
    quality = "".join(
        f", {label} {summary.quality[key]:.{digits}f}{unit}"
        for key, label, digits, unit in _MEANS
        if key in summary.quality
    )
    num_p_frames = summary.num_frames - summary.num_i_frames
    kinds = (("I", summary.num_i_frames, summary.i_bytes), ("P", num_p_frames, summary.p_bytes))
    sizes = " ".join(f"{kind} {count} x {round(size / count)}" for kind, count, size in kinds if count)
    # Least, mean and largest QP of a frame, and mean sizes, as x264 and x265 end.
    qps = (
        ""
        if summary.qp_mean is None
        else f", QP {summary.qp_min}/{summary.qp_mean:.1f}/{summary.qp_max}, {sizes} bytes"
    )
    sums = f"{summary.size_bytes} bytes, {summary.bpp:.5f} bpp{rate}, {speed:.2f} fps"
    return f"{name}: {frames}, {sums}{quality}{qps}"


_MEANS = (
    ("psnr_y", "PSNR Y", 3, " dB"),
    ("psnr_u", "U", 3, " dB"),
    ("psnr_v", "V", 3, " dB"),
    ("psnr", "combined", 3, " dB"),
    ("msssim", "MS-SSIM", 5, ""),
)
