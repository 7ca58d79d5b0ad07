"""Conformance cases of EVC: files of one picture, symbols and reconstructions, byte for byte in float64."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.wide import MAX_CODERS, WideDecoder, WideEncoder, WideKind
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.conformance_form import Case, CaseRun, Check, ConformanceForm, Findings
from dcvc_cli.families.evc.file import read_file, write_file
from dcvc_cli.families.evc.frames import EvcFrameDecoder, EvcFrameEncoder
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
from dcvc_cli.families.wide_latents.payload import join_strings, split_payload
from dcvc_cli.families.wide_latents.rgb import padded_size
from dcvc_cli.families.wide_latents.tables import gaussian_scales
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    from dcvc_cli.families.evc.family import EvcModel

ESTIMATORS = {"image": ("bit_estimator_z",)}
LARGEST_SIDE = 8192


def model_name(published: str) -> str:
    """Turns a published name into a model's name: EVC_LL -> evc, EVC_SL -> evc-sl, Scale_EVC_SS -> evc-scale-ss."""
    size = published[-2:].lower()
    if published.startswith("Scale_"):
        return f"evc-scale-{size}"
    return "evc" if size == "ll" else f"evc-{size}"


@dataclass(frozen=True)
class EvcCase(Case):
    """A case, with the settings of its case.json.

    Attributes:
        index: the rate's scale in hundredths.
        rate: number of the rate. A scalable model weighs candidates by it.
        num_encoders: number of encoders of a scalable model; None takes the cheapest candidate.
    """

    folder: Path
    model: "EvcModel"
    published: str
    size: PictureSize
    index: int
    seed: int
    digest: str
    rate: int
    num_encoders: int | None

    @property
    def summary(self) -> str:
        """Returns picture size and model."""
        return f"{self.size}, {self.published}"

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Returns model and seed."""
        return self.published, self.seed

    def steps(self, run: CaseRun) -> Sequence[Check]:
        """Returns the steps: make the parameters, decode the file, encode the picture."""
        opened: list[CodecNetworks] = []

        def prepare() -> Findings:
            made = open_published(run, self.model, ESTIMATORS, self.seed, {"image": self.parameters})
            check_digests(run, self.seed, {"image": self.digest})
            with np.load(self.folder / "symbols.npz", allow_pickle=False) as arrays:
                stored = arrays["zcdf"], arrays["zcdflen"], arrays["zoff"]
            networks, notes = with_stored_table(made, "image", [stored])
            opened.append(networks)
            return Findings(notes=notes)

        return (
            Check("prepare", prepare),
            Check("decode", lambda: Findings(self.decoding_faults(opened[0]))),
            Check("encode", lambda: Findings(self.encoding_faults(opened[0]))),
        )

    def decoding_faults(self, networks: CodecNetworks) -> tuple[str, ...]:
        """Decodes stream.bin and compares the picture with recon.rgb."""
        try:
            size, index, payload = read_file((self.folder / "stream.bin").read_bytes())
            if (size, index) != (self.size, self.index):
                return (f"the file is {size} at {index}, the case {self.size} at {self.index}",)
            decoder = EvcFrameDecoder(self.model.graph, networks["image"], padded_size(size))
            decoder.decode(payload, index)
        except StreamError as error:
            return (str(error),)
        return bytes_fault("the picture", planar_samples(decoder.frame, size), (self.folder / "recon.rgb").read_bytes())

    def encoding_faults(self, networks: CodecNetworks) -> tuple[str, ...]:
        """Encodes input.rgb and compares symbols, the file and the picture."""
        values = planar_values((self.folder / "input.rgb").read_bytes(), self.size)
        encoder = EvcFrameEncoder(self.model.graph, networks["image"], self.num_encoders)
        made = write_file(self.size, self.index, encoder.encode(values, self.index, self.rate))
        z, first, second = encoder.side.encoder.parts
        names: dict[str, NDArray[Any]] = {"z": z.symbols, "index_y0": first.rows, "y0": first.symbols}
        names |= {"index_y1": second.rows, "y1": second.symbols}
        fault = symbol_fault(self.folder, names)
        if fault is not None:
            return (fault,)
        return bytes_fault("the file", made, (self.folder / "stream.bin").read_bytes()) or bytes_fault(
            "the encoder's picture", planar_samples(encoder.frame, self.size), (self.folder / "recon.rgb").read_bytes()
        )


class EvcConformance(ConformanceForm):
    """Cases of the published EVC."""

    def __init__(self, models: Mapping[str, "EvcModel"]) -> None:
        self._models = models

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Claims cases whose model's name is EVC_ or Scale_EVC_ and two sizes."""
        return str(description.get("model", "")).startswith(("EVC_", "Scale_EVC_"))

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> EvcCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist.
        """
        published = str(description["model"])
        model = self._models.get(model_name(published))
        size = PictureSize(int(description["width"]), int(description["height"]))
        index, rate = int(description["q_index"]), int(description.get("rate_index", 0))
        encoders = description.get("encoder_id")
        wanted = None if encoders is None else int(encoders) + 1
        is_possible = min(size.width, size.height) >= 1 and max(size.width, size.height) <= LARGEST_SIDE
        if model is None or not is_possible or not 1 <= index <= 65535 or not 0 <= rate <= 3:
            raise InputError(f"{folder / 'case.json'} has settings that cannot be: {published}, {size}, {index}")
        if wanted is not None and not 1 <= wanted <= model.graph.sizes.num_encoders:
            raise InputError(f"{folder / 'case.json'} asks for {wanted} encoders")
        seed, digest = int(description["seed"]), str(description["parameters_sha256"])
        return EvcCase(folder, model, published, size, index, seed, digest, rate, wanted)

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of tables and payloads of the coder alone."""
        checks = [Check("tables", lambda: table_findings(folder / "tables.npz", ("gaussian",)))]
        if (folder / "entropy.json").exists():
            checks.append(Check("entropy", lambda: sequence_findings(folder)))
        return checks


def sequence_findings(folder: Path) -> Findings:
    """Compares payloads of two coders, encoded and decoded."""
    described = json.loads((folder / "entropy.json").read_text(encoding="utf-8"))["sequences"]
    table = gaussian_scales().table
    faults: list[str] = []
    with np.load(folder / "entropy.npz", allow_pickle=False) as arrays:
        for one in described:
            count = int(one["parts"])
            if not 1 <= count <= MAX_CODERS:
                raise InputError(f"{one['name']} has {count} coders")
            encoder = WideEncoder(WideKind.LONG_WORDS)
            for call in one["calls"]:
                symbols, rows = arrays[call["symbols"]], arrays[call["index"]]
                encoder.add(symbols.astype(np.int16), rows.astype(np.uint8), table)
            expected = arrays[f"{one['name']}.stream"].tobytes() if one["hex"] is None else bytes.fromhex(one["hex"])
            faults += bytes_fault(one["name"], join_strings(encoder.finish(count)), expected)
            decoder = WideDecoder(split_payload(expected), WideKind.LONG_WORDS)
            if any((decoder.decode(part.rows, table) != part.symbols).any() for part in encoder.parts):
                faults.append(f"{one['name']} decodes to other symbols")
            decoder.finish()
    return Findings(tuple(faults), summary=f"{len(described)} sequences")
