"""One QP for all frames, of which a rate control keeps the history."""

from dataclasses import dataclass

from dcvc_cli.control.scene_cuts import SeenPicture


@dataclass(frozen=True)
class ConstantQp:
    """Gives the same base QP, 0..63, whatever comes."""

    base_qp: int

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """The QP."""
        return self.base_qp

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Bits change nothing."""
