"""Finds the motion of P frames, and in fades the changes of brightness (docs/motion.md, "The encoder's search")."""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.families.lite.frames import FrameCoder
from dcvc_cli.families.lite.motion.brightness import (
    OFFSET_UNIT,
    SAME_BRIGHTNESS,
    FrameBrightness,
    brightened,
    find_brightness,
)
from dcvc_cli.families.lite.motion.field import in_lines, luma_of_values, search_lambda
from dcvc_cli.families.lite.motion.motion import SAMPLE_UNIT, Motion
from dcvc_cli.format.range_coder import EncoderState
from dcvc_cli.stages import MOTION, timed

BRIGHTNESS_BITS = 48
"""Bits of a frame's changes of brightness, about."""


class MotionEncoder(FrameCoder):
    """Chooses and codes what a P frame's prediction is made by."""

    @timed(MOTION)
    def find_motion(self, values: NDArray[np.float32], qp: int) -> tuple[Tensor, NDArray[np.float32], EncoderState]:
        """Finds and codes the motion of a P frame, and its changes of brightness where payloads have them.

        Returns:
            (the compensated frame, the difference between the network input and it, the state of the range coder
            behind vectors and brightness).
        """
        ops, long_term = self.networks["video"].synthesis, self.reference.long_term
        samples, kept = self._samples(), long_term
        if kept is not None and ops.has_picture_kernels:
            kept = ops.samples_from_frame(kept)
        motion, brightness = self._search(values, qp, samples, kept, SAME_BRIGHTNESS), SAME_BRIGHTNESS
        if self.has_brightness:
            motion, brightness = self._with_brightness(values, qp, samples, kept, motion)
        if ops.has_picture_kernels:
            predicted = self._compensate_on_device(motion, brightness)
            compensated = ops.samples_from_frame(predicted)
        else:
            compensated = self._compensate(samples, kept, motion, brightness)
            predicted = ops.frame_from_samples(compensated)
        left = values - in_lines(compensated) * SAMPLE_UNIT
        has_long_term, state = self.field_coder.has_long_term, self.field_coder.encode_open(motion)
        if self.has_brightness:
            state = self.brightness_coder.encode_open(brightness, has_long_term, state)
        return predicted, left, state

    def _search(
        self,
        values: NDArray[np.float32],
        qp: int,
        samples: NDArray[np.int16],
        kept: NDArray[np.int16] | None,
        brightness: FrameBrightness,
    ) -> Motion:
        """Searches the motion of a network input in references given as samples, brightened."""
        before = None if kept is None else in_lines(brightened(kept, brightness.long_term)[:1])
        luma = in_lines(brightened(samples, brightness.reference)[:1])
        return self.field_coder.search(luma_of_values(values), luma, qp, before, self.networks.threads)

    def _with_brightness(
        self,
        values: NDArray[np.float32],
        qp: int,
        samples: NDArray[np.int16],
        kept: NDArray[np.int16] | None,
        motion: Motion,
    ) -> tuple[Motion, FrameBrightness]:
        """Searches once more in references of changed brightness, where the brightness of the picture changes.

        Returns:
            (motion, brightness) of the smaller error.
        """
        wanted = np.rint(values / SAMPLE_UNIT).astype(np.int16)
        of_reference = find_brightness(wanted, in_lines(samples))
        if of_reference is None:
            return motion, SAME_BRIGHTNESS
        brightness = FrameBrightness(of_reference, None if kept is None else find_brightness(wanted, in_lines(kept)))

        def error(found: Motion, used: FrameBrightness) -> float:
            difference = in_lines(self._compensate(samples, kept, found, used))[0].astype(np.int64) - wanted[0]
            return float((difference * difference).sum()) / OFFSET_UNIT**2

        found = self._search(values, qp, samples, kept, brightness)
        price = BRIGHTNESS_BITS * search_lambda(qp) ** 2
        return (
            (found, brightness)
            if error(found, brightness) + price < error(motion, SAME_BRIGHTNESS)
            else (motion, SAME_BRIGHTNESS)
        )
