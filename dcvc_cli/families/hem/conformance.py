"""Conformance cases of DCVC-HEM: files of frames, symbols and pictures, byte for byte in float64."""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.wide import WideDecoder, WideEncoder, WideKind
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.conformance_form import Case, CaseRun, Check, ConformanceForm, Findings
from dcvc_cli.families.hem.frames import HemFrameDecoder, HemFrameEncoder
from dcvc_cli.families.hem.video import ESTIMATORS_OF
from dcvc_cli.families.wide_latents.case_checks import (
    bytes_fault,
    check_digests,
    open_published,
    planar_samples,
    planar_values,
    symbol_fault,
    table_findings,
    with_stored_table,
)
from dcvc_cli.families.wide_latents.quality import index_of_scale
from dcvc_cli.families.wide_latents.rgb import padded_size
from dcvc_cli.families.wide_latents.tables import gaussian_scales, laplace_scales
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    from dcvc_cli.families.hem.family import HemModel

I_HEADER, P_HEADER = struct.Struct(">IIHI"), struct.Struct(">HHI")
"""I: height, width, scale, payload size. P: scale of motion, scale of y, payload size."""
STORED = {"image": ("image_z",), "video": ("video_z", "video_mv_z")}
PARTS_I = ("z", "y0", "y1")
PARTS_P = ("mv_z", "mv_y0", "mv_y1", *PARTS_I)


@dataclass(frozen=True)
class FrameFile:
    """The place of a frame's file in stream.bin.

    Attributes:
        is_key: whether it is an I frame.
    """

    is_key: bool
    offset: int
    size: int


@dataclass(frozen=True)
class HemCase(Case):
    """A case, with the settings of its case.json.

    Attributes:
        scales: scales of the image, of motion and of y, in hundredths.
        digests: SHA-256 of the parameters, by network.
    """

    folder: Path
    model: "HemModel"
    size: PictureSize
    seed: int
    scales: tuple[int, int, int]
    digests: Mapping[str, str]
    frames: tuple[FrameFile, ...]

    @property
    def summary(self) -> str:
        """Returns picture size and number of frames."""
        return f"{self.size}, {len(self.frames)} frames"

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Returns the seed."""
        return ("dcvc-hem", self.seed)

    def steps(self, run: CaseRun) -> Sequence[Check]:
        """Returns the steps: make the parameters, decode the frames, encode the frames."""
        opened: list[CodecNetworks] = []

        def prepare() -> Findings:
            arguments = {name: (name, self.seed) for name in ("image", "video")}
            networks = open_published(run, self.model, ESTIMATORS_OF, self.seed, arguments)
            check_digests(run, self.seed, self.digests)
            notes: tuple[str, ...] = ()
            with np.load(self.folder / "symbols.npz", allow_pickle=False) as arrays:
                for name, prefixes in STORED.items():
                    parts = ("cdf", "cdf_length", "offset")
                    stored = [tuple(arrays[f"{prefix}_{part}"] for part in parts) for prefix in prefixes]
                    networks, more = with_stored_table(networks, name, stored)
                    notes += more
            opened.append(networks)
            return Findings(notes=notes)

        return (
            Check("prepare", prepare),
            Check("decode", lambda: Findings(self.decoding_faults(opened[0]))),
            Check("encode", lambda: Findings(self.encoding_faults(opened[0]))),
        )

    def _pictures(self, name: str) -> list[bytes]:
        """Reads the pictures of a raw file."""
        data, each = (self.folder / name).read_bytes(), 3 * self.size.num_pixels
        if len(data) != each * len(self.frames):
            raise InputError(f"{self.folder / name} has {len(data)} bytes, expected {each * len(self.frames)}")
        return [data[begin : begin + each] for begin in range(0, len(data), each)]

    def _header(self, frame: FrameFile, payload_size: int) -> bytes:
        image, motion, latents = self.scales
        if frame.is_key:
            return I_HEADER.pack(self.size.height, self.size.width, image, payload_size)
        return P_HEADER.pack(motion, latents, payload_size)

    def decoding_faults(self, networks: CodecNetworks) -> tuple[str, ...]:
        """Decodes every frame and compares it with recon.rgb."""
        stream, model = (self.folder / "stream.bin").read_bytes(), self.model
        decoder = HemFrameDecoder(model.image, model.video, networks, padded_size(self.size))
        for number, (frame, expected) in enumerate(zip(self.frames, self._pictures("recon.rgb"), strict=True)):
            header = I_HEADER if frame.is_key else P_HEADER
            data = stream[frame.offset : frame.offset + frame.size]
            if data[: header.size] != self._header(frame, frame.size - header.size):
                return (f"frame {number}: its header is not that of the case",)
            payload = data[header.size :]
            try:
                if frame.is_key:
                    decoder.published_i(payload, self.scales[0])
                else:
                    decoder.published_p(payload, self.scales[1:])
            except StreamError as error:
                return (f"frame {number}: {error}",)
            fault = bytes_fault(f"frame {number}", planar_samples(decoder.frame, self.size), expected)
            if fault:
                return fault
        return ()

    def encoding_faults(self, networks: CodecNetworks) -> tuple[str, ...]:
        """Encodes every frame and compares symbols, files and pictures."""
        stream, model = (self.folder / "stream.bin").read_bytes(), self.model
        encoder = HemFrameEncoder(model.image, model.video, networks)
        clips = zip(self.frames, self._pictures("input.rgb"), self._pictures("recon.rgb"), strict=True)
        for number, (frame, samples, expected) in enumerate(clips):
            values = planar_values(samples, self.size)
            if frame.is_key:
                payload = encoder.published_i(values, self.scales[0])
            else:
                payload = encoder.published_p(values, self.scales[1:])
            names = self._symbols(number, PARTS_I if frame.is_key else PARTS_P, encoder)
            fault = symbol_fault(self.folder, names)
            if fault is not None:
                return (fault,)
            made = self._header(frame, len(payload)) + payload
            wanted = stream[frame.offset : frame.offset + frame.size]
            faults = bytes_fault(f"frame {number}", made, wanted, frame.offset)
            faults += bytes_fault(f"picture {number}", planar_samples(encoder.frame, self.size), expected)
            if faults:
                return faults
        return ()

    @staticmethod
    def _symbols(number: int, parts: Sequence[str], encoder: HemFrameEncoder) -> dict[str, NDArray[Any]]:
        """Returns the encoder's symbols under the names of symbols.npz."""
        found: dict[str, NDArray[Any]] = {}
        for name, part in zip(parts, encoder.side.encoder.parts, strict=True):
            found[f"f{number}_{name}"] = part.symbols
            if not name.endswith("z"):
                found[f"f{number}_{name[:-1]}_index{name[-1]}"] = part.rows
        return found


