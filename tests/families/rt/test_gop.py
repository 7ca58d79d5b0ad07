"""Frame plans: types, QPs with the model's offsets, resets."""

import pytest

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.codec.choices import NO_ORDER, PictureOrder
from dcvc_cli.families.lite.sizes import LITE
from dcvc_cli.families.rt.gop import LATE, FramePlan, GopRule, late_qp
from dcvc_cli.families.rt.sizes import NUM_VIDEO_QPS, PUBLISHED_QP_OFFSETS, RT
from tests.support.models import SPECS


def plans(rule: GopRule, count: int) -> list[FramePlan]:
    planner = rule.plans_from()
    return [planner.next() for _ in range(count)]


def test_published_networks_keep_their_offsets() -> None:
    assert RT.qp_offsets == PUBLISHED_QP_OFFSETS == (0, 8, 0, 4, 0, 4, 0, 4)


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_offsets_keep_to_the_rows_that_there_are(spec) -> None:
    assert len(spec.qp_offsets) == 8
    assert all(0 <= offset <= 8 for offset in spec.qp_offsets)


def test_offsets_go_by_the_distance_from_the_i_frame() -> None:
    rule = GopRule(30, 20, keyint=10, reset_interval=0, qp_offsets=LITE.qp_offsets)
    found = plans(rule, 20)
    assert [plan.frame_type for plan in found] == ([NalType.I] + [NalType.P] * 9) * 2
    assert [plan.qp for plan in found] == [30, 20, 21, 20, 23, 20, 21, 20, 28, 20] * 2


def test_an_ordered_i_frame_starts_the_rule_again_and_ordered_qps_replace_the_base() -> None:
    planner = GopRule(30, 20, keyint=4, reset_interval=0, qp_offsets=LITE.qp_offsets).plans_from()
    orders = [NO_ORDER, NO_ORDER, PictureOrder(is_key=True, qp_i=40), PictureOrder(qp_p=50), *[NO_ORDER] * 3]
    found = [planner.next(order) for order in orders]
    assert [plan.frame_type.name for plan in found] == list("IPIPPPI")
    assert [plan.qp for plan in found] == [30, 20, 40, 50, 21, 20, 30]


def test_resets_follow_the_interval() -> None:
    found = plans(GopRule(30, 20, keyint=-1, reset_interval=8), 20)
    assert [index for index, plan in enumerate(found) if plan.reset] == [1, 9, 17]


def test_late_frames_are_coded_finer() -> None:
    """Never coarser than before, by late_qps at QP 0 in the end, not at all at QP 63; the distance counts from the last
    I frame."""
    for qp, gain in ((0, 6), (21, 4), (42, 2), (63, 0)):
        found = [late_qp(qp, position, 6) for position in range(400)]
        assert found == sorted(found)
        assert (found[0], found[LATE], found[-1]) == (0, gain, gain)
    rule = GopRule(0, 0, keyint=300, qp_offsets=(0,) * 8, late_qps=6)
    found = plans(rule, 600)
    assert [plan.qp for plan in found[:300]] == [plan.qp for plan in found[300:]]
    assert found[299].qp == 6
    assert all(qp + max(LITE.qp_offsets) + late_qp(qp, 1000, LITE.late_qps) < NUM_VIDEO_QPS for qp in range(64))
