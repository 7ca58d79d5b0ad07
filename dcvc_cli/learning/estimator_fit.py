"""Fits a bit estimator to a probability table: weights files hold the table, but training needs the density."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.learning.parameters import Parameters

NUM_FIT_STEPS = 400
FIT_RATE = 0.03
PREFIX = "bit_estimator_z."

EstimateBits = Callable[[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor]
"""(parameters, z (N, c, h, w), rows (N)) -> bits, elementwise; losses.factorised_bits is one."""


def fitted_estimator(
    table: CdfTable, symbols: NDArray[np.int64], num_qps: int, fresh: Parameters, bits: EstimateBits
) -> Parameters:
    """Fits the parameters below `bit_estimator_z` to the rows of a z table.

    The fit minimises the bits of symbols drawn from the table (float32, not bit-exact across machines). Training learns
    the rest of the difference.

    Args:
        table: num_qps * channels rows, row qp * channels + channel.
        symbols: the symbol of each place of each row (rows, places).
        num_qps: QPs that the density has rows for.
        fresh: start values under the same names. Other entries are ignored.
        bits: what the density says.
    """
    width = table.cdf.shape[1] - 1
    channels = table.cdf.shape[0] // num_qps
    probabilities = np.diff(table.cdf, axis=1).clip(0) / 65536.0
    is_regular = np.arange(width) < (table.cdf_length - 2)[:, None]
    # (QPs, channels, symbol, 1): the layout in which densities take one picture a QP.
    weights = torch.from_numpy(np.where(is_regular, probabilities, 0.0).reshape(num_qps, channels, width, 1)).float()
    values = torch.from_numpy(symbols.reshape(num_qps, channels, width, 1)).float()
    names = [name for name in fresh if name.startswith(PREFIX)]
    parameters = {name: torch.nn.Parameter(fresh[name].detach().clone().float()) for name in names}
    optimiser = torch.optim.Adam(parameters.values(), lr=FIT_RATE)
    rows = torch.arange(num_qps)
    with torch.enable_grad():
        for _ in range(NUM_FIT_STEPS):
            optimiser.zero_grad()
            (weights * bits(parameters, values, rows)).sum().backward()
            optimiser.step()
    return {name: value.detach() for name, value in parameters.items()}


def symbols_in_order(table: CdfTable) -> NDArray[np.int64]:
    """Symbols (rows, places) of a table whose rows go up from their offsets."""
    return (np.arange(table.cdf.shape[1] - 1) + table.offset[:, None]).astype(np.int64)
