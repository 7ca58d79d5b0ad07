"""Files of conformance cases, for all families: parameters by seed, stored tables, pictures, the first difference of
two files."""

import hashlib
import lzma
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import InputError
from dcvc_cli.families.base import Model
from dcvc_cli.families.conformance_form import Case, CaseRun, Check, Findings
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat

GENERATOR = "make_params.py"


@dataclass(frozen=True)
class GeneratedNetwork:
    """A network of a case's model.

    Attributes:
        kind: the network's name in make_params.py.
        letter: the network's letter in the names of stored z tables.
        name: the network's name in the model.
        digest: SHA-256 of its parameters; empty where the case does not use the network.
    """

    kind: str
    letter: str
    name: str
    digest: str


class StreamCase(Case):
    """A case of a codec whose streams and pictures are compared byte for byte.

    Attributes:
        video_format: format of the pictures.
        num_frames: number of pictures.
    """

    video_format: VideoFormat
    num_frames: int

    @property
    def size(self) -> PictureSize:
        """Returns the size of the pictures."""
        return self.video_format.size

    @property
    def summary(self) -> str:
        """Returns picture size and number of frames."""
        return f"{self.size}, {self.num_frames} frames"

    @abstractmethod
    def networks(self, run: CaseRun) -> tuple[CodecNetworks, tuple[str, ...]]:
        """Returns (networks with the case's tables of z, notes)."""

    @abstractmethod
    def decoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Decodes the stream and compares every picture."""

    @abstractmethod
    def encoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Encodes the pictures and compares every unit."""

    def steps(self, run: CaseRun) -> Sequence[Check]:
        """Returns the steps: make the parameters, decode the stream, encode the clip."""
        opened: list[CodecNetworks] = []

        def prepare() -> Findings:
            networks, notes = self.networks(run)
            opened.append(networks)
            return Findings(notes=notes)

        return (
            Check("prepare", prepare),
            Check("decode", lambda: Findings(tuple(self.decoding_faults(opened[0])))),
            Check("encode", lambda: Findings(tuple(self.encoding_faults(opened[0])))),
        )


