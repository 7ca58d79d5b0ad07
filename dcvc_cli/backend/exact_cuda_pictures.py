"""The operations of the CUDA backend on pictures, which are tensors (h / 8, w / 8, 192) on the device."""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import CudaEngine, DeviceTensor
from dcvc_cli.backend.cuda.pictures import PictureKernels
from dcvc_cli.backend.cuda.value import CudaValue
from dcvc_cli.backend.exact_base import ExactOperations, require_exponent
from dcvc_cli.backend.exact_network import ExactNetwork, ExactValue
from dcvc_cli.backend.picture_types import BlockMotion, OutputSamples
from dcvc_cli.format.types import Planes


def require_exponents(name: str, expected: int, *values: CudaValue) -> None:
    """Refuses values of another exponent, as `require_exponent` does."""
    for value in values:
        if value.exponent != expected:
            require_exponent(name, expected, ExactValue(np.empty(0, np.int16), value.exponent))


class CudaPictureOperations(ExactOperations):
    """Operations on pictures.

    Args:
        network: checked integer parameters.
        engine: of the device; networks share it.
    """

    has_picture_kernels = True

    def __init__(self, network: ExactNetwork, engine: CudaEngine) -> None:
        super().__init__(network)
        self.engine, self.pictures = engine, PictureKernels(engine)

    def _value(self, tensor: DeviceTensor, exponent: int, cell: int = 1) -> CudaValue:
        raise NotImplementedError

    def _picture(self, frame: CudaValue) -> DeviceTensor:
        require_exponents("a picture", rules.FRAME_EXPONENT, frame)
        if frame.cell != rules.PICTURE_CELL:
            raise NotImplementedError("only pictures that a network made are exported")
        return frame.tensor

    def export_planes(
        self, frame: CudaValue, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        return self.pictures.export(self._picture(frame), halve_chroma=halve_chroma, truncate_chroma=truncate_chroma)

    def export_fine(self, frame: CudaValue) -> NDArray[np.int32]:
        samples = self.samples_from_frame(frame)
        values = rules.shift_round(samples.astype(np.int64) * 65535, rules.FRAME_EXPONENT).astype(np.int32)
        planes, rows, _, columns, _ = values.shape
        return np.ascontiguousarray(values).reshape(planes, rows * rules.PICTURE_CELL, columns * rules.PICTURE_CELL)

    def samples_from_frame(self, frame: CudaValue) -> NDArray[np.int16]:
        data = self.engine.download_tensor(self._picture(frame))
        height, width, _ = data.shape
        return data.reshape(height, width, 3, rules.PICTURE_CELL, rules.PICTURE_CELL).transpose(2, 0, 3, 1, 4)

    def frame_from_samples(self, samples: NDArray[np.int16]) -> CudaValue:
        cells = samples.transpose(1, 3, 0, 2, 4)
        tensor = self.engine.upload_tensor(np.ascontiguousarray(cells).reshape(*cells.shape[:2], -1))
        return self._value(tensor, rules.FRAME_EXPONENT, rules.PICTURE_CELL)

    def compensate(self, frame: CudaValue, motion: BlockMotion, long_term: CudaValue | None) -> CudaValue:
        """The picture that block motion (families.lite.motion.motion.Motion) predicts from a reference and a long-term
        reference."""
        kept = None if long_term is None else self._picture(long_term)
        tensor = self.pictures.compensate(self._picture(frame), motion.vectors, motion.tracks, motion.blends, kept)
        return self._value(tensor, rules.FRAME_EXPONENT, rules.PICTURE_CELL)

    def floored(
        self,
        frame: CudaValue,
        compensated: CudaValue | None,
        words: NDArray[np.uint32],
        levels: NDArray[np.int16],
        step: int,
        max_level: int,
        halve_chroma: bool,
    ) -> CudaValue:
        base, kernels = None if compensated is None else self._picture(compensated), self.pictures
        picture = self._picture(frame)
        tensor = kernels.floored(picture, base, words, levels, step, max_level, halve_chroma=halve_chroma)
        return self._value(tensor, rules.FRAME_EXPONENT, rules.PICTURE_CELL)

    def filtered_planes(
        self, frame: CudaValue, luma: NDArray[np.int8], chroma: NDArray[np.int8], halve_chroma: bool
    ) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
        """The planes of a picture after the output filter with these coefficients
        (families.lite.filter.filters.Filters)."""
        return self.pictures.filtered(self._picture(frame), luma, chroma, halve_chroma=halve_chroma)

    def filtered_samples(
        self, frame: CudaValue, luma: NDArray[np.int8], chroma: NDArray[np.int8], output: OutputSamples
    ) -> Planes:
        return self.pictures.filtered_samples(self._picture(frame), luma, chroma, output)

    def output_samples(self, frame: CudaValue, output: OutputSamples) -> Planes:
        return self.pictures.output_samples(self._picture(frame), output)
