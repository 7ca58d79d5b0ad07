"""Writes pictures and other tracks into a video file such as mkv or mp4 through PyAV (FFmpeg's libraries)."""

import contextlib
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import PurePath
from typing import Any

import numpy as np

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import ChromaFormat, ColourDescription, Picture, VideoFormat
from dcvc_cli.media.av_files import fault_text, import_av
from dcvc_cli.media.base import PictureWriter
from dcvc_cli.media.hdr_output import has_hdr, hdr_options, matroska_template
from dcvc_cli.media.matroska_display import MAX_HEADER_BYTES, ROOM, DisplaySize, display_size, with_display_size
from dcvc_cli.media.output import OutputFile, output_fault
from dcvc_cli.media.pixel_formats import fill_frame, pixel_format_of

FORMATS = {
    ".mkv": "matroska",
    ".webm": "webm",
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".avi": "avi",
    ".nut": "nut",
}
"""FFmpeg's names of the containers that are written, by ending."""
DEFAULT_CODEC = "ffv1"
_LOCATIONS = {"mpeg2": "left", "jpeg": "center", "paldv": "topleft"}
_RGB_CODECS = {"ffv1": "bgr0", "libx264rgb": "rgb24", "rawvideo": "rgb24", "png": "rgb24"}
"""Pixel formats of codecs that take R G B as it is."""
_MATROSKA = ("matroska", "webm")
_STREAMED = (*_MATROSKA, "nut")
"""Containers that a pipe takes."""
_WITHOUT_ASPECT, _CODECS_WITHOUT_ASPECT = ("avi", "nut"), ("ffv1", "rawvideo", "huffyuv", "ffvhuff")
"""PyAV sets the aspect ratio on the codec only, and these codecs have no field for it
(findings/pyav-aspect-of-ffv1.sh). mp4 and mov take it from the codec, and matroska_display.py writes it into Matroska;
these containers lose it."""
_WITHOUT_COLOUR, _NO_COLOUR = _WITHOUT_ASPECT, ColourDescription()
"""These containers have no colour tags either: only what a codec itself states comes back."""


def codec_options(text: str) -> tuple[str, dict[str, str]]:
    """Splits `libx264 crf=18 preset=slow` into (codec, its options); UsageError for anything else."""
    name, *options = text.split()[:32] or [""]
    pairs = [option.partition("=") for option in options]
    if not name or not all(key and equals and value for key, equals, value in pairs):
        raise UsageError(f"--codec {text}: expected a codec and options", "--codec 'libx264 crf=18 preset=slow'")
    return name, {key: value for key, _, value in pairs}


def takes_rgb(codec: str) -> bool:
    """Returns whether R G B goes into this codec as it is."""
    return codec_options(codec)[0] in _RGB_CODECS


