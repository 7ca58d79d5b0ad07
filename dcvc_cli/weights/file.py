"""Weights of a model in one file: the networks' parameters, their z tables, and a fingerprint of each that streams
name.

File: safetensors, or the same in gzip where the name ends in .gz (the weights in the box). Keys are the network's name,
a dot and the state-dict key. A weight stored as int8 or int16 has a companion KEY.step, float32 (cout,), and stands for
value * step of its output channel. `NETWORK.z_table.*` are the integer probability tables of z: they travel with the
weights because float evaluation differs between machines. Metadata names the model, its training and the fingerprints.
A search therefore reads headers only, and a reader of the whole file finds damage.
"""

import gzip
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_analysis import AnalysisNetwork, analysis_network
from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.entropy.tables import CdfTable, TableError
from dcvc_cli.errors import EnvironmentFault, shown
from dcvc_cli.families.base import Model
from dcvc_cli.families.registry import models
from dcvc_cli.graph.network import Network
from dcvc_cli.staged_files import write_whole
from dcvc_cli.weights.compression import WIDE_LIMIT, integers_and_steps, read_table
from dcvc_cli.weights.safetensors_reader import COMPRESSED_SUFFIX, SafetensorsReader
from dcvc_cli.weights.stored_arrays import (
    ANALYSIS_EXPONENTS,
    EXACT_PREFIX,
    PUBLISHED_TABLE_PREFIX,
    STEP_SUFFIX,
    TABLE_PREFIX,
    Arrays,
    coding_shapes,
    entry_problems,
    is_companion,
    parameter_problems,
    value_problem,
)

FORMAT_VERSION = "1"
UNCOVERED = (PUBLISHED_TABLE_PREFIX, ANALYSIS_EXPONENTS)
"""Beginnings of the keys of arrays that no fingerprint covers."""
FINGERPRINT_SUFFIX = "_fingerprint"
"""Stands behind a network's name in the key of the metadata that records its fingerprint."""


