"""Draws the data's way through the house into docs/architecture.md, as Mermaid graphs of encode and decode.

    python tools/make_architecture_picture.py

`ENCODE` and `DECODE` are the source. Each arrow is checked against the code before it is drawn: both ends exist, one of
them imports the arrow's name from the other one, uses it, and the name is defined there. An arrow to C++ names the
compiled extension, which the folder's CMakeLists.txt builds.
"""

import ast
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dcvc_cli"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- pictures: made by tools/make_architecture_picture.py -->", "<!-- end of pictures -->"


class Arrow(NamedTuple):
    """One module hands something to another.

    Attributes:
        giver, taker: modules of the package without its name, or folders of C++ code.
        what: what is handed over.
        name: by what the code shows it: a function or class that one end imports from the other.
    """

    giver: str
    taker: str
    what: str
    name: str


ENCODE = (
    Arrow("media.reader", "commands.encode_stream", "pictures", "open_reader"),
    Arrow("weights.store", "coding.opened_models", "weights", "weights_by_name"),
    Arrow("coding.opened_models", "codec.backends", "weights, device", "open_networks"),
    Arrow("coding.opened_models", "api.encoder", "model, networks", "open_model"),
    Arrow("commands.encode_stream", "api.encoder", "pictures, settings", "Encoder"),
    Arrow("api.encoder", "coding.encode", "pictures, model", "StreamEncoder"),
    Arrow("coding.encode", "families.base", "picture", "CodedUnit"),
    Arrow("families.base", "families.rt.sequences", "picture", "PictureEncoder"),
    Arrow("families.rt.sequences", "codec.pictures", "planes to float32 values", "values_from_picture"),
    Arrow("families.rt.gop", "families.rt.sequences", "frame type, QP, reset", "GopPlanner"),
    Arrow("families.rt.sequences", "families.lite.sequences", "values, plan", "FrameByFrameEncoder"),
    Arrow("families.lite.sequences", "families.lite.frame_encoder", "values, QP", "FramePayloadEncoder"),
    Arrow("families.lite.frame_encoder", "families.lite.motion_encoder", "network input", "MotionEncoder"),
    Arrow("families.lite.motion_encoder", "families.lite.motion.field", "luma, references", "luma_of_values"),
    Arrow("families.lite.motion.field", "kernels/motion", "luma, vectors", "_motion"),
    Arrow("families.lite.frame_encoder", "families.lite.frames", "what motion leaves", "Reference"),
    Arrow("families.lite.frames", "families.rt.recipe", "side, QP", "code_p_frame"),
    Arrow("families.rt.recipe", "families.rt.image", "I frame", "ImageModel"),
    Arrow("families.rt.recipe", "families.rt.video", "P frame", "VideoModel"),
    Arrow("families.rt.image", "graph.blocks", "tensors", "DepthConvBlock"),
    Arrow("families.rt.video", "graph.blocks", "tensors", "DepthConvBlock"),
    Arrow("graph.blocks", "backend.operations", "layers, tensors", "DepthConvBlock"),
    Arrow("families.rt.recipe", "graph.latent_steps", "scales, means", "LatentCoder"),
    Arrow("graph.latent_steps", "codec.latents", "coding steps", "CodingStep"),
    Arrow("codec.backends", "backend.exact_native", "arithmetic", "ExactNative"),
    Arrow("backend.operations", "backend.exact_base", "layers, tensors", "Operations"),
    Arrow("backend.exact_base", "backend.exact_native", "layers, tensors", "ExactOperations"),
    Arrow("backend.exact_native", "kernels/cpu", "int16 tensors", "_kernels"),
    Arrow("codec.latents", "entropy.coder", "symbols, table rows", "FrameEncoder"),
    Arrow("entropy.coder", "entropy_cpp", "symbols to bytes", "_entropy"),
    Arrow("families.lite.frame_encoder", "families.lite.floor.frame_floor", "picture, source", "FloorChooser"),
    Arrow("families.lite.floor.frame_floor", "kernels/floor", "planes", "_floor"),
    Arrow("families.lite.frame_encoder", "families.lite.filter.filters", "picture, source", "FilterFit"),
    Arrow("families.lite.filter.filters", "kernels/filter", "planes", "_filter"),
    Arrow("coding.encode", "bitstream.stream_writer", "units", "StreamWriter"),
    Arrow("coding.encode", "media.output", "bytes", "OutputFile"),
)
DECODE = (
    Arrow("coding.stream_source", "api.decoder", "bytes", "StreamSource"),
    Arrow("commands.decode_stream", "api.decoder", "name of the stream", "Decoder"),
    Arrow("api.decoder", "coding.decode", "bytes, networks", "OpenedStream"),
    Arrow("coding.decode", "bitstream.stream_reader", "bytes to checked units", "StreamReader"),
    Arrow("coding.decode", "coding.concealment", "units, damage", "DamagedDecoder"),
    Arrow("coding.decode", "coding.stream_decoder", "SPS, networks", "decoder_for"),
    Arrow("coding.concealment", "coding.stream_decoder", "SPS, networks", "decoder_for"),
    Arrow("weights.store", "coding.opened_models", "weights by fingerprint", "weights_by_fingerprints"),
    Arrow("coding.opened_models", "codec.backends", "weights, device", "open_networks"),
    Arrow("coding.opened_models", "coding.stream_decoder", "networks", "StreamNetworks"),
    Arrow("families.registry", "coding.stream_decoder", "model", "model_of_stream"),
    Arrow("coding.stream_decoder", "families.base", "frame unit", "PictureDecoder"),
    Arrow("families.base", "families.rt.sequences", "frame unit", "PictureDecoder"),
    Arrow("families.rt.sequences", "families.lite.family", "frame unit", "FrameByFrameDecoder"),
    Arrow("families.lite.family", "families.lite.frames", "payload, QP, reset", "FramePayloadDecoder"),
    Arrow("families.lite.frames", "families.lite.motion.field", "vectors to compensated frame", "compensate_squares"),
    Arrow("families.lite.frames", "families.rt.recipe", "side, QP", "code_p_frame"),
    Arrow("families.rt.recipe", "graph.latent_steps", "scales, means", "LatentCoder"),
    Arrow("graph.latent_steps", "codec.latents", "coding steps", "CodingStep"),
    Arrow("codec.latents", "entropy.coder", "table rows to symbols", "FrameDecoder"),
    Arrow("families.rt.recipe", "backend.operations", "latents to picture or feature", "Operations"),
    Arrow("families.lite.frames", "families.lite.floor.frame_floor", "picture to reference", "apply_floor"),
    Arrow("families.lite.frames", "families.lite.filter.filters", "reference to output planes", "filter_planes"),
    Arrow("families.lite.filter.filters", "families.lite.pictures", "planes to samples", "bytes_of_plane"),
    Arrow("coding.decode", "bitstream.sei", "pictures to hashes", "hash_picture"),
    Arrow("commands.decode_stream", "media.writer", "pictures", "open_writer"),
    Arrow("media.writer", "media.output", "bytes", "OutputFile"),
)


