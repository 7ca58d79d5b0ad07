"""PNG pictures: a folder, a numbered pattern such as `im%05d.png`, or a single file; RGB of 8 bits, or of 16 as 10."""

import re
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.types import (
    DEFAULT_FRAME_RATE,
    ChromaFormat,
    Picture,
    PictureSize,
    Plane,
    Rational,
    VideoFormat,
)
from dcvc_cli.media.base import PictureReader, describe, joined
from dcvc_cli.media.png_chunks import PngFacts, read_png_facts
from dcvc_cli.media.png_deep import read_deep_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PATTERN_FIELD = re.compile(r"%(0[0-9]{1,2}|[0-9]?)d")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MAX_DEFLATE_RATIO = 1032
"""Deflate cannot expand further than this (zlib's technical notes), so a file much smaller than its picture is not
whole."""
_PILLOW_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    MemoryError,
    Image.DecompressionBombError,
)


def is_pattern(name: str) -> bool:
    """Returns whether a name holds a printf field for the picture number: `%d`, `%5d` or `%05d`."""
    return _PATTERN_FIELD.search(name) is not None


def numbered_names(pattern: str, names: list[str]) -> dict[int, str]:
    """Lists the names that a pattern spells for some number ("im1.png" is not what im%05d.png spells for 1), by number.

    Raises:
        UsageError: the pattern has not exactly one number field.
    """
    parts = _PATTERN_FIELD.split(pattern)
    if len(parts) != 3 or "%" in parts[0] + parts[2]:
        raise UsageError(f"file name pattern {pattern} has to hold one number field such as %05d, and no other %")
    matcher = re.compile(re.escape(parts[0]) + " *([0-9]{1,18})" + re.escape(parts[2]))
    found = {int(match[1]): match[0] for match in map(matcher.fullmatch, names) if match}
    return {number: name for number, name in found.items() if pattern % number == name}


def list_pattern(pattern: str) -> list[Path]:
    """Lists the files of a numbered pattern in order, beginning at 0 or 1.

    Raises:
        InputError: no file, numbering that begins elsewhere, or a gap in it.
    """
    path = Path(pattern)
    if is_pattern(str(path.parent)):
        raise UsageError(
            f"file name pattern {pattern} has a number field in its folder, expected it in the file name only"
        )
    names = numbered_names(path.name, [entry.name for entry in _entries(path.parent)])
    if not names:
        raise InputError(f"no file matches {pattern}: expected {path.name % 0} or {path.name % 1} first")
    first = min(names)
    if first > 1:
        raise InputError(f"{pattern} begins at {names[first]}, expected {path.name % 0} or {path.name % 1} first")
    last = max(names)
    for number in range(first, first + len(names)):
        if number not in names:
            raise InputError(f"{pattern} has a gap: {path.name % number} is missing, {names[last]} is there")
    return [path.parent / names[number] for number in sorted(names)]


def list_folder(folder: str) -> list[Path]:
    """Lists the PNG files of a folder in natural order (im2.png before im10.png); hidden files are left out.

    Raises:
        InputError: none, or the folder cannot be read.
    """
    names = [
        entry for entry in _entries(Path(folder)) if entry.suffix.lower() == ".png" and not entry.name.startswith(".")
    ]
    if not names:
        raise InputError(f"folder {folder} holds no PNG file")
    return sorted(names, key=lambda path: natural_order(path.name))


def faults_of_numbering(names: Sequence[str]) -> str | None:
    """Makes a sentence about numbers in file names that look wrong; None where they are evenly spaced or there are
    none.

    Names count together where they differ in their last number only: im1.png and im2.png.
    """
    groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)([0-9]{1,18})([^0-9]*)", name)
        if match:
            groups.setdefault((match[1], match[3]), []).append((int(match[2]), name))
    for numbered in groups.values():
        numbered.sort()
        steps = [later[0] - earlier[0] for earlier, later in pairwise(numbered)]
        for step, (earlier, later) in zip(steps, pairwise(numbered), strict=True):
            if step == 0:
                return f"{earlier[1]} and {later[1]} have one number"
            if step != min(steps):
                return f"its numbers have a gap between {earlier[1]} and {later[1]}, and it is closed"
    return None


def natural_order(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Returns a sort key under which numbers inside names count as numbers."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple(
        (0, int(part)) if part.isascii() and part.isdigit() and len(part) < 1000 else (1, part) for part in parts
    ), name


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read folder {folder}: {error.strerror or error}") from error


