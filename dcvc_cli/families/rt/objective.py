"""The loss of a training step: rate and distortion of a batch, coded by the image model or as a sequence of P
frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

from dcvc_cli.families.rt import recipe
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.recipe import Analysis, CodedFeature, code_i_frame
from dcvc_cli.families.rt.sizes import ModelSpec
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.graph.latent_steps import CodingStep
from dcvc_cli.learning.losses import (
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
from dcvc_cli.learning.share import WHOLE_BATCH, BatchShare
from dcvc_cli.learning.trainee import BatchLoss, Objective, State

RESET_SHARE = 0.25
"""Share of batches whose first trained frame behind lead frames has a decoded picture as reference, as after a reset of
the feature. Without them, the frame adaptor would see I frames only, and every reset at low QPs would cost quality."""


Coder = TypeVar("Coder", bound=RoundingLatentCoder)


@dataclass(frozen=True)
class Conditions:
    """How the frames of a batch are coded.

    Attributes:
        share: the samples of the batch that the clip holds.
        num_trained_frames: number of P frames at the end that give loss and gradients; None: all.
        gradient_checkpointing: whether trained frames are computed twice, so that only features are kept.
        intra_qp_drop: largest random difference by which frame 0's QP is lower than the others'.
    """

    share: BatchShare = WHOLE_BATCH
    num_trained_frames: int | None = None
    gradient_checkpointing: bool = False
    intra_qp_drop: int = 0


@dataclass(frozen=True)
class VideoNetworks:
    """The video network that learns and the frozen image network.

    Attributes:
        video, parameters: the network that learns, and its parameters.
        image, image_parameters: the network that codes I frames, and its parameters.
        spec: has the pattern of QPs and dead zones.
    """

    video: VideoModel
    parameters: State
    image: ImageModel
    image_parameters: State
    spec: ModelSpec


class EstimatingSide(Generic[Coder]):
    """Training's side of a frame's symbols. It rounds with a straight-through gradient. The coder estimates bits.

    Args:
        x: input of the networks (N, 3, h, w).
        make_coder: makes the coder of the latents.
        dead_zones: dead zone of each sample (N); None rounds to the nearest.

    Attributes:
        coder: the coder of the latents, once the latents are computed.
        z: the hyper-latents before rounding.
    """

    coder: Coder
    z: torch.Tensor
    latent_size: tuple[int, int]

    def __init__(
        self, ops: TrainingOperations, x: torch.Tensor, make_coder: type[Coder], dead_zones: torch.Tensor | None
    ) -> None:
        self._ops, self._x, self._make_coder, self._dead_zones = ops, x, make_coder, dead_zones

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, qp: torch.Tensor) -> torch.Tensor:
        """Analyses the pictures."""
        y = analysis(self._ops, self._x)
        self.z = hyper_analysis(self._ops, y).float()
        self.coder = self._make_coder(self._ops, y, self._dead_zones)
        self.latent_size = self._ops.size(y)
        return round_straight_through(self.z)

    def for_analysis(self, context: torch.Tensor) -> torch.Tensor:
        """Returns the context itself: one arithmetic serves all. both halves have one arithmetic."""
        return context

    def begin(self, step_size_inverse: torch.Tensor) -> None:
        """Scales the latents."""
        self.coder.begin(step_size_inverse)

    def step(self, step: CodingStep, scales: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Quantises one step."""
        return self.coder.step(step, scales, means)

    def finish(self) -> None:
        """Does nothing: no bytes were made. training makes no bytes."""


def _code_image(
    model: ImageModel,
    ops: TrainingOperations,
    x: torch.Tensor,
    qp: torch.Tensor,
    make_coder: type[Coder],
    dead_zone: float,
) -> tuple[torch.Tensor, EstimatingSide[Coder]]:
    """Codes pictures. Returns (x_hat, the side with the latents)."""
    side = EstimatingSide(ops, x, make_coder, torch.full(qp.shape, dead_zone, device=x.device) if dead_zone else None)
    return code_i_frame(model, ops, side, qp).float(), side


