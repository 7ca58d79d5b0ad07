"""The .dcvc stream, byte by byte. Standard library only; docs/bitstream.md is the layout."""
