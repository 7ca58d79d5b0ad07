"""dcvc: a neural video codec for the command line. Importing this package never imports torch."""

__version__ = "0.1.0"
