"""Reader and writer of .dcvc streams under one name."""

from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter

__all__ = ["StreamReader", "StreamWriter"]
