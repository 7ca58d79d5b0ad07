"""The interface between a codec family and the rest of dcvc. docs/families.md says how to add a family.

A family is a syntax of payloads. It has models: sizes of its networks, each under a name of its own. Code outside
`families/` drives a model through this interface and never asks for the model's family.

A family's modules load nothing heavy, such as torch, when they are imported. The functions that need torch import it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.limits import FrameLimits, general_limits
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import ONE_PICTURE, PictureHeader
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import StreamError, UsageError
from dcvc_cli.families.checkpoint_match import CheckpointMatch, match_in_order
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat
from dcvc_cli.graph.network import Network
from dcvc_cli.stages import COMMON_STAGES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcvc_cli.families.elementary_form import ElementaryForm
    from dcvc_cli.learning.trainee import Trainee

    State = Mapping[str, NDArray[np.float32]]
    """Parameters of one network by name."""

MAX_CODED_SIDE = 8192
"""The format allows 16384; networks are run up to this unless a family says otherwise."""


@dataclass(frozen=True)
class CodedUnit:
    """One frame unit of a stream, as a picture encoder makes it.

    Attributes:
        frame_type: I for a unit that needs no unit before it, else P.
        qp: the row of the tables that a decoder takes; the unit's header has it.
        reset: the reset flag of a P unit. Each family says what it means.
        payload: the coded pictures.
        pictures: number and order of the pictures. The caller adds their times.
        lowered: QPs below the order, so that the unit fits its room.
    """

    frame_type: NalType
    qp: int
    reset: bool
    payload: bytes
    pictures: PictureHeader = ONE_PICTURE
    lowered: int = 0


class PictureEncoder(ABC):
    """Codes the pictures of one format in display order, under one SPS."""

    @abstractmethod
    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Takes the next picture and yields the units that it completes: no unit while a chunk is not full, several
        units where a chunk ends early.

        The caller takes all units before it pushes the next picture. Until it asks for the next unit, `reconstruction`
        belongs to the last one.

        Args:
            picture: a picture of the SPS's format.
            order: what the caller asks of this picture beside the choices.

        Raises:
            InputError: the picture is not of the SPS's format.
        """

    def flush(self) -> Iterator[CodedUnit]:
        """Yields the units of the pictures that still wait, at the end of the sequence. Rules as for `push`."""
        return iter(())

    @abstractmethod
    def reconstruction(self) -> Sequence[Picture]:
        """Returns the pictures that a decoder gives out for the last unit. Each call computes them anew."""