def fingerprint_of(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Computes 64 bits of SHA-256 over key, type, shape and little-endian bytes of every array in key order; never
    0."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str.lstrip('<>|=')} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return int.from_bytes(digest.digest()[:8], "big") or 1


@dataclass(frozen=True)
class NetworkWeights:
    """Stored arrays of one network, checked against its graph.

    Args:
        model: the graph.
        arrays: parameters as stored (see the module's text) and the arrays of the z table. With `exact`, the decoder's
            parameters may be missing: the integers of `exact` stand for them.
        exact: arrays of the exact profile, by name; empty if the weights were never prepared for it.
    """

    model: Network
    arrays: Arrays
    exact: Arrays = field(default_factory=dict)
    fingerprint: int = field(init=False)
    z_table: CdfTable = field(init=False)
    published_z_table: CdfTable | None = field(init=False)

    def __post_init__(self) -> None:
        shapes = {key: self.arrays[key].shape for key in self.arrays if not is_companion(key)}
        if self.exact:
            shapes |= {key: shape for key, shape in self.model.decoder_shapes() if key not in shapes}
        problems = parameter_problems(self.model, shapes)
        if problems:
            raise EnvironmentFault(
                f"these weights do not fit their model: {problems[0]}", f"{len(problems)} keys differ"
            )
        try:
            table = read_table(self.arrays, TABLE_PREFIX)
            has_published = any(key.startswith(PUBLISHED_TABLE_PREFIX) for key in self.arrays)
            published = read_table(self.arrays, PUBLISHED_TABLE_PREFIX) if has_published else None
        except TableError as error:
            raise EnvironmentFault(f"these weights have no usable z table: {error}") from error
        expected = self.model.num_qps * self.model.num_z_channels
        for one in (table, published):
            if one is not None and one.num_rows != expected:
                raise EnvironmentFault(f"the z table has {one.num_rows} rows, expected {expected}")
        object.__setattr__(self, "z_table", table)
        object.__setattr__(self, "published_z_table", published)
        covered = {key: value for key, value in self.arrays.items() if not key.startswith(UNCOVERED)}
        object.__setattr__(
            self, "fingerprint", fingerprint_of(covered | {f"exact.{key}": value for key, value in self.exact.items()})
        )

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Returns the state dict in float32, stored integers multiplied out.

        Raises:
            EnvironmentFault: the exact profile's arrays stand for parameters and are not usable.
        """
        shapes = coding_shapes(self.model)
        missing = [key for key in shapes if key not in self.arrays]
        state = ExactNetwork.from_arrays(self.model, self.exact).float_parameters() if missing else {}
        return {
            key: self._expanded(key) if key in self.arrays else state[key].reshape(shape)
            for key, shape in shapes.items()
        }

    def for_exact_coding(self) -> "NetworkWeights":
        """Returns the part that exact coding needs: integers in place of the decoder's parameters, and 16-bit weights
        of the layers that only an encoder runs."""
        decoder = {key for key, _ in self.model.decoder_shapes()} if self.exact else set()
        kept: Arrays = {}
        for key, value in self.arrays.items():
            if key.removesuffix(STEP_SUFFIX) in decoder or key.startswith(PUBLISHED_TABLE_PREFIX):
                continue
            is_float_weight = key.endswith(".weight") and value.dtype == np.float32
            kept |= integers_and_steps(key, value, WIDE_LIMIT, np.int16) if is_float_weight else {key: value}
        return replace(self, arrays=kept)

    @cached_property
    def analysis(self) -> AnalysisNetwork | None:
        """Returns the integer form of the layers that only an encoder runs; None for weights that were not prepared
        with it.

        Raises:
            EnvironmentFault: exponents that do not fit the weights.
        """
        exponents = self.arrays.get(ANALYSIS_EXPONENTS)
        return None if exponents is None else analysis_network(self.model, self.arrays, exponents)

    def _expanded(self, key: str) -> NDArray[np.float32]:
        array = self.arrays[key]
        if array.dtype in (np.int8, np.int16):
            step = self.arrays[key + STEP_SUFFIX].astype(np.float32)
            return array.astype(np.float32) * step.reshape(-1, *([1] * (array.ndim - 1)))
        return array.astype(np.float32)


@dataclass(frozen=True)
class ModelWeights:
    """The networks of a model and where they came from.

    Attributes:
        networks: by name, in the family's order.
    """

    model: Model
    networks: Mapping[str, NetworkWeights]
    name: str
    description: str = ""
    path: Path | None = None
    size_bytes: int = 0

    @property
    def has_float_decoder(self) -> bool:
        """Returns whether the decoder's parameters of training or of a checkpoint are here, not only integers made from
        them."""
        return all(
            key in network.arrays for network in self.networks.values() for key, _ in network.model.decoder_shapes()
        )

    @property
    def is_exact(self) -> bool:
        """Returns whether the weights carry the integers of the exact profile."""
        return all(bool(network.exact) for network in self.networks.values())

    @property
    def fingerprints(self) -> tuple[int, ...]:
        """Fingerprints of the networks, in the family's order. Streams name the weights by them."""
        return tuple(network.fingerprint for network in self.networks.values())

    @property
    def fingerprint_texts(self) -> dict[str, str]:
        """Writes 16 hexadecimal digits by NETWORK_fingerprint, as files and reports have them."""
        return {name + FINGERPRINT_SUFFIX: f"{network.fingerprint:016x}" for name, network in self.networks.items()}


@dataclass(frozen=True)
class WeightsHeader:
    """Facts from the header of a weights file. Fingerprints are None in a file that records none; they hold only for a
    file that is whole.

    Args:
        notes: how the weights were made, as written.
        size_bytes: of the file as it lies on the disk.
    """

    path: Path
    model: Model
    name: str
    description: str
    notes: Mapping[str, str]
    fingerprints: tuple[int | None, ...]
    size_bytes: int

    def may_match(self, fingerprints: Sequence[int]) -> bool:
        """Returns False where the recorded fingerprints rule these out."""
        pairs = zip(self.fingerprints, fingerprints, strict=False)
        return len(self.fingerprints) == len(fingerprints) and all(
            recorded in (None, wanted) for recorded, wanted in pairs
        )


def read_header(path: Path) -> WeightsHeader:
    """Reads and checks the header of a weights file and none of its arrays.

    Raises:
        EnvironmentFault: no weights file, arrays that do not fit its model (the first one is named), or fewer or more
            bytes than the header promises.
    """
    try:
        with SafetensorsReader(path) as reader:
            header = _parse_header(path, reader)
            reader.require_end()
            return header
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> EnvironmentFault:
    reason = error.strerror if isinstance(error, OSError) else None
    return EnvironmentFault(f"cannot read weights {path}: {reason or error}")


def _parse_header(path: Path, reader: SafetensorsReader) -> WeightsHeader:
    metadata = reader.metadata
    if metadata.get("dcvc") != FORMAT_VERSION or metadata.get("spec") not in models():
        raise EnvironmentFault(f"{path} is not a weights file of this version of dcvc")
    model = models()[metadata["spec"]]
    networks = model.networks
    problems = [
        f"{shown(key)} is not part of the model" for key in reader.entries if key.partition(".")[0] not in networks
    ]
    for name, network in networks.items():
        own = {
            key.removeprefix(f"{name}."): entry for key, entry in reader.entries.items() if key.startswith(f"{name}.")
        }
        problems += [f"{name}.{problem}" for problem in entry_problems(network, own)]
    if problems:
        more = f"{len(problems)} arrays differ" if len(problems) > 1 else None
        raise EnvironmentFault(f"weights {path} do not fit their model {model.name}: {problems[0]}", more)
    keys = [name + FINGERPRINT_SUFFIX for name in networks]
    recorded = tuple(_parse_fingerprint(path, key, metadata[key]) if key in metadata else None for key in keys)
    return WeightsHeader(
        path,
        model,
        metadata.get("name", model.name),
        metadata.get("description", ""),
        _parse_notes(path, metadata.get("notes", "{}")),
        recorded,
        reader.size_bytes,
    )


def _parse_fingerprint(path: Path, key: str, text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise EnvironmentFault(
            f"weights {path} record {shown(text)} as {key}, expected 16 hexadecimal digits"
        ) from None


def _parse_notes(path: Path, text: str) -> dict[str, str]:
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        notes = None
    if not isinstance(notes, dict) or not all(isinstance(value, str | int | float) for value in notes.values()):
        raise EnvironmentFault(f"weights {path} have notes that are no list of names and texts")
    return {key: str(value) for key, value in notes.items()}


def read_weights(path: Path) -> ModelWeights:
    """Reads and checks a weights file: first its header, then array by array, so that a bad file costs no memory.

    Raises:
        EnvironmentFault: what is wrong with the file, and the key where it is one array's fault.
    """
    try:
        with SafetensorsReader(path) as reader:
            header = _parse_header(path, reader)
            arrays: Arrays = {}
            for key, array in reader.arrays():
                problem = value_problem(key, array)
                if problem:
                    raise EnvironmentFault(f"weights {path} are not usable: {problem}")
                arrays[key] = array
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    networks = {}
    for (name, model), recorded in zip(header.model.networks.items(), header.fingerprints, strict=True):
        own = {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}
        exact = {key.removeprefix(EXACT_PREFIX): own.pop(key) for key in list(own) if key.startswith(EXACT_PREFIX)}
        try:
            networks[name] = NetworkWeights(model, own, exact)
        except EnvironmentFault as fault:
            raise EnvironmentFault(
                f"weights {path} are not usable: {name} network: {fault.message}", fault.hint
            ) from fault
        found = networks[name].fingerprint
        if recorded not in (None, found):
            text = f"the {name} network has fingerprint {found:016x}, recorded is {recorded:016x}"
            raise EnvironmentFault(f"weights {path} are damaged: {text}")
    return ModelWeights(header.model, networks, header.name, header.description, path, header.size_bytes)


def write_weights(path: Path, weights: ModelWeights, notes: Mapping[str, str] | None = None) -> None:
    """Writes a weights file. The file gets its name when it is whole. The same weights give the same bytes."""
    from safetensors.numpy import save

    arrays: Arrays = {}
    for name, network in weights.networks.items():
        arrays |= {f"{name}.{key}": np.ascontiguousarray(value) for key, value in network.arrays.items()}
        arrays |= {f"{name}.exact.{key}": np.ascontiguousarray(value) for key, value in network.exact.items()}
    metadata = {
        "dcvc": FORMAT_VERSION,
        "spec": weights.model.name,
        "name": weights.name,
        "description": weights.description,
    }
    metadata |= weights.fingerprint_texts
    if notes:
        metadata["notes"] = json.dumps(dict(notes), sort_keys=True)
    data = _ordered_header(save(dict(sorted(arrays.items())), metadata))
    # The compressed form holds no time of day: the same weights give the same bytes.
    content = gzip.compress(data, 9, mtime=0) if path.name.endswith(COMPRESSED_SUFFIX) else data
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise EnvironmentFault(f"cannot write weights {path}: {error.strerror or error}") from error


def _ordered_header(data: bytes) -> bytes:
    """Sorts the metadata of a safetensors file by key: the library writes them in another order each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
