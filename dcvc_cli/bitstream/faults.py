"""The rules of docs/bitstream.md that a stream can break, and the errors that name them."""

from enum import StrEnum

from dcvc_cli.errors import StreamError


class Rule(StrEnum):
    """One rule of the stream. Its value is the stable name that `dcvc info --validate --json` prints."""

    SIGNATURE = "signature"
    UNIT_TYPE = "unit-type"
    LENGTH_FORM = "length-form"
    LENGTH_LIMIT = "length-limit"
    CHECK = "check"
    TRUNCATED = "truncated"
    SPS_CONTENT = "sps-content"
    SPS_MISSING = "sps-missing"
    SPS_CHANGED = "sps-changed"
    SPS_NOT_REPEATED = "sps-not-repeated"
    QP_RANGE = "qp-range"
    RESET_ON_I = "reset-on-i"
    P_WITHOUT_I = "p-without-i"
    LOST_FRAMES = "lost-frames"
    SEI_CONTENT = "sei-content"
    HASH_FRAME = "hash-frame"
    HASH_KIND = "hash-kind"
    INDEX_CONTENT = "index-content"
    INDEX_MISMATCH = "index-mismatch"
    END_CONTENT = "end-content"
    END_MISMATCH = "end-mismatch"
    END_MISSING = "end-missing"
    AFTER_END = "after-end"
    PICTURE_HEADER = "picture-header"
    DISPLAY_ORDER = "display-order"
    TIME_ORDER = "time-order"
    METADATA_CONTENT = "metadata-content"
    TRACK_CONTENT = "track-content"
    TRACK_MISSING = "track-missing"
    VBV_UNDERFLOW = "vbv-underflow"
    UNSUPPORTED = "unsupported"


class BitstreamError(StreamError):
    """A stream that breaks a rule.

    Args:
        rule: the rule that is broken.
        message: one line: what failed, what was expected, what was found.
        offset: byte offset in the source where the broken unit starts, or None where the caller knows no offset.
        hint: the way out, or None.
    """

    def __init__(self, rule: Rule, message: str, offset: int | None = None, hint: str | None = None) -> None:
        self.rule = rule
        self.reason = message
        self.offset = offset
        super().__init__(
            message if offset is None else f"stream damaged at byte {offset}: {message} [{rule.value}]", hint
        )

    def at(self, offset: int) -> "BitstreamError":
        """Returns the same error with the place where it happened."""
        return type(self)(self.rule, self.reason, offset, self.hint)


class TruncatedStreamError(BitstreamError):
    """A stream that stops before its end unit. Everything before the stop is intact."""


class UnsupportedStreamError(BitstreamError):
    """An intact stream that needs a newer dcvc. No reader treats it as damage."""

    def at(self, offset: int) -> "UnsupportedStreamError":
        """Returns the error itself: an unsupported stream is not damaged, so its message names no offset."""
        return self
