"""Settings in layers: what stands over what, and values that no layer may hold."""

from pathlib import Path

import pytest

from dcvc_cli.coding.encode_settings import DEFAULTS, layered_settings, preset_names
from dcvc_cli.errors import UsageError


def config(folder: Path, text: str) -> str:
    (folder / "config.yaml").write_text(text)
    return str(folder / "config.yaml")


def test_nothing_said_is_the_default_preset() -> None:
    assert layered_settings({}, None, None) == DEFAULTS == layered_settings({}, "default", None)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name: str) -> None:
    layered_settings({}, name, None)


def test_later_layers_stand_over_earlier_ones(tmp_path: Path) -> None:
    file = config(tmp_path, "preset: archive\nkeyint: 12\nqp-i: 60\n")
    settings = layered_settings({"keyint": 9, "qp_p": None}, None, file)
    assert (settings.hash, settings.keyint, settings.qp_base_i, settings.qp_base_p) == ("md5", 9, 60, 48)
    assert layered_settings({}, "low-latency", file).hash == "none", "the command line names the preset"


def test_how_qps_are_chosen_is_one_layers_matter(tmp_path: Path) -> None:
    file = config(tmp_path, "bitrate: 500\npasses: 2\n")
    assert layered_settings({"qp": 40}, None, file).bitrate is None
    assert layered_settings({"crf": 40}, None, file).passes == 1
    assert layered_settings({"bitrate": 300}, None, file).passes == 2
    assert layered_settings({"target_size": "4.5M"}, "archive", None).target_size == 4_500_000
    with pytest.raises(UsageError, match="leave one out"):
        layered_settings({"crf": 30, "bitrate": 500}, None, None)


def test_a_qp_stands_over_finer_ones_below(tmp_path: Path) -> None:
    file = config(tmp_path, "qp-i: 60\nqp-p: 20\n")
    settings = layered_settings({"qp": 40}, None, file)
    assert (settings.qp_base_i, settings.qp_base_p) == (40, 40)


def test_qps_bitrate_and_lossless_stand_in_place_of_each_other(tmp_path: Path) -> None:
    rates = config(tmp_path, "bitrate: 300\npasses: 2\nmaxrate: 400\nbufsize: 100\n")
    assert layered_settings({"qp": 20}, None, rates) == layered_settings({"qp": 20}, None, None)
    assert layered_settings({"lossless": True}, None, rates) == layered_settings({"lossless": True}, None, None)
    assert layered_settings({"bitrate": 200}, None, rates).maxrate == 400
    lossless = config(tmp_path, "lossless: true\n")
    assert not layered_settings({"qp_p": 20}, None, lossless).lossless
    assert not layered_settings({"bitrate": 200}, None, lossless).lossless
    assert layered_settings({"lossless": False}, None, lossless) == DEFAULTS
    assert layered_settings({"lossless": True}, "archive", None).hash == "md5"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bitrate: 300\nqp: 40", "--bitrate chooses the QPs"),
        ("lossless: true\nqp-i: 40", "--lossless has one quality"),
        ("lossless: true\nbitrate: 300", "so --bitrate does not go with it"),
        ("lossless: true\nmaxrate: 300", "so --maxrate does not go with it"),
        ("qp: 64", "--qp 64"),
        ("qp: 3.5", "--qp 3.5"),
        ("qp: true", "--qp True"),
        ("keyint: 0", "--keyint 0"),
        ("keyint: -2", "--keyint -2"),
        ("reset-interval: 65536", "--reset-interval"),
        ("force-zero-thres: .nan", "--force-zero-thres"),
        ("force-zero-thres: yes", "--force-zero-thres"),
        ("force-keyframes: 3", "--force-keyframes 3"),
        ("force-keyframes: [-1]", "--force-keyframes"),
        ("force-keyframes: [true]", "--force-keyframes"),
        ("hash: off", "--hash False"),
        ("hash: [crc]", "--hash ['crc']"),
        ("entropy-format: {a: b}", "--entropy-format"),
        ("precision: [fp32]", "--precision ['fp32']"),
        ("threads: 0", "--threads 0"),
        ("device: 0", "--device 0"),
        ("model: ''", "--model ''"),
        ("recon: a.y4m", "no setting"),
        ("preset: nothing", "no preset 'nothing'"),
        ("- qp", "holds no settings"),
        ("qp: 1\n\tx: [", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_values_that_cannot_be_obeyed(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        layered_settings({}, None, config(tmp_path, text))
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)
