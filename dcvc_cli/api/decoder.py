"""Decodes a stream frame by frame."""

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from dcvc_cli.api.frame import Frame
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.tracks import TrackHeader, TrackPacket
from dcvc_cli.coding.concealment import Losses
from dcvc_cli.coding.decode import OpenedStream
from dcvc_cli.coding.on_error import OnError
from dcvc_cli.coding.opened_models import StreamNetworks
from dcvc_cli.coding.stream_source import StreamSource, naming
from dcvc_cli.errors import UsageError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import VideoFormat


class Decoder:
    """Iterates over the frames of a .dcvc stream. Iterate once. A context manager.

    Args:
        source: a path, or "-" for standard input.
        seek: frames to leave out at the start.
        frames: how many frames to decode at most, None for all.
        verify: check the picture hashes in the stream.
        on_error: "stop" raises at the first frame that cannot be decoded, "skip" leaves such frames out, "conceal"
            repeats the picture before.
        device: auto, cpu or cuda:N.
        threads: CPU threads of the arithmetic, None for all cores.
        limits: what the stream may ask for, None for what the environment says.
        keep_tracks: collect what comes of other tracks for `take_track_messages`.

    Attributes:
        name: the source for messages.
        format: size, sampling, colour and rate of every picture.
        sps: parameters of the stream.
        num_frames: how many frames will come, None where that is not known (pipes).
        tracks: headers of the other tracks of the stream that stand before its first frame.

    Raises:
        InputError: the source cannot be read, or has no frame after the skipped ones.
        StreamError: damaged, beyond the limits, or no stream; also while iterating.
        EnvironmentFault: weights or a device are missing; while iterating.
        UsageError: values that cannot be obeyed.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        seek: int = 0,
        frames: int | None = None,
        verify: bool = True,
        on_error: OnError | str = OnError.STOP,
        device: str = "auto",
        threads: int | None = None,
        limits: Limits | None = None,
        keep_tracks: bool = False,
    ) -> None:
        if seek < 0 or (frames is not None and frames < 1):
            raise UsageError(f"seek {seek} and frames {frames}: expected 0 or more and 1 or more")
        if on_error not in list(OnError):
            raise UsageError(f"on_error {on_error!r} is not known, expected one of {', '.join(OnError)}")
        self._verify = verify
        self._networks = StreamNetworks(device, threads)
        self._source = StreamSource(os.fspath(source))
        self.name = self._source.name
        try:
            with naming(self.name):
                self._stream = OpenedStream(self._source, seek, frames, limits, OnError(on_error), keep_tracks)
                self.format: VideoFormat = self._stream.video_format
        except BaseException:
            self._source.close()
            raise
        self._frames = self._decoded()

    @property
    def sps(self) -> Sps:
        return self._stream.sps

    @property
    def num_frames(self) -> int | None:
        return self._stream.num_frames

    @property
    def tracks(self) -> tuple[TrackHeader, ...]:
        return self._stream.tracks

    @property
    def losses(self) -> Losses:
        """Tells what was passed over so far; always empty with on_error "stop"."""
        return self._stream.losses

    def take_track_messages(self) -> Iterator[TrackHeader | TrackPacket]:
        """Headers and packets of other tracks that came since the last call, with `keep_tracks`."""
        messages = self._stream.track_messages
        while messages:
            yield messages.popleft()

    def _decoded(self) -> Iterator[Frame]:
        with naming(self.name):
            for frame in self._stream.frames(self._networks, self._verify):
                report = frame.report
                yield Frame(
                    frame.picture,
                    self.format,
                    report.index,
                    report.frame_type,
                    report.qp_frame,
                    report.size_bytes,
                    report.seconds,
                )

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Closes the source. Does nothing a second time."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
