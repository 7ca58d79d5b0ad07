"""Pictures on the emulated GPU against the slow twins: output samples, block motion, the floor, the output filter."""

import numpy as np
import pytest

from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_network import ExactNetwork, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.codec.pictures import has_halved_chroma, output_samples, picture_from_frame
from dcvc_cli.families.lite.filter.filters import planes_of_squares
from dcvc_cli.families.lite.filter.parameters import Filters
from dcvc_cli.families.lite.filter.twin import filter_planes_twin
from dcvc_cli.families.lite.floor.frame_floor import FrameFloor, put_back
from dcvc_cli.families.lite.floor.parts import COMPENSATED, EXACT_STEP, FLAT, FloorParts
from dcvc_cli.families.lite.floor.twin import reconstruct_twin
from dcvc_cli.families.lite.motion.brightness import Brightness, brightened, brightened_frame
from dcvc_cli.families.lite.motion.field import in_lines, in_squares
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.lite.motion.twin import compensate_twin
from dcvc_cli.families.lite.pictures import picture_from_planes
from dcvc_cli.format.types import ChromaFormat, PictureSize, VideoFormat
from tests.cuda.layer_checks import VALUES, data_of, engines_of_all_orders, on_device
from tests.support.random_layers import assert_same, random_values

UNIT = 8192
REFERENCE = ExactTwin(ExactNetwork({}, 6))


@pytest.fixture(scope="module")
def all_ops(emulator):
    return [ExactCuda(ExactNetwork({}, 6), engine) for engine in engines_of_all_orders(emulator)]


def pictures(rng, ops, size, values="full"):
    """The same picture in the reference and on the device; size in cells."""
    cells = random_values(rng, (192, *size), values)
    reference = REFERENCE.clamp_unit(REFERENCE.pixel_shuffle(ExactValue(cells, 12), 8))
    return reference, ops.clamp_unit(ops.pixel_shuffle(on_device(ops, cells, 12), 8))


def test_output_samples_agree(all_ops):
    for seed in range(8):
        rng, ops = np.random.default_rng(seed), all_ops[seed % 4]
        wanted, found = pictures(rng, ops, ((2, 2), (2, 4), (4, 6))[seed % 3], VALUES[seed % 3])
        for halve in (False, True):
            for truncate in (False, True):
                options = {"halve_chroma": halve, "truncate_chroma": truncate}
                planes = zip(
                    REFERENCE.export_planes(wanted, **options), ops.export_planes(found, **options), strict=True
                )
                for k, (a, b) in enumerate(planes):
                    assert_same(a, b, f"plane {k}, seed {seed}")
        assert_same(REFERENCE.export_fine(wanted), ops.export_fine(found), "fine samples")
        samples = ops.samples_from_frame(found)
        assert_same(REFERENCE.samples_from_frame(wanted), samples, "samples")
        back = ops.frame_from_samples(samples)
        assert_same(data_of(ops, found), data_of(ops, back), "there and back")