class PictureDecoder(ABC):
    """Decodes the units of one SPS in order. SPSs that can follow each other (Sps.can_follow) share one decoder."""

    @abstractmethod
    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Decodes one unit.

        Returns:
            Its pictures in coding order, as many as its header says.

        Raises:
            StreamError: the payload is damaged, or a reference that the unit needs is missing.
        """


class Model(ABC):
    """One size of a family's networks.

    Attributes:
        name: the model's name in streams (`model_variant`), in weights files and on the command line.
        networks: the graphs by name. Fingerprints in streams and checkpoints on the command line have the same order.
        max_pictures: largest number of pictures in a unit.
        max_side: largest width and height of a picture.
        largest_qps: largest QP of I and of P units.
        entropy_formats: the choices of `--entropy-format`.
        stages: parts of coding a picture, in the order of `dcvc bench`. `stages.timed` marks the functions of a stage.
        relative_width: memory that a pixel takes, for estimates; 1 is what `lite` takes.
        kept_memory: bytes of freed tensors that a process keeps beside, for estimates.
        has_qps: whether the QP changes the rate. Without QPs, each weights file has the rate that it was trained for.
        has_lossless: whether the model codes pictures without loss (CodingChoices.lossless).
        codes_every_format: whether the model codes 4:2:2, 4:4:4 and 10 bits too. Every model codes 8-bit 4:2:0 and RGB.
        is_for_tests: whether lists for people leave the model out.
    """

    name: str
    networks: Mapping[str, Network]
    max_pictures: int = 1
    max_side: int = MAX_CODED_SIDE
    largest_qps: tuple[int, int] = (MAX_BASE_QP, MAX_BASE_QP)
    entropy_formats: tuple[EntropyFormat, ...] = (EntropyFormat.FAMILY,)
    stages: tuple[str, ...] = COMMON_STAGES
    relative_width: float = 3.0
    kept_memory: int = 0
    has_qps: bool = True
    has_lossless: bool = False
    codes_every_format: bool = False
    is_for_tests: bool = False

    # ---- coding

    def codes(self, video_format: VideoFormat) -> bool:
        """Returns whether the model codes pictures of this sampling and bit depth."""
        is_usual = video_format.bit_depth == 8 and video_format.chroma in (ChromaFormat.YUV420, ChromaFormat.RGB)
        return is_usual or self.codes_every_format

    def limits(self, sps: Sps) -> FrameLimits:
        """Returns the largest QPs and the largest payload of a unit under an SPS. The default has `largest_qps`, and
        the largest payload of as many latents as DCVC-RT has."""
        return FrameLimits(*self.largest_qps, general_limits(sps).max_payload_size)

    @abstractmethod
    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields of a new SPS that the family decides: entropy_format, qp_offsets, truncate_chroma,
        max_pictures, family_block, ...

        Raises:
            UsageError: the family cannot code with these choices.
        """

    @abstractmethod
    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder, which stands at the start of a sequence."""

    @abstractmethod
    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder, which stands at the start of a sequence.

        Raises:
            StreamError: the SPS asks for something that the family does not have.
            UnsupportedStreamError: the SPS asks for something that this version of dcvc does not have yet.
        """

    def check_entropy_format(self, entropy_format: EntropyFormat) -> None:
        """Refuses an entropy format that the model does not have.

        Raises:
            UsageError: it is not one of `entropy_formats`.
        """
        if entropy_format not in self.entropy_formats:
            others = [_spelled(one) for one in self.entropy_formats if one is not EntropyFormat.FAMILY]
            hint = " or ".join(["use auto", *others])
            raise UsageError(f"model {self.name} has no entropy format {_spelled(entropy_format)}", hint)

    def check_sps(self, sps: Sps) -> None:
        """Refuses an SPS that no decoder of the model takes.

        Raises:
            StreamError: the pictures are too large.
            UnsupportedStreamError: the units hold what the model does not have yet.
        """
        if max(sps.width, sps.height) > self.max_side:
            limit = f"{self.max_side}x{self.max_side}"
            raise StreamError(f"the stream's pictures are {sps.width}x{sps.height}, larger than {limit}")
        is_known = sps.entropy_format in self.entropy_formats and not sps.family_block
        if sps.max_pictures > self.max_pictures or sps.max_reorder or not is_known:
            message = f"the stream's units hold what model family {sps.model_family!r} of this dcvc does not know"
            raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")

    # ---- weights

    @abstractmethod
    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of z from a network's parameters.

        Raises:
            TableError: the parameters give no table.
        """

    @abstractmethod
    def random_parameters(self, network: str) -> "State":
        """Makes parameters for measurements of speed. No layer's output is all zero or saturated; some latents are
        coded and some are not."""

    def match_checkpoints(self, states: "Sequence[State]") -> CheckpointMatch | None:
        """Compares published checkpoints with the model.

        The default expects one file a network, in the order of `networks`, with the networks' own names. A family
        overrides it where its published checkpoints have other names, parts or files.

        Args:
            states: one state a file, in the order of the command line.

        Returns:
            A match, which lists a problem for each key or shape that differs; None for another number of files.
        """
        return match_in_order(self.networks, states)

    def published_z_table(self, network: str, state: "State") -> CdfTable | None:
        """Returns the table of z that the published codec makes, for its own entropy formats; None where `z_table` is
        the same."""
        return None

    def calibrate(self, networks: Mapping[str, Any], clip: Sequence["NDArray[np.float32]"], qp: int) -> None:
        """Codes a clip on operations that record ranges (preparing.calibration). The exact profile's exponents are
        chosen from these ranges.

        Args:
            networks: RecordingOperations of each network.
            clip: pictures, float32 (3, Hp, Wp) in 0..1; both sides are multiples of 16.
            qp: the QP to code at.

        Raises:
            UsageError: the family has no exact profile.
        """
        raise UsageError(f"model {self.name} has no exact profile", "import its checkpoints with --float")

    # ---- training

    @property
    def trainees(self) -> tuple[str, ...]:
        """Returns the names of the networks that `dcvc train` can train, in the order of training. The default is no
        network."""
        return ()

    def trainee(self, network: str) -> "Trainee":
        """Makes a network of `trainees`, which stands at the start of its training."""
        raise NotImplementedError(f"model {self.name} lists no network to train")


class Family(ABC):
    """A codec family.

    Attributes:
        name: the family's name in streams (`model_family`).
        syntax: version of its payload syntax. Decoders read this version and all before it.
        models: its models by name.
        precisions: precisions that its models run in.
    """

    name: ClassVar[str]
    syntax: ClassVar[int] = 1
    precisions: ClassVar[tuple[Precision, ...]] = tuple(Precision)

    @property
    @abstractmethod
    def models(self) -> Mapping[str, Model]:
        """Returns the models by name."""

    @property
    def has_exact_arithmetic(self) -> bool:
        """Returns whether its models can be prepared for exact arithmetic. Other models are imported as float."""
        return Precision.EXACT in self.precisions

    def elementary_form(self) -> "ElementaryForm | None":
        """Returns the form of the published codec's elementary stream (`dcvc remux`); None where it has none."""
        return None

    def conformance_form(self) -> ConformanceForm | None:
        """Returns the reader of the published codec's cases (`dcvc conformance`); None where there are no cases."""
        return None


def require_reference(is_there: bool) -> None:
    """Refuses a P unit that comes before any I frame.

    Args:
        is_there: whether the unit has something to be predicted from.

    Raises:
        StreamError: it has nothing.
    """
    if not is_there:
        raise StreamError("a P frame comes before any I frame", "the start of the stream is missing")


def _spelled(entropy_format: EntropyFormat) -> str:
    return entropy_format.name.lower().replace("_", "-")
