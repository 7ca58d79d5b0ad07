"""docs/rate-control.md says the numbers that the code holds, and its options exist."""

import re
from pathlib import Path

from dcvc_cli.coding import passes, quality_search, quality_target
from dcvc_cli.commands.coding_options import LocalCodingOptions
from dcvc_cli.control import crf, levels, rate, two_pass

ROOT = Path(__file__).resolve().parents[2]
PAGE = " ".join((ROOT / "docs" / "rate-control.md").read_text(encoding="utf-8").split())
WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def test_steps_and_times_are_those_of_the_code():
    assert f"A group of {WORDS[rate.GROUP]} frames has one base QP" in PAGE
    assert f"The QP rises by {rate.MAX_STEP} at most from group to group" in PAGE
    assert f"may raise the QP by up to {rate.MAX_STEP_AT_CUT}" in PAGE
    assert f"over the next {WORDS[rate.KNOWN_WINDOW_SECONDS]} seconds" in PAGE
    assert f"over {WORDS[rate.WINDOW_SECONDS]} seconds" in PAGE
    assert f"moves the QP by {two_pass.MAX_STEP} at most" in PAGE
    assert f"by any step from group to group and rises by {two_pass.MAX_VBV_RISE} at most" in PAGE
    assert f"a QP more than {passes.NEAR_QPS} from that of the first pass" in PAGE


def test_margins_and_tolerances_are_those_of_the_code():
    margins = passes.SIZE_MARGINS
    assert f"aims {margins[2]} % below it in two passes and {margins[1]} % below it in one" in PAGE
    assert f"gets up to {crf.MOST_UP} QPs more" in PAGE
    assert f"gets {crf.MOST_DOWN} less" in PAGE
    assert f"codes the clip up to {WORDS[quality_search.MAX_PROBES]} times" in PAGE
    assert levels.PARTS == 8
    assert "in steps of an eighth" in PAGE
    tolerances = quality_target.TOLERANCES
    assert f"{tolerances['psnr']} dB or {tolerances['vmaf']} points of VMAF" in PAGE
    rows = re.findall(r"\| (\w+) \| (?:dB|0..100)", PAGE)
    assert rows == list(quality_target.RANGES)


def test_every_option_is_one():
    known = {name.replace("_", "-") for name in LocalCodingOptions.__dataclass_fields__} | {
        "stats",
        "no-tracks",
        "validate",
    }
    assert set(re.findall(r"--([a-z][a-z-]*)", PAGE)) <= known