def random_motion(rng, rows, columns, largest, has_tracks):
    """A field with runs of equal vectors, so that some squares need no overlap."""
    vectors = rng.integers(-largest, largest + 1, (rows, columns, 2)).astype(np.int16)
    vectors[rng.random((rows, columns)) < 0.5] = vectors[0, 0]
    if not has_tracks:
        return Motion(vectors)
    tracks = rng.integers(-largest, largest + 1, (rows, columns, 2)).astype(np.int16)
    return Motion(vectors, tracks, rng.integers(0, 3, (rows // 2, columns // 2)).astype(np.uint8))


@pytest.mark.parametrize(("size", "largest"), [((2, 2), 1023), ((2, 4), 3), ((4, 4), 60)])
def test_compensation_agrees(size, largest, all_ops):
    for seed, ops in enumerate(all_ops):
        rng = np.random.default_rng(seed)
        (wanted, found), (kept, kept_found) = pictures(rng, ops, size), pictures(rng, ops, size, "ends")
        motion = random_motion(rng, *size, largest, seed % 2)
        lines = [in_lines(REFERENCE.samples_from_frame(picture)) for picture in (wanted, kept)]
        expected = compensate_twin(lines[0], motion, UNIT, lines[1] if seed % 2 else None)
        result = ops.compensate(found, motion, kept_found if seed % 2 else None)
        assert_same(in_squares(expected), ops.samples_from_frame(result), f"{size} {largest} seed {seed}")


def test_changes_of_brightness_agree(all_ops):
    """The host changes a frame of the device: the samples are those of the reference changed."""
    for seed, ops in enumerate(all_ops):
        wanted, found = pictures(np.random.default_rng(seed), ops, (2, 4))
        change = Brightness(100 + 90 * seed, (9 * seed, -7, 30))
        expected = brightened(REFERENCE.samples_from_frame(wanted), change)
        assert_same(expected, ops.samples_from_frame(brightened_frame(ops, found, change)), f"seed {seed}")


def random_floor(rng, rows, columns, is_halved, step_index, bit_depth=8):
    """Blocks of every base, parts with levels and without, levels small and at both ends."""
    parts = FloorParts.empty(rows, columns, is_halved, bit_depth)
    parts.step_index = step_index
    parts.bases[...] = rng.integers(0, FLAT + 1, (rows, columns))
    flat = parts.bases == FLAT
    parts.flat[flat] = rng.integers(0, parts.max_level + 1, (int(flat.sum()), 3))
    levels = rng.integers(-3, 4, parts.levels.shape) * rng.choice([1, 1, 40, 5461], parts.levels.shape)
    parts.levels[...] = np.where(rng.random(parts.levels.shape[:3])[..., None] < 0.6, levels, 0)
    parts.levels[parts.bases == 0] = 0
    return parts


@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("halved", [True, False])
def test_the_floor_agrees(halved, bit_depth, all_ops):
    for seed, step_index in enumerate((0, 17, 62, EXACT_STEP)):
        ops, rng = all_ops[seed], np.random.default_rng(seed)
        size = ((2, 2), (4, 2), (2, 6), (4, 4))[seed]
        pairs = pictures(rng, ops, size, VALUES[seed % 3]), pictures(rng, ops, size)
        parts = random_floor(rng, size[0] // 2, size[1] // 2, halved, step_index, bit_depth)
        if seed == 0:  # as in an I frame
            parts.bases[parts.bases == COMPENSATED] = FLAT
        squares = [REFERENCE.samples_from_frame(wanted) for wanted, _ in pairs]
        planes, compensated = (planes_of_squares(samples, halved) for samples in squares)
        floor = FrameFloor.from_parts(parts)
        expected = put_back(floor, reconstruct_twin(parts, planes, compensated), squares[0])
        found = ops.floored(pairs[0][1], pairs[1][1] if seed else None, *floor.words(), halved)
        assert_same(expected, ops.samples_from_frame(found), f"floor, seed {seed}")


@pytest.mark.parametrize("halved", [True, False])
def test_the_output_filter_agrees(halved, all_ops):
    for seed, ops in enumerate(all_ops):
        rng = np.random.default_rng(seed)
        wanted, found = pictures(rng, ops, ((2, 2), (4, 2), (2, 6), (4, 4))[seed], VALUES[seed % 3])
        largest = 127 if seed else 0
        filters = Filters(
            rng.integers(-largest, largest + 1, (24, 12)).astype(np.int8),
            rng.integers(-largest, largest + 1, (2, 16)).astype(np.int8),
        )
        planes = in_lines(REFERENCE.samples_from_frame(wanted))
        if halved:
            four = sum(planes[1:, y::2, x::2].astype(np.int32) for y in (0, 1) for x in (0, 1))
            planes = (planes[0], *((four + 2) >> 2).astype(np.int16))
        expected = filter_planes_twin(tuple(planes), filters)
        result = ops.filtered_planes(found, filters.luma, filters.chroma, halved)
        for k, (a, b) in enumerate(zip(expected, result, strict=True)):
            assert_same(a, b, f"plane {k}, seed {seed}")
        for video_format in output_formats(wanted):
            if has_halved_chroma(video_format) == halved:
                output = output_samples(video_format, truncate_chroma=False)
                samples = ops.filtered_samples(found, filters.luma, filters.chroma, output)
                shown = picture_from_planes(tuple(expected), video_format)
                for k, (a, b) in enumerate(zip(shown.planes, samples, strict=True)):
                    assert a.dtype == b.dtype
                    assert_same(a, b, f"{video_format.chroma} {video_format.bit_depth} plane {k}, seed {seed}")


def output_formats(picture):
    """Every format of a picture's output, cropped to an odd size."""
    height, width = REFERENCE.size(picture)
    return [
        VideoFormat(size=PictureSize(width - 5, height - 3), chroma=chroma, bit_depth=depth)
        for chroma in (ChromaFormat.YUV420, ChromaFormat.YUV422, ChromaFormat.YUV444, ChromaFormat.RGB)
        for depth in (8, 10)
    ]


@pytest.mark.parametrize("truncate", [False, True])
def test_output_of_every_format_agrees(truncate, all_ops):
    for seed, ops in enumerate(all_ops):
        rng = np.random.default_rng(seed)
        wanted, found = pictures(rng, ops, ((2, 2), (2, 4), (4, 6), (2, 6))[seed], VALUES[seed % 3])
        for video_format in output_formats(wanted):
            expected, made = (
                picture_from_frame(o, picture, video_format, truncate_chroma=truncate)
                for o, picture in ((REFERENCE, wanted), (ops, found))
            )
            for k, (a, b) in enumerate(zip(expected.planes, made.planes, strict=True)):
                assert a.dtype == b.dtype
                assert_same(a, b, f"{video_format.chroma} {video_format.bit_depth} plane {k}, seed {seed}")
