"""What runs of conformance cases share: folders of cases, parameters by seed, stored tables, and where two files part.

A folder of cases holds make_params.py, which makes the networks' parameters from a seed, one folder a case, and
entropy/ with vectors of the entropy coder alone (conformance.vectors, conformance.uf_vectors).
"""

import hashlib
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.base import Model
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat

GENERATOR = "make_params.py"


@dataclass(frozen=True)
class CheckResult:
    """What a check found: it passed if there are no faults. Notes are remarks that change nothing."""

    name: str
    summary: str
    seconds: float
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class GeneratedNetwork:
    """A network of a case's model.

    Attributes:
        kind: its name in make_params.py.
        letter: in the names of stored z tables.
        name: of the network in the model.
        digest: SHA-256 of its parameters; empty where the case does not use it.
    """

    kind: str
    letter: str
    name: str
    digest: str


class Case(Protocol):
    """A conformance case, as its case.json describes it."""

    @property
    def folder(self) -> Path:
        """Where its files are."""

    @property
    def name(self) -> str:
        """The folder's."""

    @property
    def size(self) -> PictureSize:
        """Of its pictures."""

    @property
    def num_frames(self) -> int:
        """Pictures in it."""

    @property
    def seed(self) -> int:
        """Of its parameters."""

    @property
    def model(self) -> Model:
        """The model that codes it."""

    @property
    def generated(self) -> tuple[GeneratedNetwork, ...]:
        """The model's networks."""

    def decoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Decodes stream.bin and compares every picture with recon.yuv."""

    def encoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Encodes input.yuv and compares every unit with stream.bin."""


def find_cases(folder: Path, names: Iterable[str] = ()) -> list[Path]:
    """The folders of the cases called `names`, else of all cases, in name order.

    Raises:
        InputError: the folder does not exist or has no cases.
        UsageError: a name is not among them.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "give the folder that holds make_params.py and one folder a case")
    found = {path.parent.name: path.parent for path in sorted(folder.glob("*/case.json"))}
    if not found or not (folder / GENERATOR).is_file():
        what = "no case.json in any folder below" if not found else f"no {GENERATOR} in"
        raise InputError(f"there is {what} {folder}", "give the folder that holds make_params.py and one folder a case")
    wanted = list(names) or list(found)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; found: {', '.join(found)}")
    return [found[name] for name in dict.fromkeys(wanted)]


def load_generator(folder: Path) -> ModuleType:
    """Runs FOLDER/make_params.py as a module of its own: nothing is cached beside it and nothing else is imported from
    there."""
    path = folder / GENERATOR
    module = ModuleType("dcvc_conformance_make_params")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # the script is the user's: whatever it raises is a fault of the input
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "state_dict", None)):
        raise InputError(f"{path} has no function state_dict(model, seed)")
    return module


def parameter_digest(state: Mapping[str, NDArray[np.float32]]) -> str:
    """SHA-256 over key, shape and little-endian float32 bytes of every tensor in key order."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(f"{key} {','.join(map(str, state[key].shape))}\n".encode())
        digest.update(np.ascontiguousarray(state[key], dtype="<f4").data)
    return digest.hexdigest()


