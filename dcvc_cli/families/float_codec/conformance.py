"""Conformance cases of the float codecs. Each frame has a file. Strings, symbols, table rows, pictures and estimated
bits are compared in float64."""

import hashlib
import struct
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.case_files import GENERATOR, check_digest, difference, parameter_digest
from dcvc_cli.families.conformance_form import Case, CaseRun, Check, ConformanceForm, Findings
from dcvc_cli.families.float_codec.entropy_vectors import VectorRules, entropy_checks
from dcvc_cli.families.float_codec.estimates import EstimatingSide
from dcvc_cli.families.float_codec.layers import FloatNetwork
from dcvc_cli.families.float_codec.model import FloatModel
from dcvc_cli.families.float_codec.sequences import FrameCoder
from dcvc_cli.families.float_codec.sides import Side

MAX_SIDE, MAX_FRAMES = 4096, 4096
BITS_TOLERANCE = 1e-9
"""Largest relative difference of estimated bits. They are sums of floats, and the order of a sum may differ."""


@dataclass(frozen=True)
class FrameFacts:
    """The facts of one frame in a case.

    Attributes:
        estimated_bits: estimated bits by name of the latent.
        estimated_picture: SHA-256 of the 8-bit picture of the estimate; empty if it is the stream's picture.
    """

    frame_type: NalType
    offset: int
    file_bytes: int
    file_sha256: str
    recon_sha256: str
    estimated_bits: Mapping[str, float]
    estimated_picture: str


@dataclass(frozen=True)
class FileForm:
    """The header of a codec's frame files.

    Attributes:
        p_has_size: whether files of P frames hold the picture's size.
        lengths_of_p: number of lengths of strings in the header of a P frame's file.
    """

    p_has_size: bool
    lengths_of_p: int

    def pack(self, frame_type: NalType, size: tuple[int, int], strings: Sequence[bytes]) -> bytes:
        """Makes a file: a big-endian header, then the strings. size: (height, width)."""
        fields = [len(string) for string in strings]
        if frame_type is NalType.I or self.p_has_size:
            fields = [*size, *fields]
        return struct.pack(f">{len(fields)}I", *fields) + b"".join(strings)

    def unpack(self, frame_type: NalType, size: tuple[int, int], file: bytes) -> list[bytes]:
        """Reads the strings of a file.

        Raises:
            StreamError: the header does not fit the picture's size or the file's bytes.
        """
        is_intra = frame_type is NalType.I
        count = 2 if is_intra else self.lengths_of_p
        has_size = is_intra or self.p_has_size
        header = 4 * (count + 2 * has_size)
        if len(file) < header:
            raise StreamError("a file ends inside its header")
        fields = struct.unpack(f">{header // 4}I", file[:header])
        lengths = fields[2:] if has_size else fields
        if (has_size and tuple(fields[:2]) != size) or header + sum(lengths) != len(file):
            raise StreamError(f"a file's header says {fields}, its picture is {size} and it has {len(file)} bytes")
        strings, place = [], header
        for length in lengths:
            strings.append(file[place : place + length])
            place += length
        return strings


