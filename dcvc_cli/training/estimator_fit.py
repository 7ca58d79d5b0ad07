"""Fits a bit estimator to a probability table: weights files hold the table, but training needs the density."""

import numpy as np
import torch

from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.learning.losses import BIT_ESTIMATOR_KEYS, factorised_bits
from dcvc_cli.learning.parameters import Parameters

NUM_FIT_STEPS = 400
FIT_RATE = 0.03


def fitted_estimator(table: CdfTable, num_qps: int, channels: int, fresh: Parameters) -> Parameters:
    """Fits the eleven parameters (num_qps, channels, 1, 1) of `bit_estimator_z` to the rows of a z table.

    The fit minimises the bits of symbols drawn from the table (float32, not bit-exact across machines). Training learns
    the rest of the difference.

    Args:
        table: num_qps * channels rows, row qp * channels + channel.
        fresh: start values under the same names. Other entries are ignored.
    """
    width = table.cdf.shape[1] - 1
    probabilities = np.diff(table.cdf, axis=1).clip(0) / 65536.0
    is_regular = np.arange(width) < (table.cdf_length - 2)[:, None]
    # (QPs, channels, symbol, 1): the layout in which factorised_bits takes one picture a QP.
    weights = torch.from_numpy(np.where(is_regular, probabilities, 0.0).reshape(num_qps, channels, width, 1)).float()
    symbols = torch.from_numpy((np.arange(width) + table.offset[:, None]).reshape(num_qps, channels, width, 1)).float()
    names = [f"bit_estimator_z.{key}" for key in BIT_ESTIMATOR_KEYS]
    parameters = {name: torch.nn.Parameter(fresh[name].detach().clone().float()) for name in names}
    optimiser = torch.optim.Adam(parameters.values(), lr=FIT_RATE)
    rows = torch.arange(num_qps)
    with torch.enable_grad():
        for _ in range(NUM_FIT_STEPS):
            optimiser.zero_grad()
            (weights * factorised_bits(parameters, symbols, rows)).sum().backward()
            optimiser.step()
    return {name: value.detach() for name, value in parameters.items()}
