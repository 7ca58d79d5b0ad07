"""Orders for the picture encoder: the pictures that become I frames, and the QPs."""

from collections import deque
from collections.abc import Iterable, Iterator

from dcvc_cli.codec.choices import CodingChoices, PictureOrder
from dcvc_cli.control.rate import RateControl
from dcvc_cli.control.scene_cuts import SceneCuts, SeenPicture
from dcvc_cli.control.two_pass import CodedFrame
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.types import Picture, VideoFormat


class Lookahead:
    """Analyses pictures before they are coded. Args: needed: whether anybody needs the results; False analyses nothing
    and finds no scene.
    """

    def __init__(self, video_format: VideoFormat, *, needed: bool) -> None:
        self._cuts = SceneCuts(video_format) if needed else None

    def push(self, picture: Picture) -> Iterator[SeenPicture]:
        """Takes the next picture; gives out analysed pictures, in order."""
        return iter((SeenPicture(picture, False, 0, 0),)) if self._cuts is None else self._cuts.push(picture)

    def flush(self) -> Iterator[SeenPicture]:
        """Gives out the pictures that still wait, at the end of the clip."""
        return iter(()) if self._cuts is None else self._cuts.flush()

    def over(self, pictures: Iterable[Picture]) -> Iterator[SeenPicture]:
        """Analyses all pictures of a clip."""
        for picture in pictures:
            yield from self.push(picture)
        yield from self.flush()


class FrameControl:
    """Gives an order for each picture of one stream.

    Args:
        choices: those of the stream.
        rate: gives the QPs; None leaves them to the choices.

    Attributes:
        history: QPs and bits of the pictures, where there is a rate.
    """

    def __init__(self, choices: CodingChoices, rate: RateControl | None = None) -> None:
        self._choices, self._rate = choices, rate
        self.history: list[CodedFrame] = []
        self._ordered: deque[tuple[bool, int]] = deque()
        """(is an I frame, QP) of the pictures whose bits are not in the history yet."""
        self._told: deque[tuple[int, int, int]] = deque()
        """(bits, pictures, QPs below the order) of units that the rate does not know yet."""
        self._index = 0
        self._since_key: int | None = None
        """Pictures since the last I frame, the I frame included; None before the first I frame."""

    def order(self, seen: SeenPicture) -> PictureOrder:
        """Makes the order for the next picture. It counts the I frames that come from the choices too."""
        choices, since_key = self._choices, self._since_key
        is_cut = choices.scene_cuts and seen.begins_scene and (since_key is None or since_key >= choices.min_keyint)
        is_due = since_key is None or 0 < choices.keyint <= since_key or self._index in choices.forced_keys
        self._since_key = 1 if is_cut or is_due else (since_key or 0) + 1
        self._index += 1
        if self._rate is None:
            return PictureOrder(is_key=is_cut)
        self._tell(self._index - (2 if choices.vbv is None else 1))
        qp = self._rate.qp(seen, is_key=is_cut or is_due)
        self._ordered.append((is_cut or is_due, qp))
        key_qp = min(max(qp + choices.qp_i - choices.qp_p, 0), MAX_BASE_QP)
        return PictureOrder(is_cut, key_qp, qp)

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Takes note of a unit whose QP is `lowered` below its order."""
        if self._rate is not None:
            self._told.append((num_bits, num_pictures, lowered))

    def finish(self) -> None:
        """Ends the history: all units are coded."""
        self._tell(self._index)

    def _tell(self, num_pictures: int) -> None:
        """Gives the rate the units of the first so many pictures. A device may run a picture ahead of its units where
        there is no buffer, so the rate learns on every device as late as on such a device."""
        while self._told and len(self.history) + self._told[0][1] <= num_pictures:
            num_bits, count, lowered = self._told.popleft()
            assert self._rate is not None
            self._rate.coded(num_bits, count, lowered)
            qp = max(0, self._ordered[0][1] - lowered)
            for index in range(count):
                is_key, _ = self._ordered.popleft()
                share = num_bits * (index + 1) // count - num_bits * index // count
                self.history.append(CodedFrame(is_key, qp, share))
