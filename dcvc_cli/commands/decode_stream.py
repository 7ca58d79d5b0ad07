"""Decodes one stream as the command line asks: pictures to a writer, hashes and reports beside them."""

import hashlib
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dcvc_cli.coding.on_error import OnError
from dcvc_cli.commands.positions import Position, stream_span
from dcvc_cli.errors import StreamError, UsageError
from dcvc_cli.format.limits import Limits
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.api.decoder import Decoder
    from dcvc_cli.api.frame import Frame
    from dcvc_cli.bitstream.sps import Sps
    from dcvc_cli.coding.concealment import Losses
    from dcvc_cli.coding.output_times import OutputTimes
    from dcvc_cli.coding.report_files import TextSink
    from dcvc_cli.coding.track_copy import StreamTracks, TrackSource
    from dcvc_cli.media import PictureWriter
    from dcvc_cli.media.video_writer import VideoFileWriter
    from dcvc_cli.ui.voice import Voice


@dataclass(frozen=True)
class DecodeChoices:
    """The options of `dcvc decode`, the same for every stream of a batch."""

    overwrite: bool = False
    output_format: str | None = None
    seek: Position = 0
    frames: Position | None = None
    verify: bool = True
    keep_partial: bool = False
    on_error: OnError = OnError.STOP
    device: str = "auto"
    threads: int | None = None
    limits: Limits = field(default_factory=Limits.from_environment)
    progress: ProgressMode = ProgressMode.AUTO
    quiet: bool = False
    verbose: bool = False
    codec: str = "ffv1"
    mux: str | None = None


@dataclass(frozen=True)
class Reports:
    """Reports that are written beside the pictures.

    Attributes:
        md5: whether to print the MD5 of all samples.
        frame_times: a file for the seconds of each frame, or None.
        json_file: a file for settings, frames and sums, or None.
        timestamps: a file for the times of the pictures, or None.
    """

    md5: bool = False
    frame_times: str | None = None
    json_file: str | None = None
    timestamps: str | None = None


class _Sinks:
    """Takes every decoded frame for the reports."""

    def __init__(self, stack: ExitStack, wanted: Reports, overwrite: bool, head: dict[str, Any], pixels: int) -> None:
        from dcvc_cli.coding.output_times import TimestampFile
        from dcvc_cli.coding.report_files import JsonReport

        self.md5 = hashlib.md5(usedforsecurity=False) if wanted.md5 or wanted.json_file else None
        self._num_pixels = pixels
        self.files: list[TextSink] = []
        self._times: TextSink | None = None
        self._json: JsonReport | None = None
        self._timestamps: TimestampFile | None = None
        if wanted.frame_times is not None:
            self._times = self._open(stack, wanted.frame_times, overwrite)
            self._times.write(b"index,seconds\n")
        if wanted.json_file is not None:
            self._json = JsonReport(self._open(stack, wanted.json_file, overwrite), head)
        if wanted.timestamps is not None:
            self._timestamps = TimestampFile(self._open(stack, wanted.timestamps, overwrite))

    def _open(self, stack: ExitStack, name: str, overwrite: bool) -> "TextSink":
        from dcvc_cli.media import OutputFile

        # OutputFile refuses a terminal, and text may go to one.
        direct = nullcontext(sys.stdout.buffer)
        sink: TextSink = stack.enter_context(direct if name == "-" else OutputFile(name, overwrite=overwrite))
        self.files.append(sink)
        return sink

    def add(self, frame: "Frame", seconds: Fraction) -> None:
        if self._timestamps is not None:
            self._timestamps.add(seconds)
        if self.md5 is not None:
            for plane in frame.picture.planes:
                self.md5.update(plane.data)
        if self._times is not None:
            self._times.write(f"{frame.index},{frame.decode_seconds:.6f}\n".encode())
        if self._json is not None:
            row = {
                "index": frame.index,
                "type": frame.frame_type,
                "qp_frame": frame.qp,
                "size_bytes": frame.size_bytes,
                "bpp": round(8 * frame.size_bytes / self._num_pixels, 6),
                "seconds": round(frame.decode_seconds, 6),
            }
            if frame.picture.time is not None:
                row["time"] = frame.picture.time
            self._json.add(row)

    def finish(self, sums: dict[str, Any]) -> None:
        if self._json is not None:
            self._json.finish(sums | {"md5": self.md5.hexdigest() if self.md5 is not None else None})


