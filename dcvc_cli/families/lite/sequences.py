"""The picture encoder of `lite`. It gives the frame encoder the QPs that the user chose. It drops the reference feature
after a frame that kept little of the networks' picture."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.choices import PictureOrder
from dcvc_cli.families.lite.dead_zone import zero_below
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.rt.gop import FramePlan, GopPlanner
from dcvc_cli.families.rt.sequences import FrameByFrameEncoder, MakePayload

DISTRUSTED_SHARE = 1 / 2
"""If a larger share of a frame's blocks keeps nothing of the networks' picture, the next P frame drops the feature."""


class LiteEncoder(FrameByFrameEncoder):
    """Codes each picture into one unit."""

    def __init__(self, frames: FramePayloadEncoder, sps: Sps, planner: GopPlanner) -> None:
        super().__init__(frames, sps, planner, zero_below)
        self._lite = frames

    def _code(self, values: NDArray[np.float32], plan: FramePlan, order: PictureOrder) -> tuple[FramePlan, MakePayload]:
        lite, rule = self._lite, self._planner.rule
        lite.target_qp_i = rule.qp_i if order.qp_i is None else order.qp_i
        lite.target_qp_p = rule.qp_p if order.qp_p is None else order.qp_p
        if plan.frame_type is NalType.P and lite.replaced_share > DISTRUSTED_SHARE:
            plan = replace(plan, reset=True)
        return super()._code(values, plan, order)
