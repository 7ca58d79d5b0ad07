"""The latents of each coding step of DCVC-UF. The classes of positions are DCVC-RT's; scales are compared without a
limit."""

from collections.abc import Sequence
from dataclasses import replace

from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS, CodingStep

FOUR_STEPS: Sequence[CodingStep] = tuple(replace(step, limits_scales=False) for step in IMAGE_STEPS)
TWO_STEPS: Sequence[CodingStep] = tuple(replace(step, limits_scales=False) for step in VIDEO_STEPS)
