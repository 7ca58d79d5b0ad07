"""Evaluates test sets: codes every clip at every rate into a file, decodes that file and measures. The result file has
the DCVC schema.

    point (clip, rate) -> stream on disk -> decoded pictures, hashes checked -> frame records -> figures -> point file,
    result file

Quality is that of the 8-bit pictures that a decoder puts out, for dcvc and for conventional codecs. Published DCVC
figures are taken before rounding to 8 bits, which is worth a few hundredths of a dB at high rates; metrics.psnr
measures both.
"""

import json
import re
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dcvc_cli.errors import DcvcError, InputError, UsageError
from dcvc_cli.evaluating.sequence_sources import SequenceSource
from dcvc_cli.evaluating.workers import run_jobs
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.metrics.results import FrameRecord, parse_results, rate_label, summarise_frames

POINT_SCHEMA_VERSION = 1
LARGEST_POINT_FILE_BYTES = 256 << 20
FEWEST_RATES, MOST_RATES = 2, 64


@dataclass(frozen=True)
class Rate:
    """One rate of a run.

    Attributes:
        index: number of the rate in the run, 0, 1, ...
        qp_i: QP of I frames, 0..63; the one QP of a conventional codec, on its own scale.
        qp_p: base QP of P frames, 0..63; None for conventional codecs.
    """

    index: int
    qp_i: int
    qp_p: int | None = None

    @property
    def name(self) -> str:
        return f"qp{self.qp_i:02d}" if self.qp_p is None else f"qi{self.qp_i:02d}_qp{self.qp_p:02d}"


@dataclass(frozen=True)
class EvaluationPoint:
    """One clip at one rate: one job of a worker."""

    sequence: SequenceSource
    rate: Rate

    @property
    def name(self) -> str:
        return f"{self.sequence.class_name} {self.sequence.name} {self.rate.name}"

    @property
    def work(self) -> int:
        """Counts the luma samples to code, or frames where the size is unknown: an estimate of how long the point
        takes."""
        size = self.sequence.size
        return self.sequence.num_frames * (size.num_pixels if size is not None else 1)


@dataclass(frozen=True)
class PointOutcome:
    """The figures of a point, or the fault that ended it.

    Attributes:
        figures: under the names of the DCVC schema, and two names of dcvc's own: `stream_bytes`, the size of the whole
            stream, and `codec`, the settings as a text. None where the point failed.
        fault: why the point failed, else None.
        frames: a row for each frame; empty where the figures come from an earlier run.
        was_there: whether the figures come from an earlier run.
    """

    figures: dict[str, Any] | None
    fault: str | None = None
    frames: tuple[dict[str, Any], ...] = ()
    was_there: bool = False


@dataclass(frozen=True)
class PointMeasurement:
    """Measures of one point.

    Attributes:
        frames: a record for each frame, in coding order.
        num_pixels: luma samples of a picture.
    """

    frames: Sequence[FrameRecord]
    num_pixels: int


class ClipCoder(Protocol):
    """Codes clips into streams, decodes them and measures. Each process has its own."""

    def measure(self, point: EvaluationPoint, stream: Path) -> PointMeasurement:
        """Codes a point into the file `stream`, decodes that file and measures. DcvcError for whatever goes wrong."""


class CoderSettings(Protocol):
    """The settings of a coder, which a worker opens the coder from."""

    @property
    def stream_suffix(self) -> str:
        """Returns the ending of the names of streams, with its dot."""

    def open(self, worker: int) -> ClipCoder:
        """Opens the coder in worker number `worker`."""

    def record(self) -> dict[str, Any]:
        """Returns the settings as JSON values. Figures that were made under other values are not used again."""


def spread_rates(num_rates: int, lowest: int = 0, highest: int = MAX_BASE_QP) -> list[int]:
    """Spreads QPs evenly over lowest..highest, both included: 4 QPs over 0..63 are 0, 21, 42, 63. UsageError outside
    2..64 rates."""
    if not FEWEST_RATES <= num_rates <= min(MOST_RATES, highest - lowest + 1):
        raise UsageError(f"--rate-num {num_rates}: expected {FEWEST_RATES}..{min(MOST_RATES, highest - lowest + 1)}")
    return [round(lowest + index * (highest - lowest) / (num_rates - 1)) for index in range(num_rates)]