def decode_stream(
    source: str,
    output: str,
    choices: DecodeChoices,
    wanted: Reports,
    before_output: Callable[[], None] = lambda: None,
) -> str:
    """Decodes a stream into `output`; returns one line about what was written.

    Args:
        before_output: called once the stream is found to be one that can be decoded here, before the output opens.

    Raises:
        DcvcError: as `dcvc decode` documents its exit codes.
    """
    from dcvc_cli.api.decoder import Decoder
    from dcvc_cli.bitstream.tracks import MATROSKA_TRACK
    from dcvc_cli.coding.decode import HashMismatchError
    from dcvc_cli.coding.output_times import OutputTimes
    from dcvc_cli.coding.queues import read_ahead
    from dcvc_cli.coding.stream_source import naming
    from dcvc_cli.media import PictureWriter, open_writer
    from dcvc_cli.media.output import OutputFile
    from dcvc_cli.media.video_writer import container_of
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice

    voice = Voice(choices.quiet, choices.verbose)
    seek, frames = stream_span(source, choices.seek, choices.frames)
    fault: StreamError | None = None
    num_frames = size_bytes = 0
    start = time.perf_counter()
    with ExitStack() as stack:
        decoder = stack.enter_context(
            Decoder(
                source,
                seek=seek,
                frames=frames,
                verify=choices.verify,
                on_error=choices.on_error,
                device=choices.device,
                threads=choices.threads,
                limits=choices.limits,
                keep_tracks=container_of(f".{choices.output_format}" if choices.output_format else output) is not None,
            )
        )
        stack.enter_context(naming(decoder.name))
        video_format = decoder.format
        before_output()
        writer: PictureWriter = stack.enter_context(
            open_writer(
                output,
                video_format,
                overwrite=choices.overwrite,
                output_format=choices.output_format,
                codec=choices.codec,
            )
        )
        times = OutputTimes(video_format, seek)
        tracks = _track_source(stack, writer, decoder, choices.mux, times, is_whole=(seek, frames) == (0, None))
        head = _head(decoder)
        sinks = _Sinks(stack, wanted, choices.overwrite, head, video_format.size.num_pixels)
        for note in writer.notes if tracks is None else tracks.notes(writer):
            voice.note(f"note: {note}")
        _announce(voice, decoder.sps, choices.device, keeps_times=tracks is not None or wanted.timestamps is not None)
        if tracks is None:
            for track in decoder.tracks:
                if track.track != MATROSKA_TRACK:
                    kind = f"track {track.track} of the stream ({track.kind})"
                    voice.warn(f"{kind} is not written: only the pictures are; -o OUT.mkv holds both")
        rate = float(video_format.frame_rate)
        display = stack.enter_context(
            open_progress(
                choices.progress, "decode", num_frames=decoder.num_frames, frame_rate=rate, quiet=choices.quiet
            )
        )
        try:
            with read_ahead(decoder) as decoded:
                for frame in decoded:
                    picture, seconds = times.of(frame.picture, frame.index)
                    if tracks is not None:
                        tracks.write_until(seconds)
                    writer.write(picture)
                    writer.flush()
                    sinks.add(frame, seconds)
                    num_frames += 1
                    size_bytes += frame.size_bytes
                    display.advance(frame.size_bytes)
                    voice.detail(_frame_line(frame))
        except StreamError as error:
            if isinstance(error, HashMismatchError):
                raise
            if not choices.keep_partial or not num_frames:
                hint = "--keep-partial keeps them" if num_frames and output != "-" else None
                raise StreamError(
                    f"{error.message}; {_counted(num_frames)} before it decoded", error.hint or hint
                ) from error
            fault = error
        if tracks is not None and frames is None and fault is None:
            for sentence in tracks.finish():
                voice.warn(sentence)
        if not num_frames and decoder.losses.num_faults:
            raise StreamError(f"no frame can be decoded: {decoder.losses.summary}")
        sinks.finish(_sums(num_frames, size_bytes, time.perf_counter() - start, decoder.losses, fault))
        # All outputs appear or none.
        writer.complete()
        for file in sinks.files:
            if isinstance(file, OutputFile):
                file.complete()
            else:
                file.flush()
    if wanted.md5 and sinks.md5 is not None:
        print(f"MD5={sinks.md5.hexdigest()}", flush=True)
    with naming(decoder.name):
        if fault is not None:
            raise StreamError(
                f"{fault.message}; {_counted(num_frames)} before it kept in {writer.name}", fault.hint
            ) from fault
        _tell_losses(voice, decoder.losses, writer.name)
    return f"{writer.name}: {_counted(num_frames)} of {video_format.size}"


