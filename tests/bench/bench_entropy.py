"""Throughput of the entropy coder, one core: `python tests/bench/bench_entropy.py [--symbols N] [--repeats R]`. Never a
pass or a fail.

Symbols are drawn from the table's own frequencies. Rows are either one row ("row": all symbols share one scale) or
spread around it ("mixed": log-normal scales, sigma 0.5), so that the whole table is in play. Calls are short, about a
millisecond, so that on a busy machine some run undisturbed: the best is the figure to compare. Times are of the
compiled call alone, tables built, no file access.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from dcvc_cli import _entropy as native
from dcvc_cli.entropy.tables import CdfTable, gaussian_table
from dcvc_cli.format.entropy_format import SHARED_FORMATS

BIT_TARGETS = (0.5, 1.3, 2.8)
NUM_WARM_UPS = 2


def row_entropies(table: CdfTable) -> np.ndarray:
    """Counts the bits a symbol of every row, escape payloads not counted."""
    bits = []
    for cdf, length in zip(table.cdf, table.cdf_length, strict=True):
        p = np.diff(cdf[:length]) / 65536
        bits.append(float(-(p * np.log2(p)).sum()))
    return np.array(bits)


def draw(
    table: CdfTable, bits: float, spread: float, num_symbols: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols int8 and rows uint8 whose mean entropy is `bits`; rows are normal around a centre with `spread` rows."""
    entropies = row_entropies(table)
    noise = rng.standard_normal(num_symbols) * spread
    low, high = 0.0, 127.0
    for _ in range(30):
        centre = (low + high) / 2
        rows = np.clip(np.rint(centre + noise), 0, 127).astype(np.uint8)
        low, high = (centre, high) if entropies[rows].mean() < bits else (low, centre)
    symbols = np.empty(num_symbols, dtype=np.int8)
    slots = rng.integers(0, 65536, num_symbols)
    for row in np.unique(rows):
        where = np.flatnonzero(rows == row)
        entry = np.searchsorted(table.cdf[row, : table.cdf_length[row]], slots[where], side="right") - 1
        escape = table.cdf_length[row] - 2
        beyond = rng.integers(0, 8, where.size)
        symbols[where] = table.offset[row] + np.where(entry < escape, entry, escape + beyond)
    return symbols, rows


def timed(call: Callable[[], object], repeats: int) -> list[float]:
    for _ in range(NUM_WARM_UPS):
        call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def report(name: str, num_symbols: int, seconds: list[float]) -> str:
    rates = sorted(num_symbols / s / 1e6 for s in seconds)
    return f"{name} {rates[-1]:7.1f} best {statistics.median(rates):7.1f} median {rates[0]:7.1f} worst"


def cpu_name() -> str:
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        return next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description="entropy coder throughput")
    arguments.add_argument("--symbols", type=int, default=1 << 17)
    arguments.add_argument("--repeats", type=int, default=60)
    options = arguments.parse_args()
    table = gaussian_table()
    coding_table = table.native()
    print(f"{cpu_name()}, {os.cpu_count()} CPUs, 1 thread used, load {os.getloadavg()[0]:.1f}")
    print(
        f"{NUM_WARM_UPS} warm-up and {options.repeats} timed calls of {options.symbols} symbols each; million "
        "symbols a second"
    )
    rng = np.random.default_rng(1)
    for spread, label in ((0.0, "row"), (12.75, "mixed")):
        for bits in BIT_TARGETS:
            symbols, rows = draw(table, bits, spread, options.symbols, rng)
            out = np.empty_like(symbols)
            for fmt in SHARED_FORMATS:
                kind = getattr(native.Format, fmt.name)
                data = native.encode_frame([(coding_table, symbols, rows)], kind)

                def decode(
                    data: bytes = data, kind: object = kind, rows: np.ndarray = rows, out: np.ndarray = out
                ) -> None:
                    decoder = native.FrameDecoder(data, kind)
                    decoder.decode(coding_table, rows, out)
                    decoder.finish()

                def encode(kind: object = kind, symbols: np.ndarray = symbols, rows: np.ndarray = rows) -> None:
                    native.encode_frame([(coding_table, symbols, rows)], kind)

                encoding = report("encode", options.symbols, timed(encode, options.repeats))
                decoding = report("decode", options.symbols, timed(decode, options.repeats))
                size = len(data) * 8 / options.symbols
                print(f"{label:5} {bits:3} bits ({size:.4f} written) {fmt.name:13} {encoding}   {decoding}")
                if not np.array_equal(out, symbols):
                    raise SystemExit("decoded symbols differ")


if __name__ == "__main__":
    main()
