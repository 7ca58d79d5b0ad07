"""Training material on disk: video files, photos, clips as folders of numbered PNG files, the Vimeo-90k septuplets.

A folder whose PNG files are numbered frames (`im1.png`, `frame_0001.png`, `00001.png`) is one clip. Any other PNG file
is a photo. If a `sep_trainlist.txt` lies beside `sequences/`, as in Vimeo-90k, only the clips of that list are taken
from `sequences/`, since the rest is the test set.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.codec.pictures import KB, KG, KR
from dcvc_cli.errors import EnvironmentFault, InputError
from dcvc_cli.media.png import PngReader

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".y4m"}
PHOTO_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg"}
SEPTUPLET_LIST = "sep_trainlist.txt"
SEPTUPLET_FRAMES = 7
MAX_LIST_BYTES = 1 << 26
PHOTO_HINT = "PNG files named by numbers are the frames of a clip; give photos other names"
_FRAME_NAME = re.compile(r"((?:im|img|image|frame|f)?[-_ ]?)([0-9]{1,12})", re.IGNORECASE)
_SEPTUPLET_NAME = re.compile(r"[0-9]+/[0-9]+")


@dataclass(frozen=True)
class DecodedSource:
    """Planar frames of a source. `frames` yields the Y, Cb and Cr bytes of each frame, or its R, G and B. Chroma has
    full size, or is 4:2:0 with even sides."""

    height: int
    width: int
    full_chroma: bool
    frames: Iterator[bytes]


@dataclass(frozen=True)
class Source:
    """One clip or photo. `path` is the file, or the folder of a clip of several `files`."""

    path: Path
    files: tuple[Path, ...]

    @property
    def key(self) -> str:
        """Returns the name in the cache. Another file, or the same file with another size, has another name."""
        sizes = (
            f" {self.files[0].stat().st_size}"
            if self.files == (self.path,)
            else "".join(f" {f.name} {f.stat().st_size}" for f in self.files)
        )
        return hashlib.sha256(f"{self.path.resolve()}{sizes}".encode()).hexdigest()[:16]

    def decode(self, *, is_rgb: bool = False) -> DecodedSource:
        """Starts decoding, to R G B where that is asked for.

        Raises:
            InputError: here and during iteration: a file is damaged, or frames differ in size.
            EnvironmentFault: a video file needs PyAV, which is not installed.
        """
        if self.path.suffix.lower() in VIDEO_SUFFIXES:
            return _decode_video(self.path, is_rgb=is_rgb)
        planes = rgb_planes if is_rgb else ycc_planes
        return _decode_photo(self.path, planes) if self.files == (self.path,) else _decode_png_clip(self, planes)


def find_sources(roots: Sequence[Path]) -> list[Source]:
    """Finds every clip and photo below `roots`, sorted by path.

    Raises:
        InputError: there is nothing usable, a clip lacks a frame, or a list names clips that do not exist.
    """
    sources: list[Source] = []
    for root in roots:
        paths = [path for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES | {".txt"}]
        listed = [path.parent / "sequences" for path in paths if path.name == SEPTUPLET_LIST]
        for folder in listed:
            sources += _septuplets(folder)
        free = [
            path
            for path in paths
            if path.suffix.lower() != ".txt" and not any(folder in path.parents for folder in listed)
        ]
        sources += _clips_and_photos(free)
    if not sources:
        raise InputError(
            f"no training material below {', '.join(map(str, roots))}", "give folders with videos or pictures"
        )
    return sorted(sources, key=lambda source: source.path)


def _clips_and_photos(paths: Sequence[Path]) -> Iterator[Source]:
    clips: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        name = _FRAME_NAME.fullmatch(path.stem) if path.suffix.lower() == ".png" else None
        if name is None:
            yield Source(path, (path,))
        else:
            clips.setdefault((path.parent, name[1]), []).append(path)
    several = (
        {folder for folder, _ in clips if sum(other == folder for other, _ in clips) > 1} if len(clips) > 1 else set()
    )
    for (folder, prefix), files in clips.items():
        if len(files) == 1:
            yield Source(files[0], (files[0],))
        else:
            yield Source(folder / f"{prefix}*.png" if folder in several else folder, _in_order(folder, files))


def _in_order(folder: Path, files: Sequence[Path]) -> tuple[Path, ...]:
    """Sorts frames by number.

    Raises:
        InputError: a number is missing or exists twice.
    """
    ordered = sorted(files, key=lambda path: (_number(path), path.name))
    for before, after in pairwise(ordered):
        gap = _number(after) - _number(before)
        if gap != 1:
            what = (
                f"both {before.name} and {after.name}"
                if gap == 0
                else f"no frame between {before.name} and {after.name}"
            )
            raise InputError(f"{folder} holds {what}, expected consecutive numbers", PHOTO_HINT)
    return tuple(ordered)


def _number(path: Path) -> int:
    name = _FRAME_NAME.fullmatch(path.stem)
    return int(name[2]) if name else 0


def _septuplets(sequences: Path) -> Iterator[Source]:
    """Yields the clips that the list beside `sequences` names, im1.png .. im7.png each."""
    path = sequences.parent / SEPTUPLET_LIST
    try:
        with path.open(encoding="ascii") as file:
            lines = file.read(MAX_LIST_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line:
            continue
        if not _SEPTUPLET_NAME.fullmatch(line):
            raise InputError(f"{path}, line {number}: expected a clip such as 00001/0001, found {line[:40]!r}")
        files = tuple(sequences / line / f"im{frame}.png" for frame in range(1, SEPTUPLET_FRAMES + 1))
        for file_path in files:
            if not file_path.is_file():
                raise InputError(
                    f"{file_path} is missing, line {number} of {path.name} names its clip",
                    "take lines of absent clips out of the list",
                )
        yield Source(sequences / line, files)


def _decode_video(path: Path, *, is_rgb: bool) -> DecodedSource:
    """Decodes a video file to planar 4:2:0, or to R G B by the matrix that the file names. Both sides are cropped to
    even numbers."""
    try:
        import av
    except ImportError as error:
        raise EnvironmentFault("training on video files needs PyAV", "pip install dcvc[train]") from error

    def frames() -> Iterator[tuple[int, int, bytes]]:
        try:
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    kind, planes = ("rgb24", _even_rgb) if is_rgb else ("yuv420p", _even_planes)
                    samples = np.asarray(frame.to_ndarray(format=kind), np.uint8)
                    yield frame.height, frame.width, planes(samples, frame.height, frame.width)
        except (av.error.FFmpegError, IndexError) as error:
            raise InputError(f"cannot decode {path}: {error}") from error

    found = frames()
    first = next(found, None)
    if first is None:
        raise InputError(f"{path} holds no picture")
    height, width, samples = first

    def of_one_size() -> Iterator[bytes]:
        yield samples
        for index, (other_height, other_width, others) in enumerate(found, 1):
            if (other_height, other_width) != (height, width):
                raise InputError(
                    f"{path}: picture {index} is {other_width}x{other_height}, expected {width}x{height} "
                    "as the first is"
                )
            yield others

    return DecodedSource(height // 2 * 2, width // 2 * 2, is_rgb, of_one_size())


def _even_planes(packed: NDArray[np.uint8], height: int, width: int) -> bytes:
    luma = packed[:height].reshape(height, width)
    rest = packed[height:].reshape(-1)
    size = ((height + 1) // 2, (width + 1) // 2)
    chroma = rest.reshape(2, *size)[:, : height // 2, : width // 2]
    return luma[: height // 2 * 2, : width // 2 * 2].tobytes() + chroma.tobytes()


def _even_rgb(samples: NDArray[np.uint8], height: int, width: int) -> bytes:
    return np.ascontiguousarray(samples[: height // 2 * 2, : width // 2 * 2].transpose(2, 0, 1)).tobytes()


Planes = Callable[..., Sequence[NDArray[np.uint8]]]
"""(red, green, blue) -> the planes that a network takes."""


def _decode_photo(path: Path, planes: Planes) -> DecodedSource:
    from PIL import Image

    try:
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot decode {path}: {error}") from error
    return DecodedSource(rgb.shape[0], rgb.shape[1], True, iter([_bytes_of(planes(*np.moveaxis(rgb, 2, 0)))]))


def _decode_png_clip(source: Source, planes: Planes) -> DecodedSource:
    try:
        reader = PngReader(str(source.path), list(source.files), frame_rate=None)
    except InputError as error:
        raise InputError(error.message, error.hint or PHOTO_HINT) from error
    size = reader.format.size
    return DecodedSource(size.height, size.width, True, (_bytes_of(planes(*picture.planes)) for picture in reader))


def ycc_planes(*rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Converts R, G, B to BT.709 full-range Y, Cb, Cr planes (docs/bitstream.md, RGB pictures)."""
    red, green, blue = (plane.astype(np.float32) / 255 for plane in rgb)
    luma = KR * red + KG * green + KB * blue
    planes = (luma, (blue - luma) / (2 - 2 * KB) + 0.5, (red - luma) / (2 - 2 * KR) + 0.5)
    return [np.clip(np.rint(plane * 255), 0, 255).astype(np.uint8) for plane in planes]


def rgb_planes(*rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """Returns the planes as they are."""
    return rgb


def _bytes_of(planes: Sequence[NDArray[np.uint8]]) -> bytes:
    return b"".join(plane.tobytes() for plane in planes)
