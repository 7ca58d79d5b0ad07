"""The operations that the networks are written on. A backend owns the parameters and says how each operation is
computed.

Values are opaque to the networks: a torch tensor (1, c, h, w) in the float backend, int16 planes with an exponent in
the exact ones. A faster backend replaces operations, never the graph. `depth_conv_block` and `merge_steps` have
defaults that are made of the smaller operations. A backend overrides them where a fused form is faster.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.picture_types import BlockMotion, OutputSamples
from dcvc_cli.format.types import Planes

if TYPE_CHECKING:
    import torch

    from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise, FourfoldBlock, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep

Tensor = Any
"""A value of a backend. Only the backend knows its type: networks and recipes are written once for all of them."""
Qp = Any
"""The QP: an int; in training a tensor (N,), one for each picture of the batch."""
Latents = Any
"""The encoder's latents: float32 (C, h, w), or in analysis on a device what that device has."""
CodedElements = Any
"""Places of coded elements, from `coded_rows` to `restore_coded` of the same backend."""
CodedSymbols = tuple[NDArray[np.int8], NDArray[np.uint8]]
"""(symbols, table rows) of coded elements in stream order."""
PlaneSymbols = NDArray[np.int8]
PlaneIndex = NDArray[np.uint8]
PlaneFlags = NDArray[np.bool_]
T = TypeVar("T")


