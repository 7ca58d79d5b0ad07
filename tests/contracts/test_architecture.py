"""docs/architecture.md: its pictures are what the code does, and everything that it points to is there."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
tool = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "make_architecture_picture.py")))
POINTERS = [
    (path, name)
    for path, names in re.findall(r"`([\w/.]+\.py)`: ((?:`\w+`(?:, )?)+)", PAGE)
    for name in re.findall(r"`(\w+)`", names)
]


@pytest.mark.parametrize("arrow", [*tool.ENCODE, *tool.DECODE], ids=lambda arrow: f"{arrow.giver} to {arrow.taker}")
def test_the_code_shows_every_arrow(arrow: tuple[str, str, str, str]):
    assert tool.fault_of(arrow) is None


@pytest.mark.parametrize(
    ("arrow", "fault"),
    [
        (("media.reeder", "commands.encode_stream", "", "open_reader"), "there is no media.reeder"),
        (("media.reader", "coding.encode", "", "open_reader"), "neither of media.reader and coding.encode imports"),
        (("media.reader", "commands.encode_stream", "", "open_writer"), "imports open_writer from the other"),
        (("entropy.coder", "kernels/motion", "", "_entropy"), "kernels/motion builds no _entropy"),
        (("entropy.coder", "kernels/motion", "", "_motion"), "entropy.coder loads no _motion"),
    ],
)
def test_an_arrow_that_the_code_does_not_show_is_found(arrow: tuple[str, str, str, str], fault: str):
    assert fault in (tool.fault_of(tool.Arrow(*arrow)) or "")


def test_the_pictures_are_what_the_tool_draws():
    assert PAGE.split(tool.BEGIN)[1].split(tool.END)[0] == tool.pictures(), "run tools/make_architecture_picture.py"


@pytest.mark.parametrize("arrows", [tool.ENCODE, tool.DECODE], ids=["encode", "decode"])
def test_a_picture_is_one_piece(arrows: list[tuple[str, str, str, str]]):
    """Every box is reached from the command."""
    reached = {"commands.encode_stream" if arrows is tool.ENCODE else "commands.decode_stream"}
    while (
        more := {end for one in arrows for end in (one.giver, one.taker) if reached & {one.giver, one.taker}} - reached
    ):
        reached |= more
    assert {end for one in arrows for end in (one.giver, one.taker)} == reached


@pytest.mark.parametrize(("path", "name"), POINTERS)
def test_what_the_page_points_to_is_defined_there(path: str, name: str):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^\s*(?:def|class) {name}\b|^{name}\b.*=", text, flags=re.M), f"{path} defines no {name}"


def test_an_exit_code_a_stream_field_and_kernels_are_one_hop_away():
    table = PAGE.split("## Where do I find")[1].split("\n## ")[0]
    assert len(re.findall(r"^\| .* \|$", table, flags=re.M)) > 20
    for path in ("dcvc_cli/errors.py", "dcvc_cli/bitstream/sps.py", "kernels/cpu/layers.cpp", "docs/cuda.md"):
        assert f"`{path}`" in table
    assert ("dcvc_cli/errors.py", "ExitCode") in POINTERS
