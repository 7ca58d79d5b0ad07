"""Numbers and names of the format that several layers share. Standard library only, for `bitstream/`."""

NUM_QPS = 64
"""QP 0..63. HIGHER is better quality and a bigger file, the opposite of x264 and x265."""
MAX_BASE_QP = NUM_QPS - 1
"""Largest QP that a user asks for; P frames may be coded with up to 8 more."""
DEFAULT_FAMILY = "lite"
"""Family of the default model, as streams have it."""
DEFAULT_MODEL = "lite"
"""The model, and the name of its weights, where nobody chooses one."""
ELEMENTARY_MODEL = "rt"
"""The model of an elementary stream where nobody names one."""
MAX_SIDE = 16384
"""Largest width and largest height of a picture, in luma samples."""
BIT_DEPTHS = (8, 10)
"""Bits of a sample of coded pictures."""
