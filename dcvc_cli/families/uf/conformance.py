"""Conformance cases of DCVC-UF: its image model alone, LD, HT-S and HT-L, in the published sizes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, picture_from_frame, values_from_picture
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.case_files import (
    GeneratedNetwork,
    StreamCase,
    difference,
    open_generated,
    open_pictures,
    picture_of,
    read_pictures,
    stored_tables,
)
from dcvc_cli.families.conformance_form import CaseRun, Check, ConformanceForm
from dcvc_cli.families.uf.coder import MAX_CODERS
from dcvc_cli.families.uf.elementary_stream import ElementaryReader, ElementarySps, ElementaryWriter
from dcvc_cli.families.uf.entropy_vectors import entropy_checks
from dcvc_cli.families.uf.model import UfModel
from dcvc_cli.families.uf.units import UnitPayloadDecoder, UnitPayloadEncoder
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize, VideoFormat

VARIANTS = {"image": ("uf-ld", "ld"), "ld": ("uf-ld", "ld"), "hts": ("uf-hts", "hts"), "htl": ("uf-htl", "htl")}
"""Model, and name of its video network in make_params.py. Cases of the image model have no P unit, so any model with
that image network serves."""


@dataclass(frozen=True)
class UnitSettings:
    """The settings of one unit.

    Attributes:
        first_frame, num_frames: the pictures of the unit, without repeated ones.
        num_coders: None chooses by the number of symbols.
    """

    frame_type: NalType
    first_frame: int
    num_frames: int
    qp: int
    reset: bool
    num_coders: int | None


@dataclass(frozen=True)
class UfCase(StreamCase):
    """A case, with the settings of its case.json.

    Attributes:
        model: the model that codes it.
        skip_threshold: 0 codes all elements with a scale above 0.
        digests: SHA-256 of the parameters of the image and the video network. The second is empty in image cases.
    """

    folder: Path
    model: UfModel
    variant: str
    video_format: VideoFormat
    num_frames: int
    skip_threshold: float
    seed: int
    digests: tuple[str, str]
    units: tuple[UnitSettings, ...]

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Returns everything that the networks' parameters depend on: model and seed."""
        return self.model.name, self.seed

    def networks(self, run: CaseRun) -> tuple[CodecNetworks, tuple[str, ...]]:
        """Returns (networks with the case's tables of z, notes)."""
        image, video = self.digests
        generated = (
            GeneratedNetwork("dmci", "i", "image", image),
            GeneratedNetwork(VARIANTS[self.variant][1], "p", "video", video),
        )
        return stored_tables(self.folder, self.model, generated, open_generated(run, self.model, self.seed, generated))

    def decoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Decodes stream.bin and compares every picture with recon.yuv."""
        model, video_format, ops = self.model, self.video_format, networks["video"].synthesis
        padded = padded_size(self.size)
        tables = EntropyFormat.PUBLISHED_ONE
        decoder = UnitPayloadDecoder(model.image, model.video, networks, tables, self.skip_threshold, padded)
        num_frames = num_units = 0
        with (self.folder / "stream.bin").open("rb") as stream, open_pictures(self.folder) as expected:
            for unit, settings in zip(ElementaryReader(stream), self.units, strict=False):
                if (unit.sps.width, unit.sps.height) != (self.size.width, self.size.height):
                    found = f"{unit.sps.width}x{unit.sps.height}"
                    return [f"unit {num_units} is {found} in the stream, the case is {self.size}"]
                try:
                    if unit.frame_type is NalType.I:
                        decoder.decode_i(unit.payload, unit.qp, unit.num_coders)
                    else:
                        decoder.decode_p(unit.payload, unit.qp, unit.reset, unit.num_coders)
                except StreamError as error:
                    return [f"unit {num_units}: {error}"]
                for index in range(settings.num_frames):
                    frame = decoder.output(index)
                    picture = picture_from_frame(ops, frame, video_format, truncate_chroma=True).tobytes()
                    wanted = read_pictures(expected, video_format.frame_bytes)
                    if picture != wanted:
                        offset = num_frames * video_format.frame_bytes
                        return [difference(f"frame {num_frames}", picture, wanted, offset)]
                    num_frames += 1
                num_units += 1
            rest = read_pictures(expected, 1)
        if num_units != len(self.units) or num_frames != self.num_frames or rest:
            found = f"the stream has {num_units} units of {num_frames} frames"
            case = f"the case {len(self.units)} of {self.num_frames}"
            return [f"{found}, {case}" + (", recon.yuv has more" if rest else "")]
        return []

    def encoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Encodes input.yuv and compares every unit with stream.bin."""
        model = self.model
        tables = EntropyFormat.PUBLISHED_ONE
        encoder = UnitPayloadEncoder(model.image, model.video, networks, tables, self.skip_threshold)
        sink = io.BytesIO()
        writer, sps = ElementaryWriter(sink), ElementarySps(self.size.height, self.size.width)
        expected = memoryview((self.folder / "stream.bin").read_bytes())
        with open_pictures(self.folder, "input.yuv") as clip:
            for number, unit in enumerate(self.units):
                values = [self._next_values(clip, unit.first_frame + index) for index in range(unit.num_frames)]
                if unit.frame_type is NalType.I:
                    payload, num_coders = encoder.encode_i(values[0], unit.qp, unit.num_coders)
                else:
                    values += values[-1:] * (model.video.sizes.pictures - len(values))
                    payload, num_coders = encoder.encode_p(values, unit.qp, unit.reset, unit.num_coders)
                began = sink.tell()
                writer.write(unit.frame_type, sps, unit.qp, num_coders, unit.reset, payload)
                made, wanted = sink.getvalue()[began:], bytes(expected[began : sink.tell()])
                if made != wanted:
                    return [difference(f"unit {number}", made, wanted, began)]
        if sink.tell() != len(expected):
            return [f"stream.bin has {len(expected)} bytes, the encoder made {sink.tell()}, equal as far as they go"]
        return []

    def _next_values(self, clip: Any, index: int) -> Any:
        samples = read_pictures(clip, self.video_format.frame_bytes)
        if len(samples) != self.video_format.frame_bytes:
            raise InputError(f"the input of {self.folder} ends inside frame {index} of {self.num_frames}")
        return values_from_picture(picture_of(samples, self.video_format), self.video_format)


