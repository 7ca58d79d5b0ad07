"""Numbers of the format that several layers share. Standard library only, for `bitstream/`."""

NUM_QPS = 64
"""QP 0..63. HIGHER is better quality and a bigger file, the opposite of x264 and x265."""
MAX_BASE_QP = NUM_QPS - 1
"""Largest QP that a user asks for; P frames may be coded with up to 8 more."""
MAX_SIDE = 16384
"""Largest width and largest height of a picture, in luma samples."""
