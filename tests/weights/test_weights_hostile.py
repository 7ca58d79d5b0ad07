"""Weights files that nobody vouches for: each fault is told with the key, before memory is spent, and harms nothing
beside it."""

import gzip
import json
import os
import socket
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.preparing.checkpoints import CheckpointError, read_checkpoint
from dcvc_cli.weights import store as weight_store
from dcvc_cli.weights.file import read_header, read_weights
from dcvc_cli.weights.safetensors_reader import KINDS, MAX_HEADER_SIZE, SafetensorsReader
from tests.support.models import SPECS
from tests.support.processes import ROOT
from tests.support.tiny_weights import write_tiny_weights

MAX_PEAK_BYTES = 8 << 20
Header = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tiny_home: Path) -> bytes:
    """Makes a sound file with float arrays and those of the exact profile, without recorded fingerprints."""
    header, data = split((tiny_home / "weights" / "tiny-exact.safetensors").read_bytes())
    for name in ("image_fingerprint", "video_fingerprint"):
        del header["__metadata__"][name]
    return joined(header, data)


def split(content: bytes) -> tuple[Header, bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def joined(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def fault_of(path: Path, read: Callable[[Path], object] = read_weights) -> str:
    """Returns the message of the refusal; memory stays bounded on the way to it."""
    tracemalloc.start()
    try:
        with pytest.raises(EnvironmentFault) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MAX_PEAK_BYTES
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert len(message) < 1000
    assert str(path) in message
    return message


def test_the_sound_file_is_read(sound: bytes, tmp_path: Path) -> None:
    for name, content in (("a.safetensors", sound), ("a.safetensors.gz", gzip.compress(sound))):
        (tmp_path / name).write_bytes(content)
        weights = read_weights(tmp_path / name)
        assert weights.is_exact
        assert weights.size_bytes == len(content)


KEY = "image.q_scale_enc"


def header_changes() -> dict[str, tuple[Callable[[Header], object], str]]:
    def entry(**changes: Any) -> Callable[[Header], object]:
        return lambda header: header[KEY].update(changes)

    def copied(name: str) -> Callable[[Header], object]:
        def change(header: Header) -> None:
            end = max(value["data_offsets"][1] for key, value in header.items() if key != "__metadata__")
            header[name] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}

        return change

    return {
        "no such type": (entry(dtype="X9"), KEY),
        "type that is no text": (entry(dtype=["F32"]), KEY),
        "shape too small": (entry(shape=[1]), KEY),
        "shape of a list": (entry(shape=[[1]]), KEY),
        "negative side": (entry(shape=[-1, 2]), KEY),
        "side of true": (entry(shape=[True]), KEY),
        "many sides": (entry(shape=[1] * 100), KEY),
        "huge sides": (entry(shape=[1 << 40, 1 << 40]), KEY),
        "offsets turned round": (entry(data_offsets=[8, 0]), KEY),
        "offsets beyond the file": (entry(data_offsets=[1 << 40, 1 << 41]), KEY),
        "one offset": (entry(data_offsets=[0]), KEY),
        "no entry": (lambda header: header.update({KEY: 3}), KEY),
        "missing array": (lambda header: header.pop("image.q_scale_enc"), ""),
        "unknown array": (copied("image.enc.extra"), "image.enc.extra is not part"),
        "unknown network": (copied("sound.enc"), "sound.enc is not part"),
        "unknown exact array": (copied("image.exact.extra"), "image.exact.extra is not part"),
        "step of nothing": (copied("image.enc.none.step"), "image.enc.none.step belongs to no"),
        "unknown table": (copied("image.z_table.extra"), "image.z_table.extra is not part"),
        "terminal control": (copied("image.\x1b[2J\n"), "image.\\x1b[2J\\n"),
        "half a character": (copied("image.\ud800"), "image.\\ud800"),
        "long key": (copied("image." + "k" * 500_000), "image.kkk"),
        "metadata of numbers": (lambda header: header.update(__metadata__={"dcvc": 1}), "metadata"),
        "metadata of a list": (lambda header: header.update(__metadata__=[]), "metadata"),
        "unknown model": (lambda header: header["__metadata__"].update(spec="huge"), "not a weights file"),
        "another model": (lambda header: header["__metadata__"].update(spec="lite"), "do not fit their model lite"),
        "another version": (lambda header: header["__metadata__"].update(dcvc="2"), "not a weights file"),
        "no fingerprint": (lambda header: header["__metadata__"].update(image_fingerprint="x"), "image_fingerprint"),
        "wrong fingerprint": (lambda header: header["__metadata__"].update(video_fingerprint="1"), "video network"),
        "deep notes": (lambda header: header["__metadata__"].update(notes="[" * 100_000), "notes"),
        "notes of lists": (lambda header: header["__metadata__"].update(notes='{"a": []}'), "notes"),
    }


@pytest.mark.parametrize("name", header_changes())
def test_header_that_lies(sound: bytes, tmp_path: Path, name: str) -> None:
    change, told = header_changes()[name]
    header, data = split(sound)
    change(header)
    path = tmp_path / "bad.safetensors"
    path.write_bytes(joined(header, data))
    message = fault_of(path)
    assert told in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02",
        struct.pack("<Q", 1 << 63),
        struct.pack("<Q", MAX_HEADER_SIZE + 1) + b"{}",
        struct.pack("<Q", 100) + b"{}",
        joined(b"[" * 100_000, b""),
        joined(b'{"a":' * 100_000, b""),
        joined(b"[" + b"1," * 500_000 + b"1]", b""),
        joined(b'{"a": 1' + b"0" * 5000 + b"}", b""),
        joined(b"{}", b""),
        joined(b"[]", b""),
        joined(b"null", b""),
        joined(b"\xff\xfe", b""),
        b"PK\x03\x04" + bytes(1000),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".safetensors.gz"])
