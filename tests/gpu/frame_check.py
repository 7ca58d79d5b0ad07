"""Whole P frames on the device with symbols of zero: what a frame costs without the entropy coder."""

import statistics
import time
from typing import Any

import numpy as np

from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.picture_types import OutputSamples
from dcvc_cli.families.lite.floor.frame_floor import FrameFloor
from dcvc_cli.families.lite.floor.parts import PICTURE, FloorParts
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.registry import find_model
from dcvc_cli.families.uf.recipe import (
    code_i_frame,
    code_p_unit,
    memory_after_picture,
    memory_after_unit,
    next_contexts,
)
from dcvc_cli.families.uf.video import UfVideoModel
from tests.support.models import SPECS, graphs

SKIP_THRESHOLD = 0.12


class ZeroSymbols:
    """A decoder's latent coder that reads zeros."""

    def __init__(self, ops: Any) -> None:
        self.ops = ops

    def begin(self, step_size_inverse: Any) -> None:
        """A decoder has nothing to scale."""

    def step(self, step: Any, scales: Any, means: Any) -> Any:
        rows, coded = self.ops.coded_rows(step, scales, SKIP_THRESHOLD)
        return self.ops.restore_coded(step, np.zeros(rows.size, np.int8), coded, means)


def random_floor(rng: np.random.Generator, size: tuple[int, int]) -> FrameFloor:
    """A floor that touches an eighth of the blocks, half of their parts with levels."""
    parts = FloorParts.empty(*size, is_halved=True)
    parts.step_index = 30
    parts.bases[rng.random(size) < 1 / 8] = PICTURE
    levels = rng.integers(-2, 3, parts.levels.shape)
    has_levels = (parts.bases > 0)[..., None] & (rng.random(parts.levels.shape[:3]) < 1 / 2)
    parts.levels[...] = np.where(has_levels[..., None], levels, 0)
    return FrameFloor.from_parts(parts)


