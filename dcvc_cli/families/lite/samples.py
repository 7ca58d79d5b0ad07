"""The fixed-point samples of motion, output filter and floor in `lite`."""

SAMPLE_BITS = 13
"""Bits behind the binary point."""
MAX_SAMPLE = 1 << SAMPLE_BITS
"""The integer for 1.0: samples in 0..1 become 0..8192."""
