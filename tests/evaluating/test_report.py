"""The page of a comparison: plain numbers, labels apart, values under the pointer, settings and points told."""

import re
import subprocess
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from dcvc_cli.evaluating.comparison_plots import Panel
from dcvc_cli.evaluating.comparison_report import html_report
from dcvc_cli.evaluating.report_curves import WIDTH, curves_svg, plain
from dcvc_cli.metrics.results import RatePoint, Results
from tests.support.programs import tool


def panel(*rates: float) -> Panel:
    return Panel(
        "a & b", (("x265", [(rate, 30 + 3 * n) for n, rate in enumerate(rates)]), ("dcvc", [(rates[0], 33.0)]))
    )


@pytest.mark.parametrize("rates", [(0.012, 0.05, 0.3), (0.5, 0.52), (0.0001, 9.0), (0.1,), (3000.0, 4000.0)])
def test_labels_of_an_axis_do_not_meet_and_are_plain(rates: tuple[float, ...]):
    tree = ET.fromstring(curves_svg(panel(*rates), "psnr", ["x265", "dcvc"]))
    ticks = [node for node in tree.iter("text") if node.get("class") == "tick"]
    below = sorted((float(node.get("x")), node.text) for node in ticks if node.get("text-anchor") == "middle")
    for (left, first), (right, second) in pairwise(below):
        assert left + 3.5 * len(first) < right - 3.5 * len(second)
    beside = sorted(float(node.get("y")) for node in ticks if node.get("text-anchor") == "end")
    assert all(later - earlier > 14 for earlier, later in pairwise(beside))
    assert 2 <= len(beside) <= 7
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", node.text) for node in ticks if node.get("text-anchor"))
    assert all(0 <= float(node.get("cx")) <= WIDTH for node in tree.iter("circle"))


def test_the_pointer_reads_values():
    tree = ET.fromstring(curves_svg(panel(0.0125, 0.25), "psnr", ["x265", "dcvc"]))
    titles = [node.find("title").text for node in tree.iter("circle") if node.find("title") is not None]
    assert titles == ["x265: 0.0125 bpp, 30 dB", "x265: 0.25 bpp, 33 dB", "dcvc: 0.0125 bpp, 33 dB"]


@pytest.mark.parametrize(("number", "text"), [(0.00002, "0.00002"), (20.0, "20"), (0.0, "0"), (34.5, "34.5")])
def test_numbers_have_no_exponent(number: float, text: str):
    assert plain(number) == text


def test_settings_speeds_and_points_stand_on_the_page():
    figures = {"ave_all_frame_psnr": 33.25, "ave_all_frame_vmaf": 91.5, "avg_frame_encoding_time": 0.25}
    point = RatePoint("000", 0.125, 8, figures, "dcvc model=lite <b>")
    page = html_report(
        "x265",
        [],
        "psnr",
        "akima",
        measured={"dcvc": Results("r.json", {"A": {"clip": (point,)}})},
        command="dcvc compare --html r.html",
    )
    assert "<code>dcvc model=lite &lt;b&gt;</code>" in page
    assert "<td>4</td>" in page, "frames a second"
    row = "<tr><td>dcvc</td><td>A: clip</td><td>000</td><td>8</td><td>0.125</td><td>33.250</td><td>91.50</td></tr>"
    assert row in page
    assert "<th>VMAF</th>" in page
    assert "<th>XPSNR</th>" not in page
    assert "<code>dcvc compare --html r.html</code>" in page


def page_with_frames() -> str:
    measured = {}
    for name, more in (("x265", 0.0), ("dcvc", 4.0)):
        psnr = tuple(value + more for value in (36.0, 32.5, 33.0, 31.5))
        point = RatePoint("000", 0.125, 4, {"ave_all_frame_psnr": 33.25 + more}, frame_psnr=psnr)
        measured[name] = Results("r.json", {"A": {"clip.y4m": (point,)}})
    return html_report("x265", [], "psnr", "akima", measured=measured)


def test_frames_have_curves_of_their_own():
    page = page_with_frames()
    tree = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    titles = [node.find("title").text for node in tree.iter("circle") if node.find("title") is not None]
    assert titles[:2] == ["x265, 0.125 bpp: frame 0, 36 dB", "x265, 0.125 bpp: frame 1, 32.5 dB"]
    places = [float(node.get("cx")) for node in tree.iter("circle") if node.find("title") is not None][:4]
    assert places[1] - places[0] == pytest.approx(places[3] - places[2], abs=0.2)


HOVER = """<script>
addEventListener("load", () => {
  const wanted = [...document.querySelectorAll(".curves circle")].find((circle) => circle.querySelector("title"));
  const box = wanted.getBoundingClientRect();
  window.scrollTo(0, box.top);
  const now = wanted.getBoundingClientRect();
  const found = document.elementFromPoint(now.left + now.width / 2, now.top + now.height / 2);
  const told = document.createElement("p");
  told.id = "told";
  told.textContent = found === wanted ? found.querySelector("title").textContent : "something else: " + found.tagName;
  document.body.append(told);
});
</script>"""


def test_a_browser_shows_the_value_under_the_pointer(tmp_path: Path):
    """Headless Chromium lays the page out; what lies under the pointer at a point's place tells that point's values."""
    browser = tool("chromium", "chromium-browser", "google-chrome")
    page = tmp_path / "page.html"
    page.write_text(page_with_frames().replace("</body>", HOVER + "</body>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert '<p id="told">x265, 0.125 bpp: frame 0, 36 dB</p>' in done.stdout, done.stdout[-2000:] + done.stderr[-500:]
