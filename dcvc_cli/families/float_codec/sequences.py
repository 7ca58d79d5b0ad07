"""Picture encoder and decoder of the float codecs. An I frame begins; each P frame is predicted from the frame before.

A stream has the quality that its weights were trained for, so units have QP 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import check_picture, video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import CodedUnit, PictureDecoder, PictureEncoder, require_reference
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.layers import Ops, Tensor
from dcvc_cli.families.float_codec.sides import DecodingSide, EncodingSide, Layout, Side
from dcvc_cli.families.wide_latents.rgb import PADDING, check_colour, padded_size, picture_from_rgb, rgb_values
from dcvc_cli.format.types import Picture


class FrameRecipe(ABC):
    """The recipe of a codec's frames. Encoder and decoder run the same one.

    Attributes:
        i_layout, p_layout: the string of each latent, in I and in P frames.
    """

    i_layout: Layout
    p_layout: Layout

    @abstractmethod
    def i_frame(self, networks: CodecNetworks, side: Side, values: Tensor | None, z_size: tuple[int, int]) -> Any:
        """Codes an I frame. Returns what the next frame is predicted from, the picture first."""

    def p_frame(
        self, networks: CodecNetworks, side: Side, values: Tensor | None, z_size: tuple[int, int], kept: Any
    ) -> Any:
        """Codes a P frame after a frame that left `kept`; what it leaves itself."""
        table_mv, table = self.z_tables(networks["video"].z_table)
        flow = self.motion(side, table_mv, values, z_size, kept)
        return self.picture(side, table, values, z_size, kept, flow)

    @abstractmethod
    def z_tables(self, stored: CdfTable) -> tuple[WordTable, WordTable]:
        """Tables of mv_z and of z."""

    @abstractmethod
    def motion(
        self, side: Side, z_table: WordTable | None, values: Tensor | None, z_size: tuple[int, int], kept: Any
    ) -> Tensor:
        """Codes a P frame's motion; the flow, 2 x Hp x Wp, as the decoder has it. A side without symbols needs no
        table."""

    @abstractmethod
    def picture(
        self,
        side: Side,
        z_table: WordTable | None,
        values: Tensor | None,
        z_size: tuple[int, int],
        kept: Any,
        flow: Tensor,
    ) -> Any:
        """Codes the rest of a P frame; what it leaves."""


class FrameCoder:
    """What encoder and decoder share: the networks, and what the next frame is predicted from.

    Attributes:
        kept: the last frame's picture, 1 x 3 x Hp x Wp, then what else the next frame needs; None before the first
            frame.
    """

    def __init__(self, recipe: FrameRecipe, networks: CodecNetworks, padded: tuple[int, int]) -> None:
        self.recipe, self.networks = recipe, networks
        self.z_size = padded[0] // PADDING, padded[1] // PADDING
        self.kept: Any = None

    def ops(self, frame_type: NalType) -> Ops:
        """Returns the operations of the network that codes frames of this type."""
        return self.networks["image" if frame_type is NalType.I else "video"].synthesis

    def layout(self, frame_type: NalType) -> Layout:
        """Returns the string of each latent in frames of this type."""
        return self.recipe.i_layout if frame_type is NalType.I else self.recipe.p_layout

    def code(self, frame_type: NalType, side: Side, values: Tensor | None) -> None:
        """Codes one frame and keeps what the next one is predicted from.

        Raises:
            StreamError: a P frame comes before any I frame.
        """
        import torch

        with torch.inference_mode():
            if frame_type is NalType.I:
                self.kept = self.recipe.i_frame(self.networks, side, values, self.z_size)
            else:
                require_reference(self.kept is not None)
                self.kept = self.recipe.p_frame(self.networks, side, values, self.z_size, self.kept)

    def encode(self, frame_type: NalType, values: Any) -> EncodingSide:
        """Encodes samples, float32 (3, Hp, Wp) in 0..1."""
        ops = self.ops(frame_type)
        side = EncodingSide(ops, self.layout(frame_type))
        self.code(frame_type, side, ops.frame_from_values(values))
        return side

    def decode(self, frame_type: NalType, payload: bytes | list[bytes]) -> DecodingSide:
        """Decodes a payload, or a list of its strings."""
        side = DecodingSide(self.ops(frame_type), self.layout(frame_type), payload)
        self.code(frame_type, side, None)
        side.finish()
        return side

    def picture(self, sps: Sps) -> Picture:
        """Returns the picture of the last coded frame."""
        return picture_from_rgb(self.kept[0], video_format_of(sps))


class FrameEncoder(PictureEncoder):
    """Codes each picture into one unit."""

    def __init__(self, recipe: FrameRecipe, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> None:
        self._video_format, self._sps, self._choices = video_format_of(sps), sps, choices
        check_colour(self._video_format)
        self._coder = FrameCoder(recipe, networks, padded_size(self._video_format.size))
        self._index = self._since_key = 0

    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Yields the unit of the picture. QPs of an order have no effect."""
        check_picture(picture, self._video_format)
        keyint, forced = self._choices.keyint, self._choices.forced_keys
        is_key = self._coder.kept is None or order.is_key or self._index in forced or 0 < keyint <= self._since_key
        frame_type = NalType.I if is_key else NalType.P
        values = rgb_values(picture, self._video_format)
        payload = self._coder.encode(frame_type, values).payload()
        self._index, self._since_key = self._index + 1, 1 if is_key else self._since_key + 1
        yield CodedUnit(frame_type, 0, False, payload)

    def reconstruction(self) -> Sequence[Picture]:
        """Returns the last coded picture."""
        return [self._coder.picture(self._sps)]


class FrameDecoder(PictureDecoder):
    """Decodes one picture from each unit."""

    def __init__(self, recipe: FrameRecipe, networks: CodecNetworks, sps: Sps) -> None:
        video_format = video_format_of(sps)
        check_colour(video_format)
        self._coder = FrameCoder(recipe, networks, padded_size(video_format.size))

    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Decodes the picture of a unit."""
        if unit.qp != 0 or unit.pictures.num_pictures != 1:
            found = f"QP {unit.qp} and {unit.pictures.num_pictures} pictures"
            raise StreamError(f"a unit of type {unit.frame_type.name} has {found}, expected QP 0 and 1 picture")
        self._coder.decode(unit.frame_type, unit.payload)
        return [self._coder.picture(unit.sps)]
