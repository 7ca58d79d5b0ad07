"""Writes RGB pictures as numbered PNG files that appear together when the clip is finished."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media.base import PictureWriter
from dcvc_cli.media.output import check_name, output_fault, refuse_existing
from dcvc_cli.media.png import is_pattern, numbered_names
from dcvc_cli.media.png_chunks import with_format_chunks
from dcvc_cli.media.png_deep import encode_deep_png
from dcvc_cli.staged_files import StagedFolder, put_in_place

FOLDER_PATTERN = "im%05d.png"
FIRST_NUMBER = 1
_COMPRESSION_LEVEL = 3
"""zlib level: a third of the time of level 6 for a few per cent more bytes."""


class PngWriter(PictureWriter):
    """Writes im00001.png, im00002.png ... into a folder, or the names of a pattern, counted from 1, or one single file.

    Files are written into a hidden folder on the same file system and moved to their names by `commit`. A new folder
    appears in one rename. In a folder that exists, nothing but files of the pattern is touched; with overwrite, old
    files of the pattern that the new clip does not replace are removed, so that old pictures are never taken for its
    continuation.

    Args:
        target: folder, pattern such as `out/im%05d.png`, or a name ending in .png for a single picture.
        video_format: RGB.
        overwrite: replace existing pictures.

    Raises:
        UsageError: pictures are there already and overwrite is not set, or a second picture for a single name.
        InputError: the output cannot be written.
    """

    def __init__(self, target: str, video_format: VideoFormat, *, overwrite: bool) -> None:
        super().__init__(video_format)
        self.name = target
        self._overwrite = overwrite
        self._num_pictures = 0
        check_name(target)
        path = Path(target)
        self._is_folder = path.suffix.lower() != ".png"
        self._folder = path if self._is_folder else path.parent
        self._pattern = FOLDER_PATTERN if self._is_folder else path.name
        self._is_single = not is_pattern(self._pattern)
        if os.path.exists(self._folder) and not os.path.isdir(self._folder):
            raise InputError(f"cannot write {target}: {self._folder} is a file, expected a folder")
        in_the_way = self._existing()
        if in_the_way and not overwrite:
            raise refuse_existing(str(in_the_way[0]))
        # Inside a folder that exists, beside one that does not: the same file system either way.
        self._open = True
        try:
            self._staged = StagedFolder(self._folder if os.path.isdir(self._folder) else self._folder.absolute().parent)
        except OSError as error:
            raise output_fault(self.name, error) from error
        self._staging = self._staged.path

    def _existing(self) -> list[Path]:
        """Files in the way: the pattern's, and any other PNG in a folder that would be read back together with ours."""
        if not os.path.isdir(self._folder):
            return []
        if self._is_single:
            path = self._folder / self._pattern
            return [path] if os.path.exists(path) else []
        try:
            entries = sorted(self._folder.iterdir())
        except OSError as error:
            raise output_fault(self.name, error) from error
        if self._is_folder and not self._overwrite:
            return [entry for entry in entries if entry.suffix.lower() == ".png"]
        return [
            self._folder / name for name in numbered_names(self._pattern, [entry.name for entry in entries]).values()
        ]

    def _write(self, picture: Picture) -> None:
        if self._is_single and self._num_pictures == 1:
            hint = "write a folder, or a pattern such as im%05d.png"
            raise UsageError(f"{self.name} names one picture and the stream holds more", hint)
        encoded = self._encoded(picture)
        number = self._num_pictures + FIRST_NUMBER
        path = self._staging / (self._pattern if self._is_single else self._pattern % number)
        try:
            with open(path, "wb") as stream:
                stream.write(with_format_chunks(encoded, self.format))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise output_fault(self.name, error) from error
        self._num_pictures += 1

    def _encoded(self, picture: Picture) -> bytes:
        """Makes a PNG file of the picture: 16 bits a sample where it has more than 8."""
        if self.format.bit_depth != 8:
            return encode_deep_png(picture.planes, self.format.bit_depth, _COMPRESSION_LEVEL)
        encoded = io.BytesIO()
        Image.fromarray(np.stack(picture.planes, axis=2)).save(encoded, "PNG", compress_level=_COMPRESSION_LEVEL)
        return encoded.getvalue()

    def commit(self) -> None:
        if not self._open:
            return
        try:
            self._move_in_place()
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError):
                raise output_fault(self.name, error) from error
            raise
        self._open = False

    def _move_in_place(self) -> None:
        if not os.path.exists(self._folder):
            os.rename(self._staging, self._folder)
            self._staged.release()
            return
        written = {path.name for path in self._staging.iterdir()}
        for name in sorted(written):
            try:
                put_in_place(self._staging / name, self._folder / name, overwrite=self._overwrite)
            except FileExistsError as error:
                raise refuse_existing(str(self._folder / name)) from error
        if self._overwrite and not self._is_single:
            for stale in self._existing():
                if stale.name not in written:
                    stale.unlink()
        self._staging.rmdir()
        self._staged.release()

    def abort(self) -> None:
        if not self._open:
            return
        self._open = False
        self._staged.drop()
