"""Picture encoder and decoder of codecs on R G B. A unit holds one picture."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.pictures import check_picture, video_format_of
from dcvc_cli.codec.room import code_within
from dcvc_cli.families.base import CodedUnit, Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.rt.gop import GopRule
from dcvc_cli.families.wide_latents.rgb import check_colour, picture_from_rgb, rgb_values
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture

NO_OFFSETS = (0,) * 8


class RgbFrameEncoder(Protocol):
    """Codes padded pictures one after the other.

    Attributes:
        reference: what the next P frame is predicted from.
    """

    reference: Any

    @property
    def frame(self) -> Tensor:
        """Returns the decoder's picture of the last frame, (1, 3, Hp, Wp)."""

    def encode_i(self, values: NDArray[np.float32], qp: int) -> bytes: ...

    def encode_p(self, values: NDArray[np.float32], qp: int) -> bytes: ...


class RgbFrameDecoder(Protocol):
    """Decodes payloads one after the other."""

    @property
    def frame(self) -> Tensor:
        """Returns the last picture, (1, 3, Hp, Wp)."""

    def decode_i(self, payload: bytes) -> None: ...

    def decode_p(self, payload: bytes) -> None: ...


class RgbEncoder(PictureEncoder):
    """Codes each picture into one unit.

    Args:
        keyint: pictures from I frame to I frame; None = as the choices say.
    """

    def __init__(self, frames: RgbFrameEncoder, sps: Sps, choices: CodingChoices, keyint: int | None = None) -> None:
        self._frames, self._video_format = frames, video_format_of(sps)
        check_colour(self._video_format)
        distance = choices.keyint if keyint is None else keyint
        qps = choices.qp_i, choices.qp_p
        self._planner = GopRule(
            *qps, distance, reset_interval=0, qp_offsets=NO_OFFSETS, forced_keys=choices.forced_keys
        ).plans_from()

    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Yields the picture's unit."""
        check_picture(picture, self._video_format)
        plan = self._planner.next(order)
        encode = self._frames.encode_i if plan.frame_type is NalType.I else self._frames.encode_p
        values, before = rgb_values(picture, self._video_format), self._frames.reference

        def code(qp: int) -> bytes:
            self._frames.reference = before
            return encode(values, qp)

        qp, payload = code_within(order.room, plan.qp, code)
        yield CodedUnit(plan.frame_type, qp, reset=False, payload=payload, lowered=plan.qp - qp)

    def reconstruction(self) -> Sequence[Picture]:
        """Returns the picture of the last unit."""
        return (picture_from_rgb(self._frames.frame, self._video_format),)


class RgbDecoder(PictureDecoder):
    """Decodes one picture from each unit."""

    def __init__(self, frames: RgbFrameDecoder, sps: Sps) -> None:
        self._frames, self._video_format = frames, video_format_of(sps)
        check_colour(self._video_format)

    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Decodes the unit's picture."""
        decode = self._frames.decode_i if unit.frame_type is NalType.I else self._frames.decode_p
        decode(unit.payload)
        return (picture_from_rgb(self._frames.frame, self._video_format),)


def rgb_sps_fields(model: Model, choices: CodingChoices) -> dict[str, Any]:
    """Returns the family's fields of the SPS.

    Raises:
        UsageError: the choices name another entropy format than the family's own.
    """
    model.check_entropy_format(choices.entropy_format or EntropyFormat.FAMILY)
    return {"entropy_format": EntropyFormat.FAMILY, "reset_interval": 0, "qp_offsets": ()}
