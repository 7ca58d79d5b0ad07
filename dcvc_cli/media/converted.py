"""Writers that convert decoded pictures for another writer, or drop them."""

from collections.abc import Callable
from dataclasses import replace

from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media.base import PictureWriter


class ConvertedWriter(PictureWriter):
    """Converts each picture and gives it to another writer.

    Args:
        inner: takes the converted pictures; committed and aborted with this one.
        video_format: format of the pictures that come.
        convert: makes a picture of the inner writer's format.
        notes: what the conversion assumed or loses, one sentence each.
    """

    def __init__(
        self,
        inner: PictureWriter,
        video_format: VideoFormat,
        convert: Callable[[Picture], Picture],
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(video_format)
        self.inner, self._convert = inner, convert
        self.name, self.notes = inner.name, notes + inner.notes

    def _write(self, picture: Picture) -> None:
        self.inner.write(replace(self._convert(picture), time=picture.time))

    def flush(self) -> None:
        self.inner.flush()

    def complete(self) -> None:
        self.inner.complete()

    def commit(self) -> None:
        self.inner.commit()

    def abort(self) -> None:
        self.inner.abort()


class NullWriter(PictureWriter):
    """Checks the shapes of pictures and drops them: for decoding that only checks, counts or measures."""

    name = "null"

    def _write(self, picture: Picture) -> None:
        pass

    def commit(self) -> None:
        pass

    def abort(self) -> None:
        pass
