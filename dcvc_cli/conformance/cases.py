"""Runs conformance cases: the decoder must turn each stream into its pictures, the encoder each clip into its stream, byte for byte.

A folder of cases holds make_params.py, which makes the networks' parameters from a seed, one folder a case, and entropy/ with
vectors of the entropy coder alone (conformance.vectors). The published sizes of the networks (`rt`) are meant throughout.
"""

import hashlib
import io
import json
import lzma
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, values_from_picture
from dcvc_cli.entropy.tables import CdfTable, TableError
from dcvc_cli.errors import DcvcError, InputError, StreamError, UsageError
from dcvc_cli.families.rt.elementary_stream import ReferenceFrameUnit, ReferenceReader, ReferenceSps, ReferenceWriter
from dcvc_cli.families.rt.family import RtModel
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.rt.gop import GopRule
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import RT
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import NUM_QPS, Picture, PictureSize, VideoFormat

GENERATOR = "make_params.py"
NETWORKS = (("dmci", "i", "image"), ("dmc", "p", "video"))
"""Name in make_params.py, letter in the names of stored z tables, name of the network."""
MODEL = RtModel(RT, ImageModel(RT.image), VideoModel(RT.video))


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
class ConformanceCase:
    """Settings of a case, from its case.json.

    Args:
        skip_threshold: None codes all elements.
        digests: SHA-256 of the parameters of the image and the video network.
    """

    folder: Path
    size: PictureSize
    num_frames: int
    rule: GopRule
    skip_threshold: float | None
    entropy_format: EntropyFormat
    seed: int
    digests: tuple[str, str]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def video_format(self) -> VideoFormat:
        return VideoFormat(self.size)


def read_case(folder: Path) -> ConformanceCase:
    """Reads and checks case.json; InputError names the file and what is wrong with it."""
    path = folder / "case.json"
    try:
        case = json.loads(path.read_text(encoding="utf-8"))
        threshold = case["force_zero_thres"]
        size, num_frames, seed = PictureSize(int(case["width"]), int(case["height"])), int(case["frames"]), int(case["seed"])
        qps = int(case["qp_i"]), int(case["qp_p"])
        digests = str(case["params"]["dmci_sha256"]), str(case["params"]["dmc_sha256"])
        rule = GopRule(*qps, int(case["intra_period"]), int(case["reset_interval"]), restart_at_key=False)
        two_coders = bool(case["two_coders"]) or bool(case.get("two_coders_forced", False))
        skip_threshold = None if threshold is None else float(threshold)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no description of a conformance case: {type(error).__name__}: {error}") from error
    if num_frames < 1 or not all(0 <= qp < NUM_QPS for qp in qps):
        raise InputError(f"{path} asks for {num_frames} frames at QP {qps[0]} and {qps[1]}, expected at least 1 frame and QPs 0..{NUM_QPS - 1}")
    entropy_format = EntropyFormat.REFERENCE_TWO if two_coders else EntropyFormat.REFERENCE_ONE
    return ConformanceCase(folder, size, num_frames, rule, skip_threshold, entropy_format, seed, digests)


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
    """Runs FOLDER/make_params.py as a module of its own: nothing is cached beside it and nothing else is imported from there."""
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
    """Networks by seed. Only those of the seed asked for last are kept: float64 parameters of one seed take half a gigabyte."""

    def __init__(self, folder: Path, precision: Precision, threads: int | None) -> None:
        self._generator = load_generator(folder)
        self._precision, self._threads = precision, threads
        self._seed: int | None = None
        self._networks: CodecNetworks | None = None
        self._digests: tuple[str, ...] = ()

    def networks(self, case: ConformanceCase) -> CodecNetworks:
        """Networks with tables made here; InputError if the parameters are not those of the case."""
        if self._networks is None or self._seed != case.seed:
            self._networks = None  # frees the old parameters first
            self._networks, self._seed = self._make(case.seed), case.seed
        for (kind, _, _), found, expected in zip(NETWORKS, self._digests, case.digests, strict=True):
            if found != expected:
                raise InputError(f"the parameters of {kind} for seed {case.seed} have SHA-256 {found[:16]}..., the case expects {expected[:16]}...")
        return self._networks

    def _make(self, seed: int) -> CodecNetworks:
        states = {name: self._state(kind, seed, dict(MODEL.networks[name].shapes())) for kind, _, name in NETWORKS}
        tables = {name: MODEL.published_z_table(name, state) for name, state in states.items()}
        self._digests = tuple(map(parameter_digest, states.values()))
        return networks_from_state(states, tables, self._precision, self._threads)

    def _state(self, kind: str, seed: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
        try:
            made = {str(key): np.asarray(value) for key, value in self._generator.state_dict(kind, seed).items()}
        except (Exception, SystemExit) as error:  # as above
            raise InputError(f"{GENERATOR} fails for {kind}, seed {seed}: {type(error).__name__}: {error}") from error
        if {key: (value.shape, value.dtype) for key, value in made.items()} != {key: (shape, np.float32) for key, shape in shapes.items()}:
            raise InputError(f"{GENERATOR} gives other keys, shapes or types for {kind} than the network has")
        return made


def stored_tables(case: ConformanceCase, networks: CodecNetworks) -> tuple[CodecNetworks, list[str]]:
    """Compares the z tables made here with those of the case and puts the case's in their place where they differ."""
    notes = []
    try:
        with np.load(case.folder / "symbols.npz", allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files if name.startswith(("zcdf_", "zcdflen_", "zoff_"))}
        for _, letter, name in NETWORKS:
            network = networks[name]
            table, num_rows = _with_stored_rows(network.z_table, MODEL.networks[name].num_z_channels, letter, stored)
            if num_rows:
                notes.append(f"{num_rows} z table rows of the {name} network differ here; the case's are used")
                networks = replace(networks, by_name={**networks.by_name, name: replace(network, z_table=table)})
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"{case.folder / 'symbols.npz'} has no usable z tables: {error}") from error
    return networks, notes


