"""`dcvc compare`: the published BD-rates, the files that it writes, and the errors that it tells."""

import base64
import json
import os
import subprocess
import sys
import xml.dom.minidom
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

pytest.importorskip("bjontegaard")
pytest.importorskip("matplotlib")

from dcvc_cli.commands.compare import compare
from dcvc_cli.errors import DcvcError, InputError, UsageError

ROOT = Path(__file__).parents[2]
ANCHORS = Path(os.environ.get("DCVC_ANCHORS", ROOT.parent / "shared" / "anchors"))
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def result_file(
    path: Path, factor: float = 1.0, sequences: tuple[str, ...] = ("a.yuv", "b.yuv"), **changes: Any
) -> Path:
    """Writes four rate points a sequence, 3 dB apart; a `factor` on every rate is the BD-rate."""
    rates = {
        f"{index:03d}": {
            "i_frame_num": 1,
            "p_frame_num": 7,
            "ave_all_frame_bpp": factor * 0.1 * 2**index,
            "ave_all_frame_psnr": 30.0 + 3 * index,
        }
        for index in range(4)
    }
    for label, figures in changes.items():
        rates[label.removeprefix("at_")] |= figures
    path.write_text(json.dumps({"A<b>": dict.fromkeys(sequences, rates)}))
    return path


@pytest.mark.skipif(not ANCHORS.is_dir(), reason="no published result files (DCVC_ANCHORS)")
def test_published_bd_rates(tmp_path: Path) -> None:
    tests = [f"--test=DCVC-RT={ANCHORS / f'dcvc_rt_{name}_RTX4090.json'}" for name in ("HEVC", "MCL", "UVG")]
    done = run(
        f"--anchor=VTM-17.0={ANCHORS / 'vtm_17.0_yuv420_LB_allf_ip0.json'}", *tests, "--json", tmp_path / "out.json"
    )
    assert done.exit_code == 0, done.output
    (test,) = json.loads((tmp_path / "out.json").read_text())["tests"]
    classes = {compared["name"]: compared for compared in test["classes"]}
    expected = {"HEVC_B": (-16.5, 4), "MCL-JCV": (-14.7, 30), "UVG": (-25.3, 7)}
    assert classes.keys() == expected.keys()
    for name, (percent, num_sequences) in expected.items():
        assert classes[name]["bd_rate_percent"] == pytest.approx(percent, abs=0.06)
        assert classes[name]["num_sequences"] == num_sequences
    assert any("Kimono_" in note for note in classes["HEVC_B"]["notes"])
    assert "-16.52 %" in done.stdout
    assert "Kimono_" in done.stderr


def test_table_goes_to_standard_output_and_remarks_to_standard_error(tmp_path: Path) -> None:
    anchor, test = result_file(tmp_path / "anchor.json"), result_file(tmp_path / "test.json", 0.8, ("a.y4m", "c.y4m"))
    done = run("--anchor", f"x264={anchor}", "--test", f"dcvc={test}", "--test", f"same={anchor}")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["a.y4m", "-20.00", "%"] in lines
    assert ["a.yuv", "+0.00", "%"] in lines
    assert ["A<b>,", "average", "curve", "-20.00", "%", "+0.00", "%"] in lines
    assert "c.y4m is not in the anchor" in done.stderr
    assert "c.y4m" not in done.stdout


def test_no_figure_is_made_up(tmp_path: Path) -> None:
    anchor = result_file(tmp_path / "anchor.json")
    test = result_file(tmp_path / "test.json", at_003={"ave_all_frame_psnr": 20.0})
    done = run(f"--anchor=x={anchor}", f"--test=y={test}", "--json", "-")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    average = document["tests"][0]["classes"][0]
    assert average["bd_rate_percent"] is None
    assert average["mean_sequence_bd_rate_percent"] is None
    assert "test curve: quality does not rise with the rate" in average["reason"]
    assert "quality does not rise" in done.stderr
    unmeasured = run(f"--anchor=x={anchor}", f"--test=y={anchor}", "--metric", "msssim")
    assert "msssim was not measured" in unmeasured.stderr


