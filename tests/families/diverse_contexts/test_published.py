"""DCVC-FM and DCVC-DC: cases of the published codecs byte for byte, their elementary streams and qualities."""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from dcvc_cli.conformance.cases import run_cases
from dcvc_cli.errors import StreamError
from dcvc_cli.families.dc.factors import scalar
from dcvc_cli.families.diverse_contexts.sizes import ImageSizes, VideoSizes
from dcvc_cli.families.fm.elementary_stream import (
    StreamSps,
    StreamUnit,
    StreamWriter,
    UnitType,
    read_stream,
    write_number,
)
from dcvc_cli.families.registry import families, find_model
from tests.support.published import FAMILY_CASES


@pytest.mark.slow
@pytest.mark.parametrize(("family", "case"), [("dcvc-fm", "several_p_32x32"), ("dcvc-dc", "parts_80x38")])
def test_the_published_case(family: str, case: str):
    results = list(run_cases(FAMILY_CASES / family, threads=1))
    assert [result.name for result in results] == [case]
    assert {result.name: result.faults for result in results if not result.ok} == {}


@pytest.mark.parametrize(
    ("model", "network", "num_tensors", "num_values"),
    [
        ("dcvc-fm", "image", 377, 26_587_561),
        ("dcvc-fm", "video", 762, 18_336_187),
        ("dcvc-dc", "image", 333, 30_998_187),
        ("dcvc-dc", "video", 702, 19_778_563),
    ],
)
def test_networks_have_the_published_sizes(model: str, network: str, num_tensors: int, num_values: int):
    shapes = dict(find_model(model).networks[network].shapes())
    assert len(shapes) == num_tensors
    assert sum(math.prod(shape) for shape in shapes.values()) == num_values


@pytest.mark.parametrize(("family", "file"), [("dcvc-fm", "entropy.json"), ("dcvc-dc", "coder.json")])
def test_a_folder_is_checked_by_what_it_holds(family: str, file: str, tmp_path: Path):
    form = families()[family].conformance_form()
    assert list(form.vector_checks(FAMILY_CASES / family, ModuleType("none"))) == []
    (tmp_path / file).write_text('{"sequences": []}')
    assert len(form.vector_checks(tmp_path, ModuleType("none"))) == 1


def test_tiny_networks_have_the_published_names():
    for family in ("dcvc-fm", "dcvc-dc"):
        for name, network in find_model(family).networks.items():
            tiny = dict(find_model(f"tiny-{family}").networks[name].shapes())
            missing = {key for key, _ in network.shapes()} ^ tiny.keys()
            # Only a block whose width does not change has no adaptor.
            assert all(".adaptor." in key for key in missing)
    assert (VideoSizes().feature, ImageSizes(hyper=128).latent) == (48, 256)


def test_qualities_of_dc_lie_between_the_first_and_the_last_anchor():
    anchors = np.array([0.5, 3.0, 0.1, 2.0], np.float32)
    assert scalar(anchors, 0) == pytest.approx(0.5)
    assert scalar(anchors, 21) == pytest.approx(0.5 * 4 ** (1 / 3))
    assert scalar(anchors, 63) == pytest.approx(2.0)
    assert [scalar(anchors, quality) for quality in (64, 65, 66, 67)] == [float(value) for value in anchors]


def test_the_elementary_stream_of_fm():
    assert write_number(32767) == b"\x7f\xff"
    assert write_number(32768) == b"\x80\x00\x80\x00"
    low, high = StreamSps(38, 80, 20, 0), StreamSps(38, 80, 20, 3)
    units = [
        StreamUnit(UnitType.I, (low,), b"abc"),
        StreamUnit(UnitType.P, (high,), bytes(40000)),
        StreamUnit(UnitType.SEVERAL_P, (low, high, low), b"d"),
    ]
    writer = StreamWriter()
    for unit in units:
        writer.write(unit)
    data = bytes(writer.data)
    assert data[:12] == bytes.fromhex("00 0026 0050 50 10 0003") + b"abc"
    assert data[-6:] == bytes.fromhex("32 01 00 0001") + b"d"
    assert list(read_stream(data)) == units
    for broken in (data[:-1], data[:7], b"\x1f" + data[1:], b"\x40" + data, data[6:]):
        with pytest.raises(StreamError):
            list(read_stream(broken))


def test_a_stream_has_sixteen_spss():
    writer = StreamWriter()
    for quality in range(16):
        writer.write(StreamUnit(UnitType.I, (StreamSps(16, 16, quality, 0),), b""))
    with pytest.raises(ValueError, match="more than 16"):
        writer.write(StreamUnit(UnitType.I, (StreamSps(16, 16, 16, 0),), b""))
