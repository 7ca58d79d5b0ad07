"""Remuxes and joins streams from file to file. Weights on this machine tell what an elementary stream lacks."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain

from dcvc_cli.bitstream.concat import ConcatReport, concat_streams, repair_stream
from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import SIGNATURE
from dcvc_cli.bitstream.sps import Sps, quantise_skip_threshold
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit, Unit
from dcvc_cli.codec.backends import PRECISION_NAMES
from dcvc_cli.coding.matroska import EBML_SIGNATURE, from_matroska
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.errors import EnvironmentFault, UsageError
from dcvc_cli.families.elementary_form import ElementaryForm, RemuxReport
from dcvc_cli.families.registry import families, family_of, models
from dcvc_cli.format.constants import ELEMENTARY_MODEL
from dcvc_cli.format.types import Rational
from dcvc_cli.media import OutputFile
from dcvc_cli.weights.store import weights_by_name


class PeekedSource:
    """A byte source whose first bytes have been looked at.

    Attributes:
        name: of the source, for messages.
        prefix: the first bytes, as many as a signature has, fewer where the source is shorter.
    """

    def __init__(self, source: StreamSource) -> None:
        self._source = source
        self.name = source.name
        self.prefix = b""
        while len(self.prefix) < len(SIGNATURE):
            part = source.read(len(SIGNATURE) - len(self.prefix))
            if not part:
                break
            self.prefix += part
        self._unread = self.prefix

    def read(self, size: int, /) -> bytes:
        """Reads at most `size` bytes, from the start of the source on."""
        if not self._unread:
            return self._source.read(size)
        part, self._unread = self._unread[:size], self._unread[size:]
        return part

    @property
    def is_dcvc(self) -> bool:
        # A damaged signature still counts: an elementary stream begins with an SPS unit, whose first byte is below 16.
        return self.prefix[:1] == SIGNATURE[:1] or self.prefix[1:4] == SIGNATURE[1:4]

    @property
    def is_matroska(self) -> bool:
        return self.prefix.startswith(EBML_SIGNATURE)


def template_sps(
    model: str, precision_name: str, frame_rate: Rational, skip_threshold: float | None
) -> tuple[Sps, str | None]:
    """Returns the SPS fields that an elementary stream lacks.

    Args:
        model: name of the weights that the stream was coded with.
        precision_name: what it was coded in; not exact.
        skip_threshold: what it was coded with, None for none.

    Returns:
        (SPS, note). Where this machine lacks the weights, the fingerprints are 0 (unknown) and the note says so; else
        the note is None.

    Raises:
        UsageError: no stream can hold this precision, model name or skip threshold, or the model has no elementary
            stream.
    """
    if precision_name not in PRECISION_NAMES or precision_name == "exact":
        expected = ", ".join(name for name in PRECISION_NAMES if name != "exact")
        raise UsageError(
            f"--precision {precision_name}: expected what the elementary stream was coded in, one of {expected}"
        )
    known, note = models().get(model), None
    fingerprints: tuple[int, ...] = (0,) * (2 if known is None else len(known.networks))
    try:
        weights = weights_by_name(model)
        fingerprints, known = weights.fingerprints, weights.model
        if not weights.has_float_decoder:
            note = (
                f"weights {model!r} hold integers, and only the checkpoint's own parameters decode this stream: dcvc "
                "models add --float"
            )
    except EnvironmentFault as error:
        note = f"{error.message}: the stream will name model {model!r} without fingerprints"
    family = family_of(models()[ELEMENTARY_MODEL] if known is None else known)
    variant = model if known is None else known.name
    if family.elementary_form() is None:
        raise UsageError(f"--model {model}: streams of this model have no elementary form that dcvc remux knows")
    try:
        sps = Sps(
            16,
            16,
            precision=PRECISION_NAMES[precision_name],
            model_family=family.name,
            model_variant=variant,
            fingerprints=fingerprints,
            frame_rate_num=frame_rate.num,
            frame_rate_den=frame_rate.den,
            skip_threshold_millionths=quantise_skip_threshold(skip_threshold),
            truncate_chroma=True,
        )
    except ValueError as error:
        raise UsageError(f"--model {model}: {error}") from error
    return sps, note


def remux(source: PeekedSource, sink: OutputFile, template: Sps) -> RemuxReport:
    """Turns a .dcvc stream into an elementary stream, or another kind of stream into a .dcvc stream.

    Args:
        template: the fields that an elementary stream lacks.
    """
    if source.is_matroska:
        return from_matroska(source.name, source, sink)
    if not source.is_dcvc:
        return _elementary_form(template).to_dcvc(source, sink, template)
    units = iter(StreamReader(source))
    before: list[Unit] = []
    for unit in units:
        before.append(unit)
        if isinstance(unit, FrameUnit):
            return _elementary_form(unit.sps, unit.offset).from_dcvc(chain(before, units), sink)
    return _elementary_form(template).from_dcvc(before, sink)


def _elementary_form(sps: Sps, offset: int | None = None) -> ElementaryForm:
    """Returns the elementary form of the SPS's family; BitstreamError where it has none."""
    family = families().get(sps.model_family, family_of(models()[ELEMENTARY_MODEL]))
    form = family.elementary_form()
    if form is None:
        name = f"{sps.model_family}/{sps.model_variant}"
        message = f"streams of model {name} have no elementary form that dcvc remux knows"
        raise BitstreamError(Rule.UNSUPPORTED, message, offset)
    return form


def repair_file(name: str, sink: OutputFile) -> ConcatReport:
    """Makes a whole stream of a damaged one. StreamError where no frame of it can be decoded."""
    with StreamSource(name) as source:
        return repair_stream(source.name, source, sink)


def concat_files(names: Sequence[str], sink: OutputFile) -> ConcatReport:
    """Joins streams in order. StreamError where one is damaged; its message names that stream."""
    with ExitStack() as stack:
        opened = [stack.enter_context(StreamSource(name)) for name in names]
        return concat_streams([(source.name, source) for source in opened], sink)
