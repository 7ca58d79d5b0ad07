"""What a decoder does with frames that cannot be decoded."""

from enum import StrEnum


class OnError(StrEnum):
    """STOP: the first broken rule ends the decode. SKIP: lost frames are left out. CONCEAL: the last good picture stands in for them."""

    STOP = "stop"
    SKIP = "skip"
    CONCEAL = "conceal"