def _with_stored_rows(table: CdfTable, num_channels: int, letter: str, stored: Mapping[str, NDArray[Any]]) -> tuple[CdfTable, int]:
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
        length[rows], offset[rows] = stored[f"zcdflen_{suffix}"], stored[f"zoff_{suffix}"]
    changed = (cdf != table.cdf).any(axis=1) | (length != table.cdf_length) | (offset != table.offset)
    return (CdfTable(cdf, length, offset), int(changed.sum())) if changed.any() else (table, 0)


def run_cases(folder: Path, names: Iterable[str] = (), precision: Precision = Precision.FLOAT64, threads: int | None = None) -> Iterator[CheckResult]:
    """Runs cases one after the other, those of one seed together. Each case passes or fails on its own.

    Raises:
        InputError, UsageError: the folder or the names are wrong; nothing was run then.
    """
    folders = find_cases(folder, names)
    source = ParameterSource(folder, precision, threads)
    described: list[tuple[Path, ConformanceCase | InputError]] = []
    for path in folders:
        try:
            described.append((path, read_case(path)))
        except InputError as error:
            described.append((path, error))
    described.sort(key=lambda entry: entry[1].seed if isinstance(entry[1], ConformanceCase) else -1)
    for path, case in described:
        yield run_case(case, source) if isinstance(case, ConformanceCase) else CheckResult(path.name, "", 0.0, (str(case),))


def run_case(case: ConformanceCase, source: ParameterSource) -> CheckResult:
    """Decodes and encodes one case."""
    summary = f"{case.size}, {case.num_frames} frames"
    began = time.perf_counter()
    faults: list[str] = []
    notes: list[str] = []
    figures: dict[str, float] = {}
    try:
        networks, notes = stored_tables(case, source.networks(case))
        figures["prepare_seconds"] = time.perf_counter() - began
        for step, check in (("decode", decoding_faults), ("encode", encoding_faults)):
            step_began = time.perf_counter()
            faults += [f"{step}: {fault}" for fault in check(case, networks)]
            figures[f"{step}_seconds"] = time.perf_counter() - step_began
    except (DcvcError, TableError, OSError) as error:
        faults.append(str(error))
    return CheckResult(case.name, summary, time.perf_counter() - began, tuple(faults), tuple(notes), figures)