def limited(sequence: SequenceSource, max_frames: int | None, intra_period: int | None) -> SequenceSource:
    """Returns the clip with at most `max_frames` frames and with `intra_period`; None leaves either as the
    configuration has it."""
    num_frames = sequence.num_frames if max_frames is None else min(max_frames, sequence.num_frames)
    return replace(
        sequence, num_frames=num_frames, intra_period=sequence.intra_period if intra_period is None else intra_period
    )


class PointFolder:
    """Streams and point files of a run: FOLDER/CLASS/SEQUENCE_RATE.dcvc and .json. Only a finished point has a point
    file."""

    def __init__(self, folder: Path, settings: CoderSettings) -> None:
        self.folder, self._suffix, self._record = folder, settings.stream_suffix, settings.record()

    @property
    def codec_text(self) -> str:
        """Writes the settings in one line, which result files carry."""
        values = {
            name: ",".join(map(str, value)) if isinstance(value, list) else value
            for name, value in self._record.items()
        }
        return " ".join([str(values.pop("codec", "")), *(f"{name}={value}" for name, value in values.items())])

    def stream(self, point: EvaluationPoint) -> Path:
        return self._place(point, self._suffix)

    def _place(self, point: EvaluationPoint, suffix: str) -> Path:
        sequence = point.sequence
        return self.folder / _file_name(sequence.class_name) / f"{_file_name(sequence.name)}_{point.rate.name}{suffix}"

    def check_names(self, points: Iterable[EvaluationPoint]) -> None:
        """Raises InputError where two points would have the same file."""
        taken: dict[Path, str] = {}
        for point in points:
            other = taken.setdefault(self.stream(point), point.name)
            if other != point.name:
                raise InputError(
                    f"{other} and {point.name} would be kept in one file, {self.stream(point)}",
                    "give them names that differ in letters",
                )

    def settings_of(self, point: EvaluationPoint) -> dict[str, Any]:
        sequence = point.sequence
        return {
            **self._record,
            "num_frames": sequence.num_frames,
            "intra_period": sequence.intra_period,
            **_rate_values(point.rate),
        }

    def read(self, point: EvaluationPoint) -> PointOutcome | None:
        """Reads the outcome of an earlier run with the same settings; None where there is no point file, or one that is
        not whole."""
        place = self._place(point, ".json")
        try:
            if place.stat().st_size > LARGEST_POINT_FILE_BYTES:
                return None
            document = json.loads(place.read_text(encoding="utf-8"))
            if document["schema_version"] != POINT_SCHEMA_VERSION or document["settings"] != self.settings_of(point):
                return None
            figures = document["figures"]
            checked = parse_results(json.dumps({"class": {"sequence": {"rate": figures}}}), str(place))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, DcvcError):
            return None
        whole = checked.classes["class"]["sequence"][0].num_frames == point.sequence.num_frames
        # The earlier run may have had another name for the sequence, or another order of rates.
        return PointOutcome({**figures, **_labels(point)}, was_there=True) if whole else None

    def start(self, point: EvaluationPoint) -> Path:
        """Removes an older point file and makes the folder of the stream; returns the stream's place."""
        stream = self.stream(point)
        try:
            stream.parent.mkdir(parents=True, exist_ok=True)
            self._place(point, ".json").unlink(missing_ok=True)
        except OSError as fault:
            raise InputError(f"cannot write {stream}: {fault.strerror or fault}") from fault
        return stream

    def write(self, point: EvaluationPoint, outcome: PointOutcome) -> None:
        """Writes the point file."""
        from dcvc_cli.media import OutputFile

        frames = ",\n".join(json.dumps(row) for row in outcome.frames)
        head = {"schema_version": POINT_SCHEMA_VERSION, "settings": self.settings_of(point), "figures": outcome.figures}
        lines = "".join(f"{json.dumps(name)}: {json.dumps(value, indent=1)},\n" for name, value in head.items())
        with OutputFile(str(self._place(point, ".json")), overwrite=True) as output:
            output.write(f'{{\n{lines}"frames": [\n{frames}\n]\n}}\n'.encode())


