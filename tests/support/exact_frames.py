"""Codes frames through the networks with a given latent coder, for the tests of exact arithmetic: no bytes, only
symbols."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations
from dcvc_cli.codec.choices import DEFAULT_SKIP_THRESHOLD
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel


@dataclass
class CodedFrame:
    """Symbols of z, and of every step symbols, table rows and coded flags."""

    z: NDArray[np.int8]
    steps: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
    latent_size: tuple[int, int]


class RecordingCoder:
    """An encoder's: keeps what it would have written."""

    def __init__(self, ops: Operations, y: NDArray[np.float32]) -> None:
        self.ops, self.y, self.steps = ops, y, []

    def begin(self, step_size_inverse):
        self.y = self.y * step_size_inverse

    def step(self, step, scales, means):
        part, *kept = self.ops.quantise_step(step, self.y, scales, means, DEFAULT_SKIP_THRESHOLD)
        self.steps.append(tuple(kept))
        return part


class ReplayingCoder:
    """A decoder's: checks that table rows and coded flags are the encoder's."""

    def __init__(self, ops: Operations, steps) -> None:
        self.ops, self.steps = ops, list(steps)

    def begin(self, step_size_inverse):
        pass

    def step(self, step, scales, means):
        index, coded = self.ops.step_index(step, scales, DEFAULT_SKIP_THRESHOLD)
        symbols, expected_index, expected_coded = self.steps.pop(0)
        assert np.array_equal(index, expected_index)
        assert np.array_equal(coded, expected_coded)
        return self.ops.restore_step(step, symbols, means)


class InventingCoder(RecordingCoder):
    """Takes symbols from a random generator instead of a picture."""

    def __init__(self, ops: Operations, rng: np.random.Generator) -> None:
        super().__init__(ops, np.empty(0, np.float32))
        self.rng = rng

    def begin(self, step_size_inverse):
        pass

    def step(self, step, scales, means):
        index, coded = self.ops.step_index(step, scales, DEFAULT_SKIP_THRESHOLD)
        symbols = np.where(coded, self.rng.normal(0, 3, index.shape).round(), 0).clip(-128, 127).astype(np.int8)
        self.steps.append((symbols, index, coded))
        return self.ops.restore_step(step, symbols, means)


class FramePair:
    """An I frame and the P frames after it, on one pair of backends; with motion every vector is zero."""

    def __init__(self, image: ImageModel, video: VideoModel, image_ops: Operations, video_ops: Operations) -> None:
        self.image, self.video, self.image_ops, self.video_ops = image, video, image_ops, video_ops
        self.frame: Any = None
        self.feature: Any = None

    def intra(self, z, size, coder, qp):
        ops = self.image_ops
        parameters = self.image.prior_parameters(ops, ops.z_from_symbols(z), size)
        self.frame, self.feature = self.image.synthesis(ops, self.image.code_latents(ops, parameters, coder), qp), None
        return self.export(ops)

    def contexts(self, qp, reset):
        if reset:
            self.feature = None
        ops = self.video_ops
        return self.video.contexts(ops, self.video.adapt(ops, self.frame, self.feature), qp)

    def inter(self, z, size, coder, qp, contexts):
        ops, (ctx, ctx_t) = self.video_ops, contexts
        parameters = self.video.prior_parameters(ops, ops.z_from_symbols(z), ctx_t, size)
        y_hat = self.video.code_latents(ops, parameters, coder)
        self.feature = self.video.synthesis(ops, y_hat, ctx, qp)
        self.frame = self.video.picture_of(ops, self.feature, y_hat, qp, self.frame)
        return self.export(ops)

    def export(self, ops):
        return ops.export_planes(self.frame, halve_chroma=True, truncate_chroma=False)


def decode(pair: FramePair, coded: list[CodedFrame], qp: int, reset_at: int = 3):
    """Returns the planes of every frame."""
    planes = []
    for k, frame in enumerate(coded):
        ops = pair.video_ops if k else pair.image_ops
        coder = ReplayingCoder(ops, frame.steps)
        if k == 0:
            planes.append(pair.intra(frame.z, frame.latent_size, coder, qp))
        else:
            planes.append(pair.inter(frame.z, frame.latent_size, coder, qp, pair.contexts(qp, k == reset_at)))
    return planes


def invent(pair: FramePair, size: tuple[int, int], num_frames: int, qp: int, seed: int, reset_at: int = 3):
    """Decodes random symbols; returns what they were and the planes. `size` is that of the latents."""
    rng = np.random.default_rng(seed)
    coded, planes = [], []
    for k in range(num_frames):
        model, ops = (pair.video, pair.video_ops) if k else (pair.image, pair.image_ops)
        z = (
            rng.normal(0, 3, (model.spec.hyper, -(-size[0] // 4), -(-size[1] // 4)))
            .round()
            .clip(-128, 127)
            .astype(np.int8)
        )
        coder = InventingCoder(ops, rng)
        planes.append(
            pair.intra(z, size, coder, qp)
            if k == 0
            else pair.inter(z, size, coder, qp, pair.contexts(qp, k == reset_at))
        )
        coded.append(CodedFrame(z, coder.steps, size))
    return coded, planes
