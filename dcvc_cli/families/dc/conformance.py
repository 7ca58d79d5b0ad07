"""Conformance cases of DCVC-DC: one file a frame and pictures, byte for byte in float64."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.wide import MAX_CODERS, WideKind
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.conformance_form import Check, ConformanceForm, Findings
from dcvc_cli.families.dc.factors import NUM_FINE
from dcvc_cli.families.diverse_contexts.case_checks import (
    CaseUnit,
    CoderVector,
    DiverseCase,
    StoredRows,
    check_coder_vectors,
    check_scale_tables,
)
from dcvc_cli.families.diverse_contexts.frames import PFrame
from dcvc_cli.families.diverse_contexts.model import DiverseModel
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.format.types import ChromaFormat, PictureSize, VideoFormat

KINDS = {"image": "image", "video": "video"}
FORMATS = {"yuv420": ChromaFormat.YUV420, "rgb": ChromaFormat.RGB}
ANCHOR_FLAG = 128
I_HEADER_SIZE, P_HEADER_SIZE = 13, 6
DRAWN_RUN = re.compile(
    r"\((gaussian|laplace)\): numpy RandomState\((\d+)\): "
    r"symbols randint\((-?\d+), (\d+), (\d+)\), then rows randint\((\d+), (\d+), (\d+)\)"
)
"""The sentence of coder.json that describes symbols instead of listing them."""


@dataclass(frozen=True)
class DcCase(DiverseCase):
    """A case, with the settings of its case.json.

    Attributes:
        phases: the frames' numbers modulo the length of the pattern of feature adaptors.
        sizes: sizes of the frames' files in stream.bin, in bytes.
    """

    folder: Path
    model: DiverseModel
    video_format: VideoFormat
    num_frames: int
    seed: int
    kinds: Mapping[str, str]
    digests: Mapping[str, str]
    units: tuple[CaseUnit, ...]
    phases: tuple[int, ...]
    sizes: tuple[int, ...]

    def stored_rows(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, Sequence[StoredRows]]:
        """Returns the rows of the image network's z, of the video network's z and of the motion's z."""

        def rows(name: str, first: int) -> StoredRows:
            return first, arrays[f"{name}_z_cdf"], arrays[f"{name}_z_cdf_length"], arrays[f"{name}_z_offset"]

        video = [rows("video", 0), rows("video_mv", self.model.video.num_z)] if "video_z_cdf" in arrays else []
        return {"image": [rows("image", 0)], "video": video}

    def payloads(self, stream: bytes) -> Iterator[tuple[CaseUnit, bytes]]:
        """Splits the stream into files by the case's sizes, since the format has no frame types."""
        position = 0
        for unit, size in zip(self.units, self.sizes, strict=True):
            data = stream[position : position + size]
            position += size
            yield self._read(data, is_i=not unit.p_frames)
        if position != len(stream):
            raise StreamError(f"stream.bin has {len(stream)} bytes, the frames of the case {position}")

    def _read(self, data: bytes, *, is_i: bool) -> tuple[CaseUnit, bytes]:
        header_size = I_HEADER_SIZE if is_i else P_HEADER_SIZE
        if (
            len(data) < header_size
            or int.from_bytes(data[header_size - 4 : header_size], "big") != len(data) - header_size
        ):
            raise StreamError(f"a file of {len(data)} bytes does not have the size that it says")
        payload = data[header_size:]
        if not is_i:
            quality, phase = _quality_of(data[0]), data[1]
            adaptors = self.model.adaptors
            return CaseUnit((PFrame(quality, adaptors[phase % len(adaptors)]),), quality), payload
        found = PictureSize(int.from_bytes(data[4:8], "big"), int.from_bytes(data[:4], "big"))
        if found != self.video_format.size:
            raise StreamError(f"an I frame is {found}, the case {self.video_format.size}")
        return CaseUnit((), _quality_of(data[8])), payload

    def stream_of(self, payloads: Sequence[bytes]) -> bytes:
        """Joins the files."""
        size, made = self.video_format.size, bytearray()
        for unit, phase, payload in zip(self.units, self.phases, payloads, strict=True):
            quality = bytes([_quality_byte(unit.quality)])
            if unit.p_frames:
                made += quality + bytes([phase])
            else:
                made += size.height.to_bytes(4, "big") + size.width.to_bytes(4, "big") + quality
            made += len(payload).to_bytes(4, "big") + payload
        return bytes(made)