class VideoFileWriter(PictureWriter):
    """Encodes pictures into one track of a new file, and copies the packets of others beside it.

    The file holds colour tags, chroma position, frame rate and times, and where the codec has a place for them the
    sample aspect ratio and HDR10 metadata.

    Args:
        output: takes the file; seekable for all containers but nut and Matroska.
        video_format: Y Cb Cr, or 8-bit R G B where `takes_rgb`.
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of an encoder with its options.

    Raises:
        EnvironmentFault: PyAV is not installed.
        UsageError: there is no such codec, the container has no place for it, or a pipe takes no such container.
        InputError: the output cannot be written.
    """

    def __init__(self, output: OutputFile, video_format: VideoFormat, container: str, codec: str) -> None:
        super().__init__(video_format)
        self.name = output.name
        if output.seekable_stream is None and container not in _STREAMED:
            raise UsageError(f"{container} is written back and forth, and {self.name} is a pipe", "--output-format mkv")
        self._output, self._av = output, import_av(output.name, "writing")
        self._codec, options = codec_options(codec)
        ticks, rate = video_format.time_base, video_format.frame_rate
        self._rate = Fraction(rate.num, rate.den) if rate.num else Fraction(25)
        self._time_base = Fraction(ticks.den, ticks.num) if ticks is not None else 1 / self._rate
        self._next_time = 0
        self._has_packets = False
        self._copies: list[Any] = []
        self._is_open = True
        aspect = video_format.sample_aspect_ratio
        self._shown: DisplaySize | None = None
        if aspect.num and aspect.den and aspect.num != aspect.den and container in _MATROSKA:
            ratio = Fraction(aspect.num, aspect.den)
            self._shown = display_size(video_format.size, ratio, may_be_ratio=container == "matroska")
        try:
            file = output.seekable_stream or _Pipe(output, self._shown)
            self._file = self._av.open(file, "w", format=container)
            self._stream = self._add_picture_track(options)
        except (self._av.error.FFmpegError, ValueError, TypeError) as error:
            hint = f"--codec NAME chooses another; {DEFAULT_CODEC} suits mkv, libx264 mp4"
            raise UsageError(f"{self.name} cannot hold {self._codec}: {fault_text(error)}", hint) from error
        if aspect.num != aspect.den and container in _WITHOUT_ASPECT and self._codec in _CODECS_WITHOUT_ASPECT:
            self.notes += (
                f"{self._codec} has no field for the sample aspect ratio {aspect.num}:{aspect.den}: not in {self.name}",
            )
        if container in _WITHOUT_COLOUR and self._codec in _CODECS_WITHOUT_ASPECT and video_format.colour != _NO_COLOUR:
            self.notes += (f"{container} has no field for the colour tags of {self._codec}: not in {self.name}",)

    def _add_picture_track(self, options: dict[str, str]) -> Any:
        video_format = self.format
        location = _LOCATIONS.get(video_format.chroma_location)
        if location is not None and video_format.chroma is ChromaFormat.YUV420:
            options = {"chroma_sample_location": location, **options}
        stream = self._new_track(options)
        if self._shown is not None:
            stream.metadata["title"] = ROOM
        context = stream.codec_context
        stream.width, stream.height = video_format.size.width, video_format.size.height
        stream.pix_fmt = self._pixel_format()
        context.time_base = stream.time_base = self._time_base
        aspect = video_format.sample_aspect_ratio
        if aspect.num and aspect.den:
            context.sample_aspect_ratio = Fraction(aspect.num, aspect.den)
        self._set_colour(context, video_format.colour)
        return stream

    def _new_track(self, options: dict[str, str]) -> Any:
        """Makes a track of the codec that states the HDR10 metadata where it can."""
        if has_hdr(self.format):
            with_hdr = hdr_options(self._codec, self.format, options)
            if with_hdr is not None:
                options = with_hdr
            elif self._codec == "ffv1" and self._file.format.name in ("matroska", "mp4", "mov"):
                with self._av.open(io.BytesIO(matroska_template(self.format)), format="matroska") as template:
                    stream = self._file.add_stream_from_template(template.streams.video[0])
                stream.codec_context.framerate = self._rate
                stream.codec_context.options = options
                return stream
            else:
                self.notes += (f"{self._codec} has no place for HDR10 metadata here: not in {self.name}",)
        return self._file.add_stream(self._codec, rate=self._rate, options=options)

    def _pixel_format(self) -> str:
        if self.format.chroma is ChromaFormat.RGB:
            return _RGB_CODECS[self._codec]
        return pixel_format_of(self.format)

    @staticmethod
    def _set_colour(context: Any, colour: ColourDescription) -> None:
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        context.colorspace = colour.matrix
        if colour.full_range is not None:
            context.color_range = 2 if colour.full_range else 1

    def add_tracks(self, header: bytes, *, is_whole: bool) -> None:
        """Announces the tracks of a Matroska header as `media.tracks.TrackReader` makes it; before the first picture.

        Args:
            is_whole: the whole clip is written, so that chapters fit it.
        """
        try:
            with self._av.open(io.BytesIO(header), format="matroska", metadata_errors="replace") as source:
                tracks = [stream for stream in source.streams if stream.type in ("audio", "subtitle")][:-1]
                for stream in tracks:
                    self._copies.append(self._copy_of(stream))
                self._file.metadata.update(source.metadata)
                if is_whole and source.chapters():
                    self._file.set_chapters(source.chapters())
                for stream in source.streams:
                    if stream.type == "attachment":
                        self._attach(stream)
        except (self._av.error.FFmpegError, ValueError, OSError) as error:
            self.notes += (f"the other tracks of the stream are damaged and not written: {fault_text(error)}",)

    def _copy_of(self, stream: Any) -> Any:
        """Makes a track of the new file with the parameters of another; None where the container has no place for
        it."""
        try:
            copy = self._file.add_stream_from_template(stream)
        except (self._av.error.FFmpegError, ValueError) as error:
            self.notes += (f"{self.name} has no place for track {len(self._copies) + 1}: {fault_text(error)}",)
            return None
        copy.metadata.update({key: value for key, value in stream.metadata.items() if key != "DURATION"})
        copy.disposition = stream.disposition
        return copy

    def _attach(self, stream: Any) -> None:
        if self._file.format.name != "matroska":
            self.notes += (f"{self.name} has no place for the attachment {ascii(stream.name)[1:-1]}",)
            return
        self._file.add_attachment(stream.name or "attachment", stream.mimetype or "", stream.data)

    def write_packet(self, number: int, time: int, duration: int, time_base: Fraction, data: bytes) -> None:
        """Copies a packet of track `number` as `add_tracks` announced it; others are passed over.

        Args:
            time: presentation time in ticks.
            duration: in ticks, 0 where it is not known.
            time_base: seconds of a tick.
        """
        copy = self._copies[number - 1] if 1 <= number <= len(self._copies) else None
        if copy is None:
            return
        packet = self._av.Packet(data)
        packet.pts = packet.dts = time
        packet.duration, packet.time_base, packet.stream = duration, time_base, copy
        packet.is_keyframe = True
        self._mux(packet)

    def _write(self, picture: Picture) -> None:
        planes = picture.planes
        if self.format.chroma is ChromaFormat.RGB:
            frame = self._av.VideoFrame.from_ndarray(np.stack(planes, axis=2), "rgb24")
            frame = frame.reformat(format=self._pixel_format())
        else:
            frame = self._av.VideoFrame(self.format.size.width, self.format.size.height, self._pixel_format())
            fill_frame(frame, picture)
        self._set_frame_colour(frame)
        time = self._next_time if picture.time is None else max(picture.time, self._next_time)
        frame.pts, frame.time_base = time, self._time_base
        self._next_time = time + 1
        try:
            packets = self._stream.encode(frame)
        except (self._av.error.FFmpegError, ValueError, OSError) as error:
            raise self._fault(error) from error
        self._has_packets |= len(packets) > 0
        self._mux(packets)

    def _set_frame_colour(self, frame: Any) -> None:
        # ProRes takes the tags of pictures, not those of the encoder.
        colour = self.format.colour
        frame.color_primaries, frame.color_trc, frame.colorspace = colour.primaries, colour.transfer, colour.matrix
        if self.format.colour.full_range is not None:
            frame.color_range = 2 if self.format.colour.full_range else 1

    def _mux(self, packets: Any) -> None:
        try:
            self._file.mux(packets)
        except (self._av.error.FFmpegError, ValueError, OSError) as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> Exception:
        if isinstance(error, BrokenPipeError):
            return error
        if isinstance(error, OSError) and error.errno:
            return output_fault(self.name, error)
        return InputError(f"cannot write {self.name}: {fault_text(error)}")

    def complete(self) -> None:
        if self._is_open:
            self._is_open = False
            try:
                packets = self._stream.encode(None)
                if not self._has_packets:
                    set_decoding_times(packets)
                self._file.mux(packets)
                self._file.close()
                self._write_display_size()
            except (self._av.error.FFmpegError, ValueError, OSError) as error:
                raise self._fault(error) from error
        self._output.complete()

    def _write_display_size(self) -> None:
        """Writes the display size into a file that the muxer has finished."""
        stream = self._output.seekable_stream
        if stream is None or self._shown is None:
            return
        stream.seek(0)
        changed, _ = with_display_size(stream.read(MAX_HEADER_BYTES), self._shown)
        if changed is not None:
            stream.seek(0)
            stream.write(changed)
        stream.seek(0, io.SEEK_END)

    def commit(self) -> None:
        try:
            self.complete()
        except BaseException:
            self._output.abort()
            raise
        self._output.commit()

    def abort(self) -> None:
        # The container writes its end into the file that is dropped.
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(Exception):
                self._file.close()
        self._output.abort()