@dataclass(frozen=True)
class Reference:
    """What a P frame is predicted from: a picture, a feature, or both.

    Attributes:
        frame: the picture (N, 3, h, w) in 0..1; with motion, the compensated frame.
        feature: the reference feature.
        has_feature: whether each sample has its feature (N, 1, 1, 1). None: all have it. There is a picture if some
            lack it.
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
) -> tuple[CodedFeature, EstimatingSide[Coder]]:
    """Codes a P frame up to its feature."""
    side = EstimatingSide(ops, model.what_is_left(x, reference.frame), make_coder, dead_zones)
    return recipe.code_p_frame(model, ops, side, _adapted(model, ops, reference), qp), side


def _bits_per_pixel(
    ops: TrainingOperations, side: EstimatingSide[EstimatingLatentCoder], qp: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    bits = side.coder.bits + factorised_bits(ops.parameters, side.z + ops.share.noise_like(side.z), qp).sum(
        dim=(1, 2, 3)
    )
    return bits / (x.shape[-1] * x.shape[-2])


def code_image(
    model: ImageModel, ops: TrainingOperations, x: torch.Tensor, qp: torch.Tensor, dead_zone: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes pictures with estimated bits.

    Args:
        x: pictures (N, 3, h, w) in 0..1.
        qp: QP rows (N).
        dead_zone: as in families.lite.dead_zone.

    Returns:
        (x_hat unclamped, bits per pixel (N)).
    """
    x_hat, side = _code_image(model, ops, x, qp, EstimatingLatentCoder, dead_zone)
    return x_hat, _bits_per_pixel(ops, side, qp, x)


def decoded_image(
    model: ImageModel, ops: TrainingOperations, x: torch.Tensor, qp: torch.Tensor, dead_zone: float = 0.0
) -> torch.Tensor:
    """Codes pictures (N, 3, h, w) in 0..1 as I frames at rows qp (N), without estimating bits. Returns the decoder's
    pictures, unclamped."""
    return _code_image(model, ops, x, qp, RoundingLatentCoder, dead_zone)[0]