def _quality_of(byte: int) -> int:
    index = (byte % ANCHOR_FLAG) >> 1
    return NUM_FINE + index % NUM_ANCHORS if byte & ANCHOR_FLAG else index


def _quality_byte(quality: int) -> int:
    return ANCHOR_FLAG | (quality - NUM_FINE) << 1 if quality >= NUM_FINE else quality << 1


class DcConformance(ConformanceForm):
    """Cases of the published DCVC-DC."""

    def __init__(self, model: DiverseModel) -> None:
        self._model = model

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Cases that name the model."""
        return description.get("model") == "dcvc-dc"

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> DcCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist.
        """
        size = PictureSize(int(description["width"]), int(description["height"]))
        num_frames, gop = int(description["frames"]), int(description["gop"])
        is_anchor, index = bool(description["anchor"]), int(description["q_index"])
        parts = tuple(int(part) for part in description.get("parts", (1, 1)))
        is_possible = num_frames >= 1 and gop >= 1 and 0 <= index < (NUM_ANCHORS if is_anchor else NUM_FINE)
        if not is_possible or len(parts) != 2 or not all(1 <= part <= MAX_CODERS for part in parts):
            raise InputError(f"{folder / 'case.json'} has settings that cannot be: {index}, {gop}, {parts}")
        quality = NUM_FINE + index if is_anchor else index
        adaptors = self._model.adaptors
        units = tuple(
            CaseUnit((PFrame(quality, adaptors[number % len(adaptors)]),), quality, parts[1])
            if number % gop
            else CaseUnit((), quality, parts[0])
            for number in range(num_frames)
        )
        digests = {name: str(description["parameters_sha256"][kind]) for name, kind in KINDS.items()}
        return DcCase(
            folder,
            self._model,
            VideoFormat(size, FORMATS[description["colour"]]),
            num_frames,
            int(description["seed"]),
            KINDS,
            digests,
            units,
            tuple(number % len(adaptors) for number in range(num_frames)),
            tuple(int(info["size"]) for info in description["frames_info"]),
        )

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of tables and payloads of the coder alone, if the folder has them."""
        checks = {
            "tables.npz": Check("tables", lambda: check_scale_tables(folder / "tables.npz")),
            "coder.json": Check("coder", lambda: _coder_findings(folder)),
        }
        return [check for file, check in checks.items() if (folder / file).exists()]


def _coder_findings(folder: Path) -> Findings:
    described = json.loads((folder / "coder.json").read_text(encoding="utf-8"))["sequences"]
    vectors = [CoderVector(one["name"], int(one["parts"]), _runs(one["runs"]), str(one["sha256"])) for one in described]
    return check_coder_vectors(vectors, WideKind.LONG_WORDS)


def _runs(described: Any) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Returns symbols and rows from a list, or draws them as a sentence describes.

    Raises:
        InputError: dcvc does not know the sentence.
    """
    if not isinstance(described, str):
        return [(run["table"], np.array(run["symbols"]), np.array(run["rows"])) for run in described]
    found = DRAWN_RUN.search(described)
    if found is None:
        raise InputError(f"coder.json describes symbols by {described!r}, which is not understood")
    table, *numbers = found.groups()
    seed, low, high, count, first_row, end_row, num_rows = map(int, numbers)
    generator = np.random.RandomState(seed)
    return [(table, generator.randint(low, high, count), generator.randint(first_row, end_row, num_rows))]
