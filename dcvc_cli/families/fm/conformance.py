"""Conformance cases of DCVC-FM: elementary streams and pictures, byte for byte in float64."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.pictures import KB, KG, KR
from dcvc_cli.entropy.wide import MAX_CODERS, WideKind
from dcvc_cli.errors import InputError
from dcvc_cli.families.conformance_form import Check, ConformanceForm, Findings
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
from dcvc_cli.families.diverse_contexts.sequences import REFRESH
from dcvc_cli.families.fm.elementary_stream import StreamSps, StreamUnit, StreamWriter, UnitType, read_stream
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat

KINDS = {"image": "dmci", "video": "dmc"}
PATTERNS = {8: (0, 1, 0, 2, 0, 2, 0, 2), 4: (0, 1, 0, 2)}
"""Feature adaptors by the frame's number in its group, for each length of a group."""
FORMATS = {"yuv420p": ChromaFormat.YUV420, "rgb24_planar": ChromaFormat.RGB}


@dataclass(frozen=True)
class FmCase(DiverseCase):
    """A case, with the settings of its case.json."""

    folder: Path
    model: DiverseModel
    video_format: VideoFormat
    num_frames: int
    seed: int
    kinds: Mapping[str, str]
    digests: Mapping[str, str]
    units: tuple[CaseUnit, ...]

    def stored_rows(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, Sequence[StoredRows]]:
        """Returns the rows of the I frames' quality, of the video network's z and of the motion's z."""

        def rows(name: str, first: int) -> StoredRows:
            return first, arrays[f"zcdf_{name}"], arrays[f"zcdflen_{name}"], arrays[f"zoff_{name}"]

        video = [rows("p", 0), rows("mv", self.model.video.num_z)] if "zcdf_p" in arrays else []
        return {"image": [rows("i", self.units[0].quality * self.model.image.num_z)], "video": video}

    def payloads(self, stream: bytes) -> Iterator[tuple[CaseUnit, bytes]]:
        """Reads the units, with the settings of their SPSs."""
        for unit in read_stream(stream):
            quality = unit.frames[0].quality
            frames = () if unit.unit_type is UnitType.I else tuple(_p_frame(sps) for sps in unit.frames)
            yield CaseUnit(frames, quality), unit.payload

    def stream_of(self, payloads: Sequence[bytes]) -> bytes:
        """Writes the units, and each SPS before its first unit."""
        writer, size = StreamWriter(), self.video_format.size
        for unit, payload in zip(self.units, payloads, strict=True):
            if unit.p_frames:
                numbers = [(one.quality, REFRESH if one.refreshes else one.adaptor) for one in unit.p_frames]
                unit_type = UnitType.P if len(numbers) == 1 else UnitType.SEVERAL_P
            else:
                numbers, unit_type = [(unit.quality, 0)], UnitType.I
            spss = tuple(StreamSps(size.height, size.width, *number) for number in numbers)
            writer.write(StreamUnit(unit_type, spss, payload))
        return bytes(writer.data)

    def picture(self, frame: Tensor) -> Picture:
        """Converts to R G B in the networks' floating-point type, as the published test does. dcvc's own decoder
        converts in integers."""
        if self.video_format.chroma is not ChromaFormat.RGB:
            return super().picture(frame)
        size = self.video_format.size
        luma, cb, cr = frame[0, :, : size.height, : size.width].double().cpu().numpy()
        red, blue = luma + (2 - 2 * KR) * (cr - 0.5), luma + (2 - 2 * KB) * (cb - 0.5)
        green = (luma - KR * red - KB * blue) / KG
        planes = [np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8) for plane in (red, green, blue)]
        return Picture((planes[0], planes[1], planes[2]))


def _p_frame(sps: StreamSps) -> PFrame:
    if sps.adaptor == REFRESH:
        return PFrame(sps.quality, 0, refreshes=True)
    return PFrame(sps.quality, sps.adaptor)


class FmConformance(ConformanceForm):
    """Cases of the published DCVC-FM."""

    def __init__(self, model: DiverseModel) -> None:
        self._model = model

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Claims cases whose networks are called dmci and dmc, with a quality for I and one for P frames."""
        digests = description.get("parameters_sha256")
        has_networks = isinstance(digests, Mapping) and set(digests) == set(KINDS.values())
        return has_networks and {"q_i", "q_p"} <= set(description)

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> FmCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist.
        """
        size = PictureSize(int(description["width"]), int(description["height"]))
        num_frames, qualities = int(description["frames"]), (int(description["q_i"]), int(description["q_p"]))
        parts = tuple(int(description.get(f"parts_{kind}", 1)) for kind in "ip")
        is_possible = num_frames >= 1 and all(0 <= quality <= MAX_BASE_QP for quality in qualities)
        if not is_possible or not all(1 <= part <= MAX_CODERS for part in parts):
            raise InputError(f"{folder / 'case.json'} has settings that cannot be: {qualities}, {parts}")
        if "fa" in description:
            frames = tuple(_p_frame(StreamSps(0, 0, qualities[1], int(fa))) for fa in description["fa"][1:])
            units: tuple[CaseUnit, ...] = CaseUnit((), qualities[0]), CaseUnit(frames, qualities[1])
        else:
            units = _units(description, num_frames, qualities, parts)
        digests = {name: str(description["parameters_sha256"][kind]) for name, kind in KINDS.items()}
        video_format = VideoFormat(size, FORMATS[description["format"]])
        return FmCase(folder, self._model, video_format, num_frames, int(description["seed"]), KINDS, digests, units)

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of tables and payloads of the coder alone, if the folder has them."""
        checks = {
            "tables.npz": Check("tables", lambda: check_scale_tables(folder / "tables.npz")),
            "entropy.json": Check("entropy", lambda: _coder_findings(folder)),
        }
        return [check for file, check in checks.items() if (folder / file).exists()]


def _units(
    description: Mapping[str, Any], num_frames: int, qualities: tuple[int, int], parts: tuple[int, ...]
) -> tuple[CaseUnit, ...]:
    """Makes one unit a frame by the rules of the published test."""
    period, reset = int(description["intra_period"]), int(description["reset_interval"])
    pattern = PATTERNS[int(description["gop"])]
    if not period:
        raise ValueError("an intra period of 0")
    units = []
    for index in range(num_frames):
        if index % period == 0:
            units.append(CaseUnit((), qualities[0], parts[0]))
        else:
            refreshes = reset > 0 and index % reset == 1
            adaptor = 0 if refreshes else pattern[index % len(pattern)]
            units.append(CaseUnit((PFrame(qualities[1], adaptor, refreshes),), qualities[1], parts[1]))
    return tuple(units)


def _coder_findings(folder: Path) -> Findings:
    described = json.loads((folder / "entropy.json").read_text(encoding="utf-8"))["sequences"]
    vectors = []
    with np.load(folder / "entropy.npz", allow_pickle=False) as arrays:
        for one in described:
            runs = [(call["table"], arrays[call["symbols"]], arrays[call["index"]]) for call in one["calls"]]
            payload = bytes.fromhex(one["hex"]) if one["hex"] else arrays[f"{one['name']}.stream"].tobytes()
            digest = hashlib.sha256(payload).hexdigest()
            vectors.append(CoderVector(one["name"], int(one["parts"]), runs, digest))
    return check_coder_vectors(vectors, WideKind.BYTES)