class UfConformance(ConformanceForm):
    """Cases of the published DCVC-UF.

    Args:
        models: the family's models by name.
    """

    def __init__(self, models: Mapping[str, UfModel]) -> None:
        self._models = models

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Cases that name a variant of the video network."""
        return description.get("variant") in VARIANTS

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> UfCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist, or its units leave out a frame or name one twice.
        """
        variant = str(description["variant"])
        name, kind = VARIANTS[variant]
        model = self._models[name]
        size, num_frames, seed = (
            PictureSize(int(description["width"]), int(description["height"])),
            int(description["frames"]),
            int(description["seed"]),
        )
        params = description["params"]
        digests = str(params["dmci_sha256"]), "" if variant == "image" else str(params[f"{kind}_sha256"])
        units = tuple(_unit(unit) for unit in description["units"] if unit["type"] != "SPS")
        made = UfCase(
            folder,
            model,
            variant,
            VideoFormat(size),
            num_frames,
            float(description["skip_threshold"]),
            seed,
            digests,
            units,
        )
        limit, next_frame = model.video.sizes.pictures, 0
        for unit in units:
            most = 1 if unit.frame_type is NalType.I else limit
            if unit.first_frame != next_frame or not 1 <= unit.num_frames <= most or not 0 <= unit.qp <= MAX_BASE_QP:
                raise InputError(f"{folder / 'case.json'} has a unit that cannot be: {unit}")
            next_frame += unit.num_frames
        if not units or next_frame != num_frames:
            raise InputError(f"{folder / 'case.json'} has {num_frames} frames, its units {next_frame}")
        return made

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of the entropy coder's vectors."""
        vectors = folder / "entropy"
        return entropy_checks(vectors, generator) if vectors.is_dir() else ()


def _unit(unit: dict[str, Any]) -> UnitSettings:
    num_coders = int(unit["coders"]) if unit["coders_forced"] else None
    if num_coders is not None and not 1 <= num_coders <= MAX_CODERS:
        raise ValueError(f"{num_coders} coders")
    frame_type = NalType.I if unit["type"] == "I" else NalType.P
    frames = int(unit["first_frame"]), int(unit["frames"])
    return UnitSettings(frame_type, *frames, int(unit["qp"]), bool(unit["reset"]), num_coders)