def evaluate_points(
    points: Sequence[EvaluationPoint],
    settings: CoderSettings,
    stream_folder: Path | None,
    *,
    num_workers: int = 1,
    keep_existing: bool = False,
) -> Iterator[tuple[EvaluationPoint, PointOutcome]]:
    """Yields outcomes as they are ready: those of an earlier run first, then those of new points, longest point first.

    Args:
        stream_folder: keeps streams and point files; None keeps none.
        num_workers: number of processes; 1 codes in this process.
        keep_existing: use the point files in `stream_folder` that an earlier run made with the same settings.

    Raises:
        DcvcError: something stops every point, such as missing weights. The outcome of a point tells its own failure.
    """
    with (
        tempfile.TemporaryDirectory(prefix="dcvc-eval-")
        if stream_folder is None
        else nullcontext(stream_folder) as place
    ):
        folder = PointFolder(Path(place), settings)
        folder.check_names(points)
        left = []
        for point in points:
            existing = folder.read(point) if keep_existing else None
            if existing is None:
                left.append(point)
            else:
                yield point, existing
        if left:
            # Longest first: so no worker is left alone with a long point at the end.
            left.sort(key=lambda point: -point.work)
            start = partial(_start_worker, settings, folder, keep_streams=stream_folder is not None)
            yield from run_jobs(left, num_workers, start, lambda point, reason: PointOutcome(None, reason))


def _start_worker(
    settings: CoderSettings, folder: PointFolder, worker: int, *, keep_streams: bool
) -> Callable[[EvaluationPoint], PointOutcome]:
    return partial(_run_point, settings.open(worker), folder, keep_streams)


def _run_point(coder: ClipCoder, folder: PointFolder, keep_streams: bool, point: EvaluationPoint) -> PointOutcome:
    try:
        stream = folder.start(point)
        start = time.perf_counter()
        measured = coder.measure(point, stream)
        outcome = summarise_point(point, measured, time.perf_counter() - start)
        outcome = replace(
            outcome,
            figures={**(outcome.figures or {}), "stream_bytes": stream.stat().st_size, "codec": folder.codec_text},
        )
        if keep_streams:
            folder.write(point, outcome)
        else:
            stream.unlink()
    except DcvcError as fault:
        return PointOutcome(None, str(fault))
    except Exception as fault:  # an internal error in one point must not lose the other points of a long run
        place = traceback.extract_tb(fault.__traceback__)[-1]
        return PointOutcome(
            None, f"internal error: {type(fault).__name__}: {fault} ({Path(place.filename).name}:{place.lineno})"
        )
    return outcome


def summarise_point(point: EvaluationPoint, measured: PointMeasurement, seconds: float) -> PointOutcome:
    """Figures of a point under the names of the DCVC schema. Rates count the units of frames and SPSs.

    Args:
        seconds: wall time of the whole point.

    Raises:
        InputError: the clip has fewer frames than the configuration says.
    """
    sequence, frames = point.sequence, measured.frames
    if len(frames) != sequence.num_frames:
        raise InputError(
            f"{sequence.path} has {len(frames)} frames, expected {sequence.num_frames} as the test configuration says"
        )
    figures = {**summarise_frames(frames, measured.num_pixels, seconds), **_labels(point)}
    return PointOutcome(figures, frames=tuple(_frame_row(index, record) for index, record in enumerate(frames)))


def collect(
    points: Sequence[EvaluationPoint], outcomes: dict[EvaluationPoint, PointOutcome]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Class -> sequence -> rate label -> figures, in the order of the points. Points that failed are left out."""
    classes: dict[str, dict[str, dict[str, Any]]] = {}
    for point in points:
        outcome = outcomes.get(point)
        if outcome is not None and outcome.figures is not None:
            rates = classes.setdefault(point.sequence.class_name, {}).setdefault(point.sequence.name, {})
            rates[rate_label(point.rate.index)] = outcome.figures
    return classes


def _labels(point: EvaluationPoint) -> dict[str, Any]:
    sequence = point.sequence
    return {
        "ds_name": sequence.class_name,
        "seq": sequence.name,
        "rate_idx": point.rate.index,
        **_rate_values(point.rate),
    }


def _rate_values(rate: Rate) -> dict[str, int]:
    return {"qp": rate.qp_i} if rate.qp_p is None else {"qp_i": rate.qp_i, "qp_p": rate.qp_p}


def _frame_row(index: int, record: FrameRecord) -> dict[str, Any]:
    """Returns one frame of a point file, with the measures that were taken."""
    values = {name: value for name, value in asdict(record).items() if value is not None and name != "is_intra"}
    return {"index": index, "type": "I" if record.is_intra else "P", **values}


def _file_name(name: str) -> str:
    """Makes a file name of a sequence's name, which may hold folders: runs of characters other than letters, digits and
    `._-` become "_"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name.strip("/")).lstrip(".") or "_"
