"""A value of the CUDA backend: data on the device, or the work that makes the data."""

from collections.abc import Sequence

from dcvc_cli.backend.cuda.engine import DeviceTensor
from dcvc_cli.backend.cuda.layers import Layers, Product


class CudaValue:
    """A value on the device: a tensor, a product that was not launched yet, or parts that were not joined yet.

    Args:
        cell: 1, or 8 where the data is still to be pixel-shuffled by 8.
    """

    def __init__(
        self,
        layers: Layers,
        exponent: int,
        tensor: DeviceTensor | None = None,
        *,
        product: Product | None = None,
        parts: Sequence[DeviceTensor] = (),
        cell: int = 1,
    ) -> None:
        self.exponent, self.cell, self.product, self.parts = exponent, cell, product, tuple(parts)
        self._layers, self._tensor = layers, tensor

    @property
    def tensor(self) -> DeviceTensor:
        """Returns the data; launches the work that makes it."""
        if self._tensor is None:
            self._tensor = (
                self._layers.run(self.product) if self.product is not None else self._layers.joined(self.parts)
            )
        return self._tensor

    @property
    def waiting(self) -> Product | None:
        """Returns the product while it is not launched yet, else None."""
        return self.product if self._tensor is None else None
