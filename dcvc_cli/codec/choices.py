"""What an encoder is free to choose, with the defaults of the command line. Light to import: the help texts name these
defaults."""

from dataclasses import dataclass, field

from dcvc_cli.bitstream.sps import HashKind
from dcvc_cli.format.entropy_format import EntropyFormat

DEFAULT_SKIP_THRESHOLD = 0.12
"""Elements predicted more narrowly are not coded: in coding, calibration and conformance alike."""
DEFAULT_RESET_INTERVAL = 32
"""P frames between drops of the reference feature, in coding and in training."""
HASH_KINDS = {"crc": HashKind.CRC32, "md5": HashKind.MD5, "none": HashKind.NONE}
ENTROPY_FORMATS: dict[str, EntropyFormat | None] = {
    "auto": None,
    "compact": EntropyFormat.COMPACT,
    "partitioned": EntropyFormat.PARTITIONED,
    "reference-one": EntropyFormat.REFERENCE_ONE,
    "reference-two": EntropyFormat.REFERENCE_TWO,
}


@dataclass(frozen=True)
class CodingChoices:
    """Frame types, qualities and hashes of a stream.

    Args:
        qp_i, qp_p: 0..63, HIGHER is better quality and a bigger file.
        keyint: frames from I frame to I frame, -1 = only the first.
        forced_keys: 0-based numbers of frames, counted from the first coded one, that become I frames.
        reset_interval: frames between drops of the reference feature, 0 = never.
        skip_threshold: elements predicted this narrowly are not coded; None codes all.
        entropy_format: how symbols become bytes, None = by the picture size; the reference's own, of one or two coders,
            can be remuxed to its elementary stream.
    """

    qp_i: int = 32
    qp_p: int = 32
    keyint: int = 256
    forced_keys: frozenset[int] = field(default_factory=frozenset)
    reset_interval: int = DEFAULT_RESET_INTERVAL
    skip_threshold: float | None = DEFAULT_SKIP_THRESHOLD
    hash_kind: HashKind = HashKind.CRC32
    entropy_format: EntropyFormat | None = None
