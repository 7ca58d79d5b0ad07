"""Device memory and packed weights of the CUDA backend, without a device."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.backend.cuda.arena import ALIGNMENT, FIRST_PIECE_BYTES, Arena
from dcvc_cli.backend.cuda.arguments import argument_structures, kernel_sources, parse_structures
from dcvc_cli.backend.cuda.kernels import KERNELS, LARGE, SMALL, choose_tile
from dcvc_cli.backend.cuda.packing import (
    chunked_columns,
    fours_columns,
    fragment_places,
    pack_matrix,
    plain_columns,
    sub_pixel_columns,
)
from dcvc_cli.backend.exact_network import ExactConv


class Pieces:
    """Gives pieces with room between them, or without."""

    def __init__(self, gap: int) -> None:
        self.gap, self.next, self.given = gap, 1 << 20, []

    def __call__(self, size: int) -> int:
        self.given.append((self.next, size))
        self.next += size + self.gap
        return self.given[-1][0]


requests = st.lists(st.one_of(st.integers(1, 40 << 20), st.integers(1, 5000), st.none()), max_size=60)


@settings(deadline=None)
@given(requests, st.sampled_from([0, 4096]), st.randoms(use_true_random=False))
def test_parts_never_overlap_and_come_back_whole(sizes, gap, random):
    """None gives back a part chosen at random."""
    pieces = Pieces(gap)
    arena = Arena(pieces)
    parts: dict[int, int] = {}
    for size in sizes:
        if size is not None:
            address = arena.allocate(size)
            assert address % ALIGNMENT == 0
            assert any(start <= address and address + size <= start + length for start, length in pieces.given)
            assert all(address + size <= other or other + length <= address for other, length in parts.items())
            parts[address] = size
        elif parts:
            address = random.choice(sorted(parts))
            arena.free(address)
            del parts[address]
    for address in parts:
        arena.free(address)
    assert arena.used_bytes == 0
    for _, length in sorted(pieces.given, key=lambda piece: -piece[1]):
        arena.allocate(length)
    assert arena.reserved_bytes == sum(length for _, length in pieces.given), "what came back did not join"


def test_the_same_requests_get_the_same_addresses():
    """What lets a graph be used again: a frame that leaves memory as it found it repeats."""
    arena = Arena(Pieces(0))
    kept = arena.allocate(1000)

    def frame() -> list[int]:
        addresses = [arena.allocate(size) for size in (3000, 70000, 512, 3000)]
        for address in (addresses[1], addresses[0], addresses[3], addresses[2]):
            arena.free(address)
        return addresses

    assert frame() == frame() == frame()
    arena.free(kept)
    assert arena.reserved_bytes == FIRST_PIECE_BYTES


def test_a_block_of_weights_has_every_place_once():
    assert sorted(fragment_places().reshape(-1)) == list(range(4096))


def test_a_fragment_is_what_two_permutes_join():
    """Byte i of register h in lane t: channel 16 h + 8 (i / 2) + 2 t + i % 2, as ldmatrix and the permutes give it."""
    places = fragment_places()
    for column, lane_channel, register, byte in ((0, 0, 0, 0), (13, 3, 1, 2), (63, 2, 1, 3), (40, 1, 0, 1)):
        channel = 16 * register + 8 * (byte // 2) + 2 * lane_channel + byte % 2
        lane = column % 8 * 4 + lane_channel
        expected = (column // 16 * 32 + lane) * 16 + column % 16 // 8 * 8 + register * 4 + byte
        assert places[column, channel] == expected
        assert places[column, 32 + channel] == expected + 2048


@settings(deadline=None)
@given(st.integers(1, 200))
def test_columns_have_every_output_once(count):
    folded = chunked_columns(2 * count), fours_columns(4 * count)
    for columns in (plain_columns(count), *folded, sub_pixel_columns(4 * count)):
        outputs = columns[columns >= 0]
        assert sorted(outputs) == list(range(len(outputs)))


def test_chunked_columns_stand_16_apart():
    columns = chunked_columns(70)
    for column, output in enumerate(columns):
        if output >= 0 and column % 32 < 16:
            assert columns[column + 16] == output + 35


def test_columns_of_fours_stand_8_apart():
    columns = fours_columns(4 * 11)
    for column, output in enumerate(columns):
        if output >= 0 and column % 32 < 8:
            assert [columns[column + 8 * k] for k in range(4)] == [output + k for k in range(4)]


def test_16_bit_weights_are_two_planes():
    weight = np.array([[-32767, 32767, -1, 256], [255, -256, 0, 1]], np.int16).reshape(2, 4, 1, 1)
    packed = pack_matrix(ExactConv(weight, np.ones(2, np.int32), np.zeros(2, np.int64), 8, 8), plain_columns(2))
    assert packed.is_wide
    places = fragment_places()
    for output in range(2):
        for channel in range(4):
            high, low = (int(packed.weights[0, 0, plane, places[output, channel]]) for plane in range(2))
            assert 256 * (high - 256 * (high > 127)) + low == weight[output, channel, 0, 0]


def test_tiles_suit_the_grid():
    """The large grids of 1080p take large tiles on an H100 (132 multiprocessors), the small ones small tiles."""
    assert choose_tile(240 * 136, 1024, 132) == LARGE
    assert choose_tile(30 * 17, 128, 132) == SMALL
    assert choose_tile(60 * 34, 128, 132) == SMALL


def test_every_kernel_has_sources_and_arguments():
    sources = kernel_sources()
    for kernel in KERNELS.values():
        assert f"kernels/cuda/{kernel.source}" in sources
        assert kernel.arguments in argument_structures()


def test_structures_of_other_fields_are_refused():
    with pytest.raises(ValueError, match=r"A\.x"):
        parse_structures("struct A {\n  int64_t x;\n};")
