"""A rate control that gives one QP to all frames, so that its history is kept."""

from dataclasses import dataclass

from dcvc_cli.control.scene_cuts import SeenPicture


@dataclass(frozen=True)
class ConstantQp:
    """Gives every picture the same base QP, 0..63."""

    base_qp: int

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """Returns the QP."""
        return self.base_qp

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Ignores the bits."""
