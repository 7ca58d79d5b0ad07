"""Makes dcvc_cli/entropy/wide_gaussian_cdf.npz, the wide Gaussian table of docs/entropy-coding.md,
"Tables". The stored integers are the norm.

python tools/make_wide_gaussian_table.py OUT.npz
"""

import math
import sys

import numpy as np

from dcvc_cli.entropy.scale_index import NUM_SCALES, SCALE_MAX, SCALE_MIN
from dcvc_cli.entropy.tables import quantise_pmf

MIN_CENTRE, MAX_CENTRE = 2, 64
TAIL = 2.0**-13
"""A row is as wide as it takes to leave less than this to the escape."""


def phi(x: float, scale: float) -> float:
    return 0.5 * math.erfc(-x / scale / math.sqrt(2))


def main() -> None:
    step = (math.log(SCALE_MAX) - math.log(SCALE_MIN)) / (NUM_SCALES - 1)
    cdf = np.zeros((NUM_SCALES, 2 * MAX_CENTRE + 3), np.int32)
    length, offset = np.zeros(NUM_SCALES, np.int32), np.zeros(NUM_SCALES, np.int32)
    for row in range(NUM_SCALES):
        # A row serves the scales up to the next row's, so its middle is the fair one; row 0 also serves everything
        # below.
        scale = math.exp(math.log(SCALE_MIN) + step * (row + 0.5))
        centre = next((c for c in range(MIN_CENTRE, MAX_CENTRE) if 2 * phi(-c - 0.5, scale) < TAIL), MAX_CENTRE)
        pmf = [phi(k + 0.5, scale) - phi(k - 0.5, scale) for k in range(-centre, centre + 1)]
        values = quantise_pmf([*pmf, 2 * phi(-centre - 0.5, scale)])
        cdf[row, : len(values)], length[row], offset[row] = values, len(values), -centre
    np.savez_compressed(sys.argv[1], cdf=cdf[:, : length.max()], cdf_length=length, offset=offset)


if __name__ == "__main__":
    main()
