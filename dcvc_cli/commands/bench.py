"""`dcvc bench`: frames per second of encoding and decoding, by stage."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.commands.options import Device, JsonOption, Overwrite, Threads, parse_size, plot_format
from dcvc_cli.format.constants import DEFAULT_MODEL, MAX_BASE_QP

if TYPE_CHECKING:
    from dcvc_cli.format.types import Picture, VideoFormat
    from dcvc_cli.measuring.bench import CandidateMeasurement

JSON_SCHEMA = 1
DEFAULT_SIZE = "416x240"
DEFAULT_FRAMES = 17
PRECISION_TEXT = "exact|fp16|bf16|fp32|fp64"


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help=f"Model; repeat to compare. Default: {DEFAULT_MODEL}."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar=PRECISION_TEXT,
            help="Arithmetic. Default: exact where the weights have it, else fp32.",
        ),
    ] = None,
    versus: Annotated[
        list[str] | None, typer.Option("--vs", metavar="PRECISION", help="Compare with this precision too; repeatable.")
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option("--input", metavar="CLIP", help="Clip to code. Default: a moving texture that the program makes."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="WxH", help=f"Size of the built-in clip, or of raw input. Default: {DEFAULT_SIZE}."
        ),
    ] = None,
    frames: Annotated[
        int,
        typer.Option("--frames", min=1, max=10_000, metavar="N", help="Frames to code, the first of them an I frame."),
    ] = DEFAULT_FRAMES,
    qp: Annotated[
        int,
        typer.Option(
            "--qp", min=0, max=MAX_BASE_QP, metavar="QP", help="0..63, HIGHER is better quality and a bigger file."
        ),
    ] = 32,
    device: Device = None,
    threads: Threads = None,
    json_output: JsonOption = False,
    plot_file: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw the stages as .png or .svg.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure frames per second of encoding and decoding, stage by stage.

    Two warm-up frames are not counted. Entropy coding is counted; file access and picture hashes are not: the pictures
    are in memory. All models and precisions code each frame in turn: compare their ratios within one run. A model
    without weights on this machine runs on random parameters.
    """
    drawn_format = plot_format("--plot", plot_file)

    from dcvc_cli.codec.choices import CodingChoices
    from dcvc_cli.measuring import bench as engine

    name, video_format, pictures = _clip(clip, size, frames)
    wanted = [
        (model_name, kind)
        for model_name in model or [DEFAULT_MODEL]
        for kind in dict.fromkeys([precision, *(versus or [])])
    ]
    candidates = [engine.open_candidate(model_name, kind, device or "auto", threads) for model_name, kind in wanted]
    measurements = engine.measure(candidates, video_format, pictures, CodingChoices(qp, qp, keyint=-1))
    document = _document(measurements, name, video_format, len(pictures), qp)
    if plot_file is not None and drawn_format is not None:
        from dcvc_cli.measuring.bench_plot import stage_plot
        from dcvc_cli.media.output import OutputFile

        drawn = stage_plot(document, drawn_format)
        with OutputFile(plot_file, overwrite=overwrite) as output:
            output.write(drawn)
    if json_output:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print_report(document)


def _clip(clip: str | None, size: str | None, num_frames: int) -> "tuple[str, VideoFormat, list[Picture]]":
    """Returns (name, format, pictures) of the clip that was given, else of the built-in clip."""
    picture_size = parse_size(size, "--size") if size is not None else None
    if clip is None:
        from dcvc_cli.media.synthetic_clip import NAME, synthetic_format, synthetic_pictures

        made_size = picture_size or parse_size(DEFAULT_SIZE, "--size")
        video_format = synthetic_format(made_size.width, made_size.height)
        return NAME, video_format, list(synthetic_pictures(video_format, num_frames))
    from dcvc_cli.media import open_reader

    with open_reader(clip, size=picture_size, max_frames=num_frames) as reader:
        return reader.name, reader.format, list(reader)


def _document(
    measurements: "list[CandidateMeasurement]", clip: str, video_format: "VideoFormat", num_frames: int, qp: int
) -> dict[str, Any]:
    from dcvc_cli.measuring import bench as engine
    from dcvc_cli.measuring.diagnosis import loaded_torch, processor

    torch = loaded_torch()
    size = video_format.size
    first = measurements[0]
    ratios = [
        {
            "first": first.candidate.label,
            "other": other.candidate.label,
            "direction": direction,
            "frame_type": frame_type,
            "speed_ratio": value,
        }
        for other in measurements[1:]
        for direction in ("encode", "decode")
        for frame_type in "IP"
        if (value := engine.ratio(first, other, direction, frame_type)) is not None
    ]
    return {
        "schema_version": JSON_SCHEMA,
        "processor": processor()[0],
        "torch_threads": None if torch is None else torch.get_num_threads(),
        "torch": None if torch is None else torch.__version__,
        "clip": clip,
        "width": size.width,
        "height": size.height,
        "num_frames": num_frames,
        "qp_base": qp,
        "num_warmup_frames": engine.WARMUP_FRAMES,
        "counts_entropy_coding": True,
        "counts_file_access": False,
        "results": [engine.as_values(measurement, size.num_pixels) for measurement in measurements],
        "ratios": ratios,
    }


def _print_report(document: dict[str, Any]) -> None:
    from dcvc_cli.ui.tables import print_table

    typer.echo(
        f"{document['clip']}, {document['width']}x{document['height']}, {document['num_frames']} frames, QP "
        f"{document['qp_base']}"
    )
    float_part = f", torch {document['torch']} on {document['torch_threads']} threads" if document["torch"] else ""
    typer.echo(f"{document['processor']}{float_part}")
    typer.echo(
        f"{document['num_warmup_frames']} warm-up frames not counted; entropy coding counted; file access and "
        "hashes not counted"
    )
    for result in document["results"]:
        kinds = [(direction, kind) for direction in ("encode", "decode") for kind in "IP" if kind in result[direction]]
        stages = list(
            dict.fromkeys(stage for direction, kind in kinds for stage in result[direction][kind]["stage_ms"])
        )
        rows = [[stage, *(_milliseconds(result[d][k]["stage_ms"].get(stage)) for d, k in kinds)] for stage in stages]
        rows.append(["whole frame, median", *(_milliseconds(result[d][k]["median_ms"]) for d, k in kinds)])
        rows.append(
            [
                "smallest .. largest",
                *(f"{result[d][k]['min_ms']:.1f} .. {result[d][k]['max_ms']:.1f}" for d, k in kinds),
            ]
        )
        heads = [
            "median ms of a frame",
            *(f"{direction} {kind} ({result[direction][kind]['num_frames']})" for direction, kind in kinds),
        ]
        origin = (
            "RANDOM parameters: speed only"
            if result["weights_are_random"]
            else "fingerprints " + " ".join(value for key, value in result.items() if key.endswith("_fingerprint"))
        )
        speeds = ", ".join(
            f"{direction} {result[direction]['frames_per_second']:.2f} frames/s" for direction in ("encode", "decode")
        )
        typer.echo(f"\n{result['label']} on {result['device']}: {speeds}; {result['bpp']:.4f} bits per pixel; {origin}")
        print_table(heads, rows, emphasised=frozenset({len(rows) - 2}), to_stdout=True)
    for entry in document["ratios"]:
        typer.echo(
            f"{entry['direction']} {entry['frame_type']}: {entry['other']} runs at {entry['speed_ratio']:.2f} times "
            f"the speed of {entry['first']}"
        )


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