class Operations(ABC):
    """One network's parameters on one device in one arithmetic.

    Attributes:
        computes_beside_host: whether a device computes while the host does something else.
    """

    computes_beside_host = False

    def start(self, *values: Tensor) -> None:  # noqa: B027  most backends compute at once
        """Lets the device begin to compute values, where a backend collects work until somebody needs a value. Nobody
        waits."""

    def repeat(self, method: Callable[..., T], network: object, *arguments: Any) -> T:
        """Returns method(network, self, *arguments), for methods that graph.sections marks. A backend may record the
        operations of the method and play them back."""
        return method(network, self, *arguments)

    # ---- layers

    @abstractmethod
    def conv(self, layer: "Conv", x: Tensor) -> Tensor:
        """Computes a convolution, with a bias if the layer has one: cin x h x w -> cout x h' x w'."""

    def conv_of_cells(self, layer: "Conv", x: Tensor, factor: int) -> Tensor:
        """Computes a 1x1 convolution of the pixel-unshuffled x, cin = c * factor * factor: c x h x w -> cout x h/factor
        x w/factor."""
        return self.conv(layer, self.pixel_unshuffle(x, factor))

    @abstractmethod
    def depthwise(self, layer: "Depthwise", x: Tensor) -> Tensor:
        """Computes a depthwise 3x3 convolution with zero padding; size unchanged."""

    @abstractmethod
    def scale(self, vector: "ScaleVector", x: Tensor, qp: Qp) -> Tensor:
        """Multiplies x by row `qp` of the vector, channel by channel."""

    @abstractmethod
    def wsilu(self, x: Tensor) -> Tensor:
        """Computes x * sigmoid(4 x)."""

    @abstractmethod
    def chunk_add(self, x: Tensor) -> Tensor:
        """Adds the second half of the channels to the first half."""

    @abstractmethod
    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Adds two values of one shape, elementwise."""

    def depth_conv_block(self, block: "DepthConvBlock", x: Tensor) -> Tensor:
        """Computes the whole block; see DepthConvBlock for the formula. A fused form must give the same values in exact
        arithmetic."""
        if block.adaptor is not None:
            x = self.conv(block.adaptor, x)
        t = self.conv(block.dc_out, self.depthwise(block.dc_spatial, self.wsilu(self.conv(block.dc_in, x))))
        t = self.add(t, x)
        out = self.add(self.conv(block.ffn_out, self.chunk_add(self.wsilu(self.conv(block.ffn_in, t)))), t)
        return self.add(out, x) if block.shortcut else out

    def add_fours(self, x: Tensor) -> Tensor:
        """Adds each four neighbouring channels: 4 c x h x w -> c x h x w."""
        raise NotImplementedError

    def fourfold_block(self, block: "FourfoldBlock", *parts: Tensor) -> Tensor:
        """Computes the whole block, of the concatenation of the parts; see FourfoldBlock for the formula."""
        x = parts[0] if len(parts) == 1 else self.concat(*parts)
        if block.adaptor is not None:
            x = self.conv(block.adaptor, x)
        t = self.conv(block.dc_out, self.depthwise(block.dc_spatial, self.wsilu(self.conv(block.dc_in, x))))
        t = self.add(t, x)
        out = self.add(self.conv(block.ffn_out, self.add_fours(self.wsilu(self.conv(block.ffn_in, t)))), t)
        return self.add(out, x) if block.shortcut else out

    # ---- shapes

    @abstractmethod
    def concat(self, *parts: Tensor) -> Tensor:
        """Channels of all parts, the first part first."""

    @abstractmethod
    def split(self, x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        """Returns consecutive channel groups of the given sizes."""

    @abstractmethod
    def pixel_shuffle(self, x: Tensor, factor: int) -> Tensor:
        """Moves channels to samples: c*f*f x h x w -> c x h*f x w*f."""

    @abstractmethod
    def pixel_unshuffle(self, x: Tensor, factor: int) -> Tensor:
        """Moves samples to channels: c x h x w -> c*f*f x h/f x w/f."""

    @abstractmethod
    def crop(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns the top left (height, width) of x."""

    @abstractmethod
    def pad_replicate(self, x: Tensor, multiple: int) -> Tensor:
        """Repeats the last row and column until both sides are multiples of `multiple`."""

    @abstractmethod
    def size(self, x: Tensor) -> tuple[int, int]:
        """Returns (height, width) of x."""

    # ---- values

    @abstractmethod
    def half_to_two(self, x: Tensor) -> Tensor:
        """Computes sigmoid(x) * 1.5 + 0.5: the image model's step sizes, between 0.5 and 2."""

    @abstractmethod
    def clamp_step_size(self, x: Tensor) -> Tensor:
        """Computes max(x, 0.5): the video model's step size."""

    @abstractmethod
    def reciprocal(self, x: Tensor) -> Tensor:
        """Computes 1 / x, for the encoder's quantisation only."""

    def encoder_factor(self, x: Tensor) -> Tensor:
        """Returns x as a factor of the encoder's latents, in their arithmetic: x itself unless the backend is exact."""
        return x

    @abstractmethod
    def multiply_step_size(self, latents: Tensor, step_size: Tensor) -> Tensor:
        """Latents times step size (one channel or as many as the latents)."""

    @abstractmethod
    def clamp_unit(self, x: Tensor) -> Tensor:
        """Clamps to [0, 1]."""

    def centre(self, x: Tensor) -> Tensor:
        """Computes x - 0.5: samples of 0..1 as networks on -0.5..0.5 take them. Encoder only."""
        raise NotImplementedError

    def from_centre(self, x: Tensor) -> Tensor:
        """Computes x + 0.5: the inverse of `centre`, for output pictures."""
        raise NotImplementedError

    def clamp_centred(self, x: Tensor) -> Tensor:
        """Clamps to [-0.5, 0.5]."""
        raise NotImplementedError

    # ---- latents and symbols

    def merge_steps(self, so_far: Tensor, part: Tensor) -> Tensor:
        """Adds a coding step's part, which is zero wherever an earlier step coded."""
        return self.add(so_far, part)

    @abstractmethod
    def quantise_step(
        self,
        step: "CodingStep",
        y: Latents,
        scales: Tensor,
        means: Tensor,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[Tensor, PlaneSymbols, PlaneIndex, PlaneFlags]:
        """Does the encoder's half of a coding step.

        Args:
            step: which elements it codes.
            y: the encoder's latents, already multiplied by the inverse step size.
            scales: C x h x w.
            means: C x h x w.
            skip_threshold: elements with a scale up to it are not coded; None codes all.
            zero_below: by table row, the magnitude of a residual below which its symbol is 0
                (families.lite.dead_zone).

        Returns:
            (part of y_hat, symbols, table rows, coded flags), the last three as (C / groups, h, w) arrays. Symbols are
            zero where the flag is false.
        """

    def quantise_coded(
        self,
        step: "CodingStep",
        y: Latents,
        scales: Tensor,
        means: Tensor,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[Tensor, Callable[[], CodedSymbols]]:
        """quantise_step of the coded elements alone: (part of y_hat, what gives their symbols and rows).

        A device goes on while nobody asks for the symbols. Any thread may ask once `start` was called.
        """
        part, symbols, index, coded = self.quantise_step(step, y, scales, means, skip_threshold, zero_below)
        taken = symbols[coded], index[coded]
        return part, lambda: taken

    @abstractmethod
    def step_index(
        self, step: "CodingStep", scales: Tensor, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        """Does the decoder's half of a coding step, before the symbols are known: table rows and coded flags, each (C /
        groups, h, w)."""

    @abstractmethod
    def restore_step(self, step: "CodingStep", symbols: PlaneSymbols, means: Tensor) -> Tensor:
        """Does the decoder's half of a coding step, with the symbols: (C / groups, h, w) symbols -> part of y_hat (C x
        h x w)."""

    def is_finite(self, x: Tensor) -> bool:
        """Returns whether every value is a finite number. Integers always are."""
        return True

    def coded_rows(
        self, step: "CodingStep", scales: Tensor, skip_threshold: float | None
    ) -> tuple[NDArray[np.uint8], CodedElements]:
        """Does step_index for the coded elements alone: (their table rows in stream order, what restore_coded needs to
        know of them)."""
        index, coded = self.step_index(step, scales, skip_threshold)
        return index[coded], coded

    def restore_coded(
        self, step: "CodingStep", symbols: NDArray[np.int8], coded: CodedElements, means: Tensor
    ) -> Tensor:
        """Does restore_step with the symbols of the coded elements alone; `coded` comes from coded_rows."""
        flags: PlaneFlags = coded
        plane = np.zeros(flags.shape, np.int8)
        plane[flags] = symbols
        return self.restore_step(step, plane, means)

    @abstractmethod
    def round_z(self, z: Latents) -> PlaneSymbols:
        """Rounds the encoder's z half to even, to -128..127 -> (c, h, w)."""

    @abstractmethod
    def z_from_symbols(self, symbols: PlaneSymbols) -> Tensor:
        """Symbols (c, h, w) as a value the networks can use."""

    def choose_z(
        self, analysis: "Operations", z: Latents, limits: tuple[int, int] = (-128, 127)
    ) -> tuple[Callable[[], PlaneSymbols], Tensor]:
        """Encoder's half of z: (what gives its symbols, z_from_symbols of them). When to ask: as in quantise_coded.

        Args:
            analysis: the operations that z is of.
            limits: smallest and largest symbol.
        """
        symbols = np.clip(analysis.round_z(z), *limits)
        return lambda: symbols, self.z_from_symbols(symbols)

    def latents_of(self, analysis: "Operations", y: Tensor) -> Latents:
        """The encoder's latents of an analysis in the form for `quantise_step`."""
        if analysis is self:
            return y
        return analysis.to_tensor(y) if self.shares_with_torch else analysis.to_float(y)

    # ---- pictures

    @abstractmethod
    def frame_from_values(self, values: NDArray[np.float32]) -> Tensor:
        """Turns a source picture, float32 (3, Hp, Wp) in 0..1, all planes at full size, into network input. Encoder
        only."""

    @abstractmethod
    def export_planes(
        self, frame: Tensor, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        """Turns network output 3 x Hp x Wp in 0..1 into three uint8 planes at padded size.

        halve_chroma: planes 1 and 2 become the means of 2x2 blocks (4:2:0). Values are multiplied by 255 and rounded
        half to even; truncate_chroma drops the fraction of chroma instead, as the published codec's file writer does.
        """

    @abstractmethod
    def export_fine(self, frame: Tensor) -> NDArray[np.int32]:
        """Turns network output 3 x Hp x Wp in 0..1 into int32 (3, Hp, Wp), value * 65535 rounded. RGB output is
        computed from it."""

    @abstractmethod
    def samples_from_frame(self, frame: Tensor) -> NDArray[np.int16]:
        """Turns a picture 3 x Hp x Wp in 0..1 into int16 (3, Hp / 8, 8, Wp / 8, 8) in 0..8192. Motion compensation
        works on it (families.lite.motion.field).

        The array is indexed by 8x8 squares, in whatever layout the backend keeps a picture: nothing is copied.
        """

    @abstractmethod
    def frame_from_samples(self, samples: NDArray[np.int16]) -> Tensor:
        """Inverts samples_from_frame."""

    # ---- pictures where they are: backends on a device, so that no picture has to cross

    has_picture_kernels = False
    """Whether the operations of this section exist."""

    def compensate(self, frame: Tensor, motion: BlockMotion, long_term: Tensor | None) -> Tensor:
        """Makes the picture that a field of vectors predicts from a reference and a long-term reference
        (docs/motion.md)."""
        raise NotImplementedError("this backend's pictures are compensated as samples")

    def floored(
        self,
        frame: Tensor,
        compensated: Tensor | None,
        words: NDArray[np.uint32],
        levels: NDArray[np.int16],
        step: int,
        max_level: int,
        halve_chroma: bool,
    ) -> Tensor:
        """Makes a picture with the blocks of a floor (docs/floor.md).

        Args:
            compensated: the compensated picture, of P frames.
            words: (h / 16, w / 16, 3), by block: the base in the low 2 bits (0 untouched, 1 picture, 2 compensated, 3
                flat) and three flat levels in 10 bits each above; bit p where part p has levels; the number of coded
                parts of the blocks before.
            levels: (coded parts, 64).
            step: the size of a step in 1/8192; 0 where levels are differences of output samples.
            max_level: the largest output sample.
        """
        raise NotImplementedError("this backend's pictures are changed as samples")

    def filtered_planes(
        self, frame: Tensor, luma: NDArray[np.int8], chroma: NDArray[np.int8], halve_chroma: bool
    ) -> tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]:
        """Filters the planes of a picture (docs/output-filter.md) with these coefficients."""
        raise NotImplementedError("this backend's pictures are filtered as samples")

    def filtered_samples(
        self, frame: Tensor, luma: NDArray[np.int8], chroma: NDArray[np.int8], output: OutputSamples
    ) -> Planes:
        """The filtered planes as output samples."""
        raise NotImplementedError("this backend's pictures are filtered as samples")

    def output_samples(self, frame: Tensor, output: OutputSamples) -> Planes:
        """A picture as output samples, by way of the numbers of `export_fine`."""
        raise NotImplementedError("this backend's pictures are put out by way of export_fine")

    # ---- between two backends: the encoder's analysis has numbers of its own beside exact synthesis

    @abstractmethod
    def to_float(self, x: Tensor) -> NDArray[np.float32]:
        """Returns (c, h, w) float32 of a value."""

    @abstractmethod
    def from_float(self, x: Latents) -> Tensor:
        """Inverts to_float and to_tensor, as far as the arithmetic allows. Encoder's analysis only."""

    @property
    def shares_with_torch(self) -> bool:
        """Returns whether values and latents go to PyTorch on this device, without the host: `to_tensor` exists, and
        `quantise_step` and factors take tensors of PyTorch."""
        return False

    def to_tensor(self, x: Tensor) -> "torch.Tensor":
        """Makes what to_float makes, as a tensor of PyTorch on the device."""
        raise NotImplementedError("this backend's values cross as arrays")

    def context_from(self, synthesis: "Operations", context: Tensor) -> Tensor:
        """Converts a context of the decoder's half for this analysis."""
        return self.from_float((synthesis.to_tensor if synthesis.shares_with_torch else synthesis.to_float)(context))
