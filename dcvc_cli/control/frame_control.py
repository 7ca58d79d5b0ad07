"""Orders for the picture encoder: which pictures become I frames, and which QPs hold."""

from collections.abc import Iterable, Iterator

from dcvc_cli.codec.choices import CodingChoices, PictureOrder
from dcvc_cli.control.scene_cuts import SceneCuts, SeenPicture
from dcvc_cli.format.types import Picture, VideoFormat


class Lookahead:
    """Finds out about pictures before they are coded.

    Args:
        needed: whether anybody asks; False looks at nothing and calls nothing the begin of a scene.
    """

    def __init__(self, video_format: VideoFormat, *, needed: bool) -> None:
        self._cuts = SceneCuts(video_format) if needed else None

    def push(self, picture: Picture) -> Iterator[SeenPicture]:
        """Takes the next picture; gives out those that are found out about, in order."""
        return iter((SeenPicture(picture, False, 0, 0),)) if self._cuts is None else self._cuts.push(picture)

    def flush(self) -> Iterator[SeenPicture]:
        """Those that still wait, at the end."""
        return iter(()) if self._cuts is None else self._cuts.flush()

    def over(self, pictures: Iterable[Picture]) -> Iterator[SeenPicture]:
        """All pictures of a clip."""
        for picture in pictures:
            yield from self.push(picture)
        yield from self.flush()


class FrameControl:
    """Gives an order for each picture of one stream.

    Args:
        choices: those of the stream.
    """

    def __init__(self, choices: CodingChoices) -> None:
        self._choices = choices
        self._index = 0
        self._since_key: int | None = None
        """Pictures since the last I frame, itself included; None before the first one."""

    def order(self, seen: SeenPicture) -> PictureOrder:
        """The order for the next picture. It counts on the I frames that the choices give."""
        choices, since_key = self._choices, self._since_key
        is_cut = choices.scene_cuts and seen.begins_scene and (since_key is None or since_key >= choices.min_keyint)
        is_due = since_key is None or 0 < choices.keyint <= since_key or self._index in choices.forced_keys
        self._since_key = 1 if is_cut or is_due else (since_key or 0) + 1
        self._index += 1
        return PictureOrder(is_key=is_cut)
