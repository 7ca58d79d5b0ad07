"""Puts the other tracks of a video file into a stream, packets before the pictures that are shown after them."""

from collections.abc import Iterator
from fractions import Fraction

from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.tracks import MATROSKA_TRACK, MAX_TRACK_PAYLOAD_SIZE, TrackHeader, TrackPacket
from dcvc_cli.bitstream.varint import UV_LIMIT
from dcvc_cli.media import PictureReader
from dcvc_cli.media.container import ContainerReader
from dcvc_cli.media.tracks import MATROSKA, TrackReader, TrackSample

_MAX_DATA = MAX_TRACK_PAYLOAD_SIZE - 64
"""Bytes of a packet, with room for what stands before it in the unit."""


class TrackFeed:
    """Writes tracks into a stream.

    Args:
        reader: the video file whose pictures are coded; opened with `keep_tracks`.
        tracks: its other tracks.
        is_limited: only a part of the pictures is coded, so that packets after the last of them are left out.

    Attributes:
        num_packets: packets written so far.
        num_left_out: packets that are too large for a unit.
    """

    def __init__(self, reader: ContainerReader, tracks: TrackReader, is_limited: bool = False) -> None:
        self._reader, self._tracks, self.is_limited = reader, tracks, is_limited
        self._samples: Iterator[TrackSample] | None = None
        self._next: TrackSample | None = None
        self.num_packets = self.num_left_out = 0

    def write_headers(self, writer: StreamWriter, sps: Sps) -> None:
        """Writes the tracks' headers and the Matroska header, after the SPS that lets such units come."""
        if not self._tracks.header:
            return
        writer.use_sps(sps)
        for track in self._tracks.tracks:
            base = TimeBase(track.time_base.denominator, track.time_base.numerator)
            writer.write_track(TrackHeader(track.number, track.kind, track.codec, track.language, base, track.setup))
        writer.write_track(TrackHeader(MATROSKA_TRACK, "other", MATROSKA, "", TimeBase(1000, 1), b""))
        for start in range(0, len(self._tracks.header), _MAX_DATA):
            part = self._tracks.header[start : start + _MAX_DATA]
            writer.write_track(TrackPacket(MATROSKA_TRACK, 0, 0, part))

    def write_until(self, writer: StreamWriter, seconds: Fraction | None) -> None:
        """Writes the packets up to a time of the stream; None writes all that are left.

        Raises:
            InputError: the file is damaged.
        """
        if self._samples is None:
            self._samples = self._tracks.samples(self._reader.time_zero or Fraction(0))
            self._next = next(self._samples, None)
        while self._next is not None and (seconds is None or self._next.seconds <= seconds):
            sample = self._next
            if len(sample.data) > _MAX_DATA:
                self.num_left_out += 1
            else:
                duration = sample.duration if sample.duration < UV_LIMIT else 0
                writer.write_track(TrackPacket(sample.number, sample.time, duration, sample.data))
                self.num_packets += 1
            self._next = next(self._samples, None)


def track_feed(reader: PictureReader) -> TrackFeed | None:
    """Opens the feed of the other tracks of an input; None where there are none, or it does not keep them."""
    if not isinstance(reader, ContainerReader) or reader.tracks is None or not reader.tracks.header:
        return None
    return TrackFeed(reader, reader.tracks, is_limited=reader.span[1] is not None)
