"""Names of the colour code points of ITU-T H.273, as ffmpeg and x265 have them."""

from collections.abc import Mapping

from dcvc_cli.errors import UsageError
from dcvc_cli.format.types import UNSPECIFIED, ColourDescription

PRIMARIES = {
    1: "bt709",
    2: "unknown",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "jedec-p22",
}
"""ffmpeg's names of the code points of H.273; x265 has other names for a few."""
TRANSFERS = {
    1: "bt709",
    2: "unknown",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
MATRICES = {
    0: "rgb",
    1: "bt709",
    2: "unknown",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    11: "smpte2085",
    12: "chroma-derived-nc",
    13: "chroma-derived-c",
    14: "ictcp",
}
RANGES = {False: "tv", True: "pc"}
_ALIASES = {
    "undef": 2,
    "unspecified": 2,
    "gbr": 0,
    "bt2020_ncl": 9,
    "bt2020_cl": 10,
    "srgb": 13,
    "pq": 16,
    "hlg": 18,
    "bt470m": 4,
    "bt470bg": 5,
}
"""Other names in use; x265 calls the transfers gamma22 and gamma28 after the systems that have them."""


def code_point(option: str, names: Mapping[int, str], text: str) -> int:
    """Returns the code point that a name or a number 0..255 stands for; UsageError for anything else."""
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    codes = {name: code for code, name in names.items()}
    code = codes.get(text.lower(), _ALIASES.get(text.lower()))
    if code is None or code not in names:
        raise UsageError(f"{option} {text}: expected a number of ITU-T H.273 or one of {', '.join(codes)}")
    return code


def colour_range(option: str, text: str) -> bool:
    """Returns whether a name of a range means the full one; UsageError for a name of none."""
    known = {"full": True, "pc": True, "limited": False, "tv": False}
    if text.lower() not in known:
        raise UsageError(f"{option} {text}: expected full or limited")
    return known[text.lower()]


def named(names: Mapping[int, str], code: int) -> str:
    """Writes a code point with its name: "9 (bt2020)"."""
    return f"{code} ({names[code]})" if code in names else str(code)


def ffmpeg_flags(colour: ColourDescription) -> tuple[str, ...]:
    """Options that give ffmpeg's output the same tags, such as `-colorspace bt709`; none for what is unspecified."""
    named = (
        ("-color_primaries", PRIMARIES, colour.primaries),
        ("-color_trc", TRANSFERS, colour.transfer),
        ("-colorspace", MATRICES, colour.matrix),
    )
    flags = [part for flag, names, code in named if code != UNSPECIFIED for part in (flag, names.get(code, str(code)))]
    if colour.full_range is not None:
        flags += ["-color_range", RANGES[colour.full_range]]
    return tuple(flags)