def load_generator(folder: Path) -> ModuleType:
    """Runs FOLDER/make_params.py as a module of its own. It writes no cache beside the file and imports nothing else
    from the folder.

    Raises:
        InputError: the file cannot be run, or has no function state_dict.
    """
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
    """Returns the SHA-256 over key, shape and little-endian float32 bytes of every tensor, in the order of keys."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(f"{key} {','.join(map(str, state[key].shape))}\n".encode())
        digest.update(np.ascontiguousarray(state[key], dtype="<f4").data)
    return digest.hexdigest()


def open_generated(run: CaseRun, model: Model, seed: int, generated: Sequence[GeneratedNetwork]) -> CodecNetworks:
    """Opens a model's networks with the parameters of a seed and with tables made here. The run keeps them for the next
    case.

    Raises:
        InputError: the parameters are not those of the case.
    """
    if not run.kept:
        states = {
            one.name: generated_state(run.generator, dict(model.networks[one.name].shapes()), one.kind, seed)
            for one in generated
        }
        tables = {}
        for name, state in states.items():
            published = model.published_z_table(name, state)
            tables[name] = model.z_table(name, state) if published is None else published
        run.kept["digests"] = {one.kind: parameter_digest(states[one.name]) for one in generated}
        run.kept["networks"] = networks_from_state(states, tables, run.precision, run.threads)
    for network in generated:
        check_digest(network.kind, seed, run.kept["digests"][network.kind], network.digest)
    networks: CodecNetworks = run.kept["networks"]
    return networks


def check_digest(kind: str, seed: int, found: str, expected: str) -> None:
    """Compares the digest of a network's parameters with the case's. An empty `expected` fits any.

    Raises:
        InputError: the digests differ.
    """
    if expected and found != expected:
        message = f"the parameters of {kind} for seed {seed} have SHA-256 {found[:16]}..., "
        raise InputError(f"{message}the case expects {expected[:16]}...")


def generated_state(
    generator: ModuleType, shapes: Mapping[str, tuple[int, ...]], *arguments: Any
) -> dict[str, NDArray[np.float32]]:
    """Runs make_params.py for `arguments`, such as (network, seed) or (network, seed, rate).

    Returns:
        The parameters by key.

    Raises:
        InputError: the script fails, or its keys, shapes or types are not those of `shapes`.
    """
    asked = ", ".join(map(str, arguments))
    try:
        made = {str(key): np.asarray(value) for key, value in generator.state_dict(*arguments).items()}
    except (Exception, SystemExit) as error:  # as above
        raise InputError(f"{GENERATOR} fails for {asked}: {type(error).__name__}: {error}") from error
    if {key: (value.shape, value.dtype) for key, value in made.items()} != {
        key: (shape, np.float32) for key, shape in shapes.items()
    }:
        raise InputError(f"{GENERATOR} gives other keys, shapes or types for {asked} than the network has")
    return made


def stored_tables(
    folder: Path, model: Model, generated: Sequence[GeneratedNetwork], networks: CodecNetworks
) -> tuple[CodecNetworks, tuple[str, ...]]:
    """Compares the z tables made here with the case's. Where two differ, the networks get the case's table.

    Returns:
        (networks, one note for each table that differs).

    Raises:
        InputError: the case has no usable z tables.
    """
    notes = []
    try:
        with np.load(folder / "symbols.npz", allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files if name.startswith(("zcdf_", "zcdflen_", "zoff_"))}
        for letter, name in ((one.letter, one.name) for one in generated):
            network = networks[name]
            channels = model.networks[name].num_z_channels
            table, num_rows = _with_stored_rows(network.z_table, channels, letter, stored)
            if num_rows:
                notes.append(f"{num_rows} z table rows of the {name} network differ here; the case's are used")
                networks = replace(networks, by_name={**networks.by_name, name: replace(network, z_table=table)})
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{folder / 'symbols.npz'} has no usable z tables: {error}") from error
    return networks, tuple(notes)


def _with_stored_rows(
    table: CdfTable, num_channels: int, letter: str, stored: Mapping[str, NDArray[Any]]
) -> tuple[CdfTable, int]:
    """Returns (the table with the stored rows, number of rows that changed)."""
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
    """Says in words where two byte strings differ first."""
    common = min(len(found), len(expected))
    differing = np.frombuffer(found, np.uint8)[:common] != np.frombuffer(expected, np.uint8)[:common]
    place = int(np.argmax(differing)) if differing.any() else common
    count = int(differing.sum()) + abs(len(found) - len(expected))
    return (
        f"{what} differs from offset {base_offset + place} of the file on ({count} bytes; {len(found)} found, "
        f"{len(expected)} expected)"
    )


def open_pictures(folder: Path, name: str = "recon.yuv") -> IO[bytes]:
    """Opens the raw pictures of a case, compressed or not."""
    plain = folder / name
    packed = folder / f"{name}.xz"
    return lzma.open(packed, "rb") if packed.exists() and not plain.exists() else plain.open("rb")


def read_pictures(file: IO[bytes], size: int) -> bytes:
    """Reads up to `size` bytes.

    Raises:
        InputError: compressed pictures are damaged.
    """
    try:
        return file.read(size)
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"compressed pictures are damaged: {error}") from error


def picture_of(samples: bytes, video_format: VideoFormat) -> Picture:
    """Makes a picture of raw 4:2:0 samples."""
    planes, position = [], 0
    flat = np.frombuffer(samples, np.uint8)
    for height, width in video_format.plane_shapes:
        planes.append(flat[position : position + height * width].reshape(height, width))
        position += height * width
    return Picture((planes[0], planes[1], planes[2]))