def test_files_that_are_none(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    fault_of(path)
    fault_of(path, read_header)


@pytest.mark.parametrize("num_bytes", [-1, 1])
def test_data_of_another_length(sound: bytes, tmp_path: Path, num_bytes: int) -> None:
    content = sound[:num_bytes] if num_bytes < 0 else sound + bytes(num_bytes)
    for name, packed in (("a.safetensors", content), ("a.safetensors.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        message = fault_of(tmp_path / name)
        assert "ends inside" in message or "goes on after" in message or "cut short" in message


def test_compressed_data_that_is_damaged(sound: bytes, tmp_path: Path) -> None:
    packed = gzip.compress(sound, mtime=0)
    path = tmp_path / "a.safetensors.gz"
    wrong_check = packed[:-8] + bytes(4) + packed[-4:]
    cut = packed[:-1], packed[: len(packed) // 2], b"\x1f\x8b", b"\x1f\x8b\x08\x08" + b"n" * 100
    for content in (*cut, wrong_check, packed + b"\0", packed + packed):
        path.write_bytes(content)
        fault_of(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".safetensors.gz"])
def test_a_file_that_was_cut_is_seen_by_who_reads_its_header_only(sound: bytes, tmp_path: Path, suffix: str) -> None:
    """So `dcvc models list` does not show such a file as good."""
    content = gzip.compress(sound, mtime=0) if suffix.endswith(".gz") else sound
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert read_header(path).path == path
    for changed in (content[:-1], content[:-8], content[: -len(content) // 2], content + b"\0"):
        path.write_bytes(changed)
        with pytest.raises(EnvironmentFault, match=r"cut short|expected \d+ by its header"):
            read_header(path)


def test_a_small_file_that_expands_costs_nothing(tmp_path: Path) -> None:
    """Data of a gigabyte behind an honest header of another size, and data without an end that unpacks to nothing."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = joined({"__metadata__": {"dcvc": "1", "spec": "tiny"}}, b"")
    bomb = tmp_path / "bomb.safetensors.gz"
    zeros = bytes(1 << 20)
    bomb.write_bytes(pack.compress(head) + b"".join(pack.compress(zeros) for _ in range(256)) + pack.flush())
    assert "is missing" in fault_of(bomb)
    nothing = tmp_path / "nothing.safetensors.gz"
    nothing.write_bytes(b"\x1f\x8b\x08" + bytes(7) + b"\0\0\0\xff\xff" * (1 << 20))
    assert "next to nothing" in fault_of(nothing)
    named = tmp_path / "named.safetensors.gz"
    named.write_bytes(b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * (4 << 20))
    assert "next to nothing" in fault_of(named)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -(2.0**21)])
def test_values_that_no_network_has(sound: bytes, tmp_path: Path, value: float) -> None:
    header, data = split(sound)
    path = tmp_path / "a.safetensors"
    keys = [key for key, entry in header.items() if key != "__metadata__" and entry["dtype"] == "F32"]
    assert any(key.endswith(".step") for key in keys)
    assert any(key.endswith(".bias") for key in keys)
    for key in keys[:: len(keys) // 8]:
        start, end = header[key]["data_offsets"]
        path.write_bytes(joined(header, data[: end - 4] + struct.pack("<f", value) + data[end:]))
        assert key in fault_of(path), (key, start)


def test_float64_that_overflows_float32(sound: bytes, tmp_path: Path) -> None:
    header, data = split(sound)
    header = {
        key: header[key]
        for key in ["__metadata__", *sorted(header.keys() - {"__metadata__"}, key=lambda k: header[k]["data_offsets"])]
    }
    key = "image.q_scale_enc"
    start, end = header[key]["data_offsets"]
    grown = np.frombuffer(data[start:end], "<f4").astype("<f8")
    grown[3] = 1e300
    for other in header:
        if other != "__metadata__" and header[other]["data_offsets"][0] >= end:
            header[other]["data_offsets"] = [offset + end - start for offset in header[other]["data_offsets"]]
    header[key] = {"dtype": "F64", "shape": header[key]["shape"], "data_offsets": [start, 2 * end - start]}
    path = tmp_path / "a.safetensors"
    path.write_bytes(joined(header, data[:start] + grown.tobytes() + data[end:]))
    assert f"{key} has values up to 1e+300" in fault_of(path)


def test_integer_arrays_want_their_steps(sound: bytes, tmp_path: Path) -> None:
    header, data = split(sound)
    key = next(key for key in header if key.endswith(".weight.step"))
    header[key]["shape"] = [1, *header[key]["shape"]]
    path = tmp_path / "a.safetensors"
    path.write_bytes(joined(header, data))
    assert f"{key} has type f4 and shape" in fault_of(path)
    header[key.removesuffix("step") + "stop"] = header.pop(key)
    path.write_bytes(joined(header, data))
    assert key.removesuffix(".step") in fault_of(path)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


NO_FILES: dict[str, Callable[[Path], object]] = {
    "fifo": make_fifo,
    "socket": make_socket,
    "directory": lambda path: path.mkdir(),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"no weights\n" * 100),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("suffix", [".safetensors", ".safetensors.gz"])
def test_what_is_no_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, suffix: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"a{suffix}")
    NO_FILES[kind](path)
    fault_of(path)
    fault_of(path, read_header)


def test_file_that_changes_while_it_is_read(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(sound)
    with SafetensorsReader(path) as reader:
        arrays = reader.arrays()
        next(arrays)
        os.utime(path, ns=(1, 1))
        with pytest.raises(ValueError, match="changed while"):
            list(arrays)


def test_every_type_is_known_to_numpy() -> None:
    assert {np.dtype(kind).str for kind in KINDS.values()} == set(KINDS.values())
    assert set(SPECS) >= {"tiny", "lite", "rt"}


def test_bad_neighbours_harm_nobody(tmp_path: Path) -> None:
    """A folder full of everything above: the list tells each, the good weights are found, and doctor reports."""
    write_tiny_weights(tmp_path, seed=0)
    folder = tmp_path / "weights"
    header = read_header(folder / "tiny.safetensors")
    for kind, make in NO_FILES.items():
        if kind != "socket":  # its name would be too long for the kernel in some temporary folders
            make(folder / f"a-{kind}.safetensors")
    (folder / os.fsdecode(b"a-\xff\n\x1b[2J.safetensors")).write_bytes(b"")
    environment = os.environ | {"DCVC_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    run = [sys.executable, "-m", "dcvc_cli", "models"]
    done = subprocess.run([*run, "list"], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{header.fingerprints[0]:016x}".encode() in done.stdout
    assert done.stderr.count(b"warning: cannot read weights") == len(NO_FILES)
    assert b"\x1b" not in done.stdout + done.stderr
    done = subprocess.run([*run, "verify"], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 5, done.stderr
    assert b"ok     tiny\n" in done.stdout
    assert done.stdout.count(b"FAILED a-") == len(NO_FILES)
    done = subprocess.run([*run, "list", "--json"], env=environment, capture_output=True, timeout=60, check=False)
    assert len(json.loads(done.stdout)["models"]) == len(NO_FILES) + 2


def test_search_passes_bad_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_weights(tmp_path, seed=0)
    header = read_header(path)
    os.mkfifo(path.with_name("a-fifo.safetensors"))
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    assert None not in header.fingerprints
    found = weight_store.weights_by_fingerprints(header.fingerprints, header.model)
    assert found.path == path


@pytest.mark.parametrize("kind", ["file", "dangling", "loop", "absent", "long"])
def test_folder_of_weights_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = tmp_path / "weights"
    if kind == "file":
        folder.write_bytes(b"")
    elif kind == "dangling":
        folder.symlink_to(tmp_path / "nowhere")
    elif kind == "loop":
        folder.symlink_to(folder)
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / ("n" * 300) if kind == "long" else tmp_path))
    assert [weight_store.weights_name(path) for path in weight_store.weight_files()] == ["lite"]
    assert weight_store.weights_by_name("lite").is_exact


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DCVC_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert [weight_store.weights_name(path) for path in weight_store.weight_files()][:1] == ["lite"]


def test_checkpoint_whose_tensor_claims_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "image.pth.tar"
    torch.save({"enc.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, path)
    with pytest.raises(CheckpointError, match=r"enc\.weight has shape"):
        read_checkpoint(path)
    torch.save({"enc.weight": torch.full((3,), 1e30)}, path)
    with pytest.raises(CheckpointError, match=r"enc\.weight has values up to 1e"):
        read_checkpoint(path)


def test_checkpoint_that_expands(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "image.pth.tar"
    torch.save({"enc.weight": torch.zeros(1 << 20)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(CheckpointError, match="is compressed inside"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", ["fifo", "directory", "dangling", "device"])
def test_checkpoint_that_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.pth.tar"
    NO_FILES[kind](path)
    with pytest.raises(CheckpointError, match="is not a file"):
        read_checkpoint(path)
