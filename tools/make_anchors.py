"""Make the result files of the conventional codecs that dcvc is compared with: docs/results/anchors/*.json.

    python tools/make_anchors.py [NAME ...] [--clips DIR] [--output DIR]

Every clip, all frames, one I frame. No B frames with zerolatency and all intra, else as the encoder chooses. Clips:
DCVC_DATA, else ../shared/data, folder eval.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from dcvc_cli.evaluating.conventional import RawClip, code_with_ffmpeg, unpack_clip
from dcvc_cli.evaluating.encoders import ConventionalCodec, EncoderSettings, RateControl
from dcvc_cli.media import open_reader
from dcvc_cli.metrics.results import summarise_frames, write_results

ROOT = Path(__file__).resolve().parents[1]
QPS = (17, 22, 27, 32, 37, 42)
AV1_QPS = (20, 28, 35, 43, 51, 59)
"""SVT-AV1's scale is 0..63; these qualities span about what QPS span in x265."""
ZEROLATENCY = ("-tune", "zerolatency")
X265_THREADS = 2

ANCHORS: dict[str, tuple[ConventionalCodec, EncoderSettings]] = {
    "x264_medium_zerolatency": (ConventionalCodec.X264, EncoderSettings(("-preset", "medium", *ZEROLATENCY))),
    "x264_veryfast_zerolatency": (ConventionalCodec.X264, EncoderSettings(("-preset", "veryfast", *ZEROLATENCY))),
    "x264_medium_intra": (ConventionalCodec.X264, EncoderSettings(("-preset", "medium"), intra_period=1)),
    "x264_medium_zerolatency_intra": (
        ConventionalCodec.X264,
        EncoderSettings(("-preset", "medium", *ZEROLATENCY), intra_period=1),
    ),
    "x265_medium_zerolatency": (
        ConventionalCodec.X265,
        EncoderSettings(("-preset", "medium", *ZEROLATENCY), num_threads=X265_THREADS),
    ),
    "x265_veryslow_zerolatency": (
        ConventionalCodec.X265,
        EncoderSettings(("-preset", "veryslow", *ZEROLATENCY), num_threads=X265_THREADS),
    ),
    "x265_veryslow_bframes": (
        ConventionalCodec.X265,
        EncoderSettings(("-preset", "veryslow"), b_frames=True, num_threads=X265_THREADS),
    ),
    "svtav1_preset4": (
        ConventionalCodec.SVTAV1,
        EncoderSettings(("-preset", "4"), RateControl.CRF, b_frames=True, num_threads=2),
    ),
}


def measure_clip(
    codec: ConventionalCodec, clip: RawClip, settings: EncoderSettings, sequence: str
) -> dict[str, dict[str, object]]:
    """Measures all rate points of one clip, labelled by the codec's QP."""
    rates = {}
    for index, qp in enumerate(AV1_QPS if codec is ConventionalCodec.SVTAV1 else QPS):
        start = time.perf_counter()
        frames = code_with_ffmpeg(codec, clip, qp, settings)
        figures = summarise_frames(frames, clip.format.size.num_pixels, time.perf_counter() - start)
        rates[f"{qp:03d}"] = {**figures, "ds_name": "eval", "seq": sequence, "rate_idx": index, "qp": qp}
        print(
            f"  {sequence} qp {qp}: {figures['ave_all_frame_bpp']:.4f} bpp, {figures['ave_all_frame_psnr']:.3f} dB",
            flush=True,
        )
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names",
        nargs="*",
        choices=[*ANCHORS, []],
        metavar="NAME",
        help=f"one or more of {', '.join(ANCHORS)}; default: all",
    )
    data = Path(os.environ.get("DCVC_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--clips", type=Path, default=data / "eval")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "anchors")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(arguments.clips.glob("*.y4m")) + sorted(arguments.clips.glob("*.mkv"))
        clips = {}
        for path in paths:
            with open_reader(str(path)) as reader:
                clips[path.name] = unpack_clip(reader, Path(folder, f"{path.name}.yuv"))
        for name in arguments.names or ANCHORS:
            print(name, flush=True)
            codec, settings = ANCHORS[name]
            results = {sequence: measure_clip(codec, clip, settings, sequence) for sequence, clip in clips.items()}
            write_results(arguments.output / f"{name}.json", {"eval": results}, overwrite=True)


if __name__ == "__main__":
    main()
