"""Decodes past damage: leaves lost frames out or shows the last good picture in their place, and counts what was
lost."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sei import PictureHash, hash_picture
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import MIN_FRAME_UNIT_SIZE, Damage, EndUnit, FrameUnit, SeiUnit, SpsUnit, StartUnit, Unit
from dcvc_cli.coding.frame_report import FrameReport
from dcvc_cli.coding.on_error import OnError
from dcvc_cli.coding.opened_models import StreamNetworks
from dcvc_cli.coding.output_times import StreamClock
from dcvc_cli.coding.stream_decoder import StreamDecoder, decoder_for, with_times
from dcvc_cli.errors import StreamError
from dcvc_cli.format.types import Picture

MAX_TOLD_FAULTS = 20
LOST = "lost"
"""Frame type in the report of a picture that stands for a lost one."""


@dataclass(frozen=True)
class DecodedFrame:
    """One decoded picture and its report."""

    picture: Picture
    report: FrameReport


@dataclass
class Losses:
    """Frames and faults that decoding passed over.

    Attributes:
        num_frames: frames that were decoded.
        num_lost: frames known to be lost.
        num_repeated: lost frames that the last good picture stands for.
        num_faults: how many faults the stream has.
        faults: a sentence for each of the first MAX_TOLD_FAULTS faults.
    """

    num_frames: int = 0
    num_lost: int = 0
    num_repeated: int = 0
    num_faults: int = 0
    faults: list[str] = field(default_factory=list)

    def add_fault(self, sentence: str) -> None:
        """Counts one more fault of the stream."""
        self.num_faults += 1
        if len(self.faults) < MAX_TOLD_FAULTS:
            self.faults.append(sentence)

    @property
    def summary(self) -> str:
        """Losses and first fault in one sentence; needs at least one fault."""
        lost = f"{self.num_lost} frame{'s' if self.num_lost != 1 else ''} lost"
        repeated = f" ({self.num_repeated} replaced by the picture before)" if self.num_repeated else ""
        return f"{lost}{repeated}, {self.num_frames} decoded; first fault: {self.faults[0]}"


class DamagedDecoder:
    """Decodes the units of a tolerant reader. Every frame keeps its number: a lost frame leaves a gap in the numbers.

    The decoder holds a picture until the unit after its hashes has come. So no picture goes out that fails its hash.

    Args:
        networks: opens the networks that the stream names.
        on_error: SKIP or CONCEAL.
        verify: check picture hashes.
        first_index: number of the first frame.
        last_index: stop before this frame; None = go to the end.

    Attributes:
        losses: what was passed over so far.
    """

    def __init__(
        self, networks: StreamNetworks, on_error: OnError, verify: bool, first_index: int, last_index: int | None
    ) -> None:
        self._networks, self._on_error, self._verify = networks, on_error, verify
        self._index, self._last_index = first_index, last_index
        self._decoder: StreamDecoder | None = None
        self._held: list[DecodedFrame] = []
        self._last_good: Picture | None = None
        self._clock = StreamClock()
        self._broken = False
        self._sps: Sps | None = None
        self._num_in_part = self._damaged_bytes = 0
        self._knows_start = first_index == 0
        self.losses = Losses()

    def frames(self, units: Iterable[Unit]) -> Iterator[DecodedFrame]:
        """Yields the pictures in order.

        Raises:
            StreamError: the pictures change their size or sampling.
            EnvironmentFault: weights or a device are missing.
        """
        for frame in self._all_frames(units):
            if self._last_index is not None and frame.report.index >= self._last_index:
                return
            yield frame

    def _all_frames(self, units: Iterable[Unit]) -> Iterator[DecodedFrame]:
        sps_bytes = 0
        for unit in units:
            if isinstance(unit, FrameUnit):
                yield from self._give_out()
                if self._index == self._last_index:
                    return
                yield from self._decode(unit, sps_bytes)
            elif isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash):
                yield from self._check(unit.message)
            elif isinstance(unit, Damage):
                self.losses.add_fault(f"byte {unit.offset}: {unit.message} [{unit.rule.value}]")
                self._damaged_bytes += unit.size_bytes
            elif isinstance(unit, StartUnit):
                self._num_in_part = self._damaged_bytes = 0
                self._clock.begin_part()
            elif isinstance(unit, EndUnit):
                yield from self._give_out()
                yield from self._lose(self._num_missing(unit))
                self._knows_start = True
            sps_bytes = unit.size_bytes if isinstance(unit, SpsUnit) else 0
        yield from self._give_out()

    def _num_missing(self, end: EndUnit) -> int:
        """Counts the frames that the end unit names and that did not come, but no more than the damaged bytes had room
        for."""
        if not self._knows_start:
            return 0
        return min(max(0, end.num_frames - self._num_in_part), self._damaged_bytes // MIN_FRAME_UNIT_SIZE)

    def _give_out(self) -> Iterator[DecodedFrame]:
        """Yields the held pictures when no hash of theirs can come any more."""
        held, self._held = self._held, []
        for frame in held:
            self._last_good = frame.picture
            self.losses.num_frames += 1
            yield frame

    def _decode(self, unit: FrameUnit, sps_bytes: int) -> Iterator[DecodedFrame]:
        is_key = unit.frame_type is NalType.I
        if is_key:
            self._broken = False
        # Units before another P unit are full: one ends early before an I unit and at the end only.
        yield from self._lose(unit.num_missing * unit.sps.max_pictures)
        if not unit.decodable or self._broken:
            yield from self._lose(unit.pictures.num_pictures)
            return
        start = time.perf_counter()
        self._decoder = decoder_for(unit.sps, self._sps, self._decoder, self._networks, self._index)
        self._sps = unit.sps
        try:
            pictures = with_times(self._decoder.pictures.push(unit), unit, self._clock)
        except StreamError as error:
            self.losses.add_fault(f"frame {self._index} cannot be decoded: {error.message}")
            self._break()
            yield from self._lose(unit.pictures.num_pictures)
            return
        spent = unit.size_bytes + sps_bytes, time.perf_counter() - start
        for picture in pictures:
            self._held.append(DecodedFrame(picture, FrameReport(self._index, unit.frame_type.name, unit.qp, *spent)))
            # A unit's bytes and seconds are those of its first picture.
            spent = (0, 0.0)
            self._index += 1
            self._num_in_part += 1

    def _break(self) -> None:
        """Drops the decoder, whose state differs from the encoder's: no frame decodes before the next I frame."""
        self._broken, self._decoder = True, None

    def _check(self, message: PictureHash) -> Iterator[DecodedFrame]:
        held = self._held
        if not held or not self._verify:
            return
        wrong = [
            (frame.report.index, digest, found)
            for frame, digest in zip(held, message.digests, strict=False)
            if (found := hash_picture(message.kind, (plane.data for plane in frame.picture.planes))) != digest
        ]
        if not wrong and len(message.digests) == len(held):
            return
        for index, digest, found in wrong:
            text = f"{message.kind.name} {digest.hex()} expected, {found.hex()} found"
            self.losses.add_fault(f"frame {index} is not the encoder's picture: {text}")
        if not wrong:
            self.losses.add_fault(
                f"frame {held[0].report.index}: {len(message.digests)} hashes for {len(held)} pictures"
            )
        self._held = []
        self._index -= len(held)
        self._num_in_part -= len(held)
        self._break()
        yield from self._lose(len(held))

    def _lose(self, count: int) -> Iterator[DecodedFrame]:
        """Counts lost frames; with CONCEAL, yields the last good picture, if there is one, in place of each."""
        for _ in range(count):
            if self._index == self._last_index:
                return
            self.losses.num_lost += 1
            if self._on_error is OnError.CONCEAL and self._last_good is not None:
                self.losses.num_repeated += 1
                # Its own time is not known.
                yield DecodedFrame(replace(self._last_good, time=None), FrameReport(self._index, LOST, 0, 0, 0.0))
            self._index += 1
            self._num_in_part += 1
