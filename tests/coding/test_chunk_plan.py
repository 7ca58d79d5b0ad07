"""Chunks cover a clip once and keep to their lengths; a plan's file comes back as it was, and no other file is one."""

import json
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.coding.chunk_plan import Chunk, InputOptions, Plan, read_plan
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.plan_making import ChunkFrames, spans
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import PictureSize, Rational

SPS = Sps(
    64,
    48,
    precision=Precision.EXACT,
    model_family="rt",
    model_variant="tiny",
    fingerprints=(1, 2),
    truncate_chroma=True,
)


def plan_of(lengths: tuple[int, ...] = (3, 4), **changes: object) -> Plan:
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    chunks = tuple(
        Chunk(number, start, length, "scene" if number else "start", "0" * 32)
        for number, (start, length) in enumerate(zip(starts, lengths, strict=True))
    )
    values = {
        "source": "clip.y4m",
        "source_bytes": 5,
        "source_digest": "1" * 32,
        "options": InputOptions(size=PictureSize(64, 48), frame_rate=Rational(25, 1), seek=3, frames=7),
        "carries_tracks": False,
        "settings": EncodeSettings(qp=20, force_keyframes=(2, 4)),
        "allow_float": False,
        "fingerprints": {"image_fingerprint": "1", "video_fingerprint": "2"},
        "sps": write_sps(SPS),
        "chunks": chunks,
    }
    return Plan(**(values | changes))  # type: ignore[arg-type]


@given(
    st.integers(1, 300), st.lists(st.integers(1, 299), unique=True, max_size=40), st.integers(1, 20), st.integers(0, 30)
)
def test_chunks_cover_a_clip_and_keep_to_their_lengths(num_frames: int, cuts: list[int], least: int, more: int):
    lengths = ChunkFrames(least, 2 * least + more)
    found = list(spans(num_frames, sorted(cut for cut in cuts if cut < num_frames), lengths))
    assert found[0][0] == 0
    assert found[-1][1] == num_frames
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(found))
    assert all(lengths.least <= end - start <= lengths.most for start, end, _ in found) or num_frames < least
    assert all(start in cuts for start, _, begins in found if begins == "scene")


def test_a_long_scene_is_split_evenly_at_its_end():
    assert [end - start for start, end, _ in spans(500, [], ChunkFrames(96, 240))] == [240, 130, 130]
    assert [end - start for start, end, _ in spans(480, [479], ChunkFrames(96, 480))] == [480]


def test_a_plan_comes_back(tmp_path: Path):
    plan = plan_of()
    path = tmp_path / "plan.json"
    path.write_bytes(plan.to_json())
    assert read_plan(str(path)) == plan
    assert read_plan(str(path)).digest == plan.digest


def test_a_plan_with_a_quality_carries_qps_in_eighths(tmp_path: Path):
    chunks = tuple(replace(chunk, levels=(8 * 40 + chunk.number, 8 * 63)) for chunk in plan_of().chunks)
    plan = plan_of(chunks=chunks, settings=EncodeSettings(target="psnr=40,scene"))
    path = tmp_path / "plan.json"
    path.write_bytes(plan.to_json())
    values = json.loads(plan.to_json())
    assert [chunk["qps"] for chunk in values["chunks"]] == [[40, 63], [40.125, 63]]
    assert read_plan(str(path)) == plan
    for qps, reason in ([63.5], "0..63 in steps"), ([40.1], "0..63 in steps"), ([], "none with it"):
        values["chunks"][1]["qps"] = qps
        path.write_text(json.dumps(values))
        with pytest.raises(InputError, match=reason):
            read_plan(str(path))


def test_a_plan_of_an_older_version_names_both_versions_and_the_way_out(tmp_path: Path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(json.loads(plan_of().to_json()) | {"plan_version": 1, "dcvc_version": "0.0.9"}))
    with pytest.raises(InputError, match=r"of version 1, made by dcvc 0\.0\.9; dcvc \S+ reads version 2") as caught:
        read_plan(str(path))
    assert "make the plan again with `dcvc plan`" in str(caught.value)


def test_the_digest_names_all_that_a_chunk_depends_on():
    plan = plan_of()
    assert plan_of(source="elsewhere.y4m").digest == plan.digest
    changes = [
        {"source_bytes": 6},
        {"options": InputOptions()},
        {"settings": EncodeSettings(qp=21)},
        {"allow_float": True},
        {"fingerprints": {"image_fingerprint": "3"}},
        {"dcvc_version": "9"},
        {"chunks": plan_of((4, 3)).chunks},
        {"chunks": tuple(replace(chunk, levels=(256,)) for chunk in plan_of().chunks)},
    ]
    assert len({plan.digest, *(plan_of(**change).digest for change in changes)}) == 1 + len(changes)
    assert plan_of(settings=EncodeSettings(qp=20, force_keyframes=(2, 4), threads=3)).digest == plan.digest


def leaves(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [found for key, child in items for found in leaves(child, (*path, key))]


@pytest.mark.parametrize("change", [None, -1, "x", [], {}, 1.5, 1 << 70])
def test_no_changed_value_is_more_than_an_input_error(tmp_path: Path, change: object):
    path = tmp_path / "plan.json"
    text = plan_of().to_json()
    for place in leaves(json.loads(text)):
        values = json.loads(text)
        inner = values
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = change
        path.write_text(json.dumps(values))
        with suppress(InputError):
            read_plan(str(path))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"format": "dcvc plan"}', b"[" * 100000])
def test_other_files_are_no_plan(tmp_path: Path, content: bytes):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="plan"):
        read_plan(str(path))


@pytest.mark.parametrize("lengths", [(0, 10), (5, 9), (1, 10_000_000)])
def test_lengths_that_no_chunks_can_have(lengths: tuple[int, int]):
    with pytest.raises(UsageError, match="--chunk-frames"):
        ChunkFrames(*lengths)
