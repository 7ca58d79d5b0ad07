"""Plans of QPs that a receiver's buffer carries: a busy part gets what the buffer has, the others get the rest."""

import pytest

from dcvc_cli.control.vbv_plan import BufferRoom, Span, capped, plan_qps


def span(bits_at_0: int, num_frames: int = 8) -> Span:
    """Bits double every 16 QPs."""
    return num_frames, lambda qp: int(bits_at_0 * 2 ** (qp / 16))


ROOM = BufferRoom(size=80_000, fullness=80_000, inflow=1_000)
EASY, BUSY = span(500), span(8_000)


def fullness_after(spans: list[Span], qps: list[int]) -> list[int]:
    found, fullness = [], ROOM.fullness
    for (num_frames, bits), qp in zip(spans, qps, strict=True):
        fullness = ROOM.after(fullness, bits(qp), num_frames)
        found.append(fullness)
    return found


def test_without_need_every_span_has_the_same_qp():
    spans = [EASY] * 10
    assert capped(spans, ROOM, 40) == [40] * 10
    assert plan_qps(spans, ROOM, 10 * EASY[1](40)) == [40] * 10


def test_a_busy_part_gets_what_the_buffer_has_and_the_others_get_the_rest():
    spans = [EASY] * 10 + [BUSY] * 10 + [EASY] * 10
    budget = 200_000
    qps = plan_qps(spans, ROOM, budget)
    assert set(qps[:10]) == set(qps[20:]) == {qps[0]}, "spans that the buffer does not limit have one QP"
    assert max(qps[10:20]) < qps[0]
    assert min(fullness_after(spans, qps)) >= ROOM.size // 8
    total = sum(bits(qp) for (_, bits), qp in zip(spans, qps, strict=True))
    assert total == pytest.approx(budget, rel=0.03)
    constant = next(qp for qp in range(63, -1, -1) if 20 * EASY[1](qp) + 10 * BUSY[1](qp) <= budget)
    limited = capped(spans, ROOM, constant)
    assert sum(bits(qp) for (_, bits), qp in zip(spans, limited, strict=True)) < 0.9 * budget, "one QP would miss it"


def test_a_part_that_does_not_fit_at_all_gets_the_lowest_qp():
    spans = [EASY] * 3 + [span(500_000)] + [EASY] * 3
    qps = plan_qps(spans, ROOM, 100_000)
    assert qps[3] == 0
    assert qps[4:] == [0] * 3, "the buffer stays empty"
    assert max(qps[:3]) <= 63


def test_a_buffer_that_is_full_again_forgets_what_was_before():
    spans = [BUSY] * 4 + [EASY] * 20 + [BUSY] * 4
    qps = capped(spans, ROOM, 45)
    assert qps[4:15] != [qps[0]] * 11
    assert fullness_after(spans, qps)[20] == ROOM.size
    assert qps[-4:] == qps[:4]
