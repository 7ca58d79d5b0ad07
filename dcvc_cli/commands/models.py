"""`dcvc models`: lists, shows, adds, prepares, verifies and removes the weights on this machine."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.commands.options import JsonOption, ModelName, Overwrite, WeightsOutput
from dcvc_cli.errors import DcvcError, EnvironmentFault, UsageError
from dcvc_cli.ui.text import one_line

if TYPE_CHECKING:
    from dcvc_cli.weights.file import ModelWeights, WeightsHeader

JSON_SCHEMA = 1
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

app = typer.Typer(name="models", help="List, show, add and verify the weights on this machine.", no_args_is_help=True)


@app.command("list")
def list_models(json_output: JsonOption = False) -> None:
    """List the weights on this machine: first those that came with dcvc, then those that were added."""
    from dcvc_cli.format.constants import DEFAULT_MODEL
    from dcvc_cli.weights.file import read_header
    from dcvc_cli.weights.store import weight_files, weights_name

    found: list[dict[str, Any]] = []
    for path in weight_files():
        try:
            found.append(_entry(read_header(path)))
        except DcvcError as error:
            found.append({"name": weights_name(path), "path": str(path), "error": error.message})
    if json_output:
        typer.echo(json.dumps({"schema_version": JSON_SCHEMA, "default": DEFAULT_MODEL, "models": found}, indent=2))
        return
    _print_list(found, DEFAULT_MODEL)


@app.command()
def show(
    name: ModelName,
    json_output: JsonOption = False,
) -> None:
    """Show the weights of one model: networks, fingerprints, precision and origin. The whole file is read and
    checked."""
    from dcvc_cli.weights.store import weights_by_name

    weights = weights_by_name(name)
    values = _details(weights)
    if json_output:
        typer.echo(json.dumps({"schema_version": JSON_SCHEMA, **values}, indent=2))
        return
    from dcvc_cli.ui.tables import print_table

    print_table(
        [name, ""], [(key, str(value)) for key, value in values.items() if value not in ("", None)], to_stdout=True
    )


@app.command()
def add(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Published checkpoints of one model's networks: the image model's, then the video model's.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the weights. Default: the model's own name, such as rt."),
    ] = None,
    keep_float: Annotated[
        bool,
        typer.Option(
            "--float", help="Keep the float32 parameters instead, for the published codec's own streams (dcvc remux)."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-y", help="Replace weights of this name that were added before.")
    ] = False,
) -> None:
    """Import published checkpoints into the user's folder, and prepare them for exact arithmetic. This takes a minute
    or two for `rt`.

    A checkpoint becomes the same integers, with the same fingerprints, on every machine. torch's safe loader reads the
    files: no code in them runs. If the keys do not fit the model, the message names every key that is missing, not part
    of it, or of the wrong shape.
    """
    if name is not None and not NAME_PATTERN.fullmatch(name):
        raise UsageError(
            f"--name {name}: expected letters, digits, '.', '_' and '-', a letter or digit first, at most 64 in all"
        )

    from dcvc_cli.preparing.calibration_material import VERSION
    from dcvc_cli.preparing.checkpoints import CheckpointError, import_checkpoints
    from dcvc_cli.ui.console import say
    from dcvc_cli.weights.file import write_weights
    from dcvc_cli.weights.store import SUFFIX, presets_folder, user_folder

    try:
        weights = import_checkpoints(checkpoints, name, exact=not keep_float)
    except CheckpointError as error:
        for problem in error.problems:
            say(f"  {problem}")
        raise
    path = user_folder() / f"{weights.name}{SUFFIX}"
    if (presets_folder() / "weights" / path.name).exists():
        raise UsageError(f"weights called {weights.name!r} came with dcvc and would hide these", "give another --name")
    if path.exists() and not overwrite:
        raise UsageError(
            f"there are weights called {weights.name!r} already: {path}", "give another --name, or -y to replace them"
        )
    calibration = {"calibration": f"material {VERSION}"} if weights.is_exact else {}
    write_weights(path, weights, {"source": weights.description} | calibration)
    typer.echo(f"added {weights.name} ({weights.model.name}, {'exact' if weights.is_exact else 'float'}): {path}")
    for part, network in weights.networks.items():
        typer.echo(f"{part} fingerprint {network.fingerprint:016x}")


@app.command()
def quantize(
    name: ModelName,
    output: WeightsOutput,
    clips: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CLIP]...", help="Clips to calibrate with besides dcvc's own material, four pictures or more each."
        ),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Use 16-bit weights in every layer, for published checkpoints.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Prepare weights for exact arithmetic: the same model in integers.

    Calibration material that comes with dcvc, and the clips if any, decide the ranges of the 16-bit numbers. The same
    weights and clips give the same file on every machine.
    """
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists", "-y replaces it")

    from dcvc_cli.media.endings import WEIGHTS, check_ending
    from dcvc_cli.preparing.calibration_material import VERSION
    from dcvc_cli.preparing.quantise import ALL_WIDE, SIGNAL_WIDE, prepare_from_box, read_clips
    from dcvc_cli.ui.console import say
    from dcvc_cli.weights.file import write_weights
    from dcvc_cli.weights.store import weights_by_name

    check_ending("-o", str(output).removesuffix(".gz"), WEIGHTS)
    weights = prepare_from_box(weights_by_name(name), read_clips(clips or ()), policy=ALL_WIDE if wide else SIGNAL_WIDE)
    write_weights(output, weights, {"calibration": f"material {VERSION}, {len(clips or ())} clips"})
    prints = ", ".join(f"{part} {network.fingerprint:016x}" for part, network in weights.networks.items())
    say(f"{output}: exact, {prints}")


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Names or weights files. Default: all.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Read whole weights files and compare their contents with the fingerprints that they record. The exit code is 5 if
    any is damaged."""
    from dcvc_cli.weights.store import weight_files, weights_by_name, weights_name

    targets = names or [str(path) for path in weight_files()]
    checked: list[dict[str, Any]] = []
    for target in targets:
        try:
            weights = weights_by_name(target)
        except EnvironmentFault as error:
            checked.append({"name": weights_name(Path(target)), "ok": False, "error": error.message})
        else:
            checked.append({"name": weights.name, "ok": True, **_verdict(weights)})
    if json_output:
        typer.echo(json.dumps({"schema_version": JSON_SCHEMA, "models": checked}, indent=2))
    else:
        for entry in checked:
            remark = f": {entry['remark']}" if entry.get("remark") else ""
            line = f"ok     {entry['name']}{remark}" if entry["ok"] else f"FAILED {entry['name']}: {entry['error']}"
            typer.echo(one_line(line))
    failed = [entry["name"] for entry in checked if not entry["ok"]]
    if failed:
        raise EnvironmentFault(
            f"{len(failed)} of {len(checked)} weights are damaged: {', '.join(failed)}",
            "add them again, or reinstall dcvc",
        )


@app.command()
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of added weights.")]) -> None:
    """Delete added weights from the user's folder. The weights that came with dcvc stay."""
    from dcvc_cli.weights.store import SUFFIX, user_folder

    if not NAME_PATTERN.fullmatch(name):
        raise UsageError(f"{name!r} is no name of weights")
    path = user_folder() / f"{name}{SUFFIX}"
    if not path.is_file():
        raise UsageError(
            f"there are no added weights called {name!r} in {path.parent}", "`dcvc models list` shows what there is"
        )
    path.unlink()
    typer.echo(f"removed {path}")