def read_png_size(path: Path, bit_depth: int = 8) -> PictureSize:
    """Reads the size of a PNG from its header, without touching the picture data.

    Args:
        bit_depth: of the pictures that are read: 8 from files of at most 8 bits a sample, 10 from files of 16.

    Raises:
        InputError: not a PNG, of another bit depth, or sizes that the file cannot hold.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(33)
            file_bytes = stream.seek(0, 2)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(head) < 33 or not head.startswith(SIGNATURE) or head[12:16] != b"IHDR":
        raise InputError(f"{path} is not a PNG file: expected a PNG signature and header, found {head[:16]!r}")
    width, height, depth, colour_type = struct.unpack(">IIBB", head[16:26])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise InputError(f"{path} says it is {width}x{height}, expected 1x1..{MAX_SIDE}x{MAX_SIDE}")
    # Pillow would drop the lower bits without a word (findings/pillow-16-bit-and-cicp.sh).
    if depth == 16 and bit_depth == 8:
        hint = "--input-depth 10 codes it with 10, ffmpeg -i IN.png -pix_fmt rgb24 OUT.png converts it"
        raise InputError(f"{path} has 16 bits a sample, dcvc codes 8 or 10", hint)
    if depth in (1, 2, 4, 8) and bit_depth != 8:
        hint = "leave --input-depth out, ffmpeg -i IN.png -pix_fmt rgb48be OUT.png converts it"
        raise InputError(f"{path} has {depth} bits a sample, expected 16 of files that are read with {bit_depth}", hint)
    channels = _CHANNELS.get(colour_type)
    if channels is None or depth not in (1, 2, 4, 8, 16):
        raise InputError(f"{path} is damaged: colour type {colour_type} with {depth} bits a sample does not exist")
    if (width * channels * depth // 8) * height > _MAX_DEFLATE_RATIO * file_bytes:
        raise InputError(
            f"{path} is damaged: {file_bytes} bytes cannot hold the {width}x{height} picture that it announces"
        )
    return PictureSize(width, height)


def read_png(path: Path, bit_depth: int = 8) -> Plane:
    """Reads a PNG as (height, width, 3) R, G, B samples, uint8, or uint16 of 10 bits.

    Grey and palette pictures are expanded, an alpha channel that is opaque everywhere is dropped. Gamma and colour
    profiles are not applied: the samples are coded as they stand.

    Raises:
        InputError: unreadable, damaged, of another bit depth, animated, or transparent anywhere.
        EnvironmentFault: 10 bits without PyAV installed.
    """
    size = read_png_size(path, bit_depth)
    if bit_depth != 8:
        return read_deep_png(path, size, bit_depth)
    try:
        with warnings.catch_warnings():
            # Pillow's warning about large pictures; the size has been checked above.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise InputError(f"{path} is an animated PNG, expected one picture a file")
                _check_opaque(image, path)
                samples = np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except _PILLOW_FAULTS as error:
        raise InputError(f"{path} cannot be decoded: {error}") from error
    if samples.shape != (size.height, size.width, 3):
        raise InputError(f"{path} is damaged: it announces {size} and holds {samples.shape[1]}x{samples.shape[0]}")
    return samples


def _check_opaque(image: Image.Image, path: Path) -> None:
    if "transparency" in image.info:
        image.load()
        alpha = image.convert("RGBA").getchannel("A")
    elif "A" in image.getbands():
        alpha = image.getchannel("A")
    else:
        return
    if alpha.getextrema() != (255, 255):
        hint = "flatten it first: ffmpeg -i IN.png -pix_fmt rgb24 OUT.png drops the alpha channel"
        raise InputError(f"{path} is transparent in places, dcvc codes opaque RGB pictures", hint)


def _tags(facts: PngFacts) -> PngFacts:
    """Facts in which all pictures of a clip must agree."""
    return replace(facts, dropped=(), faults=())


class PngReader(PictureReader):
    """Reads RGB pictures, one PNG file at a time.

    The headers of all files are read at opening, so that a picture of another size or colour is refused before anything
    is coded.

    Args:
        source: folder, pattern or file, for messages.
        paths: the files in order.
        bit_depth: of the pictures: 8, or 10 of files with 16 bits a sample.

    Raises:
        InputError: here and during iteration: a file that is unreadable, transparent, or of another size or bit depth.
    """

    def __init__(
        self,
        source: str,
        paths: list[Path],
        *,
        frame_rate: Rational | None,
        bit_depth: int = 8,
        skip_frames: int = 0,
        max_frames: int | None = None,
    ) -> None:
        super().__init__(source, skip_frames, max_frames)
        self.num_frames = self._frames_to_give(len(paths))
        self._paths = iter(paths)
        selected = paths[skip_frames : skip_frames + self.num_frames]
        size, facts = read_png_size(selected[0], bit_depth), read_png_facts(selected[0])
        dropped = dict.fromkeys(facts.dropped, selected[0])
        faults = dict.fromkeys(facts.faults, selected[0])
        for path in selected[1:]:
            other = read_png_size(path, bit_depth)
            if other != size:
                raise InputError(f"{path} is {other}, expected {size} as {selected[0].name} is")
            other_facts = read_png_facts(path)
            if _tags(other_facts) != _tags(facts):
                hint = "give all pictures the same cICP, sRGB, pHYs, mDCV and cLLI chunks, or none"
                raise InputError(f"{path} has other colour tags or another aspect ratio than {selected[0].name}", hint)
            for name in other_facts.dropped:
                dropped.setdefault(name, path)
            for fault in other_facts.faults:
                faults.setdefault(fault, path)
        self.notes += tuple(f"{path}: {fault}; it counts as missing" for fault, path in faults.items())
        if dropped:
            first = next(iter(dropped.values()))
            self.notes += (f"{first} carries {joined(list(dropped))}, which streams have no field for: not kept",)
        if frame_rate is None:
            self.notes += (
                f"PNG files do not say their frame rate: {DEFAULT_FRAME_RATE} frames per second assumed, --fps sets it",
            )
        self.format = VideoFormat(
            size,
            ChromaFormat.RGB,
            bit_depth,
            frame_rate=frame_rate or DEFAULT_FRAME_RATE,
            sample_aspect_ratio=facts.sample_aspect_ratio,
            colour=facts.colour,
            mastering_display=facts.mastering_display,
            content_light=facts.content_light,
        )
        self.description = describe("PNG", self.format, self.num_frames)

    def _skip(self, num_frames: int) -> int:
        for _ in range(num_frames):
            next(self._paths)
        return num_frames

    def _read(self) -> Picture | None:
        path = next(self._paths, None)
        if path is None:
            return None
        samples = read_png(path, self.format.bit_depth)
        if samples.shape[:2] != (self.format.size.height, self.format.size.width):
            raise InputError(f"{path} is {samples.shape[1]}x{samples.shape[0]}, expected {self.format.size}")
        red, green, blue = (np.ascontiguousarray(samples[:, :, channel]) for channel in range(3))
        return Picture((red, green, blue))

    def close(self) -> None:
        self._paths = iter(())
