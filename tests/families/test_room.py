"""A unit that has no room is coded again at a lower QP, and leaves an encoder that never tried the higher one."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.choices import CodingChoices, PictureOrder
from dcvc_cli.codec.room import code_within
from dcvc_cli.coding.opened_models import open_weights
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.families.base import CodedUnit
from dcvc_cli.families.registry import models
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat
from dcvc_cli.preparing.random_weights import random_weights

FORMAT = VideoFormat(PictureSize(48, 32))
NAMES = [name for name, model in models().items() if model.is_for_tests and model.has_qps]
NUM_PICTURES = 10


def picture(seed: int) -> Picture:
    planes = [np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8) for shape in FORMAT.plane_shapes]
    return Picture((planes[0], planes[1], planes[2]))


def units_of(name: str, orders: list[PictureOrder]) -> list[CodedUnit]:
    """Returns the units of noise, coded by untrained weights."""
    weights, choices = random_weights(name, exact=False), CodingChoices()
    networks = open_weights(weights, Precision.FLOAT32, threads=1)
    encoder = weights.model.encoder(networks, sps_for(FORMAT, weights, Precision.FLOAT32, choices), choices)
    units = [unit for index, order in enumerate(orders) for unit in encoder.push(picture(index), order)]
    return [*units, *encoder.flush()]


@pytest.mark.native
@pytest.mark.parametrize("number", [0, 2], ids=["I", "P"])
@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_goes_on_as_if_the_unit_had_been_ordered_lower(name: str, number: int) -> None:
    free = [PictureOrder(qp_i=50, qp_p=50) for _ in range(NUM_PICTURES)]
    plain = units_of(name, free)
    first = sum(unit.pictures.num_pictures for unit in plain[:number])
    limit = len(plain[number].payload) - 1
    rooms = [limit if index == first else 1 << 20 for index in range(NUM_PICTURES)]
    found = units_of(name, [replace(order, room=partial(int, room)) for order, room in zip(free, rooms, strict=True)])
    lowered = [unit.lowered for unit in found]
    assert lowered.index(max(lowered)) == number
    assert sum(lowered) == lowered[number] > 0
    assert len(found[number].payload) <= limit or found[number].qp == 0
    free[first] = free[first].lowered(lowered[number])
    expected = units_of(name, free)
    assert [replace(unit, lowered=0) for unit in found] == expected


def test_the_room_is_kept_down_to_qp_0() -> None:
    tried: list[int] = []

    def code(qp: int) -> bytes:
        tried.append(qp)
        return bytes(10 + 10 * qp)

    assert code_within(None, 63, code) == (63, bytes(640))
    assert code_within(lambda: 640, 63, code)[0] == 63
    tried.clear()
    qp, payload = code_within(lambda: 100, 63, code)
    assert (len(payload) <= 100, qp >= 0, tried[0], tried[-1]) == (True, True, 63, qp)
    assert all(before > after for before, after in pairwise(tried))
    assert code_within(lambda: -5, 63, code) == (0, bytes(10)), "what has no room at QP 0 is coded all the same"
