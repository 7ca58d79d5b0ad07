"""How a frame's symbols lie in its bytes: a value of the stream's header and a mode of the entropy coder, so neither
layer owns it."""

from enum import IntEnum


class EntropyFormat(IntEnum):
    """The byte layout of a frame's symbols (docs/entropy-coding.md); the numbers are those of the sequence parameter
    set."""

    FAMILY = 0
    """The model family's own; format version 2 only. Families `lite` and `dcvc-rt` have none."""
    PUBLISHED_ONE = 1
    """The published codec's, one coder (ec_part 0)."""
    PUBLISHED_TWO = 2
    """The published codec's, two coders over a shared tail (ec_part 1)."""
    PARTITIONED = 3
    """Ours: a header byte, then one to 64 partitions, interleaved where there are many symbols."""
    COMPACT = 4
    """Ours: vectors and symbols in one range-coded string with no byte besides, for small pictures."""

    @property
    def is_published(self) -> bool:
        """Returns whether the published codec reads it."""
        return self in (EntropyFormat.PUBLISHED_ONE, EntropyFormat.PUBLISHED_TWO)


SHARED_FORMATS = tuple(one for one in EntropyFormat if one is not EntropyFormat.FAMILY)
"""The formats of docs/entropy-coding.md, which any family may use."""
