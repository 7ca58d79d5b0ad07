"""Convolutions of a training step in 16 bits, and the scale that float16 gradients need."""

import torch

from dcvc_cli.errors import UsageError

AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def gradient_scaler(autocast: str, device: torch.device) -> torch.amp.GradScaler:
    """float16 gradients below 6e-8 vanish, so the loss is scaled up for them; other types need no scale and get none.

    Raises:
        UsageError: the device cannot compute in float16.
    """
    wanted = autocast == "fp16"
    if wanted and device.type == "cpu":
        try:
            with torch.autocast("cpu", torch.float16):
                torch.nn.functional.conv2d(torch.ones(1, 8, 4, 4), torch.ones(8, 8, 3, 3), padding=1)
        except RuntimeError as error:
            raise UsageError(
                f"autocast: fp16 is not possible on this processor: {error}", "autocast: bf16, or --device cuda:0"
            ) from error
    return torch.amp.GradScaler(device.type, enabled=wanted)