def test_different_frame_counts_are_said(tmp_path: Path) -> None:
    anchor, test = (
        result_file(tmp_path / "anchor.json"),
        result_file(tmp_path / "test.json", at_000={"p_frame_num": 95}),
    )
    assert (
        "a.yuv has 8 frames in the anchor and 8 or 96 in the test"
        in run(f"--anchor=x={anchor}", f"--test=y={test}").stderr
    )


def test_report_is_one_self_contained_page(tmp_path: Path) -> None:
    anchor, test, crop = (
        result_file(tmp_path / "anchor.json"),
        result_file(tmp_path / "test.json", 0.8),
        tmp_path / "crop.png",
    )
    crop.write_bytes(PNG)
    page = tmp_path / "page.html"
    done = run(f"--anchor=x={anchor}", f"--test=a & b={test}", "--html", page, "--crop", f"source={crop}")
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "-20.00 %" in text
    assert "a &amp; b" in text
    assert "A&lt;b&gt;" in text
    assert base64.b64encode(PNG).decode() in text
    assert text.count("<svg") == text.count("</svg>") == 3
    assert "A<b>" not in text
    assert "prefers-color-scheme: dark" in text
    assert "How it was made" in text
    for reference in ('src="http', 'href="http', "<link", "<script", "@import", "url(http"):
        assert reference not in text


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".SVG", b"<?xml")])
def test_plot(tmp_path: Path, suffix: str, start: bytes) -> None:
    anchor, plot = result_file(tmp_path / "anchor.json"), tmp_path / f"plot{suffix}"
    done = run(f"--anchor=x={anchor}", f"--test=y={result_file(tmp_path / 'test.json', 0.9)}", "--plot", plot)
    assert done.exit_code == 0, done.output
    content = plot.read_bytes()
    assert content.startswith(start)
    if suffix == ".SVG":
        xml.dom.minidom.parseString(content)
    again = run(f"--anchor=x={anchor}", f"--test=y={tmp_path / 'test.json'}", "--plot", plot)
    assert isinstance(again.exception, UsageError)
    replaced = run(f"--anchor=x={anchor}", f"--test=y={tmp_path / 'test.json'}", "--plot", plot, "-y")
    assert replaced.exit_code == 0
    assert plot.read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["--anchor=x", "--test=y={0}"], UsageError, "expected NAME=FILE"),
        (["--anchor=x=", "--test=y={0}"], UsageError, "expected NAME=FILE"),
        (["--anchor=x={0}", "--anchor=z={0}", "--test=y={0}"], UsageError, "given under 2 names"),
        (["--anchor=x={0}", "--test=y={0}", "--test=y={0}"], InputError, "stands in"),
        (["--anchor=x={0}", "--test=y={0}", "--plot=plot.jpg"], UsageError, ".png or .svg"),
        (["--anchor=x={0}", "--test=y={0}", "--metric=ssimulacra"], UsageError, "--metric ssimulacra is not known"),
        (["--anchor=x={0}", "--test=y={0}.none"], InputError, "cannot be read"),
        (["--anchor=x={0}", "--test=y={1}"], InputError, "no sequence in common"),
        (["--anchor=x={0}", "--test=y={0}", "--html={1}.html", "--crop=c={0}"], InputError, "not a PNG file"),
    ],
)
def test_errors_say_what_was_expected(
    tmp_path: Path, arguments: list[str], kind: type[DcvcError], message: str
) -> None:
    files = result_file(tmp_path / "one.json"), result_file(tmp_path / "two.json", sequences=("other.yuv",))
    done = run(*(argument.format(*files) for argument in arguments))
    assert isinstance(done.exception, kind)
    assert message in str(done.exception)
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_importing_the_command_loads_nothing_heavy() -> None:
    code = (
        "import sys, dcvc_cli.commands.compare; print({'torch', 'matplotlib', 'bjontegaard', 'scipy'} & "
        "set(sys.modules) or 'light')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "light"


def test_no_escape_codes_in_a_pipe(tmp_path: Path) -> None:
    anchor = result_file(tmp_path / "anchor.json")
    code = (
        "import sys, typer; from dcvc_cli.commands.compare import compare; a = typer.Typer(); a.command()(compare); a()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"--anchor=x={anchor}", f"--test=y={anchor}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert "+0.00 %" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
