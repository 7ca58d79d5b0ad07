"""Settings that progressive training adds to a run and to its stages."""

from dataclasses import dataclass
from typing import Literal

Distortion = Literal["mse-mean", "mse-sum", "ms-ssim"]
Loss = Literal["warp", "motion", "picture", "contextual", "all"]


@dataclass(frozen=True)
class ProgressiveSettings:
    """Settings of a run.

    Attributes:
        lambdas: weights of the distortion, bits per pixel per unit of it: one for a model of one rate, else one for
            each of the trained rates, the lowest rate first.
        distortion: what a lambda weighs, of R G B in 0..1. mse-mean: squared error, mean over the three channels.
            mse-sum: sum over the three channels, so that a lambda weighs three times as much. ms-ssim: 1 - MS-SSIM.
        draw: whether a step draws one rate for all samples, or one for each; of models with several.
        surrogate: what stands for rounding (learning.surrogate.Surrogate).
        frame_weights: of the distortion of P frames 1, 2, ..., cyclic, in stages that weigh frames.
    """

    lambdas: tuple[float, ...]
    distortion: Distortion = "mse-mean"
    draw: Literal["step", "sample"] = "step"
    surrogate: Literal["noise", "straight-through", "mixed"] = "noise"
    frame_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class ProgressiveStage:
    """Settings of a stage.

    Attributes:
        loss: what falls; D is the weighted distortion. warp: D of the warped picture. motion: that and the rate of the
            motion. picture: D of the decoded picture. contextual: that and the rate of the picture's latents. all: that
            and all rates.
        update: clip: one update from the mean loss of all P frames, with a gradient through the whole chain. frame: an
            update after each P frame; no gradient goes back beyond it.
        frame_only: hands on the picture alone, no features or latents.
        uncoded_reference: the first picture is the source, not an I frame.
        weigh_frames: weighs distortions by `frame_weights`.
        uncounted_rate_weight: weight of the rates that `loss` leaves out. A little of it holds what grows without
            bound.
    """

    loss: Loss = "all"
    update: Literal["clip", "frame"] = "clip"
    frame_only: bool = False
    uncoded_reference: bool = False
    weigh_frames: bool = False
    uncounted_rate_weight: float = 0.0
