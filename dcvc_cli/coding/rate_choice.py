"""Chooses what gives the QPs of an encode, where needed by coding the clip before."""

from collections.abc import Callable
from dataclasses import dataclass

from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.coding.pass_stats import pass_key, read_stats, write_stats
from dcvc_cli.coding.passes import first_pass, one_pass, second_pass
from dcvc_cli.coding.quality_run import FoundQuality, search_quality
from dcvc_cli.coding.quality_search import QualityProbes, clip_coder
from dcvc_cli.coding.quality_target import QualityTarget
from dcvc_cli.control.rate import RateControl, RateTarget
from dcvc_cli.errors import UsageError
from dcvc_cli.format.types import VideoFormat
from dcvc_cli.media import PictureReader


@dataclass(frozen=True)
class ChosenRate:
    """What gives the QPs.

    Attributes:
        control: None leaves the QPs to the settings.
        found: what a search for a quality found; None without one.
    """

    control: RateControl | None
    found: FoundQuality | None = None


def needs_passes(settings: EncodeSettings) -> bool:
    """Returns whether the clip is coded before it is coded."""
    return settings.passes == 2 or settings.target is not None


def check_passes(settings: EncodeSettings, reader: PictureReader | None, stats: str | None) -> None:
    """Checks that the clip can be read as often as the settings ask for.

    Args:
        reader: None for pictures that come one at a time.
        stats: the file of a first pass, or None.

    Raises:
        UsageError: it cannot, or a file of a first pass is named that nobody makes.
    """
    check_stats(settings, stats)
    if reader is None and (needs_passes(settings) or settings.target_size is not None):
        message = "passes=2, target_size and target need the whole clip, and pictures come one at a time"
        raise UsageError(message, "dcvc.open_pictures(...) in place of the format, or bitrate or crf in one pass")
    if reader is not None and reader.reopen is None:
        check_one_reading(settings, reader.name)


def check_stats(settings: EncodeSettings, stats: str | None) -> None:
    """Raises UsageError where `stats`, the file of a first pass, is named and no settings make it."""
    if stats is not None and settings.passes != 2:
        raise UsageError("--stats keeps the first of two passes", "add --bitrate and --passes 2")


def check_one_reading(settings: EncodeSettings, name: str) -> None:
    """Raises UsageError where settings read the input `name` more than once; it can be read once."""
    if needs_passes(settings):
        asked, way_out = ("--target", "write a file") if settings.target is not None else ("--passes 2", "--passes 1")
        times = "several times" if settings.target is not None else "twice"
        raise UsageError(f"{asked} reads its input {times}, {name} can be read once", way_out)


def choose_rate(
    settings: EncodeSettings,
    target: RateTarget | None,
    opened: OpenedModel,
    video_format: VideoFormat,
    reader: PictureReader | None,
    stats: str | None,
    tell: Callable[[str], None],
) -> ChosenRate:
    """Runs the passes and probes of settings that `check_passes` admits.

    Args:
        target: of the settings, as `rate_target` gives it.
        video_format: of the pictures that are coded.
        tell: takes a line about each pass and probe.
    """
    if reader is None or reader.reopen is None or not needs_passes(settings):
        return ChosenRate(one_pass(settings, target))
    coding = settings.coding_choices()
    if target is None:
        asked = QualityTarget.parse(settings.target or "")
        code = clip_coder(opened, video_format, coding, reader.reopen)
        probes = QualityProbes(asked, reader.name, opened, video_format, reader.reopen, code)
        found = search_quality(asked, reader.name, probes, tell)
        return ChosenRate(found.rate, found)
    key = pass_key(reader.source, reader.span, video_format, settings, opened)
    taken = None if stats is None else read_stats(stats, key)
    if taken is None:
        tell(f"{reader.name}: the first pass finds out what frames take")
        taken = first_pass(opened, video_format, coding, target, reader.reopen)
        if stats is not None:
            write_stats(stats, key, taken)
    return ChosenRate(second_pass(target, taken))