def container_of(target: str) -> str | None:
    """Returns FFmpeg's name of the container that a file name promises, None for no video file."""
    path = PurePath(target)
    return FORMATS.get((path.suffix or path.name).lower())


class _Pipe:
    """The file that PyAV writes to where the output cannot seek.

    Args:
        shown: the display size that Matroska's header gets; None for none.
    """

    def __init__(self, output: OutputFile, shown: DisplaySize | None) -> None:
        self._output, self._shown = output, shown
        self._header = b""
        """The start of the file, while its header is not whole."""

    def write(self, data: bytes) -> int:
        written = data
        if self._shown is not None:
            self._header += data
            changed, is_cut = with_display_size(self._header, self._shown)
            if is_cut:
                return len(data)
            written, self._header, self._shown = changed or self._header, b"", None
        self._output.write(written)
        self._output.flush()
        return len(data)


def set_decoding_times(packets: Sequence[Any]) -> None:
    """Gives all packets of a clip, in decoding order, the latest decoding times that rise and are no later than their
    presentation times.

    x265 leaves the decoding times of very short clips to chance (findings/x265-one-picture-decoding-time.sh).
    """
    shown = sorted(packet.pts for packet in packets)
    delay = max((time - packet.pts for time, packet in zip(shown, packets, strict=True)), default=0)
    for time, packet in zip(shown, packets, strict=True):
        packet.dts = time - delay
