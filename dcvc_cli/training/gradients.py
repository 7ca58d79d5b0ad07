"""The limit on the norm of gradients."""

from collections.abc import Sequence

import torch


def limit_gradients(values: Sequence[torch.Tensor], limit: float) -> float:
    """Scales the gradients of some parameters down to a norm of `limit` where theirs is larger. Returns their norm,
    which is not finite only if one of them is not.

    Start values of wide networks make gradients whose squares leave float32; then the norm is computed in float64.
    """
    gradients = [value.grad for value in values if value.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    if not torch.isfinite(norm):
        norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms))
    torch.nn.utils.clip_grads_with_norm_(values, limit, norm, foreach=True)
    return float(norm)