def decoding_faults(case: ConformanceCase, networks: CodecNetworks) -> list[str]:
    """Decodes stream.bin and compares every picture with recon.yuv."""
    video_format = case.video_format
    decoder = FramePayloadDecoder(MODEL.image, MODEL.video, networks, case.entropy_format, case.skip_threshold, padded_size(case.size))
    num_frames = 0
    with (case.folder / "stream.bin").open("rb") as stream, _open_pictures(case.folder) as expected:
        for unit in ReferenceReader(stream):
            if not isinstance(unit, ReferenceFrameUnit):
                continue
            if (unit.sps.width, unit.sps.height) != (case.size.width, case.size.height):
                return [f"frame {num_frames} is {unit.sps.width}x{unit.sps.height} in the stream, the case is {case.size}"]
            decoder.entropy_format = EntropyFormat.REFERENCE_TWO if unit.sps.ec_part else EntropyFormat.REFERENCE_ONE
            try:
                if unit.frame_type is NalType.I:
                    decoder.decode_i(unit.payload, unit.qp)
                else:
                    decoder.decode_p(unit.payload, unit.qp, unit.sps.use_ada_i)
            except StreamError as error:
                return [f"frame {num_frames}: {error}"]
            picture = decoder.picture(video_format, truncate_chroma=True)
            wanted = _read_pictures(expected, video_format.frame_bytes)
            if picture.tobytes() != wanted:
                return [_difference(f"frame {num_frames}", picture.tobytes(), wanted, num_frames * video_format.frame_bytes)]
            num_frames += 1
        rest = _read_pictures(expected, 1)
    if num_frames != case.num_frames or rest:
        return [f"the stream has {num_frames} frames, the case {case.num_frames}" + (", recon.yuv has more" if rest else "")]
    return []


def encoding_faults(case: ConformanceCase, networks: CodecNetworks) -> list[str]:
    """Encodes input.yuv and compares every unit with stream.bin."""
    video_format = case.video_format
    encoder = FramePayloadEncoder(MODEL.image, MODEL.video, networks, case.entropy_format, case.skip_threshold)
    planner = case.rule.plans_from()
    sink = io.BytesIO()
    writer = ReferenceWriter(sink)
    expected = memoryview((case.folder / "stream.bin").read_bytes())
    with (case.folder / "input.yuv").open("rb") as clip:
        for index in range(case.num_frames):
            samples = clip.read(video_format.frame_bytes)
            if len(samples) != video_format.frame_bytes:
                raise InputError(f"{case.folder / 'input.yuv'} ends inside frame {index} of {case.num_frames}")
            values = values_from_picture(_picture(samples, video_format), video_format)
            plan = planner.next()
            is_i = plan.frame_type is NalType.I
            payload = encoder.encode_i(values, plan.qp) if is_i else encoder.encode_p(values, plan.qp, plan.reset)
            two_coders = case.entropy_format is EntropyFormat.REFERENCE_TWO
            sps = ReferenceSps(case.size.height, case.size.width, two_coders, plan.reset and not is_i)
            began = sink.tell()
            writer.write_frame(plan.frame_type, sps, plan.qp, payload)
            made, wanted = sink.getvalue()[began:], bytes(expected[began : sink.tell()])
            if made != wanted:
                return [_difference(f"frame {index}", made, wanted, began)]
    if sink.tell() != len(expected):
        return [f"stream.bin has {len(expected)} bytes, the encoder made {sink.tell()}, equal as far as they go"]
    return []


def _difference(what: str, found: bytes, expected: bytes, base_offset: int) -> str:
    """Where two byte strings part, and by how much."""
    common = min(len(found), len(expected))
    differing = np.frombuffer(found, np.uint8)[:common] != np.frombuffer(expected, np.uint8)[:common]
    place = int(np.argmax(differing)) if differing.any() else common
    count = int(differing.sum()) + abs(len(found) - len(expected))
    return f"{what} differs from offset {base_offset + place} of the file on ({count} bytes; {len(found)} found, {len(expected)} expected)"


def _open_pictures(folder: Path) -> IO[bytes]:
    plain = folder / "recon.yuv"
    return plain.open("rb") if plain.exists() else lzma.open(folder / "recon.yuv.xz", "rb")


def _read_pictures(file: IO[bytes], size: int) -> bytes:
    try:
        return file.read(size)
    except (lzma.LZMAError, EOFError) as error:
        raise InputError(f"recon.yuv.xz is damaged: {error}") from error


def _picture(samples: bytes, video_format: VideoFormat) -> Picture:
    planes, position = [], 0
    flat = np.frombuffer(samples, np.uint8)
    for height, width in video_format.plane_shapes:
        planes.append(flat[position : position + height * width].reshape(height, width))
        position += height * width
    return Picture((planes[0], planes[1], planes[2]))
