"""What an encoder is free to choose, with the defaults of the command line.

The help texts name these defaults, so this module loads nothing heavy.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dcvc_cli.bitstream.sps import HashKind
from dcvc_cli.bitstream.sps_blocks import Vbv
from dcvc_cli.format.entropy_format import EntropyFormat

DEFAULT_SKIP_THRESHOLD = 0.12
"""Latents whose predicted scale is not above it are not coded, in coding, calibration and conformance alike."""
DEFAULT_RESET_INTERVAL = 32
"""P frames between drops of the reference feature, in coding and in training."""
DEFAULT_MIN_KEYINT = 8
"""One period of the models' patterns of good frames."""
LOSSLESS_QP = 18
"""QP of the networks in streams without loss: of 0, 10, 12, 18, 20, 24, 30 and 42 the one with the fewest bytes on four
training clips, within 0.3 %."""
HASH_KINDS = {"crc": HashKind.CRC32, "md5": HashKind.MD5, "none": HashKind.NONE}
ENTROPY_FORMATS: dict[str, EntropyFormat | None] = {
    "auto": None,
    "compact": EntropyFormat.COMPACT,
    "partitioned": EntropyFormat.PARTITIONED,
    "published-one": EntropyFormat.PUBLISHED_ONE,
    "published-two": EntropyFormat.PUBLISHED_TWO,
}


@dataclass(frozen=True)
class CodingChoices:
    """Frame types, qualities and hashes of a stream.

    Attributes:
        qp_i, qp_p: 0..63, HIGHER is better quality and a bigger file.
        keyint: frames from one I frame to the next; -1 = only the first frame.
        forced_keys: numbers of frames that become I frames; 0 is the first one coded.
        scene_cuts: the first frame of a scene becomes an I frame.
        min_keyint: frames from an I frame to one that a scene cut makes, at least.
        reset_interval: frames between drops of the reference feature, 0 = never.
        skip_threshold: latents whose predicted scale is not above it are not coded; None codes all.
        entropy_format: how symbols become bytes, None = by the picture size. The published codec's two formats can be
            remuxed to its elementary stream.
        vbv: the buffer that the stream names, or None.
        lossless: the decoder's pictures are the source; QPs only say how coarsely the networks foretell it.
    """

    qp_i: int = 32
    qp_p: int = 32
    keyint: int = 256
    forced_keys: frozenset[int] = field(default_factory=frozenset)
    scene_cuts: bool = True
    min_keyint: int = DEFAULT_MIN_KEYINT
    reset_interval: int = DEFAULT_RESET_INTERVAL
    skip_threshold: float | None = DEFAULT_SKIP_THRESHOLD
    hash_kind: HashKind = HashKind.CRC32
    entropy_format: EntropyFormat | None = None
    vbv: Vbv | None = None
    lossless: bool = False


@dataclass(frozen=True)
class PictureOrder:
    """What is asked of one picture, beside the choices of its stream.

    Attributes:
        is_key: the picture becomes an I frame, whatever the choices say.
        qp_i: QP 0..63 if the picture is an I frame; None = that of the choices.
        qp_p: base QP 0..63 if it is a P frame; the family adds its pattern; None = that of the choices. A unit of
            several pictures takes the order of its first one.
        room: tells how many bytes the payload of the picture's unit may have, when the unit is coded; None = any
            number. A larger one is coded again at a lower QP. Units with room come out at once, not a picture late.
    """

    is_key: bool = False
    qp_i: int | None = None
    qp_p: int | None = None
    room: Callable[[], int] | None = None

    def lowered(self, by: int) -> "PictureOrder":
        """Returns the same order at QPs lower by so many, 0 at least."""
        qp_i = None if self.qp_i is None else max(0, self.qp_i - by)
        return replace(self, qp_i=qp_i, qp_p=None if self.qp_p is None else max(0, self.qp_p - by))


NO_ORDER = PictureOrder()
"""Everything as the choices say."""
