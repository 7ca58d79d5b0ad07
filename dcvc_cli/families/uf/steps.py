"""Which latents each coding step of DCVC-UF codes. The position classes are DCVC-RT's; scales are compared as they
are."""

from collections.abc import Sequence
from dataclasses import replace

from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS, CodingStep

FOUR_STEPS: Sequence[CodingStep] = tuple(replace(step, limits_scales=False) for step in IMAGE_STEPS)
TWO_STEPS: Sequence[CodingStep] = tuple(replace(step, limits_scales=False) for step in VIDEO_STEPS)
