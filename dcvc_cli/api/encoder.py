"""Encodes pictures frame by frame."""

import os
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from dcvc_cli.api.frame import Frame
from dcvc_cli.coding.encode import EncodeSummary, StreamEncoder, summary_of
from dcvc_cli.coding.encode_settings import layered_settings
from dcvc_cli.coding.frame_report import FrameReport, Totals
from dcvc_cli.coding.opened_models import open_model
from dcvc_cli.coding.passes import one_pass, rate_target
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import ChromaFormat, Picture, Plane, VideoFormat, check_samples
from dcvc_cli.media.endings import STREAM, check_ending
from dcvc_cli.media.output import OutputFile

Samples = Picture | Frame | Plane | Sequence[Plane]
"""A picture: three planes, or for RGB also one array (height, width, 3)."""


class Encoder:
    """Codes pictures into a .dcvc stream, one call a picture. A context manager: the stream appears whole at a normal
    end, and not at all where an exception ends the context.

    Args:
        output: a path, or "-" for standard output.
        video_format: size, sampling and rate of every picture; `dcvc.open_pictures(...).format` or a Decoder's has
            one.
        overwrite: replace an existing file.
        preset: settings that come with dcvc: default, archive or low-latency.
        psnr: measure PSNR of every frame, for the reports.
        msssim: measure MS-SSIM of every frame.
        settings: the options of `dcvc encode` with underscores, such as qp=40, keyint=96, model="lite".

    Attributes:
        summary: sums of the finished stream, None before `close`.

    Raises:
        UsageError: settings that cannot be obeyed, or an existing output without overwrite.
        InputError: the output cannot be written, or a picture does not fit the format.
        EnvironmentFault: this machine lacks the weights or the device.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        video_format: VideoFormat,
        *,
        overwrite: bool = False,
        preset: str | None = None,
        psnr: bool = False,
        msssim: bool = False,
        **settings: Any,
    ) -> None:
        target = os.fspath(output)
        check_ending("output", target, STREAM)
        try:
            chosen = layered_settings(settings, preset, None)
        except TypeError as error:
            raise UsageError(f"settings of an encoder: {error}", "the options of dcvc encode, such as qp=40") from error
        if chosen.passes == 2 or chosen.target_size is not None or chosen.target is not None:
            message = "passes=2, target_size and target need the whole clip, and pictures come one at a time"
            raise UsageError(message, "bitrate or crf in one pass, or dcvc encode")
        way_out = "frame_rate=dcvc.Rational(25, 1) sets it"
        goal = rate_target(chosen, "the format", video_format, None, way_out=way_out)
        opened = open_model(chosen.model, chosen.precision, chosen.device, chosen.threads)
        self.format = video_format
        self.summary: EncodeSummary | None = None
        self._totals = Totals()
        self._start = time.perf_counter()
        self._sink = OutputFile(target, overwrite=overwrite)
        try:
            self._encoder = StreamEncoder(
                opened,
                video_format,
                chosen.coding_choices(),
                self._sink,
                psnr=psnr,
                msssim=msssim,
                rate=one_pass(chosen, goal),
            )
        except BaseException:
            self._sink.abort()
            raise

    def encode(self, picture: Samples, *, time: int | None = None) -> list[FrameReport]:
        """Codes the next picture.

        Args:
            picture: three planes as the format promises them (uint8, or uint16 above 8 bits), for RGB also one array
                (height, width, 3), or a Frame of a Decoder.
            time: when it is shown in ticks of the format's time base, where it has one and the picture says nothing.

        Returns:
            reports of the frames that were finished: none or several where a unit holds several pictures.
        """
        return self._add(self._encoder.encode(self._picture(picture, time)))

    def encode_all(self, pictures: Iterable[Samples]) -> None:
        """Codes every picture of an iterable."""
        for picture in pictures:
            self.encode(picture)

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

    def _add(self, reports: list[FrameReport]) -> list[FrameReport]:
        for report in reports:
            self._totals.add(report)
        return reports

    def close(self) -> EncodeSummary:
        """Ends the stream and puts the file in its place; returns the sums. Does nothing a second time.

        Raises:
            InputError: no picture was coded, or the output cannot be written.
        """
        if self.summary is not None:
            return self.summary
        try:
            self._add(self._encoder.finish())
            if not self._totals.num_frames:
                raise InputError(f"{self._sink.name}: no picture was coded")
            self._sink.commit()
        except BaseException:
            self._sink.abort()
            raise
        self.summary = summary_of(self._encoder, self._totals, time.perf_counter() - self._start)
        return self.summary

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
