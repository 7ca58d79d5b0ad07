"""What a codec family is to the rest of dcvc. docs/families.md says how to add one.

A family is a syntax of payloads. It has models: sizes of its networks, each under a name of its own. Everything outside
`families/` drives a model through the interface here and never asks which family it is of.

Modules of a family load neither torch nor anything else that is heavy when they are imported; functions that need it
import it inside.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dcvc_cli.bitstream.limits import FrameLimits
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import ONE_PICTURE, PictureHeader
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import UsageError
from dcvc_cli.families.checkpoint_match import CheckpointMatch, match_in_order
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, PictureSize
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
        frame_type: I for a unit that needs nothing before it, else P.
        qp: the row of the tables that a decoder takes, as it stands in the unit's header.
        reset: of a P unit; what it means is the family's matter.
        payload: the coded pictures.
        pictures: how many they are, and their order. Times are the caller's.
    """

    frame_type: NalType
    qp: int
    reset: bool
    payload: bytes
    pictures: PictureHeader = ONE_PICTURE


class PictureEncoder(ABC):
    """Codes the pictures of one format in display order, under one SPS."""

    @abstractmethod
    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Takes the next picture and gives out the units that it completes: none while a chunk is not full, several
        where a chunk ends early.

        Args:
            picture: of the SPS's format.
            order: what is asked of this picture beside the choices.

        Units come one at a time: `reconstruction` speaks of the one that came last until the next one is asked for. All
        must be taken before the next picture is pushed.

        Raises:
            InputError: the picture is not of the SPS's format.
        """

    def flush(self) -> Iterator[CodedUnit]:
        """The units of pictures that still wait, at the end of the sequence; as `push` gives them out."""
        return iter(())

    @abstractmethod
    def reconstruction(self) -> Sequence[Picture]:
        """What a decoder gives out for the unit that came last; computed on demand, so ask only where it is needed."""


class PictureDecoder(ABC):
    """Decodes the units of one SPS in order. Two SPSs that differ only in how symbols are coded (Sps.can_follow) may
    share one decoder."""

    @abstractmethod
    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """The pictures of one unit, in coding order, as many as its header says.

        Raises:
            StreamError: the payload is damaged, or the references that the unit needs are not there.
        """


class Model(ABC):
    """One size of a family's networks.

    Attributes:
        name: as streams (`model_variant`), weights files and the command line have it.
        networks: the graphs by name, in the family's order: that of fingerprints in streams and of checkpoints on the
            command line.
        max_pictures: pictures that a unit holds at most.
        max_side: largest width and height that are coded.
        entropy_formats: what `--entropy-format` may choose.
        stages: parts of coding a picture in the order in which `dcvc bench` shows them; functions name theirs by
            `stages.timed`.
        relative_width: memory a pixel in units of what `lite` takes, for estimates.
        has_qps: whether the QP changes the rate; else each file of weights has the one that it was trained for.
        is_for_tests: whether lists for people leave the model out.
    """

    name: str
    networks: Mapping[str, Network]
    max_pictures: int = 1
    max_side: int = MAX_CODED_SIDE
    entropy_formats: tuple[EntropyFormat, ...] = ()
    stages: tuple[str, ...] = COMMON_STAGES
    relative_width: float = 3.0
    has_qps: bool = True
    is_for_tests: bool = False

    # ---- coding

    @abstractmethod
    def limits(self, sps: Sps) -> FrameLimits:
        """Largest QPs and payload of a unit under an SPS."""

    @abstractmethod
    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """The fields of a new stream's SPS that are the family's: entropy_format, qp_offsets, truncate_chroma,
        max_pictures, family_block, ...

        Raises:
            UsageError: choices that the family has no form for.
        """

    @abstractmethod
    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """An encoder at the start of a sequence."""

    @abstractmethod
    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """A decoder at the start of a sequence.

        Raises:
            StreamError: the SPS asks for what the family does not have (UnsupportedStreamError: not yet).
        """

    # ---- weights

    @abstractmethod
    def z_table(self, network: str, state: "State") -> CdfTable:
        """The table of z that belongs to the parameters of a network; TableError where they give none."""

    @abstractmethod
    def random_parameters(self, network: str) -> "State":
        """Parameters for measuring speed: no layer's output is all zero or saturated, some latents are coded and some
        are not."""

    def match_checkpoints(self, states: "Sequence[State]") -> CheckpointMatch | None:
        """What the model makes of published checkpoints, one state a file, in the order of the command line.

        The default wants one file a network, in the order of `networks` and under their own names. A family whose
        published checkpoints have other names, other parts or other files overrides it.

        Returns:
            A match, with problems where keys or shapes differ; None for another number of files.
        """
        return match_in_order(self.networks, states)

    def published_z_table(self, network: str, state: "State") -> CdfTable | None:
        """The table that the published codec would make, for streams in its own byte formats; None where it is no
        other."""
        return None

    def calibrate(self, networks: Mapping[str, Any], clip: Sequence["NDArray[np.float32]"], qp: int) -> None:
        """Codes a clip on recording operations (preparing.calibration), so that the exact profile's exponents can be
        chosen.

        Args:
            networks: RecordingOperations of each network.
            clip: pictures, float32 (3, Hp, Wp) in 0..1, sides multiples of 16.

        Raises:
            UsageError: the family has no exact profile.
        """
        raise UsageError(f"model {self.name} has no exact profile", "import its checkpoints with --float")

    # ---- training

    @property
    def trainees(self) -> tuple[str, ...]:
        """Names of the networks that `dcvc train` can train, in the order of training; none by default."""
        return ()

    def trainee(self, network: str) -> "Trainee":
        """A network of `trainees` at the start of its training."""
        raise NotImplementedError(f"model {self.name} lists no network to train")


class Family(ABC):
    """A codec family.

    Attributes:
        name: as streams (`model_family`) have it.
        syntax: version of its payload syntax; a decoder reads every one up to it.
        models: by name.
        precisions: arithmetic that its models run in.
    """

    name: ClassVar[str]
    syntax: ClassVar[int] = 1
    precisions: ClassVar[tuple[Precision, ...]] = tuple(Precision)

    @property
    @abstractmethod
    def models(self) -> Mapping[str, Model]:
        """The models by name."""

    @property
    def has_exact_arithmetic(self) -> bool:
        """Whether its models can be prepared for exact arithmetic; else they are imported as float."""
        return Precision.EXACT in self.precisions

    def elementary_form(self) -> "ElementaryForm | None":
        """The published codec's elementary stream (`dcvc remux`); None where there is none."""
        return None

    def conformance_form(self) -> ConformanceForm | None:
        """How cases of the published codec are read and run (`dcvc conformance`); None where there are none."""
        return None
