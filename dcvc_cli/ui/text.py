"""Text out of files and file names, fit for a terminal."""


def one_line(text: str) -> str:
    """The text with everything unprintable spelled out: no line ends, no control sequences, no halves of characters.

    The result can be encoded in UTF-8, which a file name that is not UTF-8 cannot.
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
