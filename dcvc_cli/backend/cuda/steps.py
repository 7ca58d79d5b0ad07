"""Coding steps on the device. Table rows come down and symbols go up, of coded elements only."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import CudaEngine, DeviceTensor
from dcvc_cli.backend.operations import PlaneFlags, PlaneIndex, PlaneSymbols

if TYPE_CHECKING:
    from dcvc_cli.graph.latent_steps import CodingStep

SEGMENT, BLOCK_DEPTH = 256, 32
"""Positions and channels of a block of threads."""


@dataclass(frozen=True)
class CodedPlaces:
    """The places of a step's coded elements, on the device.

    Attributes:
        scales: decide which are coded.
        skipped: the largest scale that is not.
        offsets: owner of the places at which every channel's segments begin in stream order.
    """

    scales: DeviceTensor
    skipped: int
    offsets: Any


def thresholds(exponent: int) -> NDArray[np.int32]:
    """Returns the smallest int16 scale of every table row; beyond int16 where there is none."""
    unit = 1 << (20 - exponent)
    return np.array([min(-(-threshold // unit), 32768) for threshold in rules.SCALE_THRESHOLDS], np.int32)


class StepKernels:
    """Launches of the coding steps."""

    def __init__(self, engine: CudaEngine) -> None:
        self.engine = engine

    def _values(self, step: "CodingStep", tensor: DeviceTensor) -> tuple[dict[str, Any], tuple[int, int]]:
        depth = tensor.channels // step.num_groups
        values = {
            "height": tensor.height,
            "width": tensor.width,
            "depth": depth,
            "groups": step.num_groups,
            "group_at": [step.group_at(position) for position in range(4)],
        }
        return values, (-(-tensor.positions // SEGMENT), -(-depth // BLOCK_DEPTH))

    def _thresholds(self, exponent: int) -> int:
        return self.engine.constant(("thresholds", exponent), lambda: thresholds(exponent))

    def planes(
        self, step: "CodingStep", scales: DeviceTensor, exponent: int, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        """Rows and flags of all elements, (C / groups, h, w)."""
        rows, flags, shape = self._launch_planes(step, scales, exponent, skip_threshold)
        index = self.engine.download(rows.address, shape, np.uint8)
        return index, self.engine.download(flags.address, shape, np.uint8).astype(np.bool_)

    def _launch_planes(
        self, step: "CodingStep", scales: DeviceTensor, exponent: int, skip_threshold: float | None
    ) -> tuple[Any, Any, tuple[int, int, int]]:
        values, grid = self._values(step, scales)
        shape = values["depth"], scales.height, scales.width
        rows, flags = (self.engine.raw(int(np.prod(shape)), 1) for _ in range(2))
        self.engine.launch(
            "coding_planes",
            grid,
            scales=scales.address,
            scales_pitch=scales.pitch,
            thresholds=self._thresholds(exponent),
            skipped=self.engine.slot(rules.largest_skipped(skip_threshold, exponent)),
            rows=rows.address,
            flags=flags.address,
            **values,
        )
        return rows, flags, shape

    def quantise(
        self,
        step: "CodingStep",
        y: Any,
        scales: DeviceTensor,
        means: DeviceTensor,
        exponents: tuple[int, int],
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None,
    ) -> tuple[DeviceTensor, PlaneSymbols, PlaneIndex, PlaneFlags]:
        """Does the encoder's half of a step.

        Args:
            y: float32 (C, h, w), an array or a tensor of PyTorch on the device.
            exponents: of scales and means.

        Returns:
            as Operations.quantise_step.
        """
        if isinstance(y, np.ndarray):
            latents = self.engine.upload_array(np.ascontiguousarray(y.transpose(1, 2, 0), np.float32))
        else:
            latents = self.engine.write_tensor(y.permute(1, 2, 0))
        table = None if zero_below is None else self.engine.upload_array(np.ascontiguousarray(zero_below, np.float32))
        rows, flags, shape = self._launch_planes(step, scales, exponents[0], skip_threshold)
        symbols = self.engine.raw(int(np.prod(shape)), 1)
        values, grid = self._values(step, scales)
        self.engine.launch(
            "coding_quantise",
            grid,
            scales=scales.address,
            scales_pitch=scales.pitch,
            means=means.address,
            means_pitch=means.pitch,
            exponent=exponents[1],
            y=latents.address,
            zero_below=0 if table is None else table.address,
            thresholds=self._thresholds(exponents[0]),
            skipped=self.engine.slot(rules.largest_skipped(skip_threshold, exponents[0])),
            symbols=symbols.address,
            **values,
        )
        part = self._restore(step, means, exponents[1], symbols=symbols.address)
        coded = self.engine.download(flags.address, shape, np.uint8).astype(np.bool_)
        index = self.engine.download(rows.address, shape, np.uint8)
        return part, self.engine.download(symbols.address, shape, np.int8), index, coded

    def coded_rows(
        self, step: "CodingStep", scales: DeviceTensor, exponent: int, skip_threshold: float | None
    ) -> tuple[NDArray[np.uint8], CodedPlaces]:
        """Returns the rows of the coded elements in stream order, and what `restore_coded` needs."""
        values, grid = self._values(step, scales)
        skipped, count = rules.largest_skipped(skip_threshold, exponent), values["depth"] * grid[0]
        counts, offsets = self.engine.raw(4 * count, 4), self.engine.raw(4 * (count + 1), 4)
        rows = self.engine.raw(max(values["depth"] * scales.positions, 1), 1)
        values |= {"scales": scales.address, "scales_pitch": scales.pitch, "skipped": self.engine.slot(skipped)}
        values |= {"counts": counts.address, "offsets": offsets.address}
        self.engine.launch("coding_count", grid, **values)
        self.engine.launch("coding_scan", (1,), **values)
        self.engine.launch("coding_rows", grid, thresholds=self._thresholds(exponent), rows=rows.address, **values)
        number = int(self.engine.download(offsets.address + 4 * count, (1,), np.int32)[0])
        return self.engine.download(rows.address, (number,), np.uint8), CodedPlaces(scales, skipped, offsets)

    def restore_coded(
        self, step: "CodingStep", symbols: NDArray[np.int8], places: CodedPlaces, means: DeviceTensor, exponent: int
    ) -> DeviceTensor:
        """Makes the step's part of y_hat from the symbols of the coded elements."""
        data = self.engine.upload_array(symbols if symbols.size else np.zeros(1, np.int8))
        values = {
            "scales": places.scales.address,
            "scales_pitch": places.scales.pitch,
            "skipped": self.engine.slot(places.skipped),
        }
        return self._restore(step, means, exponent, symbols=data.address, offsets=places.offsets.address, **values)

    def restore_plane(
        self, step: "CodingStep", symbols: PlaneSymbols, means: DeviceTensor, exponent: int
    ) -> DeviceTensor:
        """Makes the step's part of y_hat from a plane of symbols."""
        data = self.engine.upload_array(np.ascontiguousarray(symbols))  # named, to be kept until the launch
        return self._restore(step, means, exponent, symbols=data.address)

    def _restore(self, step: "CodingStep", means: DeviceTensor, exponent: int, **others: Any) -> DeviceTensor:
        values, grid = self._values(step, means)
        out = self.engine.tensor(means.height, means.width, means.channels)
        placed = {
            "means": means.address,
            "means_pitch": means.pitch,
            "out": out.address,
            "out_pitch": out.pitch,
            "exponent": exponent,
        }
        self.engine.launch("coding_restore", grid, **values, **placed, **others)
        return out

    def hyper_latents(self, symbols: PlaneSymbols) -> DeviceTensor:
        """Makes z from its symbols (c, h, w)."""
        channels, height, width = symbols.shape
        data, out = self.engine.upload_array(np.ascontiguousarray(symbols)), self.engine.tensor(height, width, channels)
        grid = (-(-out.positions * out.pitch // 256),)
        values = {"positions": out.positions, "channels": channels, "out_pitch": out.pitch}
        self.engine.launch("hyper_symbols", grid, symbols=data.address, out=out.address, **values)
        return out
