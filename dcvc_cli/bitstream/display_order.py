"""Puts pictures from coding order into display order: a picture waits for all pictures that are shown before it."""

from typing import Generic, TypeVar

from dcvc_cli.bitstream.faults import BitstreamError, Rule

T = TypeVar("T")


class DisplayOrder(Generic[T]):
    """Orders the pictures of one GOP after the other. Holds at most max_reorder + 1 pictures.

    Args:
        max_reorder: the SPS field; 0 lets every picture through at once.
    """

    def __init__(self, max_reorder: int) -> None:
        self._max_reorder = max_reorder
        self._held: dict[int, T] = {}
        self._next_shown = 0
        self._next_coded = 0

    def restart(self) -> list[T]:
        """Begins a new order at an I unit: returns the pictures that are left, in display order. Numbers count from 0
        again."""
        rest = [self._held[number] for number in sorted(self._held)]
        self._held.clear()
        self._next_shown = self._next_coded = 0
        return rest

    def push(self, shift: int, picture: T) -> list[T]:
        """Takes the next picture in coding order. Returns the pictures that can be shown now, in display order.

        Args:
            shift: display number less coding number.

        Raises:
            BitstreamError: a display number comes twice, or one never came (display-order).
        """
        number = self._next_coded + shift
        self._next_coded += 1
        if number < self._next_shown or number in self._held:
            raise BitstreamError(Rule.DISPLAY_ORDER, f"two pictures of a GOP have display number {number}")
        self._held[number] = picture
        ready: list[T] = []
        while self._next_shown in self._held:
            ready.append(self._held.pop(self._next_shown))
            self._next_shown += 1
        # Picture n is coded at n + max_reorder at the latest.
        if self._next_coded > self._next_shown + self._max_reorder:
            raise BitstreamError(Rule.DISPLAY_ORDER, f"the picture with display number {self._next_shown} never came")
        return ready