class HemConformance(ConformanceForm):
    """Cases of the published DCVC-HEM."""

    def __init__(self, model: "HemModel") -> None:
        self._model = model

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Cases that name the model."""
        return description.get("model") == "dcvc-hem"

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> HemCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist.
        """
        size = PictureSize(int(description["width"]), int(description["height"]))
        limit = self._model.max_side
        if not (1 <= size.width <= limit and 1 <= size.height <= limit):
            raise InputError(f"{folder / 'case.json'} has pictures of {size}")
        scales = [index_of_scale(float(description.get(name, 1.0))) for name in ("q_i", "q_mv", "q_y")]
        digests = {name: str(description["parameters_sha256"][name]) for name in ("image", "video")}
        frames = tuple(
            FrameFile(one["type"] == "I", int(one["offset"]), int(one["size"])) for one in description["frames_info"]
        )
        if not frames or not frames[0].is_key or len(frames) != int(description["frames"]):
            raise InputError(f"{folder / 'case.json'} has frames that cannot be")
        chosen = scales[0], scales[1], scales[2]
        return HemCase(folder, self._model, size, int(description["seed"]), chosen, digests, frames)

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of tables and strings of the coder alone."""
        checks = [Check("tables", lambda: table_findings(folder / "tables.npz", ("gaussian", "laplace")))]
        if (folder / "coder.json").exists():
            checks.append(Check("coder", lambda: coder_findings(folder)))
        return checks


def coder_findings(folder: Path) -> Findings:
    """Compares strings of one coder, encoded and decoded."""
    described = json.loads((folder / "coder.json").read_text(encoding="utf-8"))["sequences"]
    tables = {"gaussian": gaussian_scales().table, "laplace": laplace_scales().table}
    faults = []
    for one in described:
        encoder = WideEncoder(WideKind.LONG_WORDS)
        for part in one["runs"]:
            encoder.add(np.array(part["symbols"], np.int16), np.array(part["rows"], np.uint8), tables[part["table"]])
        (string,) = encoder.finish()
        if len(string) != one["length"] or hashlib.sha256(string).hexdigest() != one["sha256"]:
            faults.append(f"{one['name']}: other bytes than the published coder's")
            continue
        decoder = WideDecoder([string], WideKind.LONG_WORDS)
        if any((decoder.decode(part.rows, part.table) != part.symbols).any() for part in encoder.parts):
            faults.append(f"{one['name']} decodes to other symbols")
        decoder.finish()
    return Findings(tuple(faults), summary=f"{len(described)} sequences")
