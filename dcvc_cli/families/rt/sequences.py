"""Picture encoder and decoder of families with one picture a unit."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, PictureOrder
from dcvc_cli.codec.pictures import check_picture, values_from_picture, video_format_of
from dcvc_cli.codec.room import code_within
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import CodedUnit, PictureDecoder, PictureEncoder
from dcvc_cli.families.rt.gop import FramePlan, GopPlanner
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, VideoFormat

DeadZone = Callable[[float], NDArray[np.float32] | None]
"""Dead zone -> by table row, the magnitude below which a symbol is 0; None without a dead zone."""


MakePayload = Callable[[], bytes]
"""Codes a frame's symbols and returns its payload. Any thread may call it."""


class FrameEncoder(Protocol):
    """Codes frames one after the other, up to their symbols."""

    @property
    def computes_beside_host(self) -> bool:
        """Returns whether a device computes the networks while the host does something else."""

    def code_i(
        self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None
    ) -> MakePayload: ...

    def code_p(
        self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None
    ) -> MakePayload: ...

    def shown(self) -> Any:
        """Returns what `picture` needs of the frame coded last once others are coded."""

    def saved(self) -> Any:
        """Returns a copy of what the next frame depends on."""

    def restore(self, saved: Any) -> None:
        """Goes back to where `saved` was called; `saved` may be used again."""

    def picture(self, video_format: VideoFormat, *, truncate_chroma: bool, shown: Any = None) -> Picture: ...


class FrameDecoder(Protocol):
    """Decodes payloads one after the other, each in the entropy format that its SPS names."""

    entropy_format: EntropyFormat
    skip_threshold: float | None

    def decode_i(self, payload: bytes, qp: int) -> None: ...

    def decode_p(self, payload: bytes, qp: int, reset: bool) -> None: ...

    def picture(self, video_format: VideoFormat, *, truncate_chroma: bool) -> Picture: ...


@dataclass(frozen=True)
class _CodedFrame:
    """A frame whose symbols are chosen.

    Attributes:
        payload: the frame's bytes. Where a device computes the networks, another thread still makes them.
        shown: what the frame encoder needs for the frame's picture.
    """

    plan: FramePlan
    payload: "Future[bytes]"
    shown: Any
    lowered: int = 0

    def unit(self) -> CodedUnit:
        plan = self.plan
        return CodedUnit(plan.frame_type, plan.qp, plan.reset, self.payload.result(), lowered=self.lowered)


class FrameByFrameEncoder(PictureEncoder):
    """Makes one unit of each picture.

    Where a device computes the networks, a thread codes the symbols of a frame while the device computes the next one.
    A unit then comes out one picture late.

    Args:
        planner: frame types and QPs.
        zero_below: turns a plan's dead zone into magnitudes.
    """

    def __init__(self, frames: FrameEncoder, sps: Sps, planner: GopPlanner, zero_below: DeadZone) -> None:
        self._frames, self._sps, self._planner, self._zero_below = frames, sps, planner, zero_below
        self._video_format = video_format_of(sps)
        self._thread = ThreadPoolExecutor(1, "dcvc-entropy") if frames.computes_beside_host else None
        self._waiting: _CodedFrame | None = None
        self._last: _CodedFrame | None = None

    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Codes a picture."""
        check_picture(picture, self._video_format)
        values, plan = values_from_picture(picture, self._video_format), self._planner.next(order)
        if order.room is not None:
            yield from self.flush()
            yield from self._units(self._code_within(values, plan, order))
            return
        plan, make = self._code(values, plan, order)
        coded: _CodedFrame | None = _CodedFrame(plan, self._begin(make), self._frames.shown())
        if self._thread is not None:
            coded, self._waiting = self._waiting, coded
        yield from self._units(coded)

    def flush(self) -> Iterator[CodedUnit]:
        """Gives out the unit of the last picture, where it still waits."""
        coded, self._waiting = self._waiting, None
        yield from self._units(coded)

    def _units(self, coded: _CodedFrame | None) -> Iterator[CodedUnit]:
        if coded is not None:
            self._last = coded
            yield coded.unit()

    def _begin(self, make: MakePayload) -> "Future[bytes]":
        return _made(make()) if self._thread is None else self._thread.submit(make)

    def _code_within(self, values: NDArray[np.float32], wanted: FramePlan, order: PictureOrder) -> _CodedFrame:
        """Codes a frame, again at lower QPs where it has no room."""
        saved = self._frames.saved()
        coded = wanted

        def code(qp: int) -> bytes:
            nonlocal coded
            if qp != wanted.qp:
                self._frames.restore(saved)
            coded, make = self._code(values, replace(wanted, qp=qp), order.lowered(wanted.qp - qp))
            return make()

        qp, payload = code_within(order.room, wanted.qp, code)
        return _CodedFrame(coded, _made(payload), self._frames.shown(), wanted.qp - qp)

    def _code(self, values: NDArray[np.float32], plan: FramePlan, order: PictureOrder) -> tuple[FramePlan, MakePayload]:
        """Returns (the plan, a function that makes the payload)."""
        zero_below = self._zero_below(plan.dead_zone)
        if plan.frame_type is NalType.I:
            return plan, self._frames.code_i(values, plan.qp, zero_below)
        return plan, self._frames.code_p(values, plan.qp, plan.reset, zero_below)

    def reconstruction(self) -> Sequence[Picture]:
        """Returns the picture of the unit that came out last."""
        assert self._last is not None, "no unit came yet"
        truncate_chroma = self._sps.truncate_chroma
        return (self._frames.picture(self._video_format, truncate_chroma=truncate_chroma, shown=self._last.shown),)


def _made(payload: bytes) -> "Future[bytes]":
    """Returns a payload as a finished future, as if a thread had made it."""
    made: Future[bytes] = Future()
    made.set_result(payload)
    return made


class FrameByFrameDecoder(PictureDecoder):
    """Decodes one picture from each unit."""

    def __init__(self, frames: FrameDecoder, sps: Sps, max_qp_i: int, max_qp_p: int) -> None:
        self._frames, self._video_format = frames, video_format_of(sps)
        self._max_qp_i, self._max_qp_p = max_qp_i, max_qp_p

    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Decodes a frame."""
        frames, sps = self._frames, unit.sps
        frames.entropy_format, frames.skip_threshold = sps.entropy_format, sps.skip_threshold
        if unit.frame_type is NalType.I:
            if unit.qp > self._max_qp_i:
                raise StreamError(f"an I frame has QP {unit.qp}, expected 0..{self._max_qp_i}")
            frames.decode_i(unit.payload, unit.qp)
        else:
            if unit.qp > self._max_qp_p:
                raise StreamError(f"a P frame has QP {unit.qp}, expected 0..{self._max_qp_p}")
            frames.decode_p(unit.payload, unit.qp, unit.reset)
        return (frames.picture(self._video_format, truncate_chroma=sps.truncate_chroma),)
