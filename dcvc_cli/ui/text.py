"""Makes text from files and file names fit for a terminal."""


def one_line(text: str) -> str:
    """Returns the text with escapes in place of unprintable characters: line ends, control sequences and bytes that are
    no UTF-8.

    The result can be encoded in UTF-8; a file name that is not UTF-8 cannot.
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
