"""Decides which frames are I frames, which QP each frame gets, and when the reference feature is dropped."""

from dataclasses import dataclass, field

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.codec.choices import DEFAULT_RESET_INTERVAL, NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.families.rt.sizes import NO_DEAD_ZONES, PUBLISHED_QP_OFFSETS, ModelSpec
from dcvc_cli.format.constants import MAX_BASE_QP


@dataclass(frozen=True)
class FramePlan:
    """The settings of one frame.

    Attributes:
        frame_type: I or P.
        qp: table row, 0..63 for I and 0..71 for P.
        reset: the reference feature is dropped first.
        dead_zone: dead zone of the quantiser (families.lite.dead_zone).
    """

    frame_type: NalType
    qp: int
    reset: bool
    dead_zone: float = 0.0


@dataclass(frozen=True)
class GopRule:
    """Frame types, QPs and resets of a sequence.

    Args:
        qp_i, qp_p: 0..63, higher is better quality.
        keyint: frames from one I frame to the next; -1 = only the first frame.
        reset_interval: frames between drops of the reference feature, 0 = never. 1 also means never, as in the
            published codec.
        qp_offsets: the pattern of good frames: added to the QP of a P frame, by frame index mod 8.
        dead_zones: of P frames, by frame index mod 8.
        intra_dead_zone: of I frames.
        late_qps: largest return value of `late_qp`.
        restart_at_key: True counts the patterns and the resets from the last I frame, so that no piece of a stream
            depends on the frames before it. False counts from the start of the sequence, as the published test program
            does.
        forced_keys: frame indices that become I frames.
    """

    qp_i: int
    qp_p: int
    keyint: int = -1
    reset_interval: int = DEFAULT_RESET_INTERVAL
    qp_offsets: tuple[int, ...] = PUBLISHED_QP_OFFSETS
    dead_zones: tuple[float, ...] = NO_DEAD_ZONES
    intra_dead_zone: float = 0.0
    late_qps: int = 0
    restart_at_key: bool = True
    forced_keys: frozenset[int] = field(default_factory=frozenset)

    def plans_from(self, first: int = 0) -> "GopPlanner":
        return GopPlanner(self, first)


def gop_rule(choices: CodingChoices, spec: ModelSpec) -> GopRule:
    """Returns the rule of a stream of a model."""
    pattern = spec.qp_offsets, spec.dead_zones, spec.intra_dead_zone, spec.late_qps
    return GopRule(
        choices.qp_i, choices.qp_p, choices.keyint, choices.reset_interval, *pattern, forced_keys=choices.forced_keys
    )


LATE = 192
"""P frames after which the I frame's quality no longer helps."""


def late_qp(qp: int, position: int, late_qps: int) -> int:
    """Returns the QPs added to the `position`th P frame after an I frame, so that quality holds.

    They rise with the position until LATE. Then they are late_qps at QP 0, none at QP 63, and in proportion between.
    """
    return round(late_qps * (MAX_BASE_QP - qp) * min(position, LATE) / (MAX_BASE_QP * LATE))


class GopPlanner:
    """Walks a GopRule frame by frame."""

    def __init__(self, rule: GopRule, first: int = 0) -> None:
        self.rule, self.index, self.last_key = rule, first, first

    def next(self, order: PictureOrder = NO_ORDER) -> FramePlan:
        """Plans the next frame. Coding order is display order."""
        rule, index = self.rule, self.index
        self.index += 1
        since_key = index - self.last_key
        periodic = rule.keyint > 0 and (since_key >= rule.keyint if rule.restart_at_key else index % rule.keyint == 0)
        if index == self.last_key or periodic or index in rule.forced_keys or order.is_key:
            self.last_key = index
            qp_i = rule.qp_i if order.qp_i is None else order.qp_i
            return FramePlan(NalType.I, qp_i, reset=False, dead_zone=rule.intra_dead_zone)
        position = since_key if rule.restart_at_key else index
        reset = rule.reset_interval > 0 and position % rule.reset_interval == 1
        base = rule.qp_p if order.qp_p is None else order.qp_p
        qp = base + rule.qp_offsets[position % 8] + late_qp(base, position, rule.late_qps)
        return FramePlan(NalType.P, qp, reset, rule.dead_zones[position % 8])
