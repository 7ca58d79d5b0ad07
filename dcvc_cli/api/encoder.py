"""Encodes pictures frame by frame."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from dcvc_cli.api.frame import Frame
from dcvc_cli.coding.encode import EncodeSummary, StreamEncoder, code_ahead, summary_of
from dcvc_cli.coding.encode_settings import EncodeSettings, layered_settings
from dcvc_cli.coding.frame_report import FrameCallback, FrameReport, Totals
from dcvc_cli.coding.memory import encoding_memory
from dcvc_cli.coding.opened_models import OpenedModel, open_model
from dcvc_cli.coding.passes import rate_target
from dcvc_cli.coding.quality_run import ReachedQuality
from dcvc_cli.coding.rate_choice import check_passes, choose_rate, needs_passes
from dcvc_cli.coding.track_feed import TrackFeed, track_feed
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import ChromaFormat, Picture, Plane, VideoFormat, check_samples
from dcvc_cli.media import PictureReader, PictureWriter
from dcvc_cli.media.endings import STREAM, check_ending
from dcvc_cli.media.output import OutputFile

Samples = Picture | Frame | Plane | Sequence[Plane]
"""A picture: three planes, or for RGB also one array (height, width, 3)."""


class Encoder:
    """Codes pictures into a .dcvc stream, one call a picture or a clip. A context manager: the stream appears whole at
    a normal end, and not at all where an exception ends the context.

    Args:
        output: a path, or "-" for standard output.
        source: an opened input (`dcvc.open_pictures`), whose other tracks go into the stream where it keeps them; or
            the size, sampling and rate of pictures that come from elsewhere.
        overwrite: replace an existing file.
        settings: in place of preset and options.
        preset: settings that come with dcvc: archive, broadcast, default, low-latency, steady or streaming.
        model: loaded already (`dcvc.open_model`), so that several encoders share it; None loads the one that the
            settings name.
        limits: largest pictures and most memory, None for what the environment says.
        psnr: measure PSNR of every frame, for the reports.
        msssim: measure MS-SSIM of every frame.
        recon: takes the pictures that a decoder will show.
        on_frame: called with the report of every frame, the last ones included.
        stats: a file that keeps the first of two passes, or has kept it.
        tell: takes a line about each pass and probe of settings that code the clip several times.
        options: the options of `dcvc encode` with underscores, such as qp=40 or keyint=96; `model` also as its name.

    Attributes:
        name: the output for messages.
        format: size, sampling and rate of every picture.
        settings: all settings that hold.
        model: the weights and where they run.
        summary: sums of the finished stream, None before `complete`.
        reached: the quality that `target` asked for and what the stream has, None before `complete` or without.

    Raises:
        UsageError: settings that cannot be obeyed, or an existing output without overwrite.
        InputError: the output cannot be written, or a picture does not fit the format.
        EnvironmentFault: this machine lacks the weights or the device.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        source: PictureReader | VideoFormat,
        *,
        overwrite: bool = False,
        settings: EncodeSettings | None = None,
        preset: str | None = None,
        model: OpenedModel | str | None = None,
        limits: Limits | None = None,
        psnr: bool = False,
        msssim: bool = False,
        recon: PictureWriter | None = None,
        on_frame: FrameCallback | None = None,
        stats: str | None = None,
        tell: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        target = os.fspath(output)
        check_ending("output", target, STREAM)
        self._reader = source if isinstance(source, PictureReader) else None
        self.format = source.format if isinstance(source, PictureReader) else source
        self._source_name = "the format" if self._reader is None else self._reader.name
        if settings is not None and (options or preset is not None or isinstance(model, str)):
            raise UsageError("settings stand in place of preset and options", "leave one out")
        self.settings = settings or _settings_of(options, preset, model)
        check_passes(self.settings, self._reader, stats)
        self._psnr, self._msssim, self._recon = psnr, msssim, recon
        self._on_frame, self._stats, self._tell = on_frame, stats, tell or (lambda line: None)
        self.summary: EncodeSummary | None = None
        self.reached: ReachedQuality | None = None
        self._totals = Totals()
        self._encoder: StreamEncoder | None = None
        self._feed: TrackFeed | None = None if self._reader is None else track_feed(self._reader)
        self._sink = OutputFile(target, overwrite=overwrite)
        self.name = self._sink.name
        try:
            way_out = "frame_rate=dcvc.Rational(25, 1) sets it" if self._reader is None else "--fps 25 sets it"
            num_frames = self._num_frames()
            self._target = rate_target(self.settings, self._source_name, self.format, num_frames, way_out=way_out)
            chosen = self.settings
            if isinstance(model, OpenedModel):
                self.model = model
            else:
                self.model = open_model(chosen.model, chosen.precision, chosen.device, chosen.threads)
            size, granted = self.format.size, Limits.from_environment() if limits is None else limits
            granted.check_encoding(self._source_name, size.width, size.height, encoding_memory(self.model, size))
            if not needs_passes(self.settings):
                self.prepare()
        except BaseException:
            self._sink.abort()
            raise

    def _num_frames(self) -> int | None:
        """Counts the pictures that will come; None where that is not known."""
        if self._reader is None:
            return None
        # A pipe does not tell its end; a limit tells the most that come, which is enough for a largest size.
        capped = self._reader.span[1] if self.settings.target_size is not None else None
        return capped if self._reader.num_frames is None else self._reader.num_frames

    def prepare(self) -> None:
        """Runs the passes and probes that the settings ask for; the first picture does it otherwise. Does nothing a
        second time."""
        if self._encoder is not None:
            return
        self._rate = choose_rate(
            self.settings, self._target, self.model, self.format, self._reader, self._stats, self._tell
        )
        self._encoder = StreamEncoder(
            self.model,
            self.format,
            self.settings.coding_choices(),
            self._sink,
            recon=self._recon,
            psnr=self._psnr,
            msssim=self._msssim,
            tracks=self._feed,
            rate=self._rate.control,
        )
        self._start = time.perf_counter()

    def _opened(self) -> StreamEncoder:
        self.prepare()
        assert self._encoder is not None
        return self._encoder

    def encode(self, picture: Samples, *, time: int | None = None) -> list[FrameReport]:
        """Codes the next picture.

        Args:
            picture: three planes as the format promises them (uint8, or uint16 above 8 bits), for RGB also one array
                (height, width, 3), or a Frame of a Decoder.
            time: when it is shown in ticks of the format's time base, where it has one and the picture says nothing.

        Returns:
            reports of the frames that were finished: none or several where a unit holds several pictures, or where
            pictures wait until it is known whether a scene begins.
        """
        return [self._added(report) for report in self._opened().encode(self._picture(picture, time))]

    def encode_all(self, pictures: Iterable[Samples] | None = None) -> None:
        """Codes every picture of an iterable, None for the opened input. The iterable runs in a thread of its own, a
        few pictures ahead."""
        if pictures is None:
            if self._reader is None:
                raise UsageError("there is no opened input to encode", "dcvc.open_pictures(...) in place of the format")
            pictures = self._reader
        for report in code_ahead(self._opened(), (self._picture(picture, None) for picture in pictures)):
            self._added(report)

    def _picture(self, samples: Samples, time: int | None) -> Picture:
        if isinstance(samples, Frame):
            samples = samples.picture
        if isinstance(samples, Picture):
            picture = samples
        else:
            is_interleaved = isinstance(samples, np.ndarray) and samples.ndim == 3 and samples.shape[2] == 3
            planes = np.moveaxis(np.asarray(samples), 2, 0) if is_interleaved else samples
            if is_interleaved and self.format.chroma is not ChromaFormat.RGB:
                raise InputError(
                    f"an array (height, width, 3) is RGB, and the format is {self.format.sampling}: give three planes"
                )
            if len(planes) != 3:
                raise InputError(f"a picture has {len(planes)} planes, expected 3")
            first, second, third = (np.ascontiguousarray(plane) for plane in planes)
            picture = Picture((first, second, third), time)
        for plane, shape in zip(picture.planes, self.format.plane_shapes, strict=True):
            if plane.shape != shape or plane.dtype != self.format.dtype:
                raise InputError(f"a plane is {plane.dtype} {plane.shape}, the format has {self.format.dtype} {shape}")
        check_samples(picture, self.format)
        return picture if picture.time is not None or time is None else Picture(picture.planes, time)

    def _added(self, report: FrameReport) -> FrameReport:
        self._totals.add(report)
        if self._on_frame is not None:
            self._on_frame(report)
        return report

    @property
    def num_packets_left_out(self) -> int:
        """Packets of other tracks that are too large for a stream."""
        return 0 if self._feed is None else self._feed.num_left_out

    def complete(self) -> EncodeSummary:
        """Ends the stream and writes all of it; `close` puts it in its place. For outputs that appear together. Does
        nothing a second time.

        Raises:
            InputError: no picture was coded, or the output cannot be written.
        """
        if self.summary is not None:
            return self.summary
        try:
            if self._encoder is not None:
                for report in self._encoder.finish():
                    self._added(report)
            if self._encoder is None or not self._totals.num_frames:
                raise InputError(f"{self.name}: no picture was coded")
            summary = summary_of(self._encoder, self._totals, time.perf_counter() - self._start)
            if self._rate.found is not None:
                self.reached = self._rate.found.reached(self._sink)
            self._sink.complete()
        except BaseException:
            self._sink.abort()
            raise
        self.summary = summary
        return summary

    def close(self) -> EncodeSummary:
        """Ends the stream and puts the file in its place; returns the sums. Does nothing a second time.

        Raises:
            InputError: as `complete`.
        """
        summary = self.complete()
        self._sink.commit()
        return summary

    def abort(self) -> None:
        """Drops the stream. Never raises."""
        self._sink.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _settings_of(options: dict[str, Any], preset: str | None, model: OpenedModel | str | None) -> EncodeSettings:
    given = options | ({"model": model} if isinstance(model, str) else {})
    try:
        return layered_settings(given, preset, None)
    except TypeError as error:
        raise UsageError(f"settings of an encoder: {error}", "the options of dcvc encode, such as qp=40") from error
