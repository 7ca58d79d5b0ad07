"""Growth of bits with the QP, in integers: the same on every machine."""

OCTAVE_P, OCTAVE_I = 12, 16
"""QPs that about double the bits of P and of I frames. Rate control measures the rest while it codes a stream."""
_BITS = 16
_STEPS = 48


def _root(value: int, degree: int) -> int:
    """Returns the largest number whose power is not above the value."""
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle)
    return low


_POWERS = tuple(_root(1 << (_BITS * _STEPS + step), _STEPS) for step in range(_STEPS))
"""2^(step / 48) in 1/65536."""


def growth(qp: int, *, is_key: bool) -> int:
    """Returns the bits at a QP 0..63, as a multiple of those at QP 0, in 1/65536."""
    octave = OCTAVE_I if is_key else OCTAVE_P
    whole, rest = divmod(qp, octave)
    return _POWERS[rest * (_STEPS // octave)] << whole
