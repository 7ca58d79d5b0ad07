"""Picture encoder and decoder of DCVC-UF. The encoder gathers pictures into units and codes unit after unit.

The payload of a unit in a .dcvc stream is the number of its coders, one byte, and the published codec's payload. The
encoder holds the pictures of a unit in 8 bits until the unit is full, then their samples in float32.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import PictureHeader
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.pictures import check_picture, picture_from_frame, values_from_picture, video_format_of
from dcvc_cli.codec.room import code_within
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import CodedUnit, PictureDecoder, PictureEncoder
from dcvc_cli.families.uf.units import UnitCoder, UnitPayloadDecoder, UnitPayloadEncoder
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.types import Picture


@dataclass(frozen=True)
class UnitRule:
    """Decides which pictures are I frames, and which units a reset follows.

    Args:
        qp_i, qp_p: 0..63, higher is better quality.
        keyint: pictures from one I frame to the next; -1 = only the first picture.
        reset_interval: pictures between resets, 0 = never.
        forced_keys: numbers of pictures that become I frames.
    """

    qp_i: int
    qp_p: int
    keyint: int
    reset_interval: int
    forced_keys: frozenset[int]

    @classmethod
    def of(cls, choices: CodingChoices) -> "UnitRule":
        """Makes the rule of a stream with these choices."""
        return cls(choices.qp_i, choices.qp_p, choices.keyint, choices.reset_interval, choices.forced_keys)

    def is_key(self, index: int, since_key: int | None) -> bool:
        """Returns whether picture `index` is an I frame.

        Args:
            since_key: pictures since the last I frame; None if there was none.
        """
        return since_key is None or (self.keyint > 0 and since_key >= self.keyint) or index in self.forced_keys

    def resets(self, first: int, unit_pictures: int) -> bool:
        """Returns whether a reset follows a P unit. The next unit then begins, as the first P unit does, at a number
        that is 1 beyond a multiple of the interval.

        Args:
            first: number of the unit's first picture after its I frame.
            unit_pictures: pictures in the unit.
        """
        return self.reset_interval > 0 and (first + unit_pictures) % self.reset_interval == 1


class UnitEncoder(PictureEncoder):
    """Gathers pictures into units."""

    def __init__(self, coder: UnitPayloadEncoder, sps: Sps, rule: UnitRule) -> None:
        self._coder, self._sps, self._rule = coder, sps, rule
        self._video_format = video_format_of(sps)
        self._unit_pictures = coder.video.sizes.pictures
        self._waiting: list[Picture] = []
        self._index = 0
        self._since_key: int | None = None
        """Number of the next unit's first picture, counted from the last I frame; None before the first one."""
        self._num_coded = 0
        self._unit_qp = rule.qp_p
        """QP of the unit that waits."""
        self._room: Callable[[], int] | None = None
        """What its payload may take."""

    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Yields the unit that the picture fills. An I frame first yields the unit that it cuts short."""
        check_picture(picture, self._video_format)
        since_key = None if self._since_key is None else self._since_key + len(self._waiting)
        if self._rule.is_key(self._index, since_key) or order.is_key:
            yield from self.flush()
            self._index += 1
            self._since_key = 1
            yield self._i_frame(picture, self._rule.qp_i if order.qp_i is None else order.qp_i, order.room)
            return
        if not self._waiting:
            self._unit_qp, self._room = self._rule.qp_p if order.qp_p is None else order.qp_p, order.room
        self._waiting.append(picture)
        self._index += 1
        if len(self._waiting) == self._unit_pictures:
            yield self._p_unit()

    def flush(self) -> Iterator[CodedUnit]:
        """Yields the unit of the pictures that wait, if there are any."""
        if self._waiting:
            yield self._p_unit()

    def reconstruction(self) -> Sequence[Picture]:
        """Returns the pictures of the last unit, without repeated ones."""
        return pictures_of(self._coder, self._sps, self._num_coded)

    def _i_frame(self, picture: Picture, wanted: int, room: Callable[[], int] | None) -> CodedUnit:
        values = values_from_picture(picture, self._video_format)

        def code(qp: int) -> bytes:
            payload, num_coders = self._coder.encode_i(values, qp)
            return bytes([num_coders]) + payload

        qp, payload = code_within(room, wanted, code)
        self._num_coded = 1
        return CodedUnit(NalType.I, qp, reset=False, payload=payload, lowered=wanted - qp)

    def _p_unit(self) -> CodedUnit:
        count, since_key = len(self._waiting), self._since_key or 1
        values = [values_from_picture(picture, self._video_format) for picture in self._waiting]
        self._waiting.clear()
        reset = self._rule.resets(since_key, self._unit_pictures)
        filled = values + values[-1:] * (self._unit_pictures - count)
        before = self._coder.kept

        def code(qp: int) -> bytes:
            self._coder.kept = before
            payload, num_coders = self._coder.encode_p(filled, qp, reset)
            return bytes([num_coders]) + payload

        qp, payload = code_within(self._room, self._unit_qp, code)
        self._since_key, self._num_coded = since_key + count, count
        return CodedUnit(NalType.P, qp, reset, payload, PictureHeader(count), self._unit_qp - qp)


class UnitDecoder(PictureDecoder):
    """Decodes units. It does not make the repeated pictures of a unit."""

    def __init__(self, coder: UnitPayloadDecoder) -> None:
        self._coder = coder

    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Decodes the pictures of a unit."""
        coder, sps = self._coder, unit.sps
        if unit.qp > MAX_BASE_QP:
            raise StreamError(f"a unit of type {unit.frame_type.name} has QP {unit.qp}, expected 0..{MAX_BASE_QP}")
        if not unit.payload:
            raise StreamError("a unit has no payload")
        coder.use_format(sps.entropy_format)
        coder.skip_threshold = sps.skip_threshold or 0.0
        num_coders, payload, count = unit.payload[0], unit.payload[1:], unit.pictures.num_pictures
        if unit.frame_type is NalType.I:
            if count != 1:
                raise StreamError(f"an I frame says that it has {count} pictures, expected 1")
            coder.decode_i(payload, unit.qp, num_coders)
        else:
            coder.decode_p(payload, unit.qp, unit.reset, num_coders)
        return pictures_of(coder, sps, count)


def pictures_of(coder: UnitCoder, sps: Sps, count: int) -> Sequence[Picture]:
    """Returns the first `count` pictures of the last coded unit."""
    ops, video_format = coder.networks["video"].synthesis, video_format_of(sps)
    frames = (coder.output(index) for index in range(count))
    return [picture_from_frame(ops, frame, video_format, truncate_chroma=sps.truncate_chroma) for frame in frames]
