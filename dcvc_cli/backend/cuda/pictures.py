"""Pictures on the device: samples for output, pixel shuffles, block motion, the floor, the output filter."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import Allocation, CudaEngine, DeviceTensor
from dcvc_cli.backend.picture_types import OutputSamples
from dcvc_cli.format.types import Planes

FILTER_BLOCK = 4
Plane = NDArray[np.int16]


def _blocks(count: int) -> int:
    return -(-count // 256)


class PictureKernels:
    """Launches operations on pictures; a picture is a tensor (h / 8, w / 8, 192)."""

    def __init__(self, engine: CudaEngine) -> None:
        self.engine = engine

    def shuffle(self, x: DeviceTensor, factor: int) -> DeviceTensor:
        """Moves channels to samples: c f f x h x w -> c x h f x w f."""
        out = self.engine.tensor(x.height * factor, x.width * factor, x.channels // factor**2)
        return self._move("pixel_shuffle", x, out, x.height, x.width, out.channels, factor)

    def unshuffle(self, x: DeviceTensor, factor: int) -> DeviceTensor:
        """Inverts `shuffle`."""
        out = self.engine.tensor(x.height // factor, x.width // factor, x.channels * factor**2)
        return self._move("pixel_unshuffle", x, out, out.height, out.width, x.channels, factor)

    def _move(
        self, name: str, x: DeviceTensor, out: DeviceTensor, height: int, width: int, channels: int, factor: int
    ) -> DeviceTensor:
        grid = (_blocks(out.positions * out.pitch),)
        sizes = {"height": height, "width": width, "channels": channels, "factor": factor}
        self.engine.launch(name, grid, x=x.address, out=out.address, pitch=x.pitch, out_pitch=out.pitch, **sizes)
        return out

    def export(
        self, picture: DeviceTensor, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        """Exports three uint8 planes at padded size."""
        height, width = picture.height * rules.PICTURE_CELL, picture.width * rules.PICTURE_CELL
        side = 2 if halve_chroma else 1
        shapes = [(height, width), (height // side, width // side), (height // side, width // side)]
        planes = [self.engine.raw(shape[0] * shape[1], 1) for shape in shapes]
        self.engine.launch(
            "picture_bytes",
            (_blocks(height * width), 3),
            cells=picture.address,
            planes=[plane.address for plane in planes],
            rows=picture.height,
            columns=picture.width,
            halved=int(halve_chroma),
            truncated=int(truncate_chroma),
        )
        return tuple(
            self.engine.download(plane.address, shape, np.uint8) for plane, shape in zip(planes, shapes, strict=True)
        )

    def compensate(
        self,
        reference: DeviceTensor,
        vectors: NDArray[np.int16],
        tracks: NDArray[np.int16] | None,
        blends: NDArray[np.uint8] | None,
        long_term: DeviceTensor | None,
    ) -> DeviceTensor:
        """Makes the compensated picture; fields (h / 8, w / 8, 2), blends (h / 16, w / 16)."""
        out = self.engine.tensor(reference.height, reference.width, reference.channels)
        fields: dict[str, Any] = {"vectors": np.ascontiguousarray(vectors)}
        if long_term is not None and tracks is not None and blends is not None:
            fields |= {"tracks": np.ascontiguousarray(tracks), "blends": np.ascontiguousarray(blends)}
        # A vector is read as one word.
        owners = {
            name: self.engine.upload_array(array.view(np.uint32) if array.dtype == np.int16 else array)
            for name, array in fields.items()
        }
        values = {name: owner.address for name, owner in owners.items()}
        if len(owners) > 1 and long_term is not None:
            values["long_term"] = long_term.address
        grid = reference.width, reference.height, 3
        sizes = {"rows": reference.height, "columns": reference.width}
        self.engine.launch("compensate_squares", grid, reference=reference.address, out=out.address, **values, **sizes)
        return out

    def floored(
        self,
        picture: DeviceTensor,
        compensated: DeviceTensor | None,
        words: NDArray[np.uint32],
        levels: NDArray[np.int16],
        step: int,
        max_level: int,
        *,
        halve_chroma: bool,
    ) -> DeviceTensor:
        """Makes a picture with the blocks of a floor.

        Args:
            words: (h / 16, w / 16, 3), as FrameFloor.words gives them.
            levels: (coded parts, 64).
            step: the size of a step; 0 where levels are differences of output samples.
            max_level: the largest output sample, 255 or 1023.
        """
        out = self.engine.tensor(picture.height, picture.width, picture.channels)
        parts = 6 if halve_chroma else 12
        # Room for every level that a floor can have, so that the address does not depend on their number.
        room = self.engine.raw(2 * words.shape[0] * words.shape[1] * parts * rules.PICTURE_CELL**2, 2)
        if levels.size:
            self.engine.upload(room.address, levels)
        blocks = self.engine.upload_array(words)
        self.engine.launch(
            "apply_floor",
            (picture.width // 2, picture.height // 2, parts),
            cells=picture.address,
            compensated=0 if compensated is None else compensated.address,
            blocks=blocks.address,
            levels=room.address,
            step=self.engine.slot(step),
            out=out.address,
            rows=picture.height,
            columns=picture.width,
            halved=int(halve_chroma),
            max_level=max_level,
        )
        return out

    def filtered(
        self, picture: DeviceTensor, luma: NDArray[np.int8], chroma: NDArray[np.int8], *, halve_chroma: bool
    ) -> tuple[Plane, Plane, Plane]:
        """Filters the planes of a picture, at padded size; coefficients (24, 12) and (2, 16)."""
        planes = self._filter(picture, luma, chroma, halve_chroma)
        first, second, third = (self.engine.download(plane.address, shape, np.int16) for plane, shape in planes)
        return first, second, third

    def filtered_samples(
        self, picture: DeviceTensor, luma: NDArray[np.int8], chroma: NDArray[np.int8], output: OutputSamples
    ) -> Planes:
        """The filtered planes as output samples."""
        filtered = self._filter(picture, luma, chroma, output.tall == 2)
        made = self._output_memory(output)
        if output.rgb_factors is not None:
            addresses = [plane.address for plane, _ in filtered]
            self._launch_fine("picture_rgb", made, output, picture.width, full=addresses)
            return self._downloaded(made, output)
        for k, (plane, padded) in enumerate(filtered):
            height, width = output.shapes[k]
            sizes = {"height": height, "width": width, "pitch": padded[1], "max_level": output.max_level}
            place = {"deep" if output.max_level > 255 else "out": made[k].address}
            is_paired = int(k > 0 and (output.tall, output.wide) == (1, 2))
            grid = (_blocks(height * width),)
            self.engine.launch("samples_of_plane", grid, plane=plane.address, paired=is_paired, **place, **sizes)
        return self._downloaded(made, output)

    def output_samples(self, picture: DeviceTensor, output: OutputSamples) -> Planes:
        """A picture's output samples, by way of its samples in 1/65535."""
        made = self._output_memory(output)
        name = "picture_samples" if output.rgb_factors is None else "picture_rgb"
        self._launch_fine(name, made, output, picture.width, cells=picture.address)
        return self._downloaded(made, output)

    def _output_memory(self, output: OutputSamples) -> list[Allocation]:
        item = np.dtype(output.dtype).itemsize
        return [self.engine.raw(item * height * width, item) for height, width in output.shapes]

    def _downloaded(self, made: list[Allocation], output: OutputSamples) -> Planes:
        first, second, third = (
            self.engine.download(memory.address, shape, output.dtype)
            for memory, shape in zip(made, output.shapes, strict=True)
        )
        return first, second, third

    def _launch_fine(
        self, name: str, made: list[Allocation], output: OutputSamples, columns: int, **source: Any
    ) -> None:
        (height, width), (chroma_height, chroma_width) = output.shapes[:2]
        grid = _blocks(height * width), 1 if output.rgb_factors else 3
        self.engine.launch(
            name,
            grid,
            columns=columns,
            height=height,
            width=width,
            chroma_height=chroma_height,
            chroma_width=chroma_width,
            tall=output.tall,
            wide=output.wide,
            max_level=output.max_level,
            truncated=int(output.truncate_chroma),
            factors=list(output.rgb_factors or (0,) * 4),
            **source,
            **{"deep" if output.max_level > 255 else "out": [memory.address for memory in made]},
        )

    def _filter(
        self, picture: DeviceTensor, luma: NDArray[np.int8], chroma: NDArray[np.int8], halve_chroma: bool
    ) -> list[tuple[Any, tuple[int, int]]]:
        """Returns (memory, shape) of the filtered luma, Cb and Cr."""
        height, width = picture.height * rules.PICTURE_CELL, picture.width * rules.PICTURE_CELL
        side = 2 if halve_chroma else 1
        shapes = [(height, width), *[(height // side, width // side)] * 3]
        planes = [self.engine.raw(2 * shape[0] * shape[1], 2) for shape in shapes]
        sizes = {"rows": picture.height, "columns": picture.width, "halved": int(halve_chroma)}
        addresses = [plane.address for plane in planes]
        grid = (_blocks(height * width), 4 if halve_chroma else 3)
        coefficients = [self.engine.upload_array(np.ascontiguousarray(array)) for array in (luma, chroma[0], chroma[1])]
        self.engine.launch("picture_planes", grid, cells=picture.address, planes=addresses, **sizes)
        sums = self.engine.raw(8 * (height // FILTER_BLOCK) * (width // FILTER_BLOCK), 4)
        blocks = {"plane": addresses[0], "sums": sums.address, "height": height, "width": width}
        self.engine.launch("filter_block_sums", (_blocks(height * width // FILTER_BLOCK**2),), **blocks)
        out = [self.engine.raw(2 * shape[0] * shape[1], 2) for shape in shapes[:3]]
        grid_of = [(_blocks(shape[0] * shape[1]),) for shape in shapes[:3]]
        first = {"coefficients": coefficients[0].address, "out": out[0].address}
        self.engine.launch("filter_luma", grid_of[0], **first, **blocks)
        companion = addresses[3] if halve_chroma else addresses[0]
        for which in (1, 2):
            self.engine.launch(
                "filter_chroma",
                grid_of[which],
                plane=addresses[which],
                companion=companion,
                coefficients=coefficients[which].address,
                out=out[which].address,
                height=shapes[which][0],
                width=shapes[which][1],
            )
        return list(zip(out, shapes[:3], strict=True))
