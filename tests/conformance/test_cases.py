"""Conformance cases: small ones in every run, all of them under DCVC_ALL_CASES=1; damaged copies must fail and say
where."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.commands.conformance import conformance
from dcvc_cli.conformance.cases import family_folders, find_cases, read_case, run_case, run_cases, run_vectors
from dcvc_cli.errors import InputError, StreamError, UsageError
from dcvc_cli.families.case_files import load_generator
from dcvc_cli.families.conformance_form import CaseRun
from dcvc_cli.families.registry import families
from tests.support.published import CONFORMANCE, FAMILY_CASES, RUNS_ALL_CASES

SMALL_CASES = ("allskip_80x48", "i_64x64", "tiny_18x10", "two_small_50x38", "two_small_96x80")
UF_CASES = FAMILY_CASES / "dcvc-uf"
ALL_FOLDERS = [CONFORMANCE, CONFORMANCE.parent / "conformance-family" / "dcvc-uf"]
pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def source() -> CaseRun:
    return CaseRun(load_generator(CONFORMANCE), Precision.FLOAT64, threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_CASES)
def test_small_case(name: str, source: CaseRun):
    result = run_case(read_case(CONFORMANCE / name), source)
    assert result.faults == ()


if RUNS_ALL_CASES:

    @pytest.mark.slow
    @pytest.mark.timeout(3600)
    @pytest.mark.parametrize("folder", ALL_FOLDERS, ids=lambda folder: folder.name)
    def test_every_case(folder: Path):
        results = list(run_cases(folder))
        assert len(results) == len(list(folder.glob("*/case.json")))
        assert {result.name: result.faults for result in results if not result.ok} == {}


@pytest.mark.slow
def test_small_cases_of_uf():
    results = list(run_cases(UF_CASES, threads=1))
    assert [result.name for result in results] == ["image_tiny_18x10", "ld_tiny_18x10"]
    assert {result.name: result.faults for result in results if not result.ok} == {}


@pytest.mark.parametrize(("folder", "count"), [(CONFORMANCE, 5), (UF_CASES, 4)], ids=["dcvc-rt", "dcvc-uf"])
def test_entropy_vectors(folder: Path, count: int):
    results = list(run_vectors(folder))
    assert len(results) == count
    assert {result.name: result.faults for result in results if not result.ok} == {}


def copy_case(name: str, folder: Path) -> Path:
    """Makes a writable copy of a case."""
    target = folder / name
    target.mkdir(parents=True)
    for path in (CONFORMANCE / name).iterdir():
        target.joinpath(path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.slow
def test_damage_is_found_and_placed(tmp_path: Path, source: CaseRun):
    folder = copy_case("tiny_18x10", tmp_path)
    recon = bytearray((folder / "recon.yuv").read_bytes())
    recon[400] ^= 1
    (folder / "recon.yuv").write_bytes(recon)
    clip = bytearray((folder / "input.yuv").read_bytes())
    clip[270:290] = bytes(20)
    (folder / "input.yuv").write_bytes(clip)
    faults = run_case(read_case(folder), source).faults
    assert len(faults) == 2
    assert faults[0].startswith("decode: frame 1 differs from offset 400 of the file on (1 bytes")
    assert faults[1].startswith("encode: frame 1 differs from offset 1")


@pytest.mark.slow
def test_other_parameters_and_files_that_end_early(tmp_path: Path, source: CaseRun):
    case = read_case(CONFORMANCE / "tiny_18x10")
    wrong = run_case(replace(case, digests=("0" * 64, case.digests[1])), source)
    assert "the case expects 0000000000000000" in wrong.faults[0]
    folder = copy_case("tiny_18x10", tmp_path)
    (folder / "stream.bin").write_bytes((folder / "stream.bin").read_bytes()[:-1])
    (folder / "input.yuv").write_bytes((folder / "input.yuv").read_bytes()[:-1])
    (folder / "symbols.npz").unlink()
    assert "symbols.npz" in run_case(read_case(folder), source).faults[0]
    shutil.copy(CONFORMANCE / "tiny_18x10" / "symbols.npz", folder)
    assert "a payload has 100 bytes, 99 are there" in run_case(read_case(folder), source).faults[0]


def test_no_case_has_two_families():
    """Each case.json at hand is claimed by one family."""
    forms = [form for family in families().values() if (form := family.conformance_form()) is not None]
    for path in [*CONFORMANCE.glob("*/case.json"), *FAMILY_CASES.glob("*/*/case.json")]:
        description = json.loads(path.read_text(encoding="utf-8"))
        assert sum(form.claims(description) for form in forms) == 1, path


def test_wrong_folders_and_names(tmp_path: Path):
    with pytest.raises(InputError, match="is not a folder"):
        find_cases(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no case\.json"):
        find_cases(tmp_path)
    (tmp_path / "case_a").mkdir()
    (tmp_path / "case_a" / "case.json").write_text("{}")
    with pytest.raises(InputError, match=r"no make_params\.py"):
        find_cases(tmp_path)
    (tmp_path / "make_params.py").write_text("raise SystemError('no')\n")
    with pytest.raises(UsageError, match="no case 'b'; found: case_a"):
        find_cases(tmp_path, ["b"])
    with pytest.raises(InputError, match=r"make_params\.py cannot be run: SystemError"):
        next(run_cases(tmp_path))


def test_command_reports_a_case_it_cannot_read(tmp_path: Path):
    (tmp_path / "case_a").mkdir()
    (tmp_path / "case_a" / "case.json").write_text('{"width": 0}')
    (tmp_path / "make_params.py").write_text("def state_dict(model, seed):\n    return {}\n")
    app = typer.Typer()
    app.command()(conformance)
    plain = CliRunner().invoke(app, [str(tmp_path)])
    assert isinstance(plain.exception, StreamError)
    assert plain.stdout.startswith("FAILED case_a")
    assert "0 of 1 passed" in plain.stdout
    document = json.loads(CliRunner().invoke(app, [str(tmp_path), "--json"]).stdout)
    assert document["num_failed"] == 1
    assert document["checks"][0]["faults"]
    assert isinstance(CliRunner().invoke(app, [str(tmp_path), "--precision", "exact"]).exception, UsageError)


def test_a_folder_of_families_stands_for_the_folders_in_it(tmp_path: Path):
    for family, cases in (("one", "ab"), ("two", "bc")):
        for case in cases:
            (tmp_path / family / case).mkdir(parents=True)
            (tmp_path / family / case / "case.json").write_text("{}")
        (tmp_path / family / "make_params.py").write_text("")
    (tmp_path / "notes").mkdir()
    one, two = tmp_path / "one", tmp_path / "two"
    assert family_folders(tmp_path) == [(one, []), (two, [])]
    assert family_folders(one, ["b"]) == [(one, ["b"])]
    assert family_folders(tmp_path, ["b"]) == [(one, ["b"]), (two, ["b"])]
    assert family_folders(tmp_path, ["c", "b"]) == [(one, ["b"]), (two, ["c", "b"])]
    assert family_folders(tmp_path, ["a"]) == [(one, ["a"])]
    with pytest.raises(UsageError, match="no case 'd'; found: a, b, b, c"):
        family_folders(tmp_path, ["a", "d"])