def code_p_frame(
    model: VideoModel,
    ops: TrainingOperations,
    x: torch.Tensor,
    reference: Reference,
    qp: torch.Tensor,
    dead_zones: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes a P frame with estimated bits. The bits of vectors do not count, since no gradient could change them.

    Args:
        x: pictures (N, 3, h, w) in 0..1.
        qp: QP rows (N).
        dead_zones: dead zone of each sample (N), as in families.lite.dead_zone.

    Returns:
        (x_hat, feature, bits per pixel (N)).
    """
    coded, side = _code_feature(model, ops, x, reference, qp, EstimatingLatentCoder, dead_zones)
    picture = model.picture_of(ops, coded.feature, coded.y_hat, qp, reference.frame)
    return picture.float(), coded.feature, _bits_per_pixel(ops, side, qp, x)


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
    """Codes a frame that gives no loss. At times the next reference has only its picture, as after a reset."""
    coded, _ = _code_feature(model, ops, x, reference, qp, RoundingLatentCoder, dead_zones)
    # The batch has one draw, from the generator that all processes seed alike.
    reset = may_reset and float(torch.rand(())) < RESET_SHARE
    frame = None
    if reset or model.predicts_pictures:
        frame = model.picture_of(ops, coded.feature, coded.y_hat, qp, reference.frame).float().clamp(0, 1)
    return Reference(frame, None if reset else coded.feature)


class UnclampedOperations(TrainingOperations):
    """Does not clamp the reconstruction, so that samples outside 0..1 keep a gradient."""

    def clamp_unit(self, x: torch.Tensor) -> torch.Tensor:
        return x


def image_loss(
    model: ImageModel,
    parameters: State,
    clip: torch.Tensor,
    objective: Objective,
    conditions: Conditions,
    dead_zone: float = 0.0,
) -> BatchLoss:
    """Computes the loss of pictures x (N, 3, h, w) in 0..1 at QPs qp (N). Each sample draws its QP from torch's
    generator.

    Args:
        clip: the own samples (N, 1, 3, h, w) in 0..1.
    """
    share = conditions.share
    ops = UnclampedOperations(parameters, share)
    x = clip[:, 0]
    qp = share.qps(x.shape[0], model.spec.num_qps).to(x.device)
    x_hat, bpp = code_image(model, ops, x, qp, dead_zone)
    weight = lambda_of_qp(qp, *objective.lambdas)
    cost = weight * distortion(x, x_hat, qp, objective.chroma_weights) + bpp
    return BatchLoss(
        relative_loss(cost, weight, objective.cost_exponent),
        cost.mean().item(),
        bpp.mean().item(),
        luma_psnr(x, x_hat).mean().item(),
    )


def video_loss(networks: VideoNetworks, clip: torch.Tensor, objective: Objective, conditions: Conditions) -> BatchLoss:
    """Computes the loss of P frames. The frozen image model codes frame 0.

    Frames before the trained ones are coded without a gradient. So the model meets references with the errors of many
    frames, at a third of the cost of a trained frame.

    With gradient checkpointing, only the features between trained frames are kept. Each frame is computed a second time
    in the backward pass, with the same noise. Memory then does not grow with the number of frames times a frame's
    layers.

    Args:
        clip: the own samples (N, 1 + P frames, 3, h, w) in 0..1.
    """
    model, spec, share = networks.video, networks.spec, conditions.share
    ops = UnclampedOperations(networks.parameters, share)
    base = share.qps(clip.shape[0], networks.image.spec.num_qps).to(clip.device)
    intra_qp = base
    if conditions.intra_qp_drop:
        drop = share.qps(clip.shape[0], conditions.intra_qp_drop + 1).to(base.device)
        intra_qp = (base - drop).clamp_min(0)
    with torch.no_grad():
        image_ops = TrainingOperations(networks.image_parameters)
        decoded = decoded_image(networks.image, image_ops, clip[:, 0], intra_qp, spec.intra_dead_zone)
    weight = lambda_of_qp(base, *objective.lambdas)
    reference = Reference(decoded.clamp(0, 1))
    prediction = model.batch_prediction([model.new_memory() for _ in base])
    frames = []
    num_trained = conditions.num_trained_frames
    first_trained = 1 if num_trained is None else clip.shape[1] - num_trained
    for index in range(1, clip.shape[1]):
        offset, x = spec.qp_offsets[index % len(spec.qp_offsets)], clip[:, index]
        qp = base + offset
        zone = spec.dead_zones[index % len(spec.dead_zones)]
        dead_zone = torch.full_like(weight, zone) if any(spec.dead_zones) else None
        reference = replace(reference, frame=prediction.predict(reference.frame, x, qp))
        if index < first_trained:
            reference = _next_reference(model, ops, x, reference, qp, index + 1 == first_trained, dead_zone)
            continue
        coded = code_trained_frame(model, ops, x, reference, qp, conditions.gradient_checkpointing, dead_zone)
        reference = Reference(coded.x_hat.clamp(0, 1) if model.predicts_pictures else None, coded.feature)
        frames.append(coded.cost(x, base, weight * frame_weight(offset), objective.chroma_weights))
    return sequence_cost(frames, weight, objective.cost_exponent)


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

    def cost(
        self,
        x: torch.Tensor,
        base_qp: torch.Tensor,
        weight: torch.Tensor,
        chroma_weights: tuple[float, float] = CHROMA_WEIGHTS,
    ) -> FrameCost:
        """Computes the cost against the source x, with the distortion weighted by `weight` (N)."""
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
    """Runs code_p_frame. With gradient checkpointing, the backward pass computes the frame a second time."""
    if gradient_checkpointing:
        return TrainedFrame(*checkpoint(code_p_frame, model, ops, x, reference, qp, dead_zones, use_reentrant=False))
    return TrainedFrame(*code_p_frame(model, ops, x, reference, qp, dead_zones))


def sequence_cost(frames: Sequence[FrameCost], weight: torch.Tensor, cost_exponent: float) -> BatchLoss:
    """Computes the loss of consecutive P frames. weight: lambda of each sample (N)."""
    cost = torch.stack([frame.cost for frame in frames]).mean(dim=0)
    loss = relative_loss(cost, weight, cost_exponent)
    return BatchLoss(
        loss,
        cost.mean().item(),
        sum(frame.bpp for frame in frames) / len(frames),
        sum(frame.psnr for frame in frames) / len(frames),
    )
