"""VMAF and XPSNR of each frame, by a program ffmpeg that has them: the one of the extra `dcvc[metrics]`, or one on the
path."""

import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from dcvc_cli.errors import EnvironmentFault, InputError
from dcvc_cli.metrics.psnr import PSNR_LIMIT_DB, weighted_yuv

FILTERS = {"vmaf": "libvmaf", "xpsnr": "xpsnr"}
_FILTER = re.compile(r"^ [A-Z.]{2,3} (\S+) ", re.MULTILINE)
_XPSNR = re.compile(r"^n: +\d+  XPSNR y: (\S+)  XPSNR u: (\S+)  XPSNR v: (\S+)", re.MULTILINE)


def ffmpeg_programs() -> Iterator[str]:
    """Yields the programs ffmpeg of this machine, that of the extra first."""
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError, OSError):
        pass
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        yield on_path


@cache
def filters_of(program: str) -> frozenset[str]:
    """Returns the names of a program's filters; none where it does not run."""
    try:
        listing = subprocess.run(
            [program, "-hide_banner", "-filters"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return frozenset()
    return frozenset(_FILTER.findall(listing.stdout))


def program_for(metric: str) -> str | None:
    """Returns the first ffmpeg that has a metric, one of FILTERS; None where there is none."""
    return next((program for program in ffmpeg_programs() if FILTERS[metric] in filters_of(program)), None)


def require_program(metric: str) -> str:
    """Returns the ffmpeg that has a metric; EnvironmentFault where there is none."""
    program = program_for(metric)
    if program is None:
        raise EnvironmentFault(f"no ffmpeg on this machine measures {metric}", "pip install 'dcvc[metrics]'")
    return program


def frame_scores(metric: str, source: Path, decoded: Path, num_threads: int = 1) -> list[float]:
    """Measures two y4m files of the same form and length.

    Args:
        metric: vmaf, 0..100, or xpsnr in dB, combined as (6 Y + U + V) / 8 and PSNR_LIMIT_DB at most.

    Returns:
        the score of each frame.

    Raises:
        EnvironmentFault: no ffmpeg has the metric.
        InputError: ffmpeg cannot measure the files.
    """
    program = require_program(metric)
    with tempfile.TemporaryDirectory(prefix="dcvc-") as folder:
        # ffmpeg reads the log's name as part of a filter, so the folder is the working directory.
        log = Path(folder, "scores")
        if metric == "vmaf":
            inputs, text = (decoded, source), f"libvmaf=log_fmt=json:log_path=scores:n_threads={num_threads}"
        else:
            # The original comes first here, and second in libvmaf.
            inputs, text = (source, decoded), "xpsnr=stats_file=scores"
        command = [program, "-hide_banner", "-nostdin", "-loglevel", "error"]
        command += [word for path in inputs for word in ("-i", str(path.resolve()))]
        command += ["-lavfi", f"[0:v][1:v]{text}", "-f", "null", "-"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
            cwd=folder,
        )
        if done.returncode or not log.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            raise InputError(f"ffmpeg cannot measure {metric}: {lines[-1].strip()}", " ".join(command))
        content = log.read_text(encoding="utf-8", errors="replace")
    return _vmaf_of(content) if metric == "vmaf" else _xpsnr_of(_XPSNR.findall(content))


def _vmaf_of(content: str) -> list[float]:
    try:
        return [float(frame["metrics"]["vmaf"]) for frame in json.loads(content)["frames"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("the log of ffmpeg's libvmaf is of a form that dcvc does not know") from error


def _xpsnr_of(rows: Sequence[tuple[str, str, str]]) -> list[float]:
    planes = [[min(PSNR_LIMIT_DB, value) for value in map(float, row)] for row in rows]
    return [weighted_yuv(y, u, v) if math.isfinite(y + u + v) else PSNR_LIMIT_DB for y, u, v in planes]
