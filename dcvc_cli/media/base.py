"""The interfaces of readers and writers of pictures. Both are context managers. A reader iterates, a writer takes one
picture at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import InputError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import Picture, Plane, VideoFormat, check_samples

MAX_TAGS_NAMED = 4
"""How many tags a note about lost tags names."""


class PictureReader(ABC):
    """Pictures of one clip, read one at a time, so that memory does not grow with the clip. Iterate once.

    Attributes:
        format: what holds for every picture.
        num_frames: number of pictures that iteration will give; None when unknown (pipes). For video files it counts
            the coded pictures of the file, decodable or not: enough for a progress bar.
        description: one line about the clip for people.
        notes: what the reader assumed or ignored and the user should know, one sentence each. Iteration may add notes
            at its end.
        source: what `open_reader` was asked to open.
        reopen: opens the same pictures again, without other tracks; None where they can be read once (pipes).
    """

    format: VideoFormat
    num_frames: int | None = None
    description: str = ""
    notes: tuple[str, ...] = ()
    source: str = ""
    reopen: "Callable[[], PictureReader] | None" = None

    def __init__(self, name: str, skip_frames: int, max_frames: int | None) -> None:
        self.name = name
        self._skip_frames = skip_frames
        self._max_frames = max_frames
        self._limits: Limits | None = None

    def grant(self, limits: Limits) -> None:
        """Takes the caller's limits: InputError for pictures that are too large now, and for too many of them while
        they are read."""
        limits.check_input(self.name, self.format.size.width, self.format.size.height)
        self._limits = limits

    @property
    def span(self) -> tuple[int, int | None]:
        """Returns (pictures left out at the start, pictures given at most after those or None for all)."""
        return self._skip_frames, self._max_frames

    @abstractmethod
    def _read(self) -> Picture | None:
        """Reads the next picture; None at the end."""

    def _skip(self, num_frames: int) -> int:
        """Skips pictures. Returns how many there were: fewer than asked for only at the end."""
        for skipped in range(num_frames):
            if self._read() is None:
                return skipped
        return num_frames

    @abstractmethod
    def close(self) -> None:
        """Releases the file. Does nothing a second time."""

    def __iter__(self) -> Iterator[Picture]:
        skipped = self._skip(self._skip_frames)
        if skipped < self._skip_frames:
            raise self._nothing_left(skipped)
        num_given = 0
        while self._max_frames is None or num_given < self._max_frames:
            picture = self._read()
            if picture is None:
                break
            num_given += 1
            if self._limits is not None:
                self._limits.check_frames(self.name, self._skip_frames + num_given, InputError)
            yield picture
        if num_given == 0:
            raise self._nothing_left(skipped)

    def _nothing_left(self, num_pictures: int) -> InputError:
        if self._skip_frames == 0:
            return InputError(f"{self.name} holds no picture")
        return InputError(
            f"{self.name} holds {num_pictures} pictures, expected more than the {self._skip_frames} to skip",
            "lower --seek",
        )

    def _frames_to_give(self, total: int) -> int:
        """Counts the pictures that iteration gives of a clip of known length.

        Raises:
            InputError: nothing is left.
        """
        if total <= self._skip_frames:
            raise self._nothing_left(total)
        left = total - self._skip_frames
        return left if self._max_frames is None else min(left, self._max_frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PictureWriter(ABC):
    """Takes the pictures of one clip. As a context manager it commits on a normal end and aborts on any exception.

    Attributes:
        name: where the pictures go, for messages.
        notes: parts of the format that the output has no place for, one sentence each.
    """

    name: str
    notes: tuple[str, ...] = ()

    def __init__(self, video_format: VideoFormat) -> None:
        self.format = video_format

    def write(self, picture: Picture) -> None:
        """Appends one picture.

        Raises:
            ValueError: the picture's planes are not of the type and shapes that the format promised.
            InputError: the output cannot be written, a full disk included.
            BrokenPipeError: the reader of a pipe went away.
        """
        for plane, shape in zip(picture.planes, self.format.plane_shapes, strict=True):
            if plane.shape != shape or plane.dtype != self.format.dtype:
                raise ValueError(
                    f"picture plane is {plane.dtype} {plane.shape}, the format promised {self.format.dtype} {shape}"
                )
        self._write(picture)

    @abstractmethod
    def _write(self, picture: Picture) -> None:
        """Appends one picture of the right shape."""

    def flush(self) -> None:  # noqa: B027 - nothing to do for most
        """Hands everything written so far to the system, for pipes whose reader waits."""

    def complete(self) -> None:  # noqa: B027 - nothing to do for pictures in files of their own
        """Does the part of `commit` that a full disk can stop."""

    @abstractmethod
    def commit(self) -> None:
        """Makes the output final. Does nothing a second time."""

    @abstractmethod
    def abort(self) -> None:
        """Removes what is not final. Never raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


def split_planes(data: NDArray[np.uint8], video_format: VideoFormat) -> Picture:
    """Makes a picture of one frame of a planar file; the planes share the memory of the data (1-D, frame_bytes long).

    Raises:
        InputError: a sample is larger than the bit depth allows.
    """
    little_endian = data.view(video_format.dtype.newbyteorder("<"))
    samples = little_endian.astype(video_format.dtype, copy=False)
    planes = []
    start = 0
    for height, width in video_format.plane_shapes:
        end = start + height * width
        planes.append(samples[start:end].reshape(height, width))
        start = end
    picture = Picture((planes[0], planes[1], planes[2]))
    check_samples(picture, video_format)
    return picture


def sample_bytes(plane: Plane) -> NDArray[Any]:
    """Returns the samples of a plane as a planar file holds them: above 8 bits two bytes each, the low one first."""
    return np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))


@contextmanager
def naming_picture(name: str, index: int) -> Iterator[None]:
    """Puts the file's name and the picture's number before the message of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}, picture {index}: {error.message}", error.hint) from error


def describe(kind: str, video_format: VideoFormat, num_frames: int | None) -> str:
    """Describes a clip in one line such as "y4m, 352x288, 30 fps, 8-bit 4:2:0, 96 frames"."""
    rate = f"{float(video_format.frame_rate):.6g} fps"
    parts = [kind, str(video_format.size), rate, video_format.sampling]
    if num_frames is not None:
        parts.append(f"{num_frames} frame" + ("s" if num_frames != 1 else ""))
    return ", ".join(parts)


def joined(names: Sequence[str]) -> str:
    """Joins phrases: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
