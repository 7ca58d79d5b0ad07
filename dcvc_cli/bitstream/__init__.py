"""The .dcvc stream and the reference elementary stream, byte by byte. Standard library only; docs/bitstream.md is the
layout."""
