"""Finds the pictures that begin scenes. Flashes, fades and shaking begin none.

At a cut, a picture is predicted badly from all pictures before it, and predicts the pictures after it well. Pictures
are held back only while a cut is suspected; a pipe does not wait otherwise.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from dcvc_cli.control.thumbnails import Thumbnail, detail, difference, thumbnail
from dcvc_cli.format.types import Picture, VideoFormat

MEMORY = 4
"""A new scene must differ from so many pictures before it. A flash lasts no longer."""
LOOKAHEAD = 3
"""Number of pictures after a suspected cut that are analysed."""
UNLIKE_PERCENT = 55
"""Share of a picture's detail. Where motion search leaves more than that, the picture shows something else."""
SUDDEN_PERCENT = 155
"""Least ratio of the difference at a cut to the difference after it. Below this ratio the whole scene is in motion."""
SILENT = 2
"""Differences of 1/SILENT grey levels a sample count as noise."""
GROWTH_PERCENT = 125
"""Ratio of the detail of the last picture that is analysed to that of the first. Above this ratio the scene fades
in."""


@dataclass(frozen=True)
class SeenPicture:
    """A picture and the results of its analysis.

    Attributes:
        begins_scene: whether it is the first one of a new scene; the first one of a clip is not.
        detail: of its thumbnail, a sample's grey levels in 1/256.
        difference: from the picture before, in the same unit; its detail where there is none.
    """

    picture: Picture
    begins_scene: bool
    detail: int
    difference: int


@dataclass(frozen=True)
class _Look:
    picture: Picture
    small: Thumbnail
    detail: int

    def is_like(self, other: "_Look") -> bool:
        """Returns whether `other` predicts this picture well."""
        limit = self.detail * UNLIKE_PERCENT // 100 + self.small.size // SILENT
        return difference(self.small, other.small) <= limit


class SceneCuts:
    """Finds the scenes of one clip."""

    def __init__(self, video_format: VideoFormat) -> None:
        self._format = video_format
        self._before: deque[_Look] = deque(maxlen=MEMORY)
        self._waiting: deque[_Look] = deque()

    def push(self, picture: Picture) -> Iterator[SeenPicture]:
        """Takes the next picture; gives out the pictures that are decided, in order."""
        small = thumbnail(picture, self._format)
        self._waiting.append(_Look(picture, small, detail(small)))
        yield from self._decided(is_end=False)

    def flush(self) -> Iterator[SeenPicture]:
        """Gives out the pictures that still wait, at the end of the clip."""
        yield from self._decided(is_end=True)

    def _decided(self, *, is_end: bool) -> Iterator[SeenPicture]:
        while self._waiting:
            first = self._waiting[0]
            suspected = bool(self._before) and not any(first.is_like(look) for look in reversed(self._before))
            after = list(self._waiting)[1:]
            if suspected and len(after) < LOOKAHEAD and not is_end:
                return
            yield self._seen(suspected and self._is_cut(first, after))

    def _is_cut(self, first: _Look, after: list[_Look]) -> bool:
        if not after or not after[0].is_like(first):
            return False
        last = self._before[-1]
        jump = difference(first.small, last.small) * after[0].detail
        if difference(after[0].small, first.small) * first.detail * SUDDEN_PERCENT > 100 * jump:
            return False
        if any(look.is_like(last) for look in after):
            return False
        return after[-1].detail * 100 <= first.detail * GROWTH_PERCENT + 100 * first.small.size // SILENT

    def _seen(self, begins_scene: bool) -> SeenPicture:
        look = self._waiting.popleft()
        left = difference(look.small, self._before[-1].small) if self._before else look.detail
        if begins_scene:
            self._before.clear()
        self._before.append(look)
        size = look.small.size
        return SeenPicture(look.picture, begins_scene, 256 * look.detail // size, 256 * left // size)