class ParameterSource:
    """Networks by model and seed. Only those asked for last are kept: in float64 they take from half a gigabyte to one
    and a half."""

    def __init__(self, folder: Path, precision: Precision, threads: int | None) -> None:
        self._generator = load_generator(folder)
        self._precision, self._threads = precision, threads
        self._key: tuple[str, int] | None = None
        self._networks: CodecNetworks | None = None
        self._digests: dict[str, str] = {}

    def networks(self, case: Case) -> CodecNetworks:
        """Networks with tables made here; InputError if the parameters are not those of the case."""
        key = case.model.name, case.seed
        if self._networks is None or self._key != key:
            self._networks = None  # frees the old parameters first
            self._networks, self._key = self._make(case), key
        for network in case.generated:
            found = self._digests[network.kind]
            if network.digest and found != network.digest:
                expected = f"the case expects {network.digest[:16]}..."
                raise InputError(
                    f"the parameters of {network.kind} for seed {case.seed} have SHA-256 {found[:16]}..., {expected}"
                )
        return self._networks

    def _make(self, case: Case) -> CodecNetworks:
        model = case.model
        states = {
            one.name: self._state(one.kind, case.seed, dict(model.networks[one.name].shapes()))
            for one in case.generated
        }
        tables = {}
        for name, state in states.items():
            published = model.published_z_table(name, state)
            tables[name] = model.z_table(name, state) if published is None else published
        self._digests = {one.kind: parameter_digest(states[one.name]) for one in case.generated}
        return networks_from_state(states, tables, self._precision, self._threads)

    def _state(self, kind: str, seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        try:
            made = {str(key): np.asarray(value) for key, value in self._generator.state_dict(kind, seed).items()}
        except (Exception, SystemExit) as error:  # as above
            raise InputError(f"{GENERATOR} fails for {kind}, seed {seed}: {type(error).__name__}: {error}") from error
        if {key: (value.shape, value.dtype) for key, value in made.items()} != {
            key: (shape, np.float32) for key, shape in shapes.items()
        }:
            raise InputError(f"{GENERATOR} gives other keys, shapes or types for {kind} than the network has")
        return made


def stored_tables(case: Case, networks: CodecNetworks) -> tuple[CodecNetworks, list[str]]:
    """Compares the z tables made here with those of the case and puts the case's in their place where they differ."""
    notes = []
    try:
        with np.load(case.folder / "symbols.npz", allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files if name.startswith(("zcdf_", "zcdflen_", "zoff_"))}
        for letter, name in ((one.letter, one.name) for one in case.generated):
            network = networks[name]
            channels = case.model.networks[name].num_z_channels
            table, num_rows = _with_stored_rows(network.z_table, channels, letter, stored)
            if num_rows:
                notes.append(f"{num_rows} z table rows of the {name} network differ here; the case's are used")
                networks = replace(networks, by_name={**networks.by_name, name: replace(network, z_table=table)})
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{case.folder / 'symbols.npz'} has no usable z tables: {error}") from error
    return networks, notes


def _with_stored_rows(
    table: CdfTable, num_channels: int, letter: str, stored: Mapping[str, NDArray[Any]]
) -> tuple[CdfTable, int]:
    """(table with the stored rows, number of rows that changed)."""
    cdf, length, offset = table.cdf.copy(), table.cdf_length.copy(), table.offset.copy()
    for name in stored:
        if not name.startswith(f"zcdf_{letter}_qp"):
            continue
        suffix = name.removeprefix("zcdf_")
        first = int(suffix.split("qp")[1]) * num_channels
        rows = slice(first, first + num_channels)
        cdf[rows] = 0
        cdf[rows, : stored[name].shape[1]] = stored[name]
        length[rows], offset[rows] = stored[f"zcdflen_{suffix}"], stored.get(f"zoff_{suffix}", 0)
    changed = (cdf != table.cdf).any(axis=1) | (length != table.cdf_length) | (offset != table.offset)
    return (CdfTable(cdf, length, offset), int(changed.sum())) if changed.any() else (table, 0)


def difference(what: str, found: bytes, expected: bytes, base_offset: int) -> str:
    """Where two byte strings part, and by how much."""
    common = min(len(found), len(expected))
    differing = np.frombuffer(found, np.uint8)[:common] != np.frombuffer(expected, np.uint8)[:common]
    place = int(np.argmax(differing)) if differing.any() else common
    count = int(differing.sum()) + abs(len(found) - len(expected))
    return (
        f"{what} differs from offset {base_offset + place} of the file on ({count} bytes; {len(found)} found, "
        f"{len(expected)} expected)"
    )


def open_pictures(folder: Path, name: str = "recon.yuv") -> IO[bytes]:
    """The raw pictures of a case, compressed or not."""
    plain = folder / name
    packed = folder / f"{name}.xz"
    return lzma.open(packed, "rb") if packed.exists() and not plain.exists() else plain.open("rb")


def read_pictures(file: IO[bytes], size: int) -> bytes:
    """Up to `size` bytes."""
    try:
        return file.read(size)
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"compressed pictures are damaged: {error}") from error


def picture_of(samples: bytes, video_format: VideoFormat) -> Picture:
    """A raw 4:2:0 picture."""
    planes, position = [], 0
    flat = np.frombuffer(samples, np.uint8)
    for height, width in video_format.plane_shapes:
        planes.append(flat[position : position + height * width].reshape(height, width))
        position += height * width
    return Picture((planes[0], planes[1], planes[2]))
