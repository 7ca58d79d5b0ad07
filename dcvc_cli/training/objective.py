"""What a training step minimises: rate and distortion of a batch through the image model, or through a sequence of P frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch.utils.checkpoint import checkpoint

from dcvc_cli.families.lite.motion.field import FieldCoder
from dcvc_cli.families.lite.video import VideoModel as LiteVideoModel
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import NO_DEAD_ZONES, REFERENCE_QP_OFFSETS
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.training.losses import (
    CHROMA_WEIGHTS,
    EstimatingLatentCoder,
    RoundingLatentCoder,
    TrainingOperations,
    distortion,
    factorised_bits,
    frame_weight,
    lambda_of_qp,
    luma_psnr,
    relative_loss,
    round_straight_through,
)
from dcvc_cli.training.motion import compensated
from dcvc_cli.training.share import WHOLE_BATCH, BatchShare

RESET_SHARE = 0.25
"""How often the reference of the first trained frame behind lead frames is a decoded picture, as after a reset of the feature. Without it the
frame adaptor sees I frames only, and every reset at low QPs costs quality."""


Coder = TypeVar("Coder", bound=RoundingLatentCoder)


@dataclass(frozen=True)
class BatchLoss:
    """Loss to differentiate, and means over the batch for the log."""

    loss: torch.Tensor
    weighted: float
    bpp: float
    psnr: float


def _code_image(
    model: ImageModel, ops: TrainingOperations, x: torch.Tensor, qp: torch.Tensor, make_coder: type[Coder], dead_zone: float
) -> tuple[torch.Tensor, Coder, torch.Tensor]:
    """-> (x_hat, the coder that saw the latents, z before rounding)."""
    y = model.analysis(ops, x, qp)
    z = model.hyper_analysis(ops, y).float()
    coder = make_coder(ops, y, torch.full(qp.shape, dead_zone, device=y.device) if dead_zone else None)
    parameters = model.prior_parameters(ops, round_straight_through(z), ops.size(y))
    return model.synthesis(ops, model.code_latents(ops, parameters, coder), qp).float(), coder, z


@dataclass(frozen=True)
class Reference:
    """What a P frame is predicted from: a picture (N, 3, h, w) in 0..1, with motion compensated, and the feature; either may be missing.

    has_feature (N, 1, 1, 1), if not all samples have their feature: which do. Then there is a picture.
    """

    frame: torch.Tensor | None
    feature: torch.Tensor | None = None
    has_feature: torch.Tensor | None = None


def _adapted(model: VideoModel, ops: TrainingOperations, reference: Reference) -> torch.Tensor:
    adapted: torch.Tensor = model.adapt(ops, reference.frame, reference.feature)
    if reference.has_feature is None:
        return adapted
    return torch.where(reference.has_feature, adapted, model.adapt_frame(ops, reference.frame))


def _code_feature(
    model: VideoModel,
    ops: TrainingOperations,
    x: torch.Tensor,
    reference: Reference,
    qp: torch.Tensor,
    make_coder: type[Coder],
    dead_zones: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None, Coder, torch.Tensor]:
    """One P frame up to its feature -> (feature, with motion the picture that it adds to, the coder that saw the latents, z before rounding)."""
    ctx, ctx_t = model.contexts(ops, _adapted(model, ops, reference), qp)
    y = model.analysis(ops, x if reference.frame is None or not model.spec.motion else x - reference.frame, ctx, qp)
    z = model.hyper_analysis(ops, y).float()
    coder = make_coder(ops, y, dead_zones)
    parameters = model.prior_parameters(ops, round_straight_through(z), ctx_t, ops.size(y))
    y_hat = model.code_latents(ops, parameters, coder)
    predicted = model.add_direct(ops, reference.frame, y_hat) if isinstance(model, LiteVideoModel) else None
    return model.synthesis(ops, y_hat, ctx, qp), predicted, coder, z


def _reconstruction(
    model: VideoModel, ops: TrainingOperations, feature: torch.Tensor, qp: torch.Tensor, predicted: torch.Tensor | None
) -> torch.Tensor:
    if isinstance(model, LiteVideoModel):
        return model.reconstruct_on(ops, feature, qp, predicted)
    return model.reconstruction(ops, feature, qp)


def _bits_per_pixel(ops: TrainingOperations, coder: EstimatingLatentCoder, z: torch.Tensor, qp: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    bits = coder.bits + factorised_bits(ops.parameters, z + ops.share.noise_like(z), qp).sum(dim=(1, 2, 3))
    return bits / (x.shape[-1] * x.shape[-2])


def code_image(
    model: ImageModel, ops: TrainingOperations, x: torch.Tensor, qp: torch.Tensor, dead_zone: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimated coding of pictures (N, 3, h, w) in 0..1 at rows qp (N) -> (x_hat unclamped, bits per pixel (N)); dead_zone as in
    families.lite.dead_zone."""
    x_hat, coder, z = _code_image(model, ops, x, qp, EstimatingLatentCoder, dead_zone)
    return x_hat, _bits_per_pixel(ops, coder, z, qp, x)


