"""Rates of `dcvc eval`: QPs from the command line, on the scale of the codec."""

from enum import StrEnum
from typing import TYPE_CHECKING

from dcvc_cli.errors import UsageError
from dcvc_cli.format.constants import MAX_BASE_QP

if TYPE_CHECKING:
    from dcvc_cli.evaluating.evaluation import Rate

DEFAULT_NUM_RATES = 4
DEFAULT_NUM_CONVENTIONAL_RATES = 6
"""Over the codec's usual QPs: six over 17..42 are 17, 22, 27, 32, 37, 42."""


class CodecName(StrEnum):
    """Names of evaluating.encoders.ConventionalCodec, which is imported only when it is needed."""

    X264 = "x264"
    X265 = "x265"
    SVTAV1 = "svtav1"
    AOM = "aom"
    VVENC = "vvenc"


def rates_of(codec: CodecName | None, rate_num: int | None, qp_i: str | None, qp_p: str | None) -> list["Rate"]:
    """Returns the rates of a run; UsageError for options that do not go together."""
    from dcvc_cli.evaluating.encoders import ENCODERS, ConventionalCodec
    from dcvc_cli.evaluating.evaluation import Rate, spread_rates

    if codec is not None and qp_p is not None:
        raise UsageError(f"--qp-p has no meaning with --codec {codec}, which has one QP a rate: --qp-i")
    if qp_i is None and qp_p is not None:
        raise UsageError("--qp-p needs --qp-i, with as many QPs")
    if qp_i is not None:
        intra = _qps("--qp-i", qp_i)
        inter = intra if qp_p is None else _qps("--qp-p", qp_p)
        if len(inter) != len(intra):
            raise UsageError(f"--qp-i has {len(intra)} QPs and --qp-p {len(inter)}, expected as many")
        if rate_num not in (None, len(intra)):
            raise UsageError(f"--rate-num {rate_num} does not fit the {len(intra)} QPs of --qp-i")
    elif codec is not None:
        usual = ENCODERS[ConventionalCodec(codec)].usual
        intra = inter = spread_rates(rate_num if rate_num is not None else DEFAULT_NUM_CONVENTIONAL_RATES, *usual)
    else:
        intra = inter = spread_rates(rate_num if rate_num is not None else DEFAULT_NUM_RATES)
    pairs = list(zip(intra, inter, strict=True))
    highest = MAX_BASE_QP if codec is None else ENCODERS[ConventionalCodec(codec)].scale[1]
    if max(intra) > highest:
        raise UsageError(f"--qp-i {qp_i}: {codec} has QPs 0..{highest}", "its own scale: LOWER is better quality")
    if len(set(pairs)) != len(pairs):
        raise UsageError("two rates have the same QPs, expected each once")
    return [Rate(index, i, None if codec is not None else p) for index, (i, p) in enumerate(pairs)]


def _qps(option: str, text: str) -> list[int]:
    numbers = [part.strip() for part in text.replace(",", " ").split()]
    if not numbers or not all(
        number.isascii() and number.isdigit() and len(number) <= 2 and int(number) <= MAX_BASE_QP for number in numbers
    ):
        raise UsageError(
            f"{option} {text}: expected QPs 0..{MAX_BASE_QP} with commas between them", f"{option} 0,21,42,63"
        )
    return [int(number) for number in numbers]
