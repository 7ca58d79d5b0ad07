"""The output filter and its coder against their slow twin: any picture and any filters, bytes of sequences, and numbers
worked out by hand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.families.lite.filter import twin as reference
from dcvc_cli.families.lite.filter.filters import (
    TWIN_VARIABLE,
    FilterCoder,
    bytes_of_plane,
    filter_planes,
    planes_of_squares,
)
from dcvc_cli.families.lite.filter.parameters import Filters, Planes
from dcvc_cli.families.lite.filter.twin import TwinFilterCoder, block_classes, filter_planes_twin, halved
from dcvc_cli.families.lite.motion.field import FieldCoder
from dcvc_cli.format.range_coder import (
    Context,
    DecoderState,
    EncoderState,
    TwinBitWriter,
    TwinRangeDecoder,
    TwinRangeEncoder,
)
from tests.support.motions import Following
from tests.support.random_layers import first_mismatch

pytest.importorskip("dcvc_cli._filter")
pytestmark = pytest.mark.native
DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "output-filter.md").read_text(encoding="utf-8")
HALVED_SIZES = [(16, 16), (8, 8), (8, 40), (32, 16), (48, 80), (144, 176)]
FULL_SIZES = [(16, 16), (4, 4), (4, 20), (12, 8), (144, 176)]
CLASS_OF_FLAT = 1
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["native", "twin"])


def random_plane(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Makes samples 0..8192: noise, waves, lines that fade, the ends of the range only, all the same, or single samples
    on a grey level."""
    kind, row, column = rng.choice([0, 1, 2, 2, 2, 3, 4, 5]), *np.indices((height, width))
    contrast = 8192 * 2.0 ** -rng.integers(0, 9)
    if kind == 0:
        plane = rng.integers(0, 8193, (height, width))
    elif kind == 1:
        plane = 4096 + contrast / 2 * np.sin(rng.uniform(0, 1) * row + rng.uniform(0, 1) * column) * np.cos(
            rng.uniform(0, 0.2) * column
        )
    elif kind == 2:
        along, across = (row, column) if rng.integers(2) else (column, row)
        lines = rng.uniform(-contrast, contrast, max(height, width))[across] * along / max(height, width)
        plane = 4096 + lines + rng.uniform(-1, 1, (height, width)) * contrast * rng.choice([0, 0.02, 0.5])
    elif kind == 3:
        plane = rng.integers(0, 2, (height, width)) * 8192
    elif kind == 4:
        plane = np.full((height, width), rng.choice([0, 1, 4095, 8192]))
    else:
        plane = 4096 + (rng.random((height, width)) < 0.02) * rng.integers(-4096, 4097, (height, width))
    return plane.clip(0, 8192).astype(np.int16)


