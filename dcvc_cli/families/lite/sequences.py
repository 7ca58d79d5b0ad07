"""The picture encoder of `lite`: as frames are planned, unless an I frame costs less than the P frame planned."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.families.lite.dead_zone import zero_below
from dcvc_cli.families.lite.floor.frame_floor import bit_price
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.rt.gop import FramePlan, GopPlanner
from dcvc_cli.families.rt.sequences import FrameByFrameEncoder, MakePayload

SCENE_FRAMES = 8
"""Frames that the first one of a scene serves: where an I frame is weighed against a P frame, a bit costs so much
less."""
DISTRUSTED_SHARE = 1 / 2
"""Of a frame's blocks: where so many have nothing of the networks' picture, the feature behind it is dropped."""


class LiteEncoder(FrameByFrameEncoder):
    """One unit a picture."""

    def __init__(self, frames: FramePayloadEncoder, sps: Sps, planner: GopPlanner) -> None:
        super().__init__(frames, sps, planner, zero_below)
        self._lite = frames

    def _code(self, values: NDArray[np.float32], plan: FramePlan) -> tuple[FramePlan, MakePayload]:
        if plan.frame_type is NalType.I:
            return super()._code(values, plan)
        lite = self._lite
        plan, make = super()._code(values, replace(plan, reset=plan.reset or lite.replaced_share > DISTRUSTED_SHARE))
        if not lite.is_new_scene:
            return plan, make
        payload = make()
        state, marks, cost = lite.state(), (lite.error, lite.replaced_share), self._cost(payload)
        lite.forget()
        key, make_key = super()._code(values, self._planner.key_plan())
        key_payload = make_key()
        if self._cost(key_payload) < cost:
            self._planner.restart()
            return key, lambda: key_payload
        lite.restore(state)
        lite.error, lite.replaced_share = marks
        return plan, lambda: payload

    def _cost(self, payload: bytes) -> float:
        """Of the frame coded last: squared error and price of the bits, in squared grey levels."""
        target = self._planner.rule.qp_p
        return self._lite.error + bit_price(target, target) / SCENE_FRAMES * 8 * len(payload)
