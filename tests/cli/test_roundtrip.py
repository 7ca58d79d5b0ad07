"""Encode and decode through the command line: what comes back is what the encoder saw, with its size, tags and
order."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import y4m_clip
from tests.support.processes import Run
from tests.support.published import CONFORMANCE

Call = Callable[..., int]


def frames_of(y4m: bytes) -> list[bytes]:
    return y4m.split(b"FRAME\n")[1:]


def test_files_and_reports(dcvc: Run, tmp_path: Path) -> None:
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(96, 90, 40, tags="F30000:1001 It A10:11 C420mpeg2 XCOLORRANGE=LIMITED"))
    reports = (
        "--recon",
        tmp_path / "recon.y4m",
        "--csv",
        tmp_path / "frames.csv",
        "--json",
        tmp_path / "run.json",
        "--psnr",
        "--msssim",
    )
    done = dcvc(
        "encode",
        clip,
        "-o",
        tmp_path / "a.dcvc",
        "--model",
        "tiny",
        "--keyint",
        38,
        "--qp-p",
        20,
        "--progress",
        "json",
        *reports,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert b"\x1b" not in done.stderr
    last_line = json.loads(next(line for line in done.stderr.splitlines()[::-1] if line.startswith(b"{")))
    assert (last_line["event"], last_line["state"], last_line["frame"], last_line["num_frames"]) == (
        "encode",
        "done",
        40,
        40,
    )

    decoded = dcvc("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out.y4m")
    assert decoded.returncode == 0, decoded.stderr
    assert decoded.stderr.count(b"warning") == 1, "fp32 holds on one software stack only, and says so once"
    assert b"fp32" in decoded.stderr
    output = (tmp_path / "out.y4m").read_bytes()
    assert output == (tmp_path / "recon.y4m").read_bytes()
    assert output.split(b"\n")[0] == clip.read_bytes().split(b"\n")[0]

    with open(tmp_path / "frames.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["schema_version"] == 1
    assert document["settings"]["qp_base"] == 32
    assert [row["type"] for row in rows] == ["I", *["P"] * 37, "I", "P"]
    assert [int(row["qp_frame"]) for row in rows[:9]] == [32, 28, 20, 24, 20, 24, 20, 24, 20]
    assert [frame["size_bytes"] for frame in document["frames"]] == [int(row["size_bytes"]) for row in rows]
    assert document["summary"]["size_bytes"] == (tmp_path / "a.dcvc").stat().st_size
    luma = np.frombuffer(frames_of(output)[3], np.uint8)[: 96 * 90].astype(float)
    error = np.mean((luma - np.frombuffer(frames_of(clip.read_bytes())[3], np.uint8)[: 96 * 90]) ** 2)
    assert float(rows[3]["psnr_y"]) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-4)
    assert rows[3]["msssim_y"]
    assert not rows[3]["msssim_u"], "planes below 88 samples have no MS-SSIM"

    shown = dcvc("info", "--json", tmp_path / "a.dcvc")
    facts = json.loads(shown.stdout)
    assert shown.returncode == 0
    assert [frame["size_bytes"] for frame in facts["frames"]] == [frame["size_bytes"] for frame in document["frames"]]
    assert facts["num_hashes"] == 4, "frames 0, 32, 38 and the last"
    assert facts["sps"][0]["weights"] == "here"
    assert facts["sps"][0]["frame_rate"] == "30000/1001"
    assert facts["is_intact"]
    assert facts["has_end"]


def test_pipes(dcvc: Run, tmp_path: Path) -> None:
    clip = y4m_clip(64, 48, 6)
    coded = dcvc("encode", "-", "-o", "-", "--model", "tiny", "--csv", tmp_path / "a.csv", input=clip)
    assert coded.returncode == 0, coded.stderr
    decoded = dcvc("decode", "-", "-o", "-", input=coded.stdout)
    assert decoded.returncode == 0, decoded.stderr
    assert decoded.stdout.startswith(b"YUV4MPEG2 W64 H48 ")
    assert len(frames_of(decoded.stdout)) == 6
    (tmp_path / "a.dcvc").write_bytes(coded.stdout)
    raw = dcvc("decode", tmp_path / "a.dcvc", "-o", "-", "--output-format", "yuv", "-q")
    assert raw.stdout == b"".join(frames_of(decoded.stdout))
    assert raw.stderr == b""


def test_exact(dcvc: Run, tmp_path: Path, dcvc_environment: dict[str, str]) -> None:
    """Weights with an exact form use it unasked; any number of threads decodes the encoder's pictures, and no decoder
    loads PyTorch."""
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(49, 35, 5))
    recon = tmp_path / "recon.y4m"
    done = dcvc(
        "encode",
        tmp_path / "clip.y4m",
        "-o",
        tmp_path / "a.dcvc",
        "--model",
        "tiny-exact",
        "--recon",
        recon,
        "--hash",
        "md5",
    )
    assert done.returncode == 0, done.stderr
    assert b"tiny-exact, exact on cpu" in done.stderr
    program = """
