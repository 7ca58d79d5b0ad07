"""Chooses the entropy format of a stream where its user chooses none."""

from dcvc_cli.codec.pictures import padded_size
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize

MAX_COMPACT_SAMPLES = 1280 * 720
"""Largest padded size, in luma samples, of pictures in compact streams. Up to it, the decoding of symbols takes a small
share of the networks' time. Beyond it, partitions decode several times as fast
(docs/decisions/0014-compact-payloads.md)."""


def entropy_format_for(size: PictureSize) -> EntropyFormat:
    """Returns COMPACT up to the size where its speed begins to matter, PARTITIONED beyond."""
    height, width = padded_size(size)
    return EntropyFormat.COMPACT if height * width <= MAX_COMPACT_SAMPLES else EntropyFormat.PARTITIONED
