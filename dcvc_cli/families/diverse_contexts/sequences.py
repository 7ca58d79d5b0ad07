"""Picture encoder and decoder of DCVC-DC and DCVC-FM: one unit a picture.

The payload of a unit in a .dcvc stream is the published codec's. In P frames one byte precedes it: the number of the
feature adaptor, 0..2, or 3 for a refresh.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, PictureOrder
from dcvc_cli.codec.pictures import check_picture, video_format_of
from dcvc_cli.codec.room import code_within
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import CodedUnit, PictureDecoder, PictureEncoder
from dcvc_cli.families.diverse_contexts.frames import FramePayloadDecoder, FramePayloadEncoder, PFrame
from dcvc_cli.families.diverse_contexts.video import NUM_ADAPTORS
from dcvc_cli.families.rt.gop import GopPlanner
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.types import Picture, VideoFormat

REFRESH = NUM_ADAPTORS
"""In place of an adaptor's number: the frame drops the reference's feature."""

Import = Callable[[Picture, VideoFormat], NDArray[np.float32]]
Export = Callable[[Tensor, VideoFormat], Picture]


class UnitEncoder(PictureEncoder):
    """Codes pictures one after the other.

    Args:
        planner: plans frame types, QPs and refreshes.
        adaptors: numbers of feature adaptors by the picture's number after its I frame, repeated.
        samples: makes network input of a picture.
        picture: makes a picture of network output.
    """

    def __init__(
        self,
        frames: FramePayloadEncoder,
        sps: Sps,
        planner: GopPlanner,
        adaptors: tuple[int, ...],
        samples: Import,
        picture: Export,
    ) -> None:
        self._frames, self._planner, self._adaptors = frames, planner, adaptors
        self._samples, self._picture = samples, picture
        self._video_format = video_format_of(sps)

    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Codes a picture."""
        check_picture(picture, self._video_format)
        values = self._samples(picture, self._video_format)
        index, plan = self._planner.index, self._planner.next(order)
        adaptor = self._adaptors[(index - self._planner.last_key) % len(self._adaptors)]
        before = self._frames.reference

        def code(qp: int) -> bytes:
            self._frames.reference = before
            if plan.frame_type is NalType.I:
                return self._frames.encode_i(values, qp)
            frame = PFrame(qp, adaptor, plan.reset)
            return bytes([REFRESH if plan.reset else adaptor]) + self._frames.encode_p([(values, frame)])

        qp, payload = code_within(order.room, plan.qp, code)
        yield CodedUnit(plan.frame_type, qp, plan.reset, payload, lowered=plan.qp - qp)

    def reconstruction(self) -> Sequence[Picture]:
        """Returns the picture of the last unit."""
        assert self._frames.reference is not None, "no unit came yet"
        return (self._picture(self._frames.reference.frame, self._video_format),)


class UnitDecoder(PictureDecoder):
    """Decodes units one after the other."""

    def __init__(self, frames: FramePayloadDecoder, picture: Export) -> None:
        self._frames, self._picture = frames, picture

    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Decodes the picture of a unit."""
        if unit.qp > MAX_BASE_QP:
            raise StreamError(f"a unit of type {unit.frame_type.name} has QP {unit.qp}, expected 0..{MAX_BASE_QP}")
        if unit.frame_type is NalType.I:
            self._frames.decode_i(unit.payload, unit.qp)
        else:
            for _ in self._frames.decode_p(unit.payload[1:], [_p_frame(unit)]):
                pass
        assert self._frames.reference is not None, "a frame was decoded"
        return (self._picture(self._frames.reference.frame, video_format_of(unit.sps)),)


def _p_frame(unit: FrameUnit) -> PFrame:
    """Returns the settings in a unit's header and in its first byte.

    Raises:
        StreamError: header and first byte do not agree.
    """
    number = unit.payload[0] if unit.payload else REFRESH + 1
    if number > REFRESH or unit.reset != (number == REFRESH):
        raise StreamError(f"a P frame names feature adaptor {number}, reset {unit.reset}", "the stream is damaged")
    return PFrame(unit.qp, number % NUM_ADAPTORS, unit.reset)
