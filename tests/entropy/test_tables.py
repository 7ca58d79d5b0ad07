"""Probability tables: what is refused, what is stored, and the rules of the scale index."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.entropy.scale_index import NUM_SCALES, index_from_scale, is_coded, scale_thresholds
from dcvc_cli.entropy.tables import CdfTable, TableError, gaussian_table, quantise_pmf, wide_gaussian_table


def one_row(cdf: list[int], length: int | None = None, offset: int = 0) -> CdfTable:
    return CdfTable(np.array([cdf]), np.array([len(cdf) if length is None else length]), np.array([offset]))


@pytest.mark.parametrize(
    ("cdf", "length", "offset", "why"),
    [
        ([0, 5, 5, 65536], 4, 0, "rise"),
        ([0, 9, 5, 65536], 4, 0, "rise"),
        ([1, 9, 65536], 3, 0, "first"),
        ([0, 9, 65535], 3, 0, "last"),
        ([0, 9, 70000], 3, 0, "last"),
        ([0, 65536, 0], 2, 0, "length"),
        ([0, 9, 65536], 4, 0, "length"),
        ([0, 9, 65536, 7], 3, 0, "padding"),
        ([0, 9, 65536], 3, 128, "-128..127"),
        ([0, 9, 65536], 3, -129, "-128..127"),
    ],
)
def test_broken_rows_are_refused(cdf: list[int], length: int, offset: int, why: str):
    with pytest.raises(TableError, match=why):
        one_row(cdf, length, offset)


def test_broken_shapes_and_types_are_refused():
    table = gaussian_table()
    with pytest.raises(TableError, match="cdf_length has shape"):
        CdfTable(table.cdf, table.cdf_length[:-1], table.offset)
    with pytest.raises(TableError, match="integer array"):
        CdfTable(table.cdf.astype(np.float32), table.cdf_length, table.offset)
    with pytest.raises(TableError, match="int32"):
        CdfTable(table.cdf.astype(np.int64) + 2**40, table.cdf_length, table.offset)
    with pytest.raises(TableError, match="shape"):
        CdfTable(table.cdf[:0], table.cdf_length[:0], table.offset[:0])


def test_tables_are_read_only_copies():
    cdf = np.array([[0, 9, 65536]])
    table = CdfTable(cdf, np.array([3]), np.array([0]))
    cdf[0, 1] = 70000
    assert table.cdf[0, 1] == 9
    with pytest.raises(ValueError, match="read-only"):
        table.cdf[0, 1] = 1


def test_arrays_round_trip():
    table = gaussian_table()
    back = CdfTable.from_arrays(table.to_arrays("z"), "z")
    np.testing.assert_array_equal(back.cdf, table.cdf)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(table)).offset, table.offset)
    with pytest.raises(TableError, match=r"y\.cdf, y\.cdf_length, y\.offset"):
        CdfTable.from_arrays(table.to_arrays("z"), "y")


@pytest.mark.parametrize(
    "pmf", [[0.5], [0.5, float("nan")], [0.5, -0.1], [0.0, 0.0], [[0.5, 0.5]], [float("inf"), 1.0]]
)
def test_quantise_pmf_refuses(pmf: list):
    with pytest.raises(TableError):
        quantise_pmf(np.array(pmf, dtype=np.float32))


def test_quantise_pmf_gives_every_entry_a_unit():
    cdf = quantise_pmf(np.array([0, 0, 1, 0, 0, 0], dtype=np.float32))
    assert cdf.tolist() == [0, 1, 2, 65533, 65534, 65535, 65536]


def test_scale_index_ends_and_order():
    ends = scale_thresholds()
    assert ends.shape == (NUM_SCALES,)
    assert (np.diff(ends) > 0).all()
    scales = np.array([-5.0, 0.0, 0.11, 1e9])
    assert index_from_scale(scales).tolist() == [0, 0, 0, 126]
    assert index_from_scale(scales.astype(np.float32)).tolist() == [0, 0, 0, 127]


def test_thresholds_count_to_the_index():
    scales = np.exp(np.random.default_rng(3).uniform(np.log(0.05), np.log(15.9), 20000))
    counted = np.maximum((scales[:, None] >= scale_thresholds()).sum(axis=1), 1) - 1
    np.testing.assert_array_equal(counted, index_from_scale(scales))


def test_skip_threshold():
    scales = np.array([0.0, 0.12, np.nextafter(0.12, 1), 50.0])
    assert is_coded(scales, None).all()
    assert is_coded(scales, 0.12).tolist() == [False, False, True, True]
    assert is_coded(scales, 0.05).all()
    assert not is_coded(scales, 100.0).any()


def test_entropy_imports_without_torch():
    code = (
        "import sys, dcvc_cli.entropy.coder, dcvc_cli.entropy.tables as t; t.gaussian_table(); sys.exit('torch' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_wide_table_is_what_its_tool_makes(tmp_path: Path) -> None:
    """The stored integers are the norm; the tool that made them still stands for them."""
    made = tmp_path / "wide.npz"
    root = Path(__file__).parents[2]
    tool = root / "tools" / "make_wide_gaussian_table.py"
    subprocess.run([sys.executable, str(tool), str(made)], check=True, env=os.environ | {"PYTHONPATH": str(root)})
    stored = wide_gaussian_table()
    with np.load(made) as arrays:
        assert np.array_equal(arrays["cdf"], stored.cdf)
        assert np.array_equal(arrays["cdf_length"], stored.cdf_length)
        assert np.array_equal(arrays["offset"], stored.offset)


def test_wide_table_leaves_little_to_the_escape() -> None:
    table = wide_gaussian_table()
    escape = 65536 - table.cdf[np.arange(table.num_rows), table.cdf_length - 2]
    assert (escape <= 128).all()  # 2^-13 of the mass and what rounding 129 entries leaves over
    assert table.offset.min() == -63