@dataclass(frozen=True)
class FloatCase(Case):
    """A case, with the settings of its case.json.

    Attributes:
        kinds: names of the networks in make_params.py: image, video.
        digests: SHA-256 of the parameters of image and video.
        z_names: names of the stored z tables of image and video, in the order of their rows.
        densities: prefix of the video network's density, by name of z.
    """

    folder: Path
    model: FloatModel
    files: FileForm
    kinds: tuple[str, str]
    digests: tuple[str, str]
    z_names: tuple[tuple[str, ...], tuple[str, ...]]
    densities: Mapping[str, str]
    width: int
    height: int
    seed: int
    rate: int
    frames: tuple[FrameFacts, ...]

    @property
    def summary(self) -> str:
        """Returns picture size and number of frames."""
        return f"{self.width}x{self.height}, {len(self.frames)} frames"

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Returns everything that the networks' parameters depend on, such as seed and rate."""
        return self.model.name, self.seed, self.rate

    @property
    def padded(self) -> tuple[int, int]:
        """Returns (height, width), multiples of 64."""
        return -(-self.height // 64) * 64, -(-self.width // 64) * 64

    def steps(self, run: CaseRun) -> Sequence[Check]:
        """Returns the steps: make the parameters, decode the files, encode the clip, estimate the bits."""
        opened: list[CodecNetworks] = []

        def prepare() -> Findings:
            networks, notes = self._networks(run)
            opened.append(networks)
            return Findings(notes=notes)

        return (
            Check("prepare", prepare),
            Check("decode", lambda: Findings(tuple(self._decoding_faults(opened[0])))),
            Check("encode", lambda: Findings(tuple(self._encoding_faults(opened[0])))),
            Check("estimate", lambda: Findings(tuple(self._estimate_faults(opened[0], run.precision)))),
        )

    # ---- parameters and tables

    def _networks(self, run: CaseRun) -> tuple[CodecNetworks, tuple[str, ...]]:
        parts = list(zip(self.model.networks.items(), self.kinds, strict=True))
        if not run.kept:
            states, digests = {}, {}
            for (name, network), kind in parts:
                made = _generated(run.generator, network, kind, self.seed, self.rate)
                digests[kind] = parameter_digest({key: value for key, value in made.items() if value.size})
                states[name] = {key: made[key] for key, _ in network.shapes()}
            tables = {name: self.model.z_table(name, state) for name, state in states.items()}
            run.kept["digests"] = digests
            run.kept["networks"] = networks_from_state(states, tables, run.precision, run.threads)
        for kind, digest in zip(self.kinds, self.digests, strict=True):
            check_digest(kind, self.seed, run.kept["digests"][kind], digest)
        networks: CodecNetworks = run.kept["networks"]
        notes = []
        for ((name, _), _), z_names in zip(parts, self.z_names, strict=True):
            table = self._stored_z_table(z_names)
            own = networks[name].z_table
            num_rows = _differing_rows(table, own)
            if num_rows:
                notes.append(f"{num_rows} z table rows of the {name} network differ here; the case's are used")
                changed = replace(networks[name], z_table=table)
                networks = replace(networks, by_name={**networks.by_name, name: changed})
        return networks, tuple(notes)

    def _stored_z_table(self, names: tuple[str, ...]) -> CdfTable:
        stored = self._symbols()
        try:
            parts = [[stored[f"{kind}_{name}"] for name in names] for kind in ("cdf", "cdflen", "off")]
            width = max(part.shape[1] for part in parts[0])
            cdf = np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts[0]])
            return CdfTable(cdf, np.concatenate(parts[1]), np.concatenate(parts[2]))
        except (KeyError, ValueError, IndexError) as error:
            raise InputError(f"{self.folder / 'symbols.npz'} has no usable z tables: {error}") from error

    def _symbols(self) -> dict[str, NDArray[Any]]:
        try:
            with np.load(self.folder / "symbols.npz", allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self.folder / 'symbols.npz'} cannot be read: {error}") from error

    # ---- what is compared

    def _decoding_faults(self, networks: CodecNetworks) -> list[str]:
        stream, stored = (self.folder / "stream.bin").read_bytes(), self._symbols()
        expected = (self.folder / "recon.rgb").read_bytes()
        coder, size = FrameCoder(self.model.recipe, networks, self.padded), 3 * self.width * self.height
        for number, frame in enumerate(self.frames):
            file = stream[frame.offset : frame.offset + frame.file_bytes]
            try:
                strings = self.files.unpack(frame.frame_type, (self.height, self.width), file)
                side = coder.decode(frame.frame_type, strings)
            except StreamError as error:
                return [f"frame {number}: {error}"]
            faults = _symbol_faults(number, side, stored)
            picture, wanted = self._picture(coder), expected[number * size : (number + 1) * size]
            if picture != wanted:
                faults.append(difference(f"frame {number}", picture, wanted, number * size))
            if hashlib.sha256(picture).hexdigest() != frame.recon_sha256:
                faults.append(f"frame {number} has another SHA-256 than case.json says")
            if faults:
                return faults
        end = self.frames[-1].offset + self.frames[-1].file_bytes
        is_all = end == len(stream) and len(expected) == size * len(self.frames)
        return [] if is_all else ["stream.bin or recon.rgb holds more than the case's frames"]

    def _encoding_faults(self, networks: CodecNetworks) -> list[str]:
        stream, stored = (self.folder / "stream.bin").read_bytes(), self._symbols()
        coder = FrameCoder(self.model.recipe, networks, self.padded)
        for number, frame in enumerate(self.frames):
            side = coder.encode(frame.frame_type, self._values(number))
            file = self.files.pack(frame.frame_type, (self.height, self.width), side.strings())
            wanted = stream[frame.offset : frame.offset + frame.file_bytes]
            faults = _symbol_faults(number, side, stored)
            if file != wanted or hashlib.sha256(file).hexdigest() != frame.file_sha256:
                faults.append(difference(f"the file of frame {number}", file, wanted, frame.offset))
            if faults:
                return faults
        return []

    def _estimate_faults(self, networks: CodecNetworks, precision: Precision) -> list[str]:
        coder = FrameCoder(self.model.recipe, networks, self.padded)
        tolerance = BITS_TOLERANCE if precision is Precision.FLOAT64 else 1e-4
        for number, frame in enumerate(self.frames):
            ops, is_intra = coder.ops(frame.frame_type), frame.frame_type is NalType.I
            side = EstimatingSide(ops, coder.layout(frame.frame_type), None if is_intra else self.densities)
            coder.code(frame.frame_type, side, ops.frame_from_values(self._values(number)))
            for name, bits in frame.estimated_bits.items():
                found = side.bits.get(name, float("nan"))
                if not abs(found - bits) <= tolerance * max(bits, 1.0):
                    return [f"frame {number}: {name} is estimated at {found!r} bits, expected {bits!r}"]
            wanted = frame.estimated_picture or frame.recon_sha256
            if hashlib.sha256(self._picture(coder)).hexdigest() != wanted:
                return [f"frame {number}: the estimate's picture differs"]
        return []

    def _picture(self, coder: FrameCoder) -> bytes:
        values = coder.kept[0][0, :, : self.height, : self.width].cpu().numpy()
        return np.rint(np.clip(values * 255, 0, 255)).astype(np.uint8).tobytes()

    def _values(self, number: int) -> NDArray[np.float32]:
        size = 3 * self.width * self.height
        with (self.folder / "input.rgb").open("rb") as file:
            file.seek(number * size)
            samples = np.frombuffer(file.read(size), np.uint8)
        if samples.size != size:
            raise InputError(f"the input of {self.folder} ends inside frame {number} of {len(self.frames)}")
        values = samples.reshape(3, self.height, self.width).astype(np.float32) / np.float32(255)
        bottom, right = self.padded[0] - self.height, self.padded[1] - self.width
        return np.pad(values, ((0, 0), (0, bottom), (0, right)))


