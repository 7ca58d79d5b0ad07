"""A .dcvc stream as one track of a Matroska file, and back, byte for byte (docs/bitstream.md, "In Matroska")."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from dcvc_cli.bitstream.nal import SIGNATURE, NalType
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit, SpsUnit, StartUnit
from dcvc_cli.bitstream.window import ByteSource
from dcvc_cli.errors import EnvironmentFault, InputError, StreamError
from dcvc_cli.families.elementary_form import RemuxReport
from dcvc_cli.media import OutputFile
from dcvc_cli.media.av_files import fault_text, import_av
from dcvc_cli.media.output import output_fault

EBML_SIGNATURE = b"\x1aE\xdf\xa3"
"""First bytes of every Matroska file."""
_KNOWN_CODEC, _KNOWN_ELEMENT, _OWN_ELEMENT = "snow", b"\x86\x86V_SNOW", b"\x86\x86V_DCVC"
"""FFmpeg's muxer takes codecs of its own list only (findings/pyav-matroska-codec-ids.sh). So the track is declared as
one whose id is as long as ours, and our id takes its place in the header."""
_MUXER_OPTIONS = {"fflags": "bitexact", "write_crc32": "0"}
"""No random numbers, so that the file is the same each time; and no checksum over the header that changes."""


class _RecordedSource:
    """A source that keeps what was read until it is taken."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._kept, self._start = bytearray(), 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._kept += data
        return data

    def take(self, end: int | None = None) -> bytes:
        """Returns the bytes that were not taken yet, up to the place `end` of the source; None: all that were read."""
        length = len(self._kept) if end is None else end - self._start
        data = bytes(self._kept[:length])
        del self._kept[:length]
        self._start += length
        return data


class _OwnCodecId:
    """The file that the muxer writes to. It replaces the codec id that the muxer knows by ours.

    Where it can seek, the muxer writes the header again. Only the place that was found first is changed, so no coded
    byte is.
    """

    def __init__(self, output: OutputFile) -> None:
        self._output, self._stream = output, output.seekable_stream
        self._position = 0
        self._element: int | None = None
        if self._stream is not None:
            self.seek, self.tell = self._stream.seek, self._stream.tell

    @property
    def has_replaced(self) -> bool:
        return self._element is not None

    def write(self, data: bytes) -> int:
        position = self._position if self._stream is None else self._stream.tell()
        self._output.write(self._replaced(bytes(data), position))
        self._position = position + len(data)
        self._output.size_bytes = max(self._output.size_bytes - len(data), self._position)
        return len(data)

    def _replaced(self, data: bytes, position: int) -> bytes:
        if self._element is None:
            found = data.find(_KNOWN_ELEMENT)
            self._element = position + found if found >= 0 else None
        if self._element is None:
            return data
        start = self._element - position
        if data[max(start, 0) : start + len(_KNOWN_ELEMENT)] != _KNOWN_ELEMENT:
            return data
        return data[:start] + _OWN_ELEMENT + data[start + len(_KNOWN_ELEMENT) :]


def to_matroska(source: ByteSource, output: OutputFile) -> RemuxReport:
    """Writes a Matroska file with one track, whose packets hold the bytes of the .dcvc stream in order.

    A packet starts at a frame unit or at the SPS before it, so that each I frame's packet is a key frame.

    Args:
        source: a .dcvc stream.

    Raises:
        StreamError: the stream is damaged or has no frame.
        EnvironmentFault: PyAV is not installed, or too old to write a track without an encoder.
        InputError: the file cannot be written.
    """
    av = import_av(output.name, "writing")
    recorded, sink = _RecordedSource(source), _OwnCodecId(output)
    file = None
    try:
        file = av.open(sink, "w", format="matroska", options=_MUXER_OPTIONS)
        track, num_frames = None, 0
        for unit, data in _packets(recorded):
            if track is None:
                track = _add_track(file, unit)
            packet = av.Packet(data)
            packet.pts = packet.dts = _milliseconds(unit)
            packet.time_base, packet.stream = Fraction(1, 1000), track
            packet.is_keyframe = unit.frame_type is NalType.I
            file.mux(packet)
            num_frames = unit.frame_index + unit.pictures.num_pictures
        if track is None:
            raise StreamError(f"{output.name} would hold no picture: the stream has no frame")
        file.close()
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"cannot write {output.name}: {fault_text(error)}") from error
    except BrokenPipeError:
        raise
    except OSError as error:
        # The muxer goes back in the file, which writes what is left in its buffer.
        raise output_fault(output.name, error) from error
    if not sink.has_replaced:
        raise EnvironmentFault(
            f"cannot write {output.name}: this FFmpeg writes the codec id in a way that dcvc does not know"
        )
    return RemuxReport(num_frames, ())


