"""The estimates of memory in docs/robustness.md are those of the program, and none lies below what was measured."""

import re
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.coding.memory import decoding_memory, encoding_memory
from dcvc_cli.families.registry import find_model
from dcvc_cli.format.types import PictureSize
from tests.support.processes import ROOT

SIZES = (PictureSize(256, 192), PictureSize(512, 384), PictureSize(1024, 768))
ROW = re.compile(r"^\| `([\w-]+)`, (encode|decode) \| \d+ \| (\d+), (\d+) \| (\d+), (\d+) \| (\d+), (\d+) \|$", re.M)
ROWS = ROW.findall((ROOT / "docs" / "robustness.md").read_text(encoding="utf-8"))


def estimate(name: str, work: str, size: PictureSize) -> int:
    """Estimates MiB for float32."""
    if work == "decode":
        return round(decoding_memory(Sps(size.width, size.height, Precision.FLOAT32, model_variant=name)) / (1 << 20))
    opened = SimpleNamespace(precision=Precision.FLOAT32, weights=SimpleNamespace(model=find_model(name)))
    return round(encoding_memory(cast(Any, opened), size) / (1 << 20))


def test_the_page_has_the_wide_float_models() -> None:
    names = {"dcvc", "dcvc-tcm", "dcvc-hem", "dcvc-dc", "dcvc-fm", "evc", "evc-ss", "uf-ld"}
    assert {tuple(row[:2]) for row in ROWS} == {(name, work) for name in names for work in ("encode", "decode")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[:2]))
def test_wide_float_models_take_no_more_than_the_estimate(row: tuple[str, ...]) -> None:
    name, work, *figures = row
    measured, documented = figures[::2], figures[1::2]
    for size, peak, told in zip(SIZES, map(int, measured), map(int, documented), strict=True):
        assert told == estimate(name, work, size)
        assert peak <= told < 1.5 * peak
