"""Coding steps on the device. Rows and symbols cross in stream order, of coded elements only. The planes of DCVC-UF,
whose stream has another order, cross whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import Allocation, CudaEngine, DeviceTensor
from dcvc_cli.backend.cuda.latents import CudaLatents
from dcvc_cli.backend.operations import CodedSymbols, Latents, PlaneFlags, PlaneIndex, PlaneSymbols

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


@dataclass(frozen=True)
class Choice:
    """How an encoder chooses symbols.

    Attributes:
        scale_exponent, mean_exponent: of the values.
        skipped: the largest scale that is not coded.
        zero_below: by table row, the magnitude of a residual below which its symbol is 0; None rounds to the nearest.
    """

    scale_exponent: int
    mean_exponent: int
    skipped: int
    zero_below: NDArray[np.float32] | None


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
        skipped = rules.largest_skipped(skip_threshold, exponent)
        rows, flags, shape = self._launch_planes(step, scales, exponent, skipped)
        index = self.engine.download(rows.address, shape, np.uint8)
        return index, self.engine.download(flags.address, shape, np.uint8).astype(np.bool_)

    def _launch_planes(
        self, step: "CodingStep", scales: DeviceTensor, exponent: int, skipped: int
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
            skipped=self.engine.slot(skipped),
            rows=rows.address,
            flags=flags.address,
            **values,
        )
        return rows, flags, shape

    def _quantised(
        self,
        step: "CodingStep",
        y: Latents,
        scales: DeviceTensor,
        means: DeviceTensor,
        choice: Choice,
        coded: dict[str, int],
    ) -> Allocation:
        """Launches the choice of symbols; returns the memory of the plane of all symbols.

        Args:
            coded: the arguments for what is coded in stream order; empty where nobody needs it.
        """
        latents = self._latents(y)
        table = None
        if choice.zero_below is not None:
            table = self.engine.upload_array(np.ascontiguousarray(choice.zero_below, np.float32))
        values, grid = self._values(step, scales)
        symbols = self.engine.raw(max(values["depth"] * scales.positions, 1), 1)
        self.engine.launch(
            "coding_quantise",
            grid,
            scales=scales.address,
            scales_pitch=scales.pitch,
            means=means.address,
            means_pitch=means.pitch,
            exponent=choice.mean_exponent,
            y=latents.address,
            zero_below=0 if table is None else table.address,
            thresholds=self._thresholds(choice.scale_exponent),
            skipped=self.engine.slot(choice.skipped),
            symbols=symbols.address,
            **coded,
            **values,
        )
        return symbols

    def _latents(self, y: Latents) -> Allocation:
        if isinstance(y, CudaLatents):
            return y.memory
        if isinstance(y, np.ndarray):
            return self.engine.upload_array(np.ascontiguousarray(y.transpose(1, 2, 0), np.float32))
        return self.engine.write_tensor(y.permute(1, 2, 0))

    def quantise(
        self, step: "CodingStep", y: Latents, scales: DeviceTensor, means: DeviceTensor, choice: Choice
    ) -> tuple[DeviceTensor, PlaneSymbols, PlaneIndex, PlaneFlags]:
        """The encoder's choice: (part of y_hat, symbols, rows, flags), the last three as planes."""
        rows, flags, shape = self._launch_planes(step, scales, choice.scale_exponent, choice.skipped)
        symbols = self._quantised(step, y, scales, means, choice, {})
        part = self._restore(step, means, choice.mean_exponent, symbols=symbols.address)
        coded = self.engine.download(flags.address, shape, np.uint8).astype(np.bool_)
        index = self.engine.download(rows.address, shape, np.uint8)
        return part, self.engine.download(symbols.address, shape, np.int8), index, coded

    def quantise_coded(
        self, step: "CodingStep", y: Latents, scales: DeviceTensor, means: DeviceTensor, choice: Choice
    ) -> tuple[DeviceTensor, Callable[[], CodedSymbols]]:
        """The encoder's choice: (part of y_hat, what gives the coded symbols and their rows in stream order). Kernels
        write the coded elements into the host's memory; nobody waits for them here."""
        values, grid = self._values(step, scales)
        room = max(values["depth"] * scales.positions, 1)
        landing = self.engine.places.land(
            ("encoded", step),
            [(1, np.int32), (room, np.int8), (room, np.uint8)],
            lambda arrays: [part[: int(arrays[0][0])] for part in arrays[1:]],
        )
        number, symbols, rows = landing.addresses
        offsets = self._launch_offsets(scales, values, grid, choice.skipped, number)
        coded = {"offsets": offsets.address, "coded_symbols": symbols, "coded_rows": rows}
        plane = self._quantised(step, y, scales, means, choice, coded)
        self.engine.places.launched(landing)
        part = self._restore(step, means, choice.mean_exponent, symbols=plane.address)

        def taken() -> CodedSymbols:
            first, second = landing.take()
            return first, second

        return part, taken

    def _launch_offsets(
        self, scales: DeviceTensor, values: dict[str, Any], grid: tuple[int, int], skipped: int, number: int
    ) -> Allocation:
        """Launches what finds the places of the coded elements in stream order; returns the memory of the places. The
        host gets their number at the address `number`."""
        count = values["depth"] * grid[0]
        counts, offsets = self.engine.raw(4 * count, 4), self.engine.raw(4 * (count + 1), 4)
        given = {"scales": scales.address, "scales_pitch": scales.pitch, "skipped": self.engine.slot(skipped)}
        given |= {"counts": counts.address, "offsets": offsets.address, **values}
        self.engine.launch("coding_count", grid, **given)
        self.engine.launch("coding_scan", (1,), number=number, **given)
        return offsets

    def coded_rows(
        self, step: "CodingStep", scales: DeviceTensor, exponent: int, skip_threshold: float | None
    ) -> tuple[NDArray[np.uint8], CodedPlaces]:
        """Returns the rows of the coded elements in stream order, and what `restore_coded` needs."""
        values, grid = self._values(step, scales)
        skipped, room = rules.largest_skipped(skip_threshold, exponent), max(values["depth"] * scales.positions, 1)
        landing = self.engine.places.land(
            ("decoded", step), [(1, np.int32), (room, np.uint8)], lambda arrays: [arrays[1][: int(arrays[0][0])]]
        )
        number, rows = landing.addresses
        offsets = self._launch_offsets(scales, values, grid, skipped, number)
        values |= {"scales": scales.address, "scales_pitch": scales.pitch, "skipped": self.engine.slot(skipped)}
        values |= {"offsets": offsets.address, "thresholds": self._thresholds(exponent), "rows": rows}
        self.engine.launch("coding_rows", grid, **values)
        self.engine.places.launched(landing)
        (found,) = landing.take()
        return found, CodedPlaces(scales, skipped, offsets)

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

    def choose_hyper_latents(
        self, z: DeviceTensor, exponent: int, lowest: int, highest: int
    ) -> tuple[Callable[[], PlaneSymbols], DeviceTensor]:
        """(what gives the symbols of z as (c, h, w), z as a decoder has it)."""
        shape = z.channels, z.height, z.width
        landing = self.engine.places.land("z", [(int(np.prod(shape)), np.int8)])
        out = self.engine.tensor(z.height, z.width, z.channels)
        values = {"positions": out.positions, "channels": z.channels, "pitch": z.pitch, "out_pitch": out.pitch}
        values |= {"exponent": exponent, "lowest": lowest, "highest": highest}
        grid = (-(-out.positions * out.pitch // 256),)
        (symbols,) = landing.addresses
        self.engine.launch("hyper_quantise", grid, z=z.address, symbols=symbols, out=out.address, **values)
        self.engine.places.launched(landing)
        return lambda: landing.take()[0].reshape(shape), out

    def hyper_latents(self, symbols: PlaneSymbols) -> DeviceTensor:
        """Makes z from its symbols (c, h, w)."""
        channels, height, width = symbols.shape
        data, out = self.engine.upload_array(np.ascontiguousarray(symbols)), self.engine.tensor(height, width, channels)
        grid = (-(-out.positions * out.pitch // 256),)
        values = {"positions": out.positions, "channels": channels, "out_pitch": out.pitch}
        self.engine.launch("hyper_symbols", grid, symbols=data.address, out=out.address, **values)
        return out
