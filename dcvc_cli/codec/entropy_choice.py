"""Which entropy format a stream gets where its encoder is told none."""

from dcvc_cli.codec.pictures import padded_size
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize

MAX_COMPACT_SAMPLES = 1280 * 720
"""Padded luma samples up to which streams are compact: decoding their symbols takes a small share of the networks'
time, and the bytes saved are a share worth having. Beyond, partitions decode several times as fast
(docs/decisions/0014-compact-payloads.md)."""


def entropy_format_for(size: PictureSize) -> EntropyFormat:
    """The compact one as long as its speed does not matter."""
    height, width = padded_size(size)
    return EntropyFormat.COMPACT if height * width <= MAX_COMPACT_SAMPLES else EntropyFormat.PARTITIONED
