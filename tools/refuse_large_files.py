"""Refuses files over 1 MB that are no weights: each version of a file stays in the history for ever.

    python tools/refuse_large_files.py FILE...

Exit status 1 where a file is too large; its name and size go to standard error.
"""

import sys
from pathlib import Path

LIMIT_BYTES = 1_000_000
WEIGHTS = ("presets/weights/",)
"""Weights may be larger. They change once a release (RELEASING.md)."""


def too_large(paths: list[str]) -> list[str]:
    """Returns the paths whose files exceed the limit, each with its size in bytes."""
    sizes = {path: Path(path).stat().st_size for path in paths if Path(path).is_file() and not path.startswith(WEIGHTS)}
    return [f"{path}: {size} bytes, more than {LIMIT_BYTES}" for path, size in sizes.items() if size > LIMIT_BYTES]


if __name__ == "__main__":
    faults = too_large(sys.argv[1:])
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    sys.exit(bool(faults))
