"""Video files such as mp4 and mkv, decoded through PyAV (FFmpeg's libraries), an optional extra."""

import math
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from typing import TYPE_CHECKING

from dcvc_cli.errors import InputError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.limits import DEFAULT_MAX_PIXELS, Limits
from dcvc_cli.format.types import DEFAULT_FRAME_RATE, ChromaFormat, Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media.av_files import fault_text, import_av, open_av
from dcvc_cli.media.base import PictureReader, describe, joined
from dcvc_cli.media.container_facts import (
    StreamText,
    announced_duration,
    chroma_location_of,
    colour_of,
    describe_stream,
    dropped_side_data,
    hdr_metadata,
    is_artwork,
    is_turned,
    other_contents,
)
from dcvc_cli.media.packets import Packets
from dcvc_cli.media.pixel_formats import PIXEL_FORMATS, check_pixel_format, planes_of_frame
from dcvc_cli.media.timing import StampClock, Timing
from dcvc_cli.media.tracks import TrackReader

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_COUNTING_FROM_ANYWHERE = ("mpegts", "mpeg", "mpegvideo")


class ContainerReader(PictureReader):
    """Decodes one video track of a file, picture for picture: none is dropped or repeated.

    Display rotation is not applied.

    Artwork is no video. Of several video tracks the reader takes the default one, else the largest, else the first.
    Colour code points, range, HDR10 metadata, chroma position, frame rate and sample aspect ratio are carried. Pictures
    that are not evenly spaced, or begin late, carry their times, unless `frame_rate` is given. `notes` name what is not
    carried.

    Args:
        path: a file. Only this file is opened, whatever it refers to.
        frame_rate: used instead of the file's.
        max_pixels: larger pictures are refused before one is decoded.
        keep_tracks: read the other tracks too.
        zero_frame: skipped picture that is time 0; 0: the file's start; None: the first one after skipped ones.

    Attributes:
        tracks: the other tracks, or None.
        time_zero: seconds of the file that are time 0 of its pictures; known when the first one is read.

    Raises:
        EnvironmentFault: PyAV is not installed.
        InputError: here and during iteration: unreadable, damaged, no video, or of a pixel format that is not coded.
    """

    def __init__(
        self,
        path: str,
        *,
        frame_rate: Rational | None,
        skip_frames: int = 0,
        max_frames: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        keep_tracks: bool = False,
        zero_frame: int | None = None,
    ) -> None:
        super().__init__(path, skip_frames, max_frames)
        self._zero_frame = skip_frames if zero_frame is None else zero_frame
        self._max_pixels = max_pixels
        self._av = import_av(path)
        self._num_read = 0
        self._has_mixed_fields = False
        self._frame_colour: tuple[int, int] | None = None
        self._clock: StampClock | None = None
        self._stamp_seconds = Fraction(1)
        self._packets = self._scan_packets()
        self._container = self._open()
        self.tracks: TrackReader | None = None
        self.time_zero: Fraction | None = None
        try:
            if keep_tracks:
                self.tracks = TrackReader(path)
                self.notes += self.tracks.notes
            self._open_stream(frame_rate)
        except BaseException:
            self.close()
            raise

    def _open(self) -> "InputContainer":
        return open_av(self._av, self.name)

    def _choose_stream(self, container: "InputContainer") -> "VideoStream":
        videos = container.streams.video
        dispositions = self._av.stream.Disposition
        # FFmpeg lists artwork as video, first where the file has it first (findings/ffmpeg-cover-ahead-of-video.sh).
        films = [stream for stream in videos if not is_artwork(stream, dispositions)]
        if not films:
            if videos:
                hint = f"ffmpeg -i {self.name} -frames:v 1 cover.png takes it out"
                raise InputError(f"{self.name} holds artwork and no video stream", hint)
            raise InputError(f"{self.name} holds no video stream")
        return max(films, key=lambda stream: (bool(stream.disposition & dispositions.default), _num_pixels(stream)))

    def _scan_packets(self) -> Packets:
        """Walks over the chosen track once without decoding it.

        What headers say of numbers and rates is a hint: findings/ffmpeg-frame-counts.sh,
        findings/ffmpeg-variable-rate-matroska.sh.
        """
        container = self._open()
        with closing(container):
            stream = self._choose_stream(container)
            packets = Packets(stream.codec_context.name if stream.codec_context is not None else "")
            try:
                for packet in container.demux(stream):
                    # The last packet is PyAV's own: it holds nothing and asks the decoder for what it keeps back.
                    is_end = not packet.size and packet.pts is None
                    if not is_end and not packets.add(packet):
                        break
            except (self._av.error.FFmpegError, OSError, ValueError):
                # Decoding meets the same fault and reports it.
                packets.is_whole = False
            return packets

    def _open_stream(self, frame_rate: Rational | None) -> None:
        packets = self._packets
        stream = self._choose_stream(self._container)
        if stream.codec_context is None:
            raise InputError(f"{self.name} holds video of a codec that this FFmpeg cannot decode")
        text = describe_stream(self._av, self._container, stream.index)
        if stream.codec_context.pix_fmt is not None:
            check_pixel_format(self.name, stream.codec_context.pix_fmt)
        Limits(self._max_pixels).check_input(self.name, stream.codec_context.width, stream.codec_context.height)
        # The pictures themselves may be larger than the headers say.
        stream.codec_context.options = {"max_pixels": str(self._max_pixels)}
        stream.thread_type = "AUTO"
        self._frames = self._decode(stream)
        # Some decoders know colour and size only after a picture.
        self._first = next(self._frames, None)
        if self._first is None:
            raise InputError(f"{self.name} holds no picture")
        chroma, bit_depth = check_pixel_format(self.name, self._first.format.name)
        width, height = self._first.width, self._first.height
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise InputError(f"{self.name} is {width}x{height}, expected 1x1..{MAX_SIDE}x{MAX_SIDE}")
        mastering_display, content_light = hdr_metadata(self._first)
        location, doubt = "", None
        if chroma is ChromaFormat.YUV420:
            location, doubt = chroma_location_of(self.name, text, stream.codec_context.codec.canonical_name)
        rate = frame_rate or self._frame_rate(stream, packets)
        self.format = VideoFormat(
            PictureSize(width, height),
            chroma,
            bit_depth,
            frame_rate=rate,
            sample_aspect_ratio=_rational(stream.sample_aspect_ratio) or Rational(0, 0),
            colour=colour_of(stream.codec_context, self._first),
            interlacing=self._interlacing(stream.codec_context),
            chroma_location=location,
            mastering_display=mastering_display,
            content_light=content_light,
            time_base=None if self._clock is None else self._clock.time_base,
        )
        self._tell(doubt)
        self._tell_contents(stream, text)
        self._tell_counts(stream, packets)
        if packets.is_whole and packets.num_pictures > self._skip_frames:
            self.num_frames = self._frames_to_give(packets.num_pictures)
        kind = f"{self._container.format.name.split(',')[0]} {stream.codec_context.name}"
        self.description = describe(kind, self.format, self.num_frames)

    def _tell(self, note: str | None) -> None:
        if note is not None:
            self.notes += (note,)

    def _tell_contents(self, stream: "VideoStream", text: StreamText) -> None:
        """Notes about everything in the file that a stream has no place for."""
        assert self._first is not None
        dispositions = self._av.stream.Disposition
        others = other_contents(
            self._container, stream, lambda other: is_artwork(other, dispositions), is_kept=self.tracks is not None
        )
        if others:
            self._tell(f"{self.name} also holds {joined(others)}: only video track {stream.index} is coded")
        side_data = dropped_side_data(self._first, text, dict(stream.metadata))
        if side_data:
            self._tell(f"{self.name} carries {joined(side_data)}, which streams have no field for: not kept")
        if is_turned(self._first):
            self._tell(f"{self.name} asks for a rotation or flip on display; it is ignored")

    def _tell_counts(self, stream: "VideoStream", packets: Packets) -> None:
        """Notes where the header's number of pictures is wrong: a file that was cut short, for example."""
        announced, found = stream.frames, packets.num_pictures
        if packets.is_whole and announced and not found <= announced <= found + packets.num_left_out:
            self._tell(f"{self.name} announces {announced} pictures and holds {found}: what is there is read")
        end, announced_end = packets.end * float(stream.time_base or 0), announced_duration(self._container, stream)
        # An audio track may end a little later; a second is more than that.
        if packets.is_whole and announced_end is not None and announced_end - end > min(1.0, 0.1 * announced_end):
            self._tell(f"{self.name} says that it lasts {announced_end:.2f} s and its pictures end at {end:.2f} s")

    def _frame_rate(self, stream: "VideoStream", packets: Packets) -> Rational:
        stated = stream.average_rate or stream.base_rate
        # Pictures are not coded in the order of display, so the end of a file that was cut short has holes.
        is_cut = stated and stream.frames > packets.num_pictures + packets.num_left_out
        timing = Timing(stated) if is_cut else packets.timing(stream.time_base, stated)
        rate = _rational(timing.frame_rate)
        if rate is None:
            self._tell(
                f"{self.name} does not say its frame rate: {DEFAULT_FRAME_RATE} frames per second assumed, "
                "--fps sets it"
            )
            return DEFAULT_FRAME_RATE
        start = self._file_start(stream)
        if self.tracks is not None and stream.time_base:
            start = min(start, math.floor(self.tracks.earliest / stream.time_base))
        delay = float(((stream.start_time or 0) - start) * (stream.time_base or 0))
        is_late = delay * float(rate) > 1 or (self.tracks is not None and delay > 0)
        if not is_cut and (not timing.is_even or is_late) and stream.time_base:
            self._clock = packets.clock(stream.time_base, start)
            self._stamp_seconds = stream.time_base
        faults = list(timing.faults)
        if delay * float(rate) > 1:
            faults.append(f"begins its pictures {delay:.2f} s after its start")
        if faults and self._clock is not None:
            self._tell(f"{self.name} {joined(faults)}; every picture carries its time, --fps sets one rate instead")
        elif faults:
            self._tell(
                f"{self.name} {joined(faults)}; it is coded at {rate} frames per second throughout, --fps sets another "
                "rate"
            )
        return rate

    def _file_start(self, stream: "VideoStream") -> int:
        """Returns the stamp of the file's start. Broadcast formats count from anywhere, so there the first track is the
        start."""
        if self._container.format.name in _COUNTING_FROM_ANYWHERE and stream.time_base:
            return round(Fraction(self._container.start_time or 0, self._av.time_base) / stream.time_base)
        return 0

    def _interlacing(self, context: "VideoCodecContext") -> str:
        assert self._first is not None
        self._is_interlaced = bool(self._first.interlaced_frame)
        if not self._is_interlaced:
            return "p"
        self._tell(f"{self.name} is interlaced: coded as whole pictures, the tag is kept")
        # AVFieldOrder: TT 2, BB 3, TB 4, BT 5; the second letter is the field displayed first.
        return {2: "t", 3: "b", 4: "b", 5: "t"}.get(int(getattr(context, "field_order", 0)), "?")

    def _decode(self, stream: "VideoStream") -> "Iterator[VideoFrame]":
        """Decodes all pictures. Packets before the first one that decodes are left out: recordings begin anywhere."""
        num_passed_over, has_begun = 0, False
        fault: InputError | None = None
        try:
            for packet in self._container.demux(stream):
                try:
                    frames = packet.decode()
                except self._av.error.InvalidDataError as error:
                    fault = fault or InputError(f"{self.name} cannot be decoded: {fault_text(error)}")
                    num_passed_over += 1
                    if has_begun:
                        raise
                    continue
                if frames and not has_begun and num_passed_over:
                    self._tell(
                        f"{self.name} begins with {num_passed_over} packets that do not decode; they are left out"
                    )
                has_begun = has_begun or bool(frames)
                yield from frames
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{self.name} cannot be decoded: {fault_text(error)}") from error
        if not has_begun and fault is not None:
            raise fault

    def _next_frame(self) -> "VideoFrame | None":
        frame, self._first = self._first, None
        return frame if frame is not None else next(self._frames, None)

    # A skipped picture may be damaged.
    def _skip(self, num_frames: int) -> int:
        for self._num_read in range(num_frames):
            frame = self._next_frame()
            if frame is None:
                return self._num_read
            self._pass_over(frame)
        self._num_read = num_frames
        return num_frames

    def _read(self) -> Picture | None:
        frame = self._next_frame()
        if frame is None:
            self._tell_missing()
            return None
        size = self.format.size
        sampling = PIXEL_FORMATS.get(frame.format.name)
        is_same = sampling == (self.format.chroma, self.format.bit_depth)
        if not is_same or (frame.width, frame.height) != (size.width, size.height):
            found, began = f"{frame.width}x{frame.height} {frame.format.name}", f"{size} {self.format.sampling}"
            raise InputError(
                f"{self.name} changes to {found} after it began as {began}, expected one format throughout"
            )
        if frame.is_corrupt:
            raise self._damaged(frame)
        self._watch(frame)
        if self.time_zero is None and frame.pts is not None and frame.time_base:
            self._begin(frame)
        self._num_read += 1
        time = None if self._clock is None else self._clock.time(frame.pts)
        return Picture(planes_of_frame(frame, self.format), time)

    def _pass_over(self, frame: "VideoFrame") -> None:
        """A skipped picture after time 0 takes its time: later ones may depend on it."""
        if self._clock is not None and self._num_read >= self._zero_frame:
            if self.time_zero is None and frame.pts is not None:
                self._begin(frame)
            self._clock.time(frame.pts)

    def _begin(self, frame: "VideoFrame") -> None:
        """Sets time 0: the start of the file, or the first picture that is read where pictures were skipped or are
        evenly spaced."""
        assert frame.pts is not None
        assert frame.time_base is not None
        if self._clock is None:
            self.time_zero = frame.pts * frame.time_base
            return
        if self._zero_frame:
            self._clock.begin_at(frame.pts)
        self.time_zero = self._clock.origin * frame.time_base

    def _tell_missing(self) -> None:
        """Notes packets that gave no picture. A packet of an interlaced film may hold half a picture, so there none is
        noted."""
        missing = self._packets.num_pictures - self._num_read
        if missing > 0 and self._packets.is_whole and not (self._is_interlaced or self._has_mixed_fields):
            self._tell(
                f"{missing} of the {self._packets.num_pictures} pictures in {self.name} do not decode and are left out"
            )

    def _damaged(self, frame: "VideoFrame") -> InputError:
        index = self._num_read
        hint = f"--frames {index - self._skip_frames} codes the whole pictures" if index > self._skip_frames else None
        return InputError(
            f"{self.name} is damaged: picture {index}, at {frame.time or 0.0:.3f} s, does not decode", hint
        )

    def _watch(self, frame: "VideoFrame") -> None:
        """Notes what changes from picture to picture, each change once."""
        at = f"at {frame.time or 0.0:.3f} s"
        if bool(frame.interlaced_frame) != self._is_interlaced and not self._has_mixed_fields:
            self._has_mixed_fields = True
            self._tell(
                f"{self.name} mixes interlaced and progressive pictures, {at} first; all get the tag of the first"
            )
        colour = (int(frame.color_range), int(frame.colorspace))
        if self._frame_colour is not None and colour != self._frame_colour:
            self._tell(f"{self.name} changes its colour tags {at}; those of the first picture are kept")
        self._frame_colour = colour

    def picture_times(self) -> list[Fraction] | None:
        """Seconds of every picture of the file where they are not evenly spaced, else None."""
        if self._clock is None:
            return None
        return self._packets.times(self._stamp_seconds, self._clock.origin)

    def close(self) -> None:
        self._container.close()
        if self.tracks is not None:
            self.tracks.close()


def _num_pixels(stream: "VideoStream") -> int:
    context = stream.codec_context
    return context.width * context.height if context is not None else 0


def _rational(value: Fraction | None) -> Rational | None:
    if not value or value < 0 or max(value.numerator, value.denominator) >= 1 << 32:
        return None
    return Rational(value.numerator, value.denominator)
