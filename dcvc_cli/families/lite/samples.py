"""The fixed-point samples that motion, the output filter and the floor of lite compute with."""

SAMPLE_BITS = 13
"""Bits behind the point."""
MAX_SAMPLE = 1 << SAMPLE_BITS
"""What 1.0 is: samples in 0..1 are 0..8192."""