def _hex(fingerprint: int | None) -> str | None:
    return None if fingerprint is None else f"{fingerprint:016x}"


def _recorded(header: "WeightsHeader") -> dict[str, str | None]:
    return {
        f"{part}_fingerprint": _hex(value)
        for part, value in zip(header.model.networks, header.fingerprints, strict=True)
    }


def _entry(header: "WeightsHeader") -> dict[str, Any]:
    from dcvc_cli.weights.store import weights_name

    return {
        "name": weights_name(header.path),
        "spec": header.model.name,
        "size_bytes": header.size_bytes,
        **_recorded(header),
        "description": header.description,
        "path": str(header.path),
    }


def _print_list(found: list[dict[str, Any]], default: str) -> None:
    from dcvc_cli.ui.console import say
    from dcvc_cli.ui.tables import print_table

    rows = []
    for entry in found:
        if "error" in entry:
            say(f"warning: {entry['error']}")
            continue
        mark = " (default)" if entry["name"] == default else ""
        prints = [value or "not recorded" for key, value in entry.items() if key.endswith("_fingerprint")]
        rows.append(
            [
                entry["name"] + mark,
                entry["spec"],
                f"{entry['size_bytes'] / 1e6:.1f} MB",
                " ".join(prints),
                entry["path"],
            ]
        )
    if not rows:
        say(
            "there are no weights on this machine; `dcvc models add IMAGE.pth.tar VIDEO.pth.tar` imports the published "
            "ones"
        )
        return
    print_table(["name", "spec", "size", "fingerprints", "file"], rows, to_stdout=True)


def _details(weights: "ModelWeights") -> dict[str, Any]:
    from dcvc_cli.weights.file import read_header

    assert weights.path is not None  # weights_by_name reads files
    header = read_header(weights.path)
    counts = {
        f"{part}_parameters": sum(value.size for value in network.parameters().values())
        for part, network in weights.networks.items()
    }
    return {
        **_entry(header),
        **weights.fingerprint_texts,
        **counts,
        "exact": weights.is_exact,
        **{f"note_{key}": value for key, value in sorted(header.notes.items())},
    }


def _verdict(weights: "ModelWeights") -> dict[str, str]:
    from dcvc_cli.weights.file import read_header

    assert weights.path is not None  # weights_by_name reads files
    header = read_header(weights.path)
    recorded = None not in header.fingerprints
    values = weights.fingerprint_texts
    return (
        values if recorded else {**values, "remark": "it records no fingerprints, so damage to a value would not show"}
    )