import sys
from dcvc_cli.app import run
for threads in ("1", "2"):
    assert run(["decode", sys.argv[1], "-o", f"{sys.argv[1]}.{threads}.y4m", "--threads", threads]) == 0
assert "torch" not in sys.modules
"""
    command = [sys.executable, "-c", program, str(tmp_path / "a.dcvc")]
    decoded = subprocess.run(command, env=dcvc_environment, capture_output=True, timeout=60, check=False)
    assert decoded.returncode == 0, decoded.stderr.decode()
    assert b"warning" not in decoded.stderr
    for threads in (1, 2):
        assert (tmp_path / f"a.dcvc.{threads}.y4m").read_bytes() == recon.read_bytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (17, 33), (64, 64)])
def test_sizes(call: Call, tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(*size, 4))
    assert (
        call(
            "encode", tmp_path / "clip.y4m", "-o", tmp_path / "a.dcvc", "--recon", tmp_path / "recon.y4m", "--qp", "63"
        )
        == 0
    )
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out.y4m") == 0
    output = (tmp_path / "out.y4m").read_bytes()
    assert output == (tmp_path / "recon.y4m").read_bytes()
    assert len(output) == len((tmp_path / "clip.y4m").read_bytes())


def test_png(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(1)
    for number in range(3):
        Image.fromarray(random.integers(0, 256, (19, 21, 3), dtype=np.uint8)).save(
            tmp_path / "in" / f"im{number:05d}.png"
        )
    assert call("encode", tmp_path / "in", "-o", tmp_path / "a.dcvc", "--recon", tmp_path / "recon") == 0
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out") == 0
    names = [f"im{number:05d}.png" for number in (1, 2, 3)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert all((tmp_path / "out" / name).read_bytes() == (tmp_path / "recon" / name).read_bytes() for name in names)
    assert np.asarray(Image.open(tmp_path / "out" / names[0])).shape == (19, 21, 3)


def test_raw_size_from_name(call: Call, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frames = b"".join(frames_of(y4m_clip(34, 18, 3)))
    (tmp_path / "clip_34x18_30.yuv").write_bytes(frames)
    assert call("encode", tmp_path / "clip_34x18_30.yuv", "-o", tmp_path / "a.dcvc") == 0
    assert "34x18 taken from the name" in capfd.readouterr().err
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out.yuv") == 0
    assert (tmp_path / "out.yuv").stat().st_size == len(frames)


def test_seek(call: Call, tmp_path: Path) -> None:
    """--seek and --frames give the same pictures as a whole decode, from an index, from a scan, and across a join."""
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(32, 32, 12))
    assert (
        call("encode", tmp_path / "clip.y4m", "-o", tmp_path / "a.dcvc", "--keyint", "5", "--force-keyframes", "3") == 0
    )
    assert call("concat", tmp_path / "a.dcvc", tmp_path / "a.dcvc", "-o", tmp_path / "two.dcvc") == 0
    two = (tmp_path / "two.dcvc").read_bytes()
    (tmp_path / "cat.dcvc").write_bytes((tmp_path / "a.dcvc").read_bytes() * 2)
    (tmp_path / "no_index.dcvc").write_bytes(
        two[: two.rindex(b"\x40")]
    )  # cut inside the index: found by reading through
    assert call("decode", tmp_path / "two.dcvc", "-o", tmp_path / "all.y4m") == 0
    whole = frames_of((tmp_path / "all.y4m").read_bytes())
    assert len(whole) == 24
    for name in ("two", "cat", "no_index"):
        for seek, count in ((0, 1), (4, 3), (7, 8), (23, 1)):
            code = call(
                "decode",
                tmp_path / f"{name}.dcvc",
                "-o",
                tmp_path / "part.y4m",
                "-y",
                "--seek",
                seek,
                "--frames",
                count,
            )
            if name == "no_index" and seek + count == 24:
                assert code == 4, "after the last frame comes the damage"
                continue
            assert code == 0
            assert frames_of((tmp_path / "part.y4m").read_bytes()) == whole[seek : seek + count], (name, seek, count)


@pytest.mark.parametrize(
    "names", [("default",), ("archive",), ("low-latency",), ("steady",), ("streaming",), ("broadcast",)]
)
def test_presets(call: Call, tmp_path: Path, names: tuple[str]) -> None:
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(16, 16, 2))
    (tmp_path / "mine.yaml").write_text("qp: 10\nkeyint: 7\nforce-keyframes: [1]\n")
    report = tmp_path / "run.json"
    assert call("encode", tmp_path / "clip.y4m", "-o", tmp_path / "a.dcvc", "--preset", names[0], "--json", report) == 0
    arguments = ("--preset", names[0], "--config", tmp_path / "mine.yaml", "--keyint", "9", "--json", report)
    assert call("encode", tmp_path / "clip.y4m", "-y", "-o", tmp_path / "a.dcvc", *arguments) == 0
    document = json.loads(report.read_text())
    assert document["settings"]["qp_base"] == 10, "a config file stands over a preset"
    assert document["settings"]["keyint"] == 9, "the command line stands over both"
    assert [frame["type"] for frame in document["frames"]] == ["I", "I"]


@pytest.mark.parametrize("entropy_format", ["published-one", "published-two"])
def test_remux_of_our_own(call: Call, tmp_path: Path, entropy_format: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Through the elementary stream and back, given what it loses, the pictures are the same."""
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(40, 24, 6))
    arguments = ("--entropy-format", entropy_format, "--keyint", "4", "--recon", tmp_path / "recon.y4m")
    assert call("encode", tmp_path / "clip.y4m", "-o", tmp_path / "a.dcvc", *arguments) == 0
    assert call("remux", tmp_path / "a.dcvc", "-o", tmp_path / "a.bin") == 0
    assert "lost: the skip threshold, 0.12, which a decoder must be told" in capfd.readouterr().err
    told = ("--force-zero-thres", "0.12", "--fps", "30", "--model", "tiny", "--precision", "fp32")
    assert call("remux", tmp_path / "a.bin", "-o", tmp_path / "b.dcvc", *told) == 0
    for name in ("a", "b"):
        assert call("decode", tmp_path / f"{name}.dcvc", "-o", tmp_path / f"{name}.yuv") == 0
    raw = b"".join(frames_of((tmp_path / "recon.y4m").read_bytes()))
    assert (tmp_path / "a.yuv").read_bytes() == (tmp_path / "b.yuv").read_bytes() == raw