def _packets(recorded: _RecordedSource) -> Iterator[tuple[FrameUnit, bytes]]:
    """Yields each frame unit with the bytes from its start to the start of the next."""
    frame: FrameUnit | None = None
    is_head = True
    """Whether everything since the last frame belongs to the next: signature and SPS."""
    for unit in StreamReader(recorded):
        if isinstance(unit, FrameUnit):
            if frame is not None and not is_head:
                yield frame, recorded.take(unit.offset)
            frame, is_head = unit, False
        elif isinstance(unit, StartUnit | SpsUnit) and frame is not None and not is_head:
            yield frame, recorded.take(unit.offset)
            is_head = True
    if frame is not None:
        yield frame, recorded.take()


def _add_track(file: Any, unit: FrameUnit) -> Any:
    sps = unit.sps
    rate = Fraction(sps.frame_rate_num, sps.frame_rate_den) if sps.frame_rate_num else Fraction(25)
    if not hasattr(file, "add_mux_stream"):
        raise EnvironmentFault("this PyAV writes no track without an encoder", "pip install 'av>=17,<19'")
    track = file.add_mux_stream(_KNOWN_CODEC, rate=rate, width=sps.width, height=sps.height)
    track.time_base = Fraction(1, 1000)
    return track


def _milliseconds(unit: FrameUnit) -> int:
    sps = unit.sps
    if sps.time_base is not None:
        return round(min(unit.times) * 1000 * sps.time_base.den / sps.time_base.num)
    rate = Fraction(sps.frame_rate_num, sps.frame_rate_den) if sps.frame_rate_num else Fraction(25)
    return round(unit.frame_index * 1000 / rate)


class _MatroskaPackets:
    """The packets of the first track that holds a .dcvc stream, as a source of bytes."""

    def __init__(self, name: str, av: Any, file: Any) -> None:
        self._name, self._av = name, av
        self._packets = file.demux()
        self._track: int | None = None
        self._unread = b""

    def read(self, size: int, /) -> bytes:
        if not self._unread:
            self._unread = self._next()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _next(self) -> bytes:
        try:
            for packet in self._packets:
                data = bytes(packet)
                if self._track is None and data.startswith(SIGNATURE):
                    self._track = packet.stream_index
                if data and packet.stream_index == self._track:
                    return data
        except (self._av.error.FFmpegError, ValueError) as error:
            raise InputError(f"cannot read {self._name}: {fault_text(error)}") from error
        if self._track is None:
            raise InputError(
                f"{self._name}: no track of this Matroska file holds a .dcvc stream",
                f"dcvc encode {self._name} -o OUT.dcvc codes its pictures",
            )
        return b""


def from_matroska(name: str, source: ByteSource, sink: OutputFile) -> RemuxReport:
    """Writes the .dcvc stream that a Matroska file holds.

    Args:
        name: of the file, for messages.
        source: the file's bytes from its start on; nothing is sought.

    Raises:
        InputError: the file is damaged, or none of its tracks holds a .dcvc stream.
        StreamError: the stream in it is damaged.
        EnvironmentFault: PyAV is not installed.
    """
    av = import_av(name)
    try:
        file = av.open(source, format="matroska", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(f"cannot read {name} as a Matroska file: {fault_text(error)}") from error
    with file:
        recorded = _RecordedSource(_MatroskaPackets(name, av, file))
        num_frames = 0
        for unit in StreamReader(recorded):
            sink.write(recorded.take())
            if isinstance(unit, FrameUnit):
                num_frames += unit.pictures.num_pictures
        sink.write(recorded.take())
    return RemuxReport(num_frames, ())
