"""DCVC-UF through the command line: chunks, the last and the cut one, I frames, resets, seeking and pipes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.codec.choices import DEFAULT_SKIP_THRESHOLD
from dcvc_cli.families.uf.elementary_stream import ElementaryReader
from dcvc_cli.families.uf.video import UfVideoModel
from tests.support.clips import y4m_clip
from tests.support.published import FAMILY_CASES
from tests.support.streams import pictures_of, units_of

Call = Callable[..., int]
WIDTH, HEIGHT = 34, 18
FRAME_BYTES = WIDTH * HEIGHT * 3 // 2


def layout_of(path: Path) -> list[tuple[str, int, bool]]:
    """Returns (type, pictures, reset) of every unit."""
    return [(unit.frame_type.name, unit.pictures.num_pictures, unit.reset) for unit in units_of(path)]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.y4m"
    path.write_bytes(y4m_clip(WIDTH, HEIGHT, 30))
    return path


def encode(call_uf: Call, clip: Path, kind: str, *options: object) -> Path:
    stream = clip.parent / f"{kind}.dcvc"
    recon = clip.parent / "recon.y4m"
    coding = ("--model", f"tiny-uf-{kind}", "--threads", 1, "-q", "-y", *options)
    assert call_uf("encode", clip, "-o", stream, "--recon", recon, *coding) == 0
    return stream


@pytest.mark.parametrize("kind", ["ld", "hts", "htl"])
def test_decoded_pictures_are_the_encoders(call_uf: Call, clip: Path, tmp_path: Path, kind: str) -> None:
    stream = encode(call_uf, clip, kind, "--keyint", 12, "--force-keyframes", "5", "--hash", "md5")
    assert call_uf("decode", stream, "-o", tmp_path / "out.y4m", "--threads", 1, "-q") == 0
    assert (tmp_path / "out.y4m").read_bytes() == (tmp_path / "recon.y4m").read_bytes()
    assert len(pictures_of(tmp_path / "out.y4m")) == 30
    reports = [name for name, _, _ in layout_of(stream)]
    assert reports.count("I") == 4, "pictures 0, 5, 17 and 29"


def test_a_chunk_ends_early_before_an_i_frame_and_at_the_end(call_uf: Call, clip: Path) -> None:
    stream = encode(call_uf, clip, "hts", "--keyint", 12)
    gop = [("I", 1, False), ("P", 8, False), ("P", 3, False)]
    assert layout_of(stream) == [*gop, *gop, ("I", 1, False), ("P", 5, False)]
    assert {unit.payload[0] for unit in units_of(stream)} == {1}, "few symbols have one coder"


def test_units_before_a_first_one_of_an_interval_leave_no_memory(call_uf: Call, clip: Path) -> None:
    chunks = encode(call_uf, clip, "htl", "--keyint", -1, "--reset-interval", 16)
    assert [reset for _, _, reset in layout_of(chunks)] == [False, False, True, False, True]
    single = encode(call_uf, clip, "ld", "--keyint", -1, "--reset-interval", 8)
    assert [index for index, (_, _, reset) in enumerate(layout_of(single)) if reset] == [8, 16, 24]
    for stream in (chunks, single):
        assert call_uf("decode", stream, "-o", clip.parent / "out.y4m", "--threads", 1, "-q", "-y") == 0


def test_a_block_that_two_pictures_share_runs_once(call_uf: Call, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = encode(call_uf, clip, "hts")
    numbers: list[int] = []
    pair = UfVideoModel.pair

    def noted(self: UfVideoModel, ops: object, feature: object, number: int) -> object:
        numbers.append(number)
        return pair(self, ops, feature, number)

    monkeypatch.setattr(UfVideoModel, "pair", noted)
    assert call_uf("decode", stream, "-o", "null", "--threads", 1, "-q") == 0
    assert numbers == [0, 1, 2, 3] * 3 + [0, 1, 2], "three chunks, and five pictures of a fourth"


@pytest.mark.parametrize("seek", [3, 12, 15, 29])
def test_seeking_finds_the_picture_inside_a_chunk(call_uf: Call, clip: Path, tmp_path: Path, seek: int) -> None:
    stream = encode(call_uf, clip, "hts", "--keyint", 12)
    options = ("--seek", seek, "--frames", 7, "--threads", 1, "-q")
    assert call_uf("decode", stream, "-o", tmp_path / "part.y4m", *options) == 0
    assert pictures_of(tmp_path / "part.y4m") == pictures_of(tmp_path / "recon.y4m")[seek : seek + 7]


def test_info_counts_pictures_and_units(call_uf: Call, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = encode(call_uf, clip, "hts", "--keyint", 12)
    assert call_uf("info", "--json", stream) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_frames"] == 30
    assert (facts["sps"][0]["model_family"], facts["sps"][0]["model_variant"]) == ("dcvc-uf", "tiny-uf-hts")
    assert facts["sps"][0]["entropy_format"] == "family"
    assert facts["is_intact"]


def test_rgb_pictures_come_back_as_rgb(call_uf: Call, tmp_path: Path) -> None:
    for index in range(3):
        sample = np.random.default_rng(index).integers(0, 255, (20, 28, 3)).astype(np.uint8)
        Image.fromarray(sample).save(tmp_path / f"in{index:03d}.png")
    stream = tmp_path / "rgb.dcvc"
    coding = ("--model", "tiny-uf-ld", "--threads", 1, "-q", "--recon", tmp_path / "recon%03d.png")
    assert call_uf("encode", tmp_path / "in%03d.png", "-o", stream, *coding) == 0
    assert call_uf("decode", stream, "-o", tmp_path / "out%03d.png", "--threads", 1, "-q") == 0
    recon, output = (sorted(tmp_path.glob(f"{stem}*.png")) for stem in ("recon", "out"))
    assert len(recon) == len(output) == 3
    for expected, found in zip(recon, output, strict=True):
        pictures = [np.asarray(Image.open(path)) for path in (expected, found)]
        assert pictures[0].shape == (20, 28, 3)
        assert (pictures[0] == pictures[1]).all()


def test_other_entropy_formats_are_refused(call_uf: Call, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coding = ("--model", "tiny-uf-ld", "--entropy-format", "compact", "-q")
    assert call_uf("encode", clip, "-o", clip.parent / "a.dcvc", *coding) == 2
    assert "has no entropy format compact" in capsys.readouterr().err


def test_payloads_that_the_published_codec_cannot_read_are_not_remuxed(
    call_uf: Call, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = encode(call_uf, clip, "ld")
    assert call_uf("remux", stream, "-o", clip.parent / "a.bin") == 4
    told = " ".join(capsys.readouterr().err.split())
    assert "in the family format, which the published codec cannot read" in told
    assert "--entropy-format published-one" in told
    assert not list(clip.parent.glob("a.*"))


@pytest.mark.parametrize("case", ["image_tiny_18x10", "ld_tiny_18x10"])
def test_a_published_stream_comes_back_byte_for_byte(call_uf: Call, tmp_path: Path, case: str) -> None:
    elementary, stream, back = (
        FAMILY_CASES / "dcvc-uf" / case / "stream.bin",
        tmp_path / "a.dcvc",
        tmp_path / "back.bin",
    )
    assert call_uf("remux", elementary, "-o", stream, "--model", "uf-ld", "-q") == 0
    assert call_uf("remux", stream, "-o", back, "-q") == 0
    assert back.read_bytes() == elementary.read_bytes()
    with elementary.open("rb") as source:
        published = list(ElementaryReader(source))
    assert [unit.payload for unit in units_of(stream)] == [
        bytes([unit.num_coders]) + unit.payload for unit in published
    ]


@pytest.mark.parametrize("kind", ["ld", "hts", "htl"])
def test_an_elementary_stream_decodes_as_the_stream_that_it_came_from(
    call_uf: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    coding = ("--precision", "fp32", "--entropy-format", "published-one", "--reset-interval", 16)
    stream = encode(call_uf, clip, kind, *coding)
    assert call_uf("remux", stream, "-o", tmp_path / "a.bin") == 0
    cut = "that 1 chunks hold fewer pictures than they code" in " ".join(capsys.readouterr().err.split())
    assert cut is (kind != "ld"), "30 pictures are an I frame, three chunks and five more"
    known = ("--model", f"tiny-uf-{kind}", "--force-zero-thres", DEFAULT_SKIP_THRESHOLD, "-q")
    assert call_uf("remux", tmp_path / "a.bin", "-o", tmp_path / "b.dcvc", *known) == 0
    assert [unit.reset for unit in units_of(tmp_path / "b.dcvc")] == [unit.reset for unit in units_of(stream)]
    assert call_uf("decode", tmp_path / "b.dcvc", "-o", tmp_path / "b.y4m", "--threads", 1, "-q") == 0
    found, wanted = pictures_of(tmp_path / "b.y4m"), pictures_of(tmp_path / "recon.y4m")
    assert len(wanted) == 30
    assert found[:30] == wanted
    assert len(found) == (30 if kind == "ld" else 33), "all eight pictures of the last chunk are there"


def test_bench_measures_chunks(call_uf: Call, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--size", "48x32", "--frames", 17, "--threads", 1, "--json")
    assert call_uf("bench", "--model", "tiny-uf-hts", "--model", "tiny-uf-ld", *options) == 0
    chunks, single = json.loads(capsys.readouterr().out)["results"]
    assert (chunks["decode"]["P"]["num_frames"], single["decode"]["P"]["num_frames"]) == (16, 16)
    assert {"analysis", "temporal context", "priors", "entropy coding"} <= set(chunks["encode"]["P"]["stage_ms"])
    assert "reconstruction" not in chunks["encode"]["P"]["stage_ms"], (
        "an encoder makes no pictures that nobody asks for"
    )
    assert "reconstruction" in chunks["decode"]["P"]["stage_ms"]


def test_a_decoder_in_a_pipe_gives_out_a_chunk_before_the_next_one_is_there(
    call_uf: Call, clip: Path, uf_home: Path
) -> None:
    stream = encode(call_uf, clip, "hts", "--keyint", -1)
    units, data = units_of(stream), stream.read_bytes()
    end_of_chunk = units[2].offset
    command = [sys.executable, "-m", "dcvc_cli", "decode", "-", "-o", "-", "--output-format", "yuv", "-q"]
    environment = {**os.environ, "DCVC_HOME": str(uf_home), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data[:end_of_chunk])
        process.stdin.flush()
        first = process.stdout.read(9 * FRAME_BYTES)
        process.stdin.write(data[end_of_chunk:])
        process.stdin.close()
        rest = process.stdout.read()
    assert process.returncode == 0
    assert first + rest == b"".join(pictures_of(clip.parent / "recon.y4m"))


@pytest.mark.parametrize("lost", ["damaged", "missing"])
def test_a_lost_chunk_is_passed_over(call_uf: Call, clip: Path, tmp_path: Path, lost: str) -> None:
    """The lost pictures keep their numbers, and so do the pictures up to the next I frame."""
    stream, output = encode(call_uf, clip, "hts", "--keyint", 12), tmp_path / "out.y4m"
    data = bytearray(stream.read_bytes())
    whole = (tmp_path / "recon.y4m").read_bytes().split(b"FRAME\n")[1:]
    chunk = units_of(stream)[4]
    assert chunk.pictures.num_pictures == 8
    at = data.index(chunk.payload)
    if lost == "damaged":
        data[at + 5] ^= 0xFF
    else:
        end = at + len(chunk.payload) + 4
        del data[chunk.offset : end]
    stream.write_bytes(data)
    for choice, shown in (
        ("skip", [*range(13), *range(24, 30)]),
        ("conceal", [*range(13), *[12] * 11, *range(24, 30)]),
    ):
        assert call_uf("decode", stream, "-o", output, "--threads", 1, "-q", "-y", "--on-error", choice) == 4
        assert pictures_of(output) == [whole[index] for index in shown], choice


@pytest.mark.parametrize("kind", ["ld", "hts"])
def test_eval_measures_two_rates(call_uf: Call, tmp_path: Path, kind: str) -> None:
    (tmp_path / "clip.yuv").write_bytes(np.random.default_rng(1).bytes(12 * FRAME_BYTES))
    sequence = {"width": WIDTH, "height": HEIGHT, "frames": 12, "intra_period": -1}
    tests = {"T": {"test": 1, "base_path": "", "src_type": "yuv420", "sequences": {"clip.yuv": sequence}}}
    (tmp_path / "test.json").write_text(json.dumps({"root_path": str(tmp_path), "test_classes": tests}))
    rates = ("--rate-num", 2, "--qp-i", "10,40", "--qp-p", "10,40", "--threads", 1)
    model = ("--model", f"tiny-uf-{kind}")
    assert call_uf("eval", tmp_path / "test.json", "-o", tmp_path / "result.json", *model, *rates) == 0
    points = json.loads((tmp_path / "result.json").read_text())["T"]["clip.yuv"]
    assert len(points) == 2
    for point in points.values():
        assert (point["i_frame_num"], point["p_frame_num"]) == (1, 11)
        assert point["ave_all_frame_bpp"] > 0
