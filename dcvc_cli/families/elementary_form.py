"""The interface between a family and `dcvc remux`: the published codec's elementary stream, to .dcvc and back."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.sei import FreeText, PictureHash
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit, IndexUnit, SeiUnit, Unit
from dcvc_cli.bitstream.window import ByteSink, ByteSource


@dataclass(frozen=True)
class RemuxReport:
    """The result of a remux.

    Attributes:
        num_frames: number of pictures carried over.
        lost: one phrase for each thing that the output cannot hold.
    """

    num_frames: int
    lost: tuple[str, ...]


class ElementaryForm(ABC):
    """The elementary stream of one family. Neither direction changes payloads."""

    @abstractmethod
    def to_dcvc(self, source: ByteSource, sink: ByteSink, template: Sps) -> RemuxReport:
        """Turns an elementary stream into a .dcvc stream.

        Args:
            source: the elementary stream.
            sink: receives the .dcvc stream.
            template: the facts that an elementary stream lacks: skip threshold, frame rate, model and fingerprints,
                precision, colour. The elementary stream's width, height and entropy format replace the template's.

        Raises:
            BitstreamError: the elementary stream is damaged or truncated, or no decoder can follow it.
        """

    @abstractmethod
    def from_dcvc(self, units: Iterable[Unit], sink: ByteSink) -> RemuxReport:
        """Turns the units of a .dcvc stream of this family into an elementary stream.

        Raises:
            BitstreamError: the stream is damaged, or the published decoder cannot read its payloads.
        """


class LostUnits:
    """Counts the units of a .dcvc stream that an elementary stream loses."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def see(self, unit: Unit) -> None:
        """Counts a unit that is no frame."""
        if isinstance(unit, IndexUnit):
            self._counts["indexes"] += 1
        elif isinstance(unit, SeiUnit):
            is_text, is_hash = isinstance(unit.message, FreeText), isinstance(unit.message, PictureHash)
            self._counts["texts" if is_text else "picture hashes" if is_hash else "user data messages"] += 1

    def phrases(self) -> list[str]:
        """Returns one phrase for each kind of lost unit, and one for the parts that every stream has."""
        kinds = ("picture hashes", "texts", "user data messages", "indexes")
        found = [f"{self._counts[kind]} {kind}" for kind in kinds if self._counts[kind]]
        return [*found, "the checks of all units and the end unit"]


def phrases_of(sps: Sps) -> list[str]:
    """Lists the facts of an SPS that an elementary stream lacks."""
    colour = f"{sps.colour_primaries}/{sps.transfer}/{sps.matrix}"
    fingerprints = " and ".join(f"{value:016x}" for value in sps.fingerprints) or "none"
    colour_range = {True: "full", False: "limited", None: "unknown"}[sps.full_range]
    offsets = f", and the QP offsets, {' '.join(map(str, sps.qp_offsets))}" if sps.qp_offsets else ""
    return [
        f"the skip threshold, {'unset' if sps.skip_threshold is None else sps.skip_threshold}, which a decoder must be "
        "told",
        f"the model, {sps.model_family}/{sps.model_variant}, fingerprints {fingerprints}",
        f"the precision, {sps.precision.name.lower()}",
        f"the frame rate, {sps.frame_rate_num}/{sps.frame_rate_den}, and the sample aspect ratio, "
        f"{sps.sar_num}/{sps.sar_den}",
        f"the format, {sps.bit_depth}-bit {sps.chroma_format}, colour {colour}, range {colour_range}",
        f"the reset interval, {sps.reset_interval}{offsets}",
    ]


def check_format(frame: FrameUnit) -> None:
    """Checks that the published codec can read a frame's symbols.

    Raises:
        BitstreamError: the symbols are in an entropy format of dcvc's own.
    """
    entropy_format = frame.sps.entropy_format
    if not entropy_format.is_published:
        name = entropy_format.name.lower()
        message = f"the frame payload is in the {name} format, which the published codec cannot read"
        hint = "encode again with --entropy-format published-one"
        raise BitstreamError(Rule.UNSUPPORTED, message, frame.offset, hint)