def path_of(module: str) -> Path:
    """Finds the file of a module of the package, or a folder of C++ code."""
    if "/" in module or module == "entropy_cpp":
        return ROOT / module
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    return path if path.exists() else path.with_suffix("") / "__init__.py"


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> dict[str, str]:
    """Maps name -> module of the package that it is imported from, without the package's name; also inside
    functions."""
    return {
        alias.name: node.module.removeprefix("dcvc_cli").removeprefix(".")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dcvc_cli")
        for alias in node.names
        if node.module
    }


def defines(path: Path, name: str) -> bool:
    """Returns whether a function or class of that name stands at the top of a file."""
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name for node in tree_of(path).body)


def origin_of(path: Path, name: str) -> str | None:
    """Finds the module that defines what a file imports as `name`, through packages that hand it on; None if none
    does."""
    module = imports_of(path).get(name)
    while module is not None and path_of(module).exists():
        if defines(path_of(module), name):
            return module
        module = imports_of(path_of(module)).get(name)
    return None


def uses(path: Path, name: str) -> bool:
    """Returns whether a file does more with a name than import it."""
    return any(
        (isinstance(node, ast.Name) and node.id == name) or (isinstance(node, ast.Constant) and node.value == name)
        for node in ast.walk(tree_of(path))
    )


def fault_of(arrow: Arrow) -> str | None:
    """Says why the code does not show an arrow; None where it does."""
    for end in (arrow.giver, arrow.taker):
        if not path_of(end).exists():
            return f"there is no {end}"
    giver, taker = path_of(arrow.giver), path_of(arrow.taker)
    if taker.is_dir():
        if f"pybind11_add_module({arrow.name} " not in (taker / "CMakeLists.txt").read_text(encoding="utf-8"):
            return f"{arrow.taker} builds no {arrow.name}"
        if not re.search(rf"\b{arrow.name}\b", giver.read_text(encoding="utf-8")):
            return f"{arrow.giver} loads no {arrow.name}"
        return None
    for path, origin in ((giver, arrow.taker), (taker, arrow.giver)):
        if origin_of(path, arrow.name) == origin:
            return None if uses(path, arrow.name) else f"{arrow.name} is imported and not used"
    return f"neither of {arrow.giver} and {arrow.taker} imports {arrow.name} from the other"


def graph(arrows: Sequence[Arrow]) -> list[str]:
    """Makes a Mermaid graph: one box a module, shaped by what it is."""
    numbers: dict[str, str] = {}
    lines = ["```mermaid", "flowchart TD"]
    for arrow in arrows:
        for end in (arrow.giver, arrow.taker):
            if end not in numbers:
                numbers[end] = f"n{len(numbers)}"
                opening, closing = ("[[", "]]") if path_of(end).is_dir() else ("[", "]")
                lines.append(f'    {numbers[end]}{opening}"{end}"{closing}')
    lines += [f'    {numbers[one.giver]} -->|"{one.what}"| {numbers[one.taker]}' for one in arrows]
    return [*lines, "```"]


def pictures() -> str:
    """Makes what stands between the marks of the page. SystemExit for an arrow that the code does not show."""
    for arrow in (*ENCODE, *DECODE):
        fault = fault_of(arrow)
        if fault is not None:
            raise SystemExit(f"{arrow.giver} -> {arrow.taker}: {fault}")
    text = ["### Encode", "", *graph(ENCODE), "", "### Decode", "", *graph(DECODE)]
    return "\n".join(["", "", *text, "", ""])


def main() -> None:
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{pictures()}{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