class Frames:
    """Decodes an I frame, then P frames one after the other."""

    def __init__(self, image: Any, video: Any, image_ops: Any, video_ops: Any, size: tuple[int, int]) -> None:
        self.image, self.video, self.image_ops, self.video_ops, self.size = image, video, image_ops, video_ops, size
        self.hyper_size = -(-size[0] // 4), -(-size[1] // 4)
        z = image_ops.z_from_symbols(np.zeros((image.spec.hyper, *self.hyper_size), np.int8))
        parameters = image.prior_parameters(image_ops, z, size)
        self.frame = image.synthesis(image_ops, image.code_latents(image_ops, parameters, ZeroSymbols(image_ops)), 30)
        self.feature: Any = None
        rng = np.random.default_rng(3)
        self.floor = random_floor(rng, size).words()
        self.motion = Motion(rng.integers(-20, 21, (2 * size[0], 2 * size[1], 2)).astype(np.int16))

    def step(self) -> Any:
        """A P frame; its output planes."""
        ops, video, frame = self.video_ops, self.video, self.frame
        if video.predicts_pictures and ops.has_picture_kernels:
            frame = ops.compensate(frame, self.motion, None)
        ctx, ctx_t = video.contexts(ops, video.adapt(ops, frame, self.feature), 30)
        z = ops.z_from_symbols(np.zeros((video.spec.hyper, *self.hyper_size), np.int8))
        y_hat = video.code_latents(ops, video.prior_parameters(ops, z, ctx_t, self.size), ZeroSymbols(ops))
        self.feature = video.synthesis(ops, y_hat, ctx, 30)
        self.frame = video.picture_of(ops, self.feature, y_hat, 30, frame)
        if video.predicts_pictures and ops.has_picture_kernels:
            self.frame = ops.floored(self.frame, frame, *self.floor, True)
            height, width = 16 * self.size[0], 16 * self.size[1]
            shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
            filters = np.ones((24, 12), np.int8), np.ones((2, 16), np.int8)
            return ops.filtered_samples(self.frame, *filters, OutputSamples(shapes, 2, 2, 255))
        return ops.export_planes(self.frame, halve_chroma=True, truncate_chroma=False)


class ZeroUnits:
    """The side of a decoder of DCVC-UF whose symbols are zeros."""

    def __init__(self, ops: Any, num_z_channels: int, size: tuple[int, int]) -> None:
        self.ops, self.latent_size = ops, size
        self.z = np.zeros((num_z_channels, -(-size[0] // 4), -(-size[1] // 4)), np.int8)
        self._shares_scales = False

    def hyper_latents(self, analysis: Any, hyper_analysis: Any, scaled: Any, qp: int) -> Any:
        return self.ops.z_from_symbols(self.z)

    def for_analysis(self, context: Any) -> Any:
        """A decoder analyses nothing."""

    def begin(self, step_size_inverse: Any) -> None:
        """A decoder has nothing to scale."""

    def share_scales(self, steps: Any, scales: Any) -> None:
        self._shares_scales = True
        for step in steps:
            self._shape = self.ops.step_index(step, scales, SKIP_THRESHOLD)[0].shape

    def step(self, step: Any, scales: Any, means: Any) -> Any:
        if not self._shares_scales:
            self._shape = self.ops.step_index(step, scales, SKIP_THRESHOLD)[0].shape
        return self.ops.restore_step(step, np.zeros(self._shape, np.int8), means)

    def finish(self) -> None:
        """No bytes are read."""


class UnitFrames:
    """As Frames, for DCVC-UF: a step is a unit, and exports its last picture."""

    def __init__(self, image: Any, video: Any, image_ops: Any, video_ops: Any, size: tuple[int, int]) -> None:
        self.video, self.ops = video, video_ops
        picture = code_i_frame(image, image_ops, ZeroUnits(image_ops, image.num_z_channels, size), 30)
        self.kept = memory_after_picture(image_ops, picture)
        self.side = ZeroUnits(video_ops, video.num_z_channels, size)

    def step(self) -> Any:
        """A P unit; the output planes of its last picture."""
        ops, video = self.ops, self.video
        contexts = next_contexts(video, ops, self.kept)
        feature = code_p_unit(video, ops, self.side, contexts, 30)
        self.kept = memory_after_unit(video, ops, contexts, feature, reset=False)
        picture = ops.from_centre(video.picture(ops, feature, video.sizes.pictures - 1))
        return ops.export_planes(picture, halve_chroma=True, truncate_chroma=False)


def graphs_of(name: str) -> tuple[Any, Any]:
    """The image and the video network of a model of any family."""
    if name in SPECS:
        return graphs(SPECS[name])
    image, video = find_model(name).networks.values()
    return image, video


def frames_of(image: Any, video: Any, image_ops: Any, video_ops: Any, size: tuple[int, int]) -> Frames | UnitFrames:
    """A decoder of the model's family."""
    kind = UnitFrames if isinstance(video, UfVideoModel) else Frames
    return kind(image, video, image_ops, video_ops, size)


def exact_frame_us(
    bench: Any, image: Any, video: Any, networks: Any, size: tuple[int, int]
) -> tuple[float, float, int]:
    """(microseconds of a P frame's launches on the GPU's clock, of a P frame on the host's, number of launches)."""
    image_ops, video_ops = (ExactCuda(network, bench.engine) for network in networks)
    decoder = frames_of(image, video, image_ops, video_ops, size)
    for _ in range(bench.pick(24, 2)):  # until all groups are graphs
        decoder.step()
    seconds = []
    for _ in range(bench.pick(40, 1)):
        begin = time.perf_counter()
        decoder.step()
        seconds.append(time.perf_counter() - begin)
    # All groups in one, in their order: alone a group would find its memory used again by those after it.
    launches = [launch for group in bench.engine.recorded(decoder.step) for launch in group]
    return bench.median_us(launches)[0], 1e6 * statistics.median(seconds), len(launches)


def torch_frame_us(bench: Any, image: Any, video: Any, size: tuple[int, int], is_recorded: bool) -> float:
    """Microseconds of the same P frame by PyTorch in float16 on the GPU; NaN where it has no CUDA. Under the emulator
    in float32 on the CPU, so that this code runs.

    Args:
        is_recorded: sections of the networks as CUDA graphs, as the product runs them; else launched one by one.
    """
    import torch

    from dcvc_cli.backend.float_torch import InferenceOperations
    from dcvc_cli.backend.torch_graphs import CudaRecorder
    from dcvc_cli.learning.parameters import random_parameters

    if bench.is_real and not torch.cuda.is_available():
        return float("nan")
    device, dtype = bench.pick(("cuda", torch.float16), ("cpu", torch.float32))
    wait = torch.cuda.synchronize if bench.is_real else lambda: None
    with torch.inference_mode():
        operations = []
        for model in (image, video):
            own = {key: v.detach().to(device, dtype) for key, v in random_parameters(model, 1).items()}
            operations.append(InferenceOperations(own, CudaRecorder() if is_recorded and bench.is_real else None))
        decoder = frames_of(image, video, *operations, size)
        for _ in range(bench.pick(5, 1)):
            decoder.step()
        seconds = []
        for _ in range(bench.pick(20, 1)):
            wait()
            begin = time.perf_counter()
            decoder.step()
            wait()
            seconds.append(time.perf_counter() - begin)
    return 1e6 * statistics.median(seconds)
