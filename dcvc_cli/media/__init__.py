"""Readers and writers of pictures: y4m, raw yuv, PNG sequences, and containers through PyAV.

`open_reader` and `open_writer` choose by content and name; `OutputFile` is the atomic output that every command writes
through.
"""

from dcvc_cli.media.output import OutputFile
from dcvc_cli.media.reader import PictureReader, open_reader
from dcvc_cli.media.writer import PictureWriter, open_writer

__all__ = ["OutputFile", "PictureReader", "PictureWriter", "open_reader", "open_writer"]
