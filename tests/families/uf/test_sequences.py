"""Units of DCVC-UF as encoder and decoder see them: what is refused, what is put out, when a reset comes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import PictureHeader
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.pictures import video_format_of
from dcvc_cli.coding.opened_models import open_weights
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import CodedUnit, PictureDecoder
from dcvc_cli.families.uf.sequences import UnitRule
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import ModelWeights

FORMAT = VideoFormat(PictureSize(18, 10))


@pytest.fixture(scope="module")
def weights() -> ModelWeights:
    return random_weights("tiny-uf-hts", exact=False)


def picture(seed: int) -> Picture:
    planes = (np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8) for shape in FORMAT.plane_shapes)
    return Picture(tuple(planes))


class Session:
    """An encoder and a decoder of one stream."""

    def __init__(self, weights: ModelWeights, **choices: object) -> None:
        made = CodingChoices(**choices)  # type: ignore[arg-type]
        networks = open_weights(weights, Precision.FLOAT32, threads=1)
        self.sps = sps_for(FORMAT, weights, Precision.FLOAT32, made)
        self.encoder = weights.model.encoder(networks, self.sps, made)
        self.decoder: PictureDecoder = weights.model.decoder(networks, self.sps)

    def frame_unit(self, unit: CodedUnit, **changes: object) -> FrameUnit:
        size = len(unit.payload)
        found = FrameUnit(
            0, size, unit.frame_type, 0, self.sps, unit.qp, unit.reset, unit.payload, 0, 0, pictures=unit.pictures
        )
        return replace(found, **changes)  # type: ignore[arg-type]

    def code(self, count: int) -> Iterator[CodedUnit]:
        for index in range(count):
            yield from self.encoder.push(picture(index))
        yield from self.encoder.flush()


def test_the_pictures_of_a_unit_are_those_that_its_header_counts(weights: ModelWeights) -> None:
    session = Session(weights)
    counts = []
    for unit in session.code(12):
        pictures = session.decoder.push(session.frame_unit(unit))
        assert [one.tobytes() for one in pictures] == [one.tobytes() for one in session.encoder.reconstruction()]
        counts.append((unit.frame_type, len(pictures)))
    assert counts == [(NalType.I, 1), (NalType.P, 8), (NalType.P, 3)]


def test_orders_end_a_unit_and_set_its_qp(weights: ModelWeights) -> None:
    session = Session(weights)
    orders = [NO_ORDER, PictureOrder(qp_p=9), PictureOrder(qp_p=50), PictureOrder(is_key=True, qp_i=40), NO_ORDER]
    units = [unit for index, order in enumerate(orders) for unit in session.encoder.push(picture(index), order)]
    units += session.encoder.flush()
    found = [(unit.frame_type.name, unit.qp, unit.pictures.num_pictures) for unit in units]
    assert found == [("I", 32, 1), ("P", 9, 2), ("I", 40, 1), ("P", 32, 1)]


@pytest.mark.parametrize("num_coders", [0, 9, 255])
def test_a_number_of_coders_that_there_is_not_is_refused(weights: ModelWeights, num_coders: int) -> None:
    session = Session(weights)
    unit = next(session.code(1))
    damaged = session.frame_unit(unit, payload=bytes([num_coders]) + unit.payload[1:])
    with pytest.raises(StreamError, match=f"has {num_coders} coders"):
        session.decoder.push(damaged)


def test_what_no_unit_is_has_an_error_of_its_own(weights: ModelWeights) -> None:
    session = Session(weights)
    i_frame, chunk = session.code(9)
    cases = (
        (session.frame_unit(i_frame, payload=b""), "no payload"),
        (session.frame_unit(i_frame, qp=64), "QP 64"),
        (session.frame_unit(i_frame, pictures=PictureHeader(2)), "2 pictures"),
        (session.frame_unit(i_frame, payload=i_frame.payload + b"\0"), "damaged"),
        (session.frame_unit(chunk), "before any I frame"),
        (session.frame_unit(i_frame, sps=replace(session.sps, entropy_format=EntropyFormat.COMPACT)), "compact format"),
    )
    for unit, words in cases:
        with pytest.raises(StreamError, match=words):
            session.decoder.push(unit)


def test_the_format_of_the_tables_may_change_between_units(weights: ModelWeights) -> None:
    session = Session(weights)
    i_frame, chunk = session.code(9)
    session.decoder.push(session.frame_unit(i_frame))
    other = replace(session.sps, entropy_format=EntropyFormat.PUBLISHED_ONE)
    assert other.can_follow(session.sps)
    pictures = session.decoder.push(session.frame_unit(chunk, sps=other))
    expected = session.encoder.reconstruction()
    assert [one.tobytes() for one in pictures] == [one.tobytes() for one in expected], "these weights have one table"
    assert video_format_of(other) == video_format_of(session.sps)


def test_the_published_rule_of_resets() -> None:
    """Units after an I frame begin at 1, 9, 17, ..; with interval 32 the unit that begins at 33 starts anew."""
    rule = UnitRule(32, 32, keyint=-1, reset_interval=32, forced_keys=frozenset())
    assert [first for first in range(1, 100, 8) if rule.resets(first, 8)] == [25, 57, 89]
    assert [first for first in range(1, 100) if rule.resets(first, 1)] == [32, 64, 96]
    assert not any(replace(rule, reset_interval=0).resets(first, 8) for first in range(1, 100))
