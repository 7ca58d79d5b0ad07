"""Limits of frame units: the limits of the format, and the narrower limits that a model family may set."""

from collections.abc import Callable
from dataclasses import dataclass

from dcvc_cli.bitstream.nal import MAX_UNIT_QP
from dcvc_cli.bitstream.picture_header import MAX_PICTURE_HEADER_SIZE
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.varint import UV_LIMIT

MAX_QP_I, MAX_QP_P = 63, 71
"""Largest QPs of streams of format version 1 and of the published codec's elementary streams."""


@dataclass(frozen=True)
class FrameLimits:
    """Limits of the frame units under one SPS.

    Attributes:
        max_qp_i: largest QP of an I unit, 0..127.
        max_qp_p: largest QP of a P unit, 0..127.
        max_payload_size: largest payload of a unit in bytes. Readers check it before they spend memory on the payload.
    """

    max_qp_i: int
    max_qp_p: int
    max_payload_size: int

    def __post_init__(self) -> None:
        if not (0 <= self.max_qp_i <= MAX_UNIT_QP and 0 <= self.max_qp_p <= MAX_UNIT_QP):
            raise ValueError(f"largest QPs {self.max_qp_i} and {self.max_qp_p} are outside 0..{MAX_UNIT_QP}")
        if not 0 < self.max_payload_size < UV_LIMIT:
            raise ValueError(f"a largest payload of {self.max_payload_size} bytes is outside 1..{UV_LIMIT - 1}")

    def within(self, other: "FrameLimits") -> "FrameLimits":
        """Returns the narrower limit of both in every field."""
        return FrameLimits(
            min(self.max_qp_i, other.max_qp_i),
            min(self.max_qp_p, other.max_qp_p),
            min(self.max_payload_size, other.max_payload_size),
        )


LimitsOf = Callable[[Sps], FrameLimits | None]
"""Returns the limits of a model family under an SPS. None for a family that this dcvc does not know: it can still list
the units.

The function may raise UnsupportedStreamError, if the family's syntax is newer than this dcvc.
"""


def largest_payload(width: int, height: int, num_latents: int, num_pictures: int = 1) -> int:
    """Returns the largest payload of a picture size in bytes: 4096 plus 4 for each symbol of every picture.

    Args:
        num_latents: number of latent channels, on the 1/16 grid. 128 hyper-latent channels are on the 1/64 grid.
    """
    num_y = num_latents * (-(-width // 16)) * (-(-height // 16))
    num_z = 128 * (-(-width // 64)) * (-(-height // 64))
    return 4096 + 4 * (num_y + num_z) * num_pictures


def general_limits(sps: Sps) -> FrameLimits:
    """Returns the limits of the format.

    Networks have up to 384 latent channels. The costliest symbol of 8 bits takes 28 bits; the other four bits are room
    for vectors, filters and floor.
    """
    size = largest_payload(sps.width, sps.height, 384, sps.max_pictures)
    if sps.format_version == 1:
        return FrameLimits(MAX_QP_I, MAX_QP_P, min(size, UV_LIMIT - 1))
    return FrameLimits(MAX_UNIT_QP, MAX_UNIT_QP, min(size + MAX_PICTURE_HEADER_SIZE, UV_LIMIT - 1))


def limits_under(sps: Sps, limits_of: LimitsOf | None) -> FrameLimits:
    """Returns the narrower limits of format and family."""
    limits = general_limits(sps)
    own = limits_of(sps) if limits_of is not None else None
    return limits if own is None else limits.within(own)
