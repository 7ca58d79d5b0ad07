"""The choices of `dcvc decode --on-error`."""

from enum import StrEnum


class OnError(StrEnum):
    """Ways to go on at a frame that cannot be decoded.

    Attributes:
        STOP: the first broken rule ends the decode.
        SKIP: the frame is left out.
        CONCEAL: the last good picture is shown in its place.
    """

    STOP = "stop"
    SKIP = "skip"
    CONCEAL = "conceal"
