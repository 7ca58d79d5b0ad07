"""Result files: what is read, what is refused, and the figures of a rate point."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.metrics.results import (
    FrameRecord,
    average_points,
    class_key,
    curve,
    match_names,
    parse_results,
    rate_label,
    read_results,
    summarise_frames,
    write_results,
)

ANCHORS = Path(os.environ.get("DCVC_ANCHORS", Path(__file__).parents[3] / "shared" / "anchors"))
needs_anchors = pytest.mark.skipif(not ANCHORS.is_dir(), reason="no published result files (DCVC_ANCHORS)")


def figures(bpp: float = 0.1, psnr: float = 35.0, **more: Any) -> dict[str, Any]:
    return {"i_frame_num": 1, "p_frame_num": 7, "ave_all_frame_bpp": bpp, "ave_all_frame_psnr": psnr, **more}


def frame(num_bits: int, psnr: float, intra: bool = False, **more: Any) -> FrameRecord:
    return FrameRecord(is_intra=intra, num_bits=num_bits, psnr=psnr, psnr_planes=(psnr - 1, psnr + 2, psnr + 4), **more)


@needs_anchors
@pytest.mark.parametrize("path", sorted(ANCHORS.glob("*.json")), ids=lambda path: path.stem)
def test_published_files_are_read(path: Path) -> None:
    document = json.loads(path.read_text())
    results = read_results(path)
    for name, sequences in document.items():
        assert results.classes[name].keys() == sequences.keys()
        for sequence, rates in sequences.items():
            points = results.classes[name][sequence]
            assert [point.bpp for point in points] == sorted(rate["ave_all_frame_bpp"] for rate in rates.values())
            assert {point.label for point in points} == rates.keys()


@needs_anchors
def test_summary_has_the_published_field_names() -> None:
    rates = json.loads((ANCHORS / "dcvc_rt_UVG_RTX4090.json").read_text())["UVG"][
        "Beauty_1920x1080_120fps_420_8bit_YUV.yuv"
    ]
    frames = [frame(1000, 30.0, intra=index == 0, encode_seconds=0.1, decode_seconds=0.2) for index in range(12)]
    ours = summarise_frames(frames, 1920 * 1080, 1.0)
    assert rates["000"].keys() - ours.keys() == {"ds_name", "seq", "rate_idx", "qp_i", "qp_p"}
    assert ours.keys() - {"frame_type", "frame_bpp", "frame_psnr"} <= rates["000"].keys()


def test_what_each_frame_gave_is_told() -> None:
    ours = summarise_frames([frame(1000, 30.0, intra=True), frame(500, 31.5)], 100, 1.0)
    assert (ours["frame_type"], ours["frame_bpp"], ours["frame_psnr"]) == (["I", "P"], [10, 5], [30, 31.5])
    text = json.dumps({"A": {"clip": {"000": ours}}})
    assert parse_results(text, "r.json").classes["A"]["clip"][0].frame_psnr == (30, 31.5)


@pytest.mark.parametrize("values", [[30.0], [30.0, "x"] + [30] * 6, [30, True] + [30] * 6, [1e30] + [30] * 7])
def test_a_psnr_of_frames_that_nobody_can_measure_is_refused(values: list[Any]) -> None:
    text = json.dumps({"A": {"clip": {"000": figures(frame_psnr=values)}}})
    with pytest.raises(InputError, match="frame_psnr"):
        parse_results(text, "r.json")


def test_summary_averages() -> None:
    frames = [
        frame(1000, 40.0, intra=True, encode_seconds=9.0),
        *(frame(200, 30.0 + index, encode_seconds=9.0 if index < 9 else 0.5) for index in range(11)),
    ]
    ours = summarise_frames(frames, 100, 3.5)
    assert (ours["i_frame_num"], ours["p_frame_num"], ours["frame_pixel_num"], ours["test_time"]) == (1, 11, 100, 3.5)
    assert ours["ave_i_frame_bpp"] == 10
    assert ours["ave_p_frame_bpp"] == pytest.approx(2)
    assert ours["ave_all_frame_bpp"] == pytest.approx(3200 / 12 / 100)
    assert ours["ave_p_frame_psnr"] == pytest.approx(35)
    assert ours["ave_all_frame_psnr"] == pytest.approx((40 + 11 * 35) / 12)
    assert ours["ave_all_frame_psnr_v"] == pytest.approx((40 + 11 * 35) / 12 + 4)
    assert ours["ave_all_frame_msssim"] == 0
    assert ours["avg_frame_encoding_time"] == pytest.approx(0.5)
    assert "avg_frame_decoding_time" not in ours


def test_summary_without_p_frames_planes_or_enough_timed_frames() -> None:
    ours = summarise_frames([FrameRecord(True, 800, 33.0, msssim=0.9, encode_seconds=1.0)] * 3, 100, 1.0)
    assert ours["p_frame_num"] == ours["ave_p_frame_bpp"] == ours["ave_p_frame_psnr"] == 0
    assert ours["ave_all_frame_msssim"] == pytest.approx(0.9)
    assert not [name for name in ours if name.endswith("_y") or name.startswith("avg_")]


@pytest.mark.parametrize(
    "frames", [[], [frame(1, 30.0), FrameRecord(False, 1, 30.0)], [frame(1, 30.0, msssim=0.9), frame(1, 30.0)]]
)
def test_summary_refuses_gaps(frames: list[FrameRecord]) -> None:
    with pytest.raises(ValueError, match="frame"):
        summarise_frames(frames, 100, 1.0)


def test_written_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    rates = {
        rate_label(index): summarise_frames([frame(10_000 >> index, 40.0 - index, intra=True)], 100, 1 / 3)
        for index in range(4)
    }
    write_results(path, {"eval": {"clip.y4m": rates}}, overwrite=False)
    points = read_results(path).classes["eval"]["clip.y4m"]
    assert [point.label for point in points] == ["003", "002", "001", "000"]
    assert curve(points, "psnr_y") == [(12.5, 36.0), (25.0, 37.0), (50.0, 38.0), (100.0, 39.0)]
    assert json.loads(path.read_text())["eval"]["clip.y4m"]["000"]["test_time"] == 0.333333
    with pytest.raises(UsageError):
        write_results(path, {"eval": {"clip.y4m": rates}}, overwrite=False)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a result file"),
        ("{", "not a result file"),
        ("[]", "found list, expected a JSON object"),
        ("{}", "empty"),
        ('{"A": 1}', "A: found int"),
        ('{"A": {}}', "A: empty"),
        ('{"A": {"s": {"000": []}}}', "A: s: 000: found list"),
        ('{"A": {"s": {"000": {"ave_all_frame_bpp": 1}}}}', "no number ave_all_frame_psnr"),
        ('{"A": {"s": {"000": {"ave_all_frame_bpp": NaN}}}}', "NaN"),
        ('{"A": {"s": {"000": {"ave_all_frame_bpp": 1e999}}}}', "ave_all_frame_bpp is beyond"),
        ('{"A": {"s": {"000": {"ave_all_frame_bpp": 1' + "0" * 400 + "}}}}", "ave_all_frame_bpp is beyond"),
        ('{"A": {"s": {"000": {}, "000": {}}}}', "'000' stands twice"),
        ("[" * 100_000, "not a result file"),
        (json.dumps({"A": {"s": {"000": figures(bpp=0)}}}), "expected above 0"),
        (json.dumps({"A": {"s": {"000": figures(bpp="0.1")}}}), "no number ave_all_frame_bpp"),
        (json.dumps({"A": {"s": {"000": figures(i_frame_num=-1)}}}), "expected at least one frame"),
        (json.dumps({"A": {"s": {"000": figures(i_frame_num=0.5)}}}), "expected at least one frame"),
    ],
)
def test_malformed_files_are_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"file\.json") as caught:
        parse_results(text, "file.json")
    assert message in caught.value.message


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "none.json", tmp_path / "binary.json"):
        with pytest.raises(InputError, match="cannot be read"):
            read_results(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["A", "000", *figures()]), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(value=json_values, cut=st.integers(0, 200))
def test_no_json_gets_past_as_anything_but_results_or_an_input_error(value: Any, cut: int) -> None:
    text = json.dumps({"class": {"sequence": {"000": value, "001": figures()}}})
    for candidate in (text, text[:cut], json.dumps(value)):
        try:
            results = parse_results(candidate, "x")
        except InputError:
            continue
        assert all(
            point.bpp > 0 and point.num_frames > 0
            for sequences in results.classes.values()
            for points in sequences.values()
            for point in points
        )


@pytest.mark.parametrize(
    ("anchor", "test", "pairs"),
    [
        (["a.yuv", "b.yuv"], ["b.yuv", "a.yuv"], [("a.yuv", "a.yuv"), ("b.yuv", "b.yuv")]),
        (["Foreman.y4m"], ["foreman"], [("Foreman.y4m", "foreman")]),
        (["clips/foreman_cif.mkv"], ["foreman_cif"], [("clips/foreman_cif.mkv", "foreman_cif")]),
        (
            ["Beauty_1920x1080_120fps_420_8bit_YUV.yuv"],
            ["Beauty"],
            [("Beauty_1920x1080_120fps_420_8bit_YUV.yuv", "Beauty")],
        ),
        (["BQMall_832x480_60.yuv"], ["BQMall_832x480"], [("BQMall_832x480_60.yuv", "BQMall_832x480")]),
        (["Kimono1_1920x1080_24.yuv"], ["Kimono_1920x1080_24.yuv"], []),
        (["Race_832x480_30.yuv", "Race_416x240_30.yuv"], ["Race"], []),
        (["a_64x64.yuv", "a.yuv"], ["a_64x64.y4m"], [("a_64x64.yuv", "a_64x64.y4m")]),
        (["v1.2"], ["v1.3"], []),
        (["Race_832x480_30.yuv"], ["Race_416x240_30.yuv"], []),
        (["Race_832x480_30.yuv"], ["Race_832x480_24.yuv"], []),
    ],
)
def test_sequences_match_across_files(anchor: list[str], test: list[str], pairs: list[tuple[str, str]]) -> None:
    assert match_names(anchor, test) == pairs


def test_class_names_agree_in_spite_of_spelling() -> None:
    assert class_key("HEVC_B") == class_key("hevc-b") == class_key("HEVC B")
    assert class_key("HEVC_B") != class_key("HEVC_C")


def results_of(sequences: dict[str, dict[str, Any]]) -> Any:
    return parse_results(json.dumps({"A": sequences}), "x").classes["A"]


def test_class_average_is_by_label() -> None:
    sequences = results_of(
        {
            "s": {"000": figures(0.1, 30.0), "001": figures(0.5, 36.0)},
            "t": {"000": figures(0.3, 34.0), "001": figures(0.4, 35.0)},
        }
    )
    assert average_points(list(sequences.values()), "psnr") == [(pytest.approx(0.2), 32.0), (pytest.approx(0.45), 35.5)]


def test_class_average_needs_the_same_labels_and_the_metric() -> None:
    sequences = results_of({"s": {"000": figures(msssim=0)}, "t": {"001": figures()}})
    with pytest.raises(ValueError, match="different rate points"):
        average_points(list(sequences.values()), "psnr")
    with pytest.raises(ValueError, match="msssim was not measured"):
        average_points([sequences["s"]], "msssim")


def test_merged_files_must_not_repeat_a_sequence() -> None:
    one, two = (parse_results(json.dumps({"A": {name: {"000": figures()}}}), name) for name in "st")
    assert one.merged(two).classes["A"].keys() == {"s", "t"}
    with pytest.raises(InputError, match="stands in"):
        one.merged(one)


def test_files_of_one_rate_each_make_a_curve() -> None:
    """A checkpoint of one rate has a result file of one rate."""
    files = [
        parse_results(json.dumps({"A": {name: {"000": figures(bpp=bpp)} for name in "st"}}), str(bpp))
        for bpp in (0.2, 0.1, 0.4)
    ]
    merged = files[0].merged(files[1]).merged(files[2])
    for points in merged.classes["A"].values():
        assert [(point.label, point.bpp) for point in points] == [("000", 0.1), ("001", 0.2), ("002", 0.4)]
    assert len(average_points(list(merged.classes["A"].values()), "psnr")) == 3
    with pytest.raises(InputError, match="stands in"):
        files[0].merged(merged)