class _Timeline:
    """The other tracks of an output, in the time of its pictures."""

    def __init__(
        self, writer: "VideoFileWriter", source: "TrackSource", stream: "StreamTracks | None", times: "OutputTimes"
    ) -> None:
        self._writer, self._source, self._stream, self._times = writer, source, stream, times
        source.announce(writer)

    def write_until(self, seconds: Fraction) -> None:
        """Writes the packets of other tracks that belong before a picture."""
        if self._stream is not None:
            self._stream.start = self._times.start
        self._source.write_until(self._writer, seconds)

    def notes(self, writer: "PictureWriter") -> list[str]:
        """Sentences about facts that the output has no place for and about tracks that cannot be written."""
        missing = [] if self._stream is None else self._stream.missing
        lost = [f"track {number} of the stream comes without its parameters: not written" for number in missing]
        return [*dict.fromkeys((*writer.notes, *self._writer.notes)), *lost]

    def finish(self) -> list[str]:
        """Writes the remaining packets of other tracks. Returns sentences about tracks that came too late."""
        self._source.write_until(self._writer, None)
        late = {} if self._stream is None else self._stream.late
        return [
            f"track {number} of the stream ({kind}) begins behind the first frame: not written"
            for number, kind in late.items()
        ]


def _frame_line(frame: "Frame") -> str:
    """Writes one frame in one line, as -v prints it."""
    return (
        f"frame {frame.index} {frame.frame_type} qp={frame.qp} size={frame.size_bytes} "
        f"seconds={frame.decode_seconds:.4f}"
    )


def _track_source(
    stack: ExitStack,
    writer: "PictureWriter",
    decoder: "Decoder",
    mux: str | None,
    times: "OutputTimes",
    *,
    is_whole: bool,
) -> _Timeline | None:
    """Opens the source of other tracks for a video file; None for other outputs."""
    from dcvc_cli.coding.track_copy import FileTracks, StreamTracks
    from dcvc_cli.media.converted import ConvertedWriter
    from dcvc_cli.media.tracks import TrackReader
    from dcvc_cli.media.video_writer import VideoFileWriter

    inner = writer.inner if isinstance(writer, ConvertedWriter) else writer
    if not isinstance(inner, VideoFileWriter):
        if mux is not None:
            raise UsageError("--mux is for video files", "-o OUT.mkv")
        return None
    if mux is None:
        tracks = StreamTracks(decoder, is_whole)
        return _Timeline(inner, tracks, tracks, times)
    reader = stack.enter_context(TrackReader(mux))
    return _Timeline(inner, FileTracks(reader, times.start, is_whole), None, times)


def _head(decoder: "Decoder") -> dict[str, Any]:
    """Returns the values that stand before the frames of a JSON report."""
    from dcvc_cli import __version__
    from dcvc_cli.coding.inspect import sps_values

    video_format = decoder.format
    video = {
        "width": video_format.size.width,
        "height": video_format.size.height,
        "frame_rate": str(video_format.frame_rate),
        "chroma_format": video_format.chroma.value,
    }
    return {"dcvc_version": __version__, "name": decoder.name, "video": video, "sps": sps_values(decoder.sps)}


def _sums(
    num_frames: int, size_bytes: int, seconds: float, losses: "Losses", fault: StreamError | None
) -> dict[str, Any]:
    return {
        "num_frames": num_frames,
        "size_bytes": size_bytes,
        "wall_seconds": round(seconds, 6),
        "num_lost": losses.num_lost,
        "faults": [*losses.faults, *([] if fault is None else [fault.message])],
    }


def _tell_losses(voice: "Voice", losses: "Losses", output: str) -> None:
    """Warns of each fault, then raises StreamError; does nothing for a stream without faults."""
    if not losses.num_faults:
        return
    for sentence in losses.faults:
        voice.warn(sentence)
    if losses.num_faults > len(losses.faults):
        voice.warn(f"{losses.num_faults - len(losses.faults)} more faults like these")
    raise StreamError(f"{losses.summary}; {output} is written")


def _counted(num_frames: int) -> str:
    return f"{num_frames} frame{'s' if num_frames != 1 else ''}"


def _announce(voice: "Voice", sps: "Sps", device_name: str, *, keeps_times: bool) -> None:
    from dcvc_cli.bitstream.sps import Precision
    from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, device_for

    name = NAMES_OF_PRECISIONS[sps.precision]
    if sps.precision is not Precision.EXACT:
        voice.warn(
            f"this stream is coded in {name}, which holds on one software stack and number of threads only: "
            "elsewhere it may fail to decode"
        )
    if sps.time_base is not None and not keeps_times:
        voice.note(
            "note: the pictures carry times, and the output has no place for them: it has a constant rate; "
            "--timestamps FILE keeps them, and so does -o OUT.mkv"
        )
    device = device_for(sps.precision, device_name)
    voice.detail(f"{sps.width}x{sps.height} {sps.chroma_format}, model {sps.model_variant}, {name} on {device}")
