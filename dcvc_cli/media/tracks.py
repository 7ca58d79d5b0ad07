"""The other tracks of a video file as packets: audio, subtitles, and what a Matroska header holds of the rest.

Tracks travel as they are. Their parameters, the chapters, attachments and tags travel as a Matroska file without
pictures and sound, which FFmpeg makes and reads: it knows every codec's parameters, and PyAV takes them from a file.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Any

from dcvc_cli.errors import InputError
from dcvc_cli.media.av_files import fault_text, import_av, is_film, open_av

MATROSKA = "matroska"
KINDS = {"audio": "audio", "subtitle": "subtitles"}
MAX_TRACKS = 254
_MAX_FIRST_PACKETS = 4096
_TEXT_IN_MP4 = "mov_text"
_PLAIN_TEXT = "subrip"
_SHORT_TICK = Fraction(1, 1000)


@dataclass(frozen=True)
class Track:
    """One track.

    Attributes:
        number: from 1, in the order of the file; its place in the Matroska header.
        kind: "audio" or "subtitles".
        codec: FFmpeg's name, such as `aac`.
        language: three letters, or "".
        time_base: seconds of a tick.
        setup: the codec's own header.
    """

    number: int
    kind: str
    codec: str
    language: str
    time_base: Fraction
    setup: bytes


@dataclass(frozen=True)
class TrackSample:
    """One packet of a track; `time` and `duration` in its ticks, `seconds` the same time."""

    number: int
    time: int
    duration: int
    data: bytes
    seconds: Fraction


class TrackReader:
    """Reads the audio and subtitle packets of a video file in the file's order. A context manager.

    Args:
        path: the file.

    Attributes:
        name: the path.
        tracks: what can be carried.
        header: a Matroska file with the parameters of `tracks` in their order, chapters, attachments and tags; empty
            where the file has none of these.
        earliest: seconds of the first packet of any of `tracks`; 0 without tracks.
        notes: what cannot be carried, one sentence each.

    Raises:
        EnvironmentFault: PyAV is not installed.
        InputError: the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._av = import_av(path)
        self.notes: tuple[str, ...] = ()
        self._container = open_av(self._av, path)
        try:
            self._choose()
            self.header = self._write_header()
            self.earliest = self._find_earliest()
        except BaseException:
            self.close()
            raise

    def _choose(self) -> None:
        self._streams: dict[int, Track] = {}
        self._artwork: list[Any] = []
        for stream in self._container.streams:
            if stream.type == "video" and not is_film(self._av, stream):
                self._artwork.append(stream)
            if stream.type not in KINDS or len(self._streams) >= MAX_TRACKS:
                continue
            context = stream.codec_context
            if context is None or not stream.time_base:
                self._tell(f"track {stream.index} of {self.name} is of a codec that FFmpeg does not know: not kept")
                continue
            codec = context.codec.canonical_name
            codec = _PLAIN_TEXT if codec == _TEXT_IN_MP4 else codec
            language = stream.language or ""
            is_code = len(language) == 3 and language.isascii() and language.islower() and language != "und"
            setup = b"" if codec == _PLAIN_TEXT else bytes(context.extradata or b"")
            track = Track(
                len(self._streams) + 1,
                KINDS[stream.type],
                codec,
                language if is_code else "",
                Fraction(stream.time_base),
                setup,
            )
            self._streams[stream.index] = track

    @property
    def tracks(self) -> tuple[Track, ...]:
        return tuple(self._streams.values())

    def _tell(self, note: str) -> None:
        self.notes += (note,)

    def _write_header(self) -> bytes:
        """Writes the Matroska file without samples; takes out of `_streams` what Matroska has no place for."""
        buffer = io.BytesIO()
        # Without this flag FFmpeg numbers tracks and the file by chance: same film, other stream
        # (findings/ffmpeg-matroska-random-header.sh).
        with self._av.open(buffer, "w", format=MATROSKA, options={"fflags": "+bitexact"}) as header:
            numbered: dict[int, Track] = {}
            for index, track in self._streams.items():
                stream = self._container.streams[index]
                try:
                    if track.codec == _PLAIN_TEXT:
                        copy = header.add_mux_stream(_PLAIN_TEXT, time_base=_SHORT_TICK)
                    else:
                        copy = header.add_stream_from_template(stream)
                except (self._av.error.FFmpegError, ValueError) as error:
                    self._tell(f"track {index} ({track.codec}) of {self.name} is not kept: {fault_text(error)}")
                    continue
                copy.metadata.update(_plain(stream.metadata))
                copy.disposition = stream.disposition
                numbered[index] = replace(track, number=len(numbered) + 1)
            self._streams = numbered
            num_extras = self._add_extras(header)
            if not numbered and not num_extras:
                return b""
            # FFmpeg opens no Matroska file without a packet (findings/ffmpeg-matroska-without-packets.sh).
            last = header.add_mux_stream(_PLAIN_TEXT, time_base=_SHORT_TICK)
            packet = self._av.Packet(b" ")
            packet.pts, packet.dts, packet.duration, packet.time_base, packet.stream = 0, 0, 1, _SHORT_TICK, last
            header.mux(packet)
        return buffer.getvalue()

    def _add_extras(self, header: Any) -> int:
        """Adds tags, chapters and attachments; returns how many there are."""
        tags = _plain(self._container.metadata)
        header.metadata.update(tags)
        chapters = self._container.chapters()
        if chapters:
            header.set_chapters(chapters)
        num_attachments = 0
        for stream in self._container.streams:
            if stream.type == "attachment" and stream.data:
                header.add_attachment(
                    stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data
                )
                num_attachments += 1
        for stream in self._artwork:
            picture = self._artwork_of(stream)
            if picture:
                kind = "png" if stream.codec_context.name == "png" else "jpeg"
                header.add_attachment(f"cover.{kind.replace('jpeg', 'jpg')}", f"image/{kind}", picture)
                num_attachments += 1
        return len(tags) + len(chapters) + num_attachments

    def _artwork_of(self, stream: Any) -> bytes:
        if stream.codec_context is None or stream.codec_context.name not in ("png", "mjpeg"):
            self._tell(f"artwork of {self.name} in track {stream.index} is neither PNG nor JPEG: not kept")
            return b""
        container = open_av(self._av, self.name)
        with container:
            packet = next(container.demux(container.streams[stream.index]), None)
            return b"" if packet is None or not packet.size else bytes(packet)

    def _find_earliest(self) -> Fraction:
        """Looks at the first packets of every track."""
        found: list[Fraction] = []
        waiting = set(self._streams)
        if not waiting:
            return Fraction(0)
        with open_av(self._av, self.name) as container:
            chosen = [container.streams[index] for index in self._streams]
            for packet in _played(islice(container.demux(chosen), _MAX_FIRST_PACKETS)):
                if not waiting:
                    break
                if packet.pts is not None and packet.stream.index in waiting:
                    waiting.discard(packet.stream.index)
                    found.append(packet.pts * packet.time_base)
        return min(found, default=Fraction(0))

    def samples(self, origin: Fraction, *, keeps_early: bool = False) -> Iterator[TrackSample]:
        """Yields the packets in the file's order, without those that an edit list leaves out. Times count from
        `origin`. Packets before it are left out unless `keeps_early`.

        Raises:
            InputError: the file is damaged.
        """
        if not self._streams:
            return
        try:
            for packet in _played(self._container.demux([self._container.streams[index] for index in self._streams])):
                stamp = packet.dts if packet.pts is None else packet.pts
                if not packet.size or stamp is None:
                    continue
                track = self._streams[packet.stream.index]
                time = stamp - round(origin / track.time_base)
                if time < 0 and not keeps_early:
                    continue
                data = bytes(packet)
                if self._container.streams[packet.stream.index].codec_context.name == _TEXT_IN_MP4:
                    data = data[2 : 2 + int.from_bytes(data[:2], "big")]
                    if not data:
                        continue
                yield TrackSample(track.number, time, max(0, packet.duration or 0), data, time * track.time_base)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"the other tracks of {self.name} cannot be read: {fault_text(error)}", "--no-tracks"
            ) from error

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> "TrackReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _played(packets: Iterable[Any]) -> Iterator[Any]:
    """Leaves out the packets that an edit list leaves out, but for the last one before the first that is played:
    decoders of sound start with it."""
    last: dict[int, Any] = {}
    begun: set[int] = set()
    for packet in packets:
        track = packet.stream.index
        if packet.is_discard:
            last[track] = packet
            continue
        if track not in begun and packet.size:
            begun.add(track)
            if track in last:
                yield last[track]
        yield packet


def _plain(metadata: dict[str, str]) -> dict[str, str]:
    """Tags that speak of the contents, not of the file that they are in."""
    technical = (
        "encoder",
        "duration",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "handler_name",
        "vendor_id",
    )
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in technical and not key.startswith("_STATISTICS") and not key.startswith("NUMBER_OF_")
    }
