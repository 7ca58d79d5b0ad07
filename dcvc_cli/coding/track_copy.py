"""Hands the other tracks of a stream, or of another video file, to the writer of a video file as pictures are
written."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol

from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.tracks import MATROSKA_TRACK, TrackHeader, TrackPacket
from dcvc_cli.media.tracks import MATROSKA, TrackReader, TrackSample
from dcvc_cli.media.video_writer import VideoFileWriter


class TrackSource(Protocol):
    """Gives tracks to a writer."""

    def announce(self, writer: VideoFileWriter) -> None:
        """Announces the tracks to the writer, before the first picture."""

    def write_until(self, writer: VideoFileWriter, seconds: Fraction | None) -> None:
        """Writes the packets up to a time of the output; None: all that are left."""


class StreamTracks:
    """Tracks that a stream carries.

    Args:
        decoder: gives the headers and packets that it has read since the last call.
        is_whole: the whole stream is written.

    Attributes:
        start: seconds of the stream that are time 0 of the output; packets before it are left out.
        missing: names of tracks that the stream announces in no Matroska header, so that they cannot be written.
        late: kinds of tracks that begin behind the first frame, so that they are not written, by their numbers.
    """

    def __init__(self, decoder: "TrackMessages", is_whole: bool) -> None:
        self._decoder, self._is_whole = decoder, is_whole
        self._bases: dict[int, TimeBase] = {}
        self._early: list[TrackPacket] = []
        self.start = Fraction(0)
        self.missing: list[str] = []
        self.late: dict[int, str] = {}

    def announce(self, writer: VideoFileWriter) -> None:
        header = bytearray()
        has_header = False
        for message in self._decoder.take_track_messages():
            if isinstance(message, TrackHeader):
                self._bases[message.track] = message.time_base
                has_header |= message.track == MATROSKA_TRACK and message.codec == MATROSKA
            elif message.track == MATROSKA_TRACK:
                header += message.data
            else:
                self._early.append(message)
        if has_header and header:
            writer.add_tracks(bytes(header), is_whole=self._is_whole)
        else:
            self.missing = [str(number) for number in self._bases]

    def write_until(self, writer: VideoFileWriter, seconds: Fraction | None) -> None:
        # Packets stand in the stream before the pictures that are shown after them: all packets that came are due.
        for message in (*self._early, *self._decoder.take_track_messages()):
            base = self._bases.get(message.track)
            if base is None and isinstance(message, TrackHeader) and message.track != MATROSKA_TRACK:
                self.late[message.track] = message.kind
            if isinstance(message, TrackHeader) or base is None or message.track == MATROSKA_TRACK:
                continue
            time_base = Fraction(base.den, base.num)
            time = message.time - round(self.start / time_base)
            if time >= 0:
                writer.write_packet(message.track, time, message.duration, time_base, message.data)
        self._early.clear()


class FileTracks:
    """Tracks of another video file.

    Args:
        reader: the file.
        start: its seconds that are time 0 of the output.
    """

    def __init__(self, reader: TrackReader, start: Fraction, is_whole: bool) -> None:
        self._reader, self._is_whole = reader, is_whole
        self._bases = {track.number: track.time_base for track in reader.tracks}
        self._samples: Iterator[TrackSample] = reader.samples(start, keeps_early=not start)
        self._next = next(self._samples, None)

    def announce(self, writer: VideoFileWriter) -> None:
        if self._reader.header:
            writer.add_tracks(self._reader.header, is_whole=self._is_whole)

    def write_until(self, writer: VideoFileWriter, seconds: Fraction | None) -> None:
        while self._next is not None and (seconds is None or self._next.seconds <= seconds):
            sample = self._next
            time_base = self._bases[sample.number]
            writer.write_packet(sample.number, sample.time, sample.duration, time_base, sample.data)
            self._next = next(self._samples, None)


class TrackMessages(Protocol):
    """A decoder that collects headers and packets of other tracks."""

    def take_track_messages(self) -> Iterable[TrackHeader | TrackPacket]: ...