def random_planes(rng: np.random.Generator, height: int, width: int, halve_chroma: bool) -> Planes:
    size = (height // 2, width // 2) if halve_chroma else (height, width)
    return random_plane(rng, height, width), random_plane(rng, *size), random_plane(rng, *size)


def random_filters(rng: np.random.Generator) -> Filters:
    """Coefficients of one reach, or the largest ones; some of them 0."""
    kind, share = rng.integers(3), rng.choice([0.1, 0.5, 1.0])
    parts = []
    for shape in ((24, 12), (2, 16)):
        reach = (127, 6, 127)[kind]
        coefficients = rng.choice([-127, 127], shape) if kind == 0 else rng.integers(-reach, reach + 1, shape)
        parts.append((coefficients * (rng.random(shape) < share)).astype(np.int8))
    return Filters(*parts)


def only(part: str, index: int, term: int, coefficient: int) -> Filters:
    """Makes a single coefficient, all others 0."""
    filters = Filters.zero()
    getattr(filters, part)[index, term] = coefficient
    return filters


def assert_same_planes(expected: Planes, found: Planes, told: str) -> None:
    for name, one, other in zip(("luma", "Cb", "Cr"), expected, found, strict=True):
        assert other.dtype == np.int16, told
        assert np.array_equal(one, other), f"{told} {name}: {first_mismatch(one, other)}"


@pytest.mark.parametrize("halve_chroma", [True, False])
def test_filtering(halve_chroma: bool):
    """All classes occur. Filtering does not change its input."""
    classes: set[int] = set()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        sizes = HALVED_SIZES if halve_chroma else FULL_SIZES
        planes, filters = random_planes(rng, *sizes[seed % len(sizes)], halve_chroma), random_filters(rng)
        before = tuple(plane.copy() for plane in planes)
        expected = filter_planes_twin(planes, filters)
        assert_same_planes(expected, filter_planes(planes, filters), f"seed {seed} size {planes[0].shape}")
        assert_same_planes(before, planes, f"seed {seed} afterwards")
        assert all(plane.min() >= 0 and plane.max() <= 8192 for plane in expected)
        classes.update(block_classes(planes[0]).ravel().tolist())
    assert classes == set(range(24))


@pytest.mark.parametrize("term", range(16))
def test_every_term_alone(term: int):
    rng = np.random.default_rng(term)
    planes = (random_plane(rng, 16, 24), *(rng.integers(0, 8193, (2, 16, 24)).astype(np.int16)))
    for coefficient in (-127, -1, 1, 64, 127):
        filters = Filters.zero()
        filters.luma[:, term % 12], filters.chroma[:, term] = coefficient, coefficient
        for chosen in (planes, (planes[0], halved(planes[1]), halved(planes[2]))):
            expected = filter_planes_twin(chosen, filters)
            assert_same_planes(expected, filter_planes(chosen, filters), f"term {term} coefficient {coefficient}")


def around_a_block(vertical: int, horizontal: int) -> np.ndarray:
    """Makes luma whose block (2, 2) has these V and H: a sample of 64 inside adds 256 to both, those just outside its
    3x3 blocks their values to one."""
    luma = np.zeros((20, 20), np.int16)
    luma[9, 9] = 64
    for place, rest in (((slice(4, 16), [3, 16]), horizontal - 256), (([3, 16], slice(4, 16)), vertical - 256)):
        samples = np.minimum(np.maximum(rest - 8192 * np.arange(24), 0), 8192)
        luma[place] = samples.reshape(luma[place].shape)
    return luma


def class_by_filter(luma: np.ndarray) -> int:
    """Returns the class of that block, read from its middle: every class has its own coefficient of d(0, 1) + d(0, -1)
    = -128."""
    filters = Filters.zero()
    filters.luma[:, 0] = np.arange(1, 25)
    filtered, _, _ = filter_planes((luma, np.zeros_like(luma), np.zeros_like(luma)), filters)
    return (64 - int(filtered[9, 9])) // 2 - 1


THRESHOLDS = (2697, 6967, 13740, 24430, 41400, 68000, 110560)


@IMPLEMENTATIONS
def test_classes_at_their_limits(monkeypatch: pytest.MonkeyPatch, implementation: str):
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    cases = {}
    for below, threshold in enumerate(THRESHOLDS):
        for activity, total in ((below, threshold - 1), (below + 1, threshold)):
            for direction, vertical in enumerate((256, total // 2, total - 256)):
                cases[vertical, total - vertical] = (activity, direction)
    cases |= {
        (1000, 1999): (1, 1),
        (1000, 2000): (1, 1),
        (1000, 2001): (1, 0),
        (1999, 1000): (1, 1),
        (2000, 1000): (1, 1),
        (2001, 1000): (1, 2),
    }
    for (vertical, horizontal), (activity, direction) in cases.items():
        luma = around_a_block(vertical, horizontal)
        assert class_by_filter(luma) == block_classes(luma)[2, 2] == 3 * activity + direction, (vertical, horizontal)


@IMPLEMENTATIONS
def test_flat_pictures_and_zero_filters_change_nothing(monkeypatch: pytest.MonkeyPatch, implementation: str):
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    rng = np.random.default_rng(0)
    for halve_chroma in (True, False):
        planes = random_planes(rng, 16, 32, halve_chroma)
        assert_same_planes(planes, filter_planes(planes, Filters.zero()), "zero filters")
        for level in (0, 1, 4095, 8192):
            flat = tuple(np.full_like(plane, level) for plane in planes)
            assert block_classes(flat[0]).tolist() == [[CLASS_OF_FLAT] * 8] * 4
            assert_same_planes(flat, filter_planes(flat, random_filters(rng)), f"level {level}")


OFFSETS = [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)]


@IMPLEMENTATIONS
@pytest.mark.parametrize("k", range(6))
def test_an_impulse_by_hand(monkeypatch: pytest.MonkeyPatch, implementation: str, k: int):
    """1640 among 1000: V = H = 4 * 640 around it, so A = 5120, activity 1, direction 1, class 4. A quarter of the steps
    to both sides are added."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    plane, place, (down, right) = np.full((32, 32), 1000, np.int16), (13, 18), OFFSETS[k]
    plane[place] = 1640
    flat = np.full((32, 32), 1000, np.int16)
    for term, own, beside in ((k, 1640 - 320, 1000 + 160), (k + 6, 1640 - 64, 1000 + 32)):
        expected = flat.copy()
        expected[place] = own
        expected[place[0] + down, place[1] + right] = expected[place[0] - down, place[1] - right] = beside
        assert_same_planes(
            (expected, flat, flat), filter_planes((plane, flat, flat), only("luma", 4, term, 16)), f"luma, term {term}"
        )
        for part in range(2):
            chroma, filtered = [flat, flat], [flat, flat]
            chroma[part], filtered[part] = plane, expected
            found = filter_planes((flat, *chroma), only("chroma", part, term, 16))
            assert_same_planes((flat, *filtered), found, f"chroma {part}, term {term}")
    assert_same_planes(
        (plane, flat, flat),
        filter_planes((plane, flat, flat), only("luma", CLASS_OF_FLAT, k, 16)),
        "a filter of another class",
    )


@IMPLEMENTATIONS
@pytest.mark.parametrize("halve_chroma", [True, False])
def test_a_companion_by_hand(monkeypatch: pytest.MonkeyPatch, implementation: str, halve_chroma: bool):
    """One sample of luma 641 above the others: the companion is 641 above at luma's size, and 160 at half of it,
    rounded from 160.25."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    luma = np.full((32, 32), 1000, np.int16)
    luma[13, 18] = 1641
    size, place, changes = ((16, 16), (6, 9), (-80, 40)) if halve_chroma else ((32, 32), (13, 18), (-320, 160))
    flat = np.full(size, 3000, np.int16)
    for term, (own, beside), (down, right) in (
        (12, changes, (0, 1)),
        (13, changes, (1, 0)),
        (14, (-64, 32), (0, 1)),
        (15, (-64, 32), (1, 0)),
    ):
        expected = flat.copy()
        expected[place] += own
        expected[[place[0] + down, place[0] - down], [place[1] + right, place[1] - right]] += beside
        assert_same_planes(
            (luma, expected, flat), filter_planes((luma, flat, flat), only("chroma", 0, term, 16)), f"Cb, term {term}"
        )
        assert_same_planes(
            (luma, flat, expected), filter_planes((luma, flat, flat), only("chroma", 1, term, 16)), f"Cr, term {term}"
        )


@IMPLEMENTATIONS
def test_rounding_and_limits_by_hand(monkeypatch: pytest.MonkeyPatch, implementation: str):
    """A step adds k 64ths to the darker and to the brighter side, rounded, half up. Sums beyond 0 and 8192 are
    limited."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    for step, added, of_opposite in ((31, 0, 0), (32, 1, 0), (33, 1, -1), (95, 1, -1), (96, 2, -1), (97, 2, -2)):
        plane = np.array([[100] * 4 + [100 + step] * 4] * 8, np.int16)
        filters = Filters.zero()
        filters.chroma[:, 0] = 1, -1
        _, *found = filter_planes((plane, plane, plane), filters)
        for chroma, changes in zip(found, ((added, of_opposite), (of_opposite, added)), strict=True):
            expected = plane.copy()
            expected[:, 3:5] += np.array(changes, np.int16)
            assert chroma.tolist() == expected.tolist(), step
    edge = np.where(np.arange(8) < 4, 8192, 0).astype(np.int16)[None].repeat(8, 0)
    _, sharper, softer = filter_planes(
        (edge, edge, edge),
        Filters(np.zeros((24, 12), np.int8), np.array([[-127] + [0] * 15, [127] + [0] * 15], np.int8)),
    )
    assert sharper.tolist() == edge.tolist()
    assert softer[0].tolist() == [8192, 8192, 8192, 0, 8192, 0, 0, 0]


LAYOUTS = {
    "lines": lambda squares: squares,
    "cells": lambda squares: np.ascontiguousarray(squares.transpose(1, 3, 0, 2, 4)).transpose(2, 0, 3, 1, 4),
    "planes last": lambda squares: np.ascontiguousarray(squares.transpose(1, 2, 3, 4, 0)).transpose(4, 0, 1, 2, 3),
    "from the end": lambda squares: np.ascontiguousarray(squares[:, ::-1, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1, ::-1],
    "every other": lambda squares: np.ascontiguousarray(squares.repeat(2, 4).repeat(2, 1))[:, ::2, :, :, ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (16, 48), (40, 24)])
def test_planes_of_squares(layout: str, size: tuple[int, int]):
    rng = np.random.default_rng(size)
    for lines in (rng.integers(0, 8193, (3, *size)).astype(np.int16), np.full((3, *size), 8192, np.int16)):
        squares = LAYOUTS[layout](lines.reshape(3, size[0] // 8, 8, size[1] // 8, 8))
        assert_same_planes(tuple(lines), planes_of_squares(squares, False), "as they are")
        wide = lines.astype(int)
        means = (wide[:, ::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, ::2] + wide[:, 1::2, 1::2] + 2) // 4
        found = planes_of_squares(squares, True)
        assert_same_planes((lines[0], *means[1:]), found, "chroma halved")
        assert all(plane.flags.c_contiguous for plane in found)


def test_shown_samples():
    plane = np.arange(8193, dtype=np.int16)[None].repeat(3, 0)
    assert bytes_of_plane(plane, 3, 8193).tolist() == [[(255 * value + 4096) // 8192 for value in range(8193)]] * 3
    assert bytes_of_plane(plane, 2, 4100).tolist() == bytes_of_plane(plane, 3, 8193)[:2, :4100].tolist()


def test_the_variable_forces_the_twin(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(9)
    planes, filters = random_planes(rng, 16, 16, True), random_filters(rng)
    expected = filter_planes(planes, filters)
    monkeypatch.setattr("dcvc_cli.families.lite.filter.filters.native", None)
    monkeypatch.setenv(TWIN_VARIABLE, "twin")
    assert_same_planes(expected, filter_planes(planes, filters), "twin")
    monkeypatch.setenv(TWIN_VARIABLE, "slow")
    with pytest.raises(EnvironmentFault, match="'slow'"):
        filter_planes(planes, filters)


def test_the_document_tells_the_numbers():
    rows = {
        "changed[0..1]": reference.START_CHANGED,
        "other[0..1]": reference.START_OTHER,
        "copied": (32768,),
        "exact": (32768,),
    }
    rows |= {"zero[0..2]": (32768,) * 3, "sign, prefix": (32768,)}
    for name, starts in rows.items():
        assert f"| {name} | {' '.join(map(str, starts))} |" in DOCUMENT, name
    assert f"\n    {' '.join(map(str, reference.THRESHOLDS))}\n" in DOCUMENT
    assert reference.THRESHOLDS == THRESHOLDS
    assert [*reference.OFFSETS] == OFFSETS
    assert " ".join(DOCUMENT[DOCUMENT.index("    offset ") :].splitlines()[0].split()) == "offset " + " ".join(
        map(str, OFFSETS)
    )


def changed(rng: np.random.Generator, before: Filters) -> Filters:
    """Returns what may follow: the same, all new, sparse changes, filters like the one before them, or exactly so, the
    largest jumps."""
    rows = [*before.luma.astype(int), *before.chroma.astype(int)]
    kind, share = rng.integers(7), rng.choice([0.03, 0.2, 1.0])
    for k in range(26 if kind else 0):
        if rng.random() >= share:
            continue
        size, may_copy = len(rows[k]), k not in (0, 24)
        sparse = (rng.random(size) < 0.2) * rng.integers(-9, 10, size)
        if kind == 1:
            rows[k] = np.zeros(size, int)
        elif kind == 2:
            rows[k] = rng.integers(-127, 128, size)
        elif kind == 3:
            rows[k] = rng.choice([-127, 127], size)
        elif kind == 4 and may_copy:
            rows[k] = rows[k - 1] + sparse * rng.integers(2)
        elif kind == 5 and may_copy:
            rows[k] = (rows[k - 1] + rows[k]) // 2  # about as far from either
        else:
            rows[k] = rows[k] + sparse
    return Filters(*(np.array(part).clip(-127, 127).astype(np.int8) for part in (rows[:24], rows[24:])))


@dataclass(frozen=True)
class Start:
    """Where the coders of a frame begin, and what stands before it: how a decoder gets there."""

    encoder: EncoderState | None
    shares: tuple[tuple[int, int, int], ...] = ()

    def decoder(self, data: bytes) -> DecoderState | None:
        if self.encoder is None:
            return None
        coder = TwinRangeDecoder(data)
        for share in self.shares:
            assert share[0] <= coder.share(share[2]) < share[1]
            coder.take(*share)
        return coder.state


def random_start(rng: np.random.Generator) -> Start:
    """None, one where nothing stands before, or behind any decisions: also some that end near a carry."""
    if rng.integers(3) == 0:
        return Start(None)
    coder, shares = TwinRangeEncoder(), []
    near_the_end = rng.integers(3) == 0
    for _ in range(int(rng.integers(0, 60))):
        bits = int(rng.integers(1, 17))
        start = (1 << bits) - 1 if near_the_end else int(rng.integers(0, 1 << bits))
        shares.append((start, int(rng.integers(start + 1, (1 << bits) + 1)), bits))
        coder.take(*shares[-1])
    return Start(coder.state, tuple(shares))


class Coders:
    """The native coders and their twins of one sequence: encoders and decoders that end the bytes or leave them
    open."""

    def __init__(self) -> None:
        self.ending, self.open, self.decoding, self.reading = ((FilterCoder(), TwinFilterCoder()) for _ in range(4))

    def reset(self) -> None:
        for coder in (*self.ending, *self.open, *self.decoding, *self.reading):
            coder.reset()
            assert coder.filters.same_as(Filters.zero())

    def code(self, filters: Filters, start: Start, told: str) -> bytes:
        """Returns the bytes, which must be the same of both, and hold the filters."""
        fast, slow = (coder.encode(filters, start.encoder) for coder in self.ending)
        assert fast.hex() == slow.hex(), told
        state, slow_state = (coder.encode_open(filters, start.encoder) for coder in self.open)
        assert state == slow_state, told
        assert TwinRangeEncoder(state).finish() == slow, told
        for coder in self.decoding:
            assert coder.decode(slow, start.decoder(slow)).same_as(filters), f"{told} by {type(coder).__name__}"
        self._go_on(filters, start, state, told)
        for coder in (*self.ending, *self.open, *self.decoding, *self.reading):
            assert coder.filters.same_as(filters), f"{told} in force in {type(coder).__name__}"
        return slow

    def _go_on(self, filters: Filters, start: Start, state: EncoderState, told: str) -> None:
        """Codes more shares in the same bytes."""
        more = [(k, k + 2, 9) for k in range(0, 500, 7)]
        coder = TwinRangeEncoder(state)
        for share in more:
            coder.take(*share)
        data = coder.finish()
        for reading in self.reading:
            found, behind = reading.decode_open(data, start.decoder(data))
            assert found.same_as(filters), f"{told} by {type(reading).__name__}"
            decoder = TwinRangeDecoder(data, behind)
            for share in more:
                assert share[0] <= decoder.share(share[2]) < share[1], told
                decoder.take(*share)
            decoder.finish()


@pytest.mark.parametrize("seed", range(12))
def test_bytes_of_sequences(seed: int):
    rng = np.random.default_rng(seed)
    coders, filters = Coders(), Filters.zero()
    for frame in range(16):
        if seed % 2 and rng.integers(6) == 0:
            coders.reset()
            filters = Filters.zero()
        filters = changed(rng, filters)
        coders.code(filters, random_start(rng), f"seed {seed} frame {frame}")


def test_filters_behind_vectors():
    """In P frames, one range coder codes first the vectors, then the filters."""
    rng = np.random.default_rng(3)
    vectors, read_vectors, following = FieldCoder(), (FieldCoder(), FieldCoder()), Following()
    encoders, decoders, filters = (FilterCoder(), TwinFilterCoder()), (FilterCoder(), TwinFilterCoder()), Filters.zero()
    for frame in range(20):
        filters = changed(rng, filters)
        start = vectors.encode_open(following.random(rng, 4, 6))
        fast, slow = (coder.encode(filters, start) for coder in encoders)
        assert fast.hex() == slow.hex(), frame
        for field_coder, coder in zip(read_vectors, decoders, strict=True):
            _, behind = field_coder.decode_open(slow, 4, 6)
            assert coder.decode(slow, behind).same_as(filters), frame


@pytest.mark.parametrize("seed", range(8))
def test_filters_coded_in_a_longer_way(seed: int):
    """Any choice of bits, also where nothing changes: decoders agree on the filters, and on coefficients beyond the
    largest."""
    rng = np.random.default_rng(seed)
    writing, decoders = TwinFilterCoder(), (FilterCoder(), TwinFilterCoder())
    num_longer = 0
    for frame in range(16):
        writer, before = TwinBitWriter(), writing.filters

        def bit(context: Context | None, _: int, writer: TwinBitWriter = writer) -> int:
            is_prefix = any(context is one for prefix in writing._prefix for one in prefix)
            return writer.bit(context, int(rng.random() < (0.35 if is_prefix else 0.5)))

        try:
            writing._code(bit, writing._in_force)
        except StreamError:
            for decoder in decoders:
                with pytest.raises(StreamError, match="output filters of a frame are damaged"):
                    decoder.decode(writer.coder.finish())
            for coder in (writing, *decoders):
                coder.reset()
            continue
        data = writer.coder.finish()
        for decoder in decoders:
            assert decoder.decode(data).same_as(writing.filters), (
                f"seed {seed} frame {frame} by {type(decoder).__name__}"
            )
        num_longer += len(data) > 0 and not before.same_as(writing.filters)
    assert num_longer > 3


@pytest.mark.parametrize("place", [(0, 0), (23, 11), (24, 15), (25, 0)])
@pytest.mark.parametrize("value", [127, 128, 254, 255, -127, -128, -255])
def test_the_largest_coefficients(place: tuple[int, int], value: int):
    """-127..127 and nothing beyond, reached in one step from 0 and in many."""
    for steps in ([value], [value // 2, value], [*range(0, value, 90 if value > 0 else -90), value]):
        decoders = FilterCoder(), TwinFilterCoder()
        writing = TwinFilterCoder()
        for step in steps:
            filters, writer = writing.filters, TwinBitWriter()
            rows = [*filters.luma.tolist(), *filters.chroma.tolist()]
            rows[place[0]][place[1]] = step
            if abs(step) <= 127:
                writing._code(writer.bit, rows)
                for decoder in decoders:
                    assert decoder.decode(writer.coder.finish()).same_as(writing.filters)
                continue
            with pytest.raises(StreamError):
                writing._code(writer.bit, rows)
            for decoder in decoders:
                with pytest.raises(StreamError, match="output filters of a frame are damaged"):
                    decoder.decode(writer.coder.finish())
            break


def test_no_change_is_no_bytes():
    for coder in (FilterCoder(), TwinFilterCoder()):
        assert [coder.encode(Filters.zero()) for _ in range(20)] == [b""] * 20
        coder.reset()
        assert all(coder.decode(b"").same_as(Filters.zero()) for _ in range(20))


def golden_filters() -> list[Filters]:
    """Yields few filters, then filters like those before them, then the largest jump, then none."""
    first, second, third = (Filters.zero() for _ in range(3))
    for filters in (first, second):
        filters.luma[4], filters.luma[7], filters.chroma[0] = (
            np.arange(-6, 6),
            np.arange(12) * 3 % 7 - 3,
            np.arange(16) % 5 - 2,
        )
    second.luma[5], second.luma[6], second.chroma[1] = second.luma[4], second.luma[4] + 1, second.chroma[0]
    third.luma[:], third.chroma[:] = 127, -127
    return [first, second, third, third, Filters.zero()]


GOLDEN = [
    "6330eef18e85182d51d48f8894300d3d451c55495f2120",
    "eb6c2f84cd2868",
    "fde20f9f009f8b99a2a6b984222525d947459a3f44e34e6df02b5c84c0d37919012db506e98f950aad1402105a229653262f501f7b52",
    "",
    "ffe70bd791542dad3a9cfbbcbe3b7c596bd85c3ef533a86b673a10a2d72d9fdfe628cd7b07c88a9649e47c58",
]


def test_known_bytes():
    """A stream written once is read for ever: these bytes change only with the format."""
    for coder in (FilterCoder(), TwinFilterCoder()):
        assert [coder.encode(filters).hex() for filters in golden_filters()] == GOLDEN
        coder.reset()
        for data, filters in zip(GOLDEN, golden_filters(), strict=True):
            assert coder.decode(bytes.fromhex(data)).same_as(filters)