def decoded_image(model: ImageModel, ops: TrainingOperations, x: torch.Tensor, qp: torch.Tensor, dead_zone: float = 0.0) -> torch.Tensor:
    """What a decoder has after an I frame of pictures (N, 3, h, w) in 0..1 at rows qp (N), unclamped; no rate is estimated."""
    return _code_image(model, ops, x, qp, RoundingLatentCoder, dead_zone)[0]


def code_p_frame(
    model: VideoModel, ops: TrainingOperations, x: torch.Tensor, reference: Reference, qp: torch.Tensor, dead_zones: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Estimated coding of one P frame x (N, 3, h, w) in 0..1 at rows qp (N) -> (x_hat, feature, bits per pixel (N)).

    dead_zones: of each sample (N), as in families.lite.dead_zone. Vectors are not counted in the bits: no gradient could change them.
    """
    feature, predicted, coder, z = _code_feature(model, ops, x, reference, qp, EstimatingLatentCoder, dead_zones)
    return _reconstruction(model, ops, feature, qp, predicted).float(), feature, _bits_per_pixel(ops, coder, z, qp, x)


@torch.no_grad()
def _next_reference(
    model: VideoModel,
    ops: TrainingOperations,
    x: torch.Tensor,
    reference: Reference,
    qp: torch.Tensor,
    may_reset: bool,
    dead_zones: torch.Tensor | None,
) -> Reference:
    """Codes a frame that is not trained on. At times only the picture is handed on, as a reset does."""
    feature, predicted, _, _ = _code_feature(model, ops, x, reference, qp, RoundingLatentCoder, dead_zones)
    # One draw for the batch, from the generator that all processes seed alike.
    reset = may_reset and float(torch.rand(())) < RESET_SHARE
    frame = _reconstruction(model, ops, feature, qp, predicted).float().clamp(0, 1) if reset or model.spec.motion else None
    return Reference(frame, None if reset else feature)


class UnclampedOperations(TrainingOperations):
    """Leaves the reconstruction unclamped, so that samples outside 0..1 keep a gradient."""

    def clamp_unit(self, x: torch.Tensor) -> torch.Tensor:
        return x


def image_loss(
    model: ImageModel,
    parameters: Mapping[str, torch.Tensor],
    clip: torch.Tensor,
    lambdas: tuple[float, float],
    share: BatchShare = WHOLE_BATCH,
    dead_zone: float = 0.0,
    cost_exponent: float = 0.0,
    chroma_weights: tuple[float, float] = CHROMA_WEIGHTS,
) -> BatchLoss:
    """clip: (N, 1, 3, h, w) in 0..1, the samples of `share`; every sample draws its own QP from torch's generator."""
    ops = UnclampedOperations(parameters, share)
    x = clip[:, 0]
    qp = share.qps(x.shape[0], model.spec.num_qps).to(x.device)
    x_hat, bpp = code_image(model, ops, x, qp, dead_zone)
    weight = lambda_of_qp(qp, *lambdas)
    cost = weight * distortion(x, x_hat, qp, chroma_weights) + bpp
    return BatchLoss(relative_loss(cost, weight, cost_exponent), cost.mean().item(), bpp.mean().item(), luma_psnr(x, x_hat).mean().item())


def video_loss(
    model: VideoModel,
    parameters: Mapping[str, torch.Tensor],
    image_model: ImageModel,
    image_parameters: Mapping[str, torch.Tensor],
    clip: torch.Tensor,
    lambdas: tuple[float, float],
    num_trained_frames: int | None = None,
    share: BatchShare = WHOLE_BATCH,
    gradient_checkpointing: bool = False,
    intra_qp_drop: int = 0,
    qp_offsets: Sequence[int] = REFERENCE_QP_OFFSETS,
    dead_zones: Sequence[float] = NO_DEAD_ZONES,
    intra_dead_zone: float = 0.0,
    cost_exponent: float = 0.0,
    chroma_weights: tuple[float, float] = CHROMA_WEIGHTS,
) -> BatchLoss:
    """clip: (N, 1 + P frames, 3, h, w) in 0..1, the samples of `share`. Frame 0 is coded by the frozen image model.

    Loss and gradients come from the last `num_trained_frames` P frames (default: all); those before them are coded as they are, so
    that the model meets references with the errors that many frames pile up, at a third of the cost of a trained frame. Frame 0 has a QP
    up to intra_qp_drop below the others'.

    With gradient checkpointing only the features between trained frames are kept, and each frame is computed a second time on the way
    back, with the same noise: memory no longer grows with a frame's layers times the number of frames.
    """
    ops = UnclampedOperations(parameters, share)
    base = share.qps(clip.shape[0], image_model.spec.num_qps).to(clip.device)
    intra_qp = base
    if intra_qp_drop:
        intra_qp = (base - share.qps(clip.shape[0], intra_qp_drop + 1).to(base.device)).clamp_min(0)
    with torch.no_grad():
        decoded = decoded_image(image_model, TrainingOperations(image_parameters), clip[:, 0], intra_qp, intra_dead_zone)
    weight = lambda_of_qp(base, *lambdas)
    reference = Reference(decoded.clamp(0, 1))
    coders, long_term = [FieldCoder() for _ in base] if model.spec.motion else [], None
    frames = []
    first_trained = 1 if num_trained_frames is None else clip.shape[1] - num_trained_frames
    for index in range(1, clip.shape[1]):
        offset, x = qp_offsets[index % len(qp_offsets)], clip[:, index]
        qp = base + offset
        dead_zone = torch.full_like(weight, dead_zones[index % len(dead_zones)]) if any(dead_zones) else None
        if model.spec.motion:
            assert reference.frame is not None
            predicted, long_term = compensated(reference.frame, long_term, x, qp, coders)
            reference = replace(reference, frame=predicted)
        if index < first_trained:
            reference = _next_reference(model, ops, x, reference, qp, index + 1 == first_trained, dead_zone)
            continue
        coded = code_trained_frame(model, ops, x, reference, qp, gradient_checkpointing, dead_zone)
        reference = Reference(coded.x_hat.clamp(0, 1) if model.spec.motion else None, coded.feature)
        frames.append(coded.cost(x, base, weight * frame_weight(offset), chroma_weights))
    return sequence_cost(frames, weight, cost_exponent)


@dataclass(frozen=True)
class FrameCost:
    """lambda D + R of each sample (N) of a P frame, and means over the batch."""

    cost: torch.Tensor
    bpp: float
    psnr: float


@dataclass(frozen=True)
class TrainedFrame:
    """A coded P frame: x_hat (N, 3, h, w) unclamped, its feature, bits per pixel (N)."""

    x_hat: torch.Tensor
    feature: torch.Tensor
    bpp: torch.Tensor

    def cost(self, x: torch.Tensor, base_qp: torch.Tensor, weight: torch.Tensor, chroma_weights: tuple[float, float] = CHROMA_WEIGHTS) -> FrameCost:
        """Against the source x, with distortion weighted by `weight` (N)."""
        cost = weight * distortion(x, self.x_hat, base_qp, chroma_weights) + self.bpp
        return FrameCost(cost, self.bpp.mean().item(), luma_psnr(x, self.x_hat).mean().item())


def code_trained_frame(
    model: VideoModel,
    ops: TrainingOperations,
    x: torch.Tensor,
    reference: Reference,
    qp: torch.Tensor,
    gradient_checkpointing: bool,
    dead_zones: torch.Tensor | None = None,
) -> TrainedFrame:
    """code_p_frame, computed a second time on the way back if asked."""
    if gradient_checkpointing:
        return TrainedFrame(*checkpoint(code_p_frame, model, ops, x, reference, qp, dead_zones, use_reentrant=False))
    return TrainedFrame(*code_p_frame(model, ops, x, reference, qp, dead_zones))


def sequence_cost(frames: Sequence[FrameCost], weight: torch.Tensor, cost_exponent: float) -> BatchLoss:
    """The loss of P frames in a row; weight: lambda of each sample (N)."""
    cost = torch.stack([frame.cost for frame in frames]).mean(dim=0)
    loss = relative_loss(cost, weight, cost_exponent)
    return BatchLoss(loss, cost.mean().item(), sum(frame.bpp for frame in frames) / len(frames), sum(frame.psnr for frame in frames) / len(frames))