def _generated(generator: ModuleType, network: FloatNetwork, kind: str, seed: int, rate: int) -> dict[str, Any]:
    asked = f"{kind}, {seed}, {rate}"
    try:
        made = {str(key): np.asarray(value) for key, value in generator.state_dict(kind, seed, rate).items()}
    except (Exception, SystemExit) as error:  # the script is the user's: whatever it raises is a fault of the input
        raise InputError(f"{GENERATOR} fails for {asked}: {type(error).__name__}: {error}") from error
    expected = dict(network.shapes())
    found = {key: value.shape for key, value in made.items() if not network.without_parameters.fullmatch(key)}
    if found != expected:
        raise InputError(f"{GENERATOR} gives other keys or shapes for {asked} than the network has")
    return made


def _differing_rows(table: CdfTable, other: CdfTable) -> int:
    if table.num_rows != other.num_rows:
        return table.num_rows
    width = max(table.cdf.shape[1], other.cdf.shape[1])
    first, second = (np.pad(one.cdf, ((0, 0), (0, width - one.cdf.shape[1]))) for one in (table, other))
    return int(((first != second).any(axis=1) | (table.offset != other.offset)).sum())


def _symbol_faults(number: int, side: Side, stored: Mapping[str, NDArray[Any]]) -> list[str]:
    faults = []
    for name, symbols in side.symbols.items():
        for key, found in ((f"f{number}_{name}", symbols), (f"f{number}_{name}_index", side.rows.get(name))):
            if found is not None and (key not in stored or not np.array_equal(found, stored[key])):
                faults.append(f"frame {number}: {key} differs from symbols.npz")
    return faults


class FloatConformance(ConformanceForm):
    """Reads cases of a float codec. Each codec's form derives from it and says which networks the cases are of."""

    files: FileForm
    video_kind: str
    densities: Mapping[str, str]
    vector_rules: VectorRules

    @abstractmethod
    def model_of(self, image_kind: str) -> FloatModel | None:
        """Returns the model whose I-frame network has this name in make_params.py; None if there is none."""

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Claims the cases of the codec's video network."""
        return isinstance(description.get("parameters"), dict) and self.video_kind in description["parameters"]

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> FloatCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist.
        """
        image_kind = str(description["i_model"])
        model = self.model_of(image_kind)
        width, height = int(description["width"]), int(description["height"])
        frames = tuple(_frame(frame) for frame in description["frames_info"])
        if model is None or not 1 <= min(width, height) <= max(width, height) <= MAX_SIDE:
            raise InputError(f"{folder / 'case.json'} has settings that there are not")
        if not 1 <= len(frames) <= MAX_FRAMES or len(frames) != int(description["frames"]):
            raise InputError(f"{folder / 'case.json'} has {len(frames)} frames of {description['frames']}")
        digests = description["parameters"]
        return FloatCase(
            folder,
            model,
            self.files,
            (image_kind, self.video_kind),
            (str(digests[image_kind]), str(digests[self.video_kind])),
            (("i_z",), ("z_mv", "z")),
            self.densities,
            width,
            height,
            int(description["seed"]),
            int(description["rate"]),
            frames,
        )

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of the entropy coder's vectors."""
        vectors = folder / "entropy"
        return entropy_checks(vectors, self.vector_rules) if vectors.is_dir() else ()


def _frame(frame: Mapping[str, Any]) -> FrameFacts:
    offset, size = int(frame["offset"]), int(frame["file_bytes"])
    if offset < 0 or size < 0:
        raise ValueError(f"a file of {size} bytes at {offset}")
    bits = {str(name): float(value) for name, value in frame["estimated_bits"].items()}
    picture = str(frame.get("estimate_path_recon_sha256", ""))
    hashes = str(frame["file_sha256"]), str(frame["recon_sha256"])
    return FrameFacts(NalType[str(frame["type"])], offset, size, *hashes, bits, picture)
