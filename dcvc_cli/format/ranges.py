"""The check of a number's range, for values that are checked when they are made."""


def check_range(what: str, value: int, low: int, high: int) -> None:
    """Raises ValueError unless low <= value <= high.

    Args:
        what: name of the value, for the message.
    """
    if not low <= value <= high:
        raise ValueError(f"{what} {value} is outside {low}..{high}")