@pytest.mark.native
def test_our_own_formats_of_lite(call: Call, tmp_path: Path) -> None:
    """The weights in the box, motion included: both formats decode to what the encoder saw; small pictures are compact
    unless told otherwise."""
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(80, 48, 6))
    sizes, pictures = {}, {}
    for name in ("auto", "compact", "partitioned"):
        arguments = ("--model", "lite", "--entropy-format", name, "--keyint", "4", "--recon", tmp_path / "recon.y4m")
        assert call("encode", tmp_path / "clip.y4m", "-y", "-o", tmp_path / f"{name}.dcvc", *arguments) == 0
        assert call("info", "--validate", tmp_path / f"{name}.dcvc") == 0
        assert call("decode", tmp_path / f"{name}.dcvc", "-o", tmp_path / f"{name}.yuv") == 0
        pictures[name] = (tmp_path / f"{name}.yuv").read_bytes()
        assert pictures[name] == b"".join(frames_of((tmp_path / "recon.y4m").read_bytes()))
        sizes[name] = (tmp_path / f"{name}.dcvc").stat().st_size
    assert pictures["auto"] == pictures["compact"] == pictures["partitioned"]
    assert sizes["auto"] == sizes["compact"]
    # Two I frames of 4 bytes less and four P frames of 5 or 6 less; the text of the settings names the format.
    assert sizes["partitioned"] - sizes["compact"] - len("partitioned") + len("compact") >= 24


def test_remux_both_ways(call: Call, tmp_path: Path) -> None:
    stream = next(iter(sorted(CONFORMANCE.glob("**/stream.bin"))))
    assert call("remux", stream, "-o", tmp_path / "a.dcvc", "--force-zero-thres", "0.12", "--fps", "30000/1001") == 0
    assert call("info", "--validate", tmp_path / "a.dcvc") == 0
    assert call("remux", tmp_path / "a.dcvc", "-o", tmp_path / "back.bin") == 0
    assert (tmp_path / "back.bin").read_bytes() == stream.read_bytes()
