"""The encoder's latents in float32 on the device, where the encoder's half runs on the same integers as the decoder's:
they never cross to the host."""

from dataclasses import dataclass
from typing import Any

from dcvc_cli.backend.cuda.engine import Allocation, CudaEngine, DeviceTensor
from dcvc_cli.backend.exact_base import EncoderFactor


@dataclass(frozen=True, eq=False)
class CudaLatents:
    """Latents on the device. A factor multiplies them as it multiplies an array of NumPy.

    Attributes:
        engine: of the device.
        shape: (height, width, channels).
        memory: float32 (height, width, channels).
    """

    engine: CudaEngine
    shape: tuple[int, int, int]
    memory: Allocation

    @staticmethod
    def of(engine: CudaEngine, x: DeviceTensor, exponent: int) -> "CudaLatents":
        """The values x / 2^exponent."""
        shape = x.height, x.width, x.channels
        return _launched(engine, shape, x=x.address, pitch=x.pitch, exponent=exponent)

    def __mul__(self, factor: EncoderFactor) -> "CudaLatents":
        """The product with a factor, of one channel or as many as the latents have."""
        values = factor.values
        tensor: DeviceTensor = values.tensor
        return _launched(
            self.engine,
            self.shape,
            y=self.memory.address,
            factor=tensor.address,
            factor_pitch=tensor.pitch,
            factor_channels=tensor.channels,
            factor_exponent=values.exponent,
            inverse=int(factor.is_inverse),
        )


def _launched(engine: CudaEngine, shape: tuple[int, int, int], **values: Any) -> CudaLatents:
    height, width, channels = shape
    memory = engine.raw(4 * height * width * channels, 4)
    grid = (-(-height * width * channels // 256),)
    sizes = {"positions": height * width, "channels": channels}
    engine.launch("latents_to_float", grid, out=memory.address, **sizes, **values)
    return CudaLatents(engine, shape, memory)
