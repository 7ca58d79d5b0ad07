"""The parts that conformance cases of DCVC-DC and DCVC-FM share: networks with the published tables, units one after
the other, and their pictures."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size
from dcvc_cli.entropy.tables import CdfTable, TableError
from dcvc_cli.entropy.wide import WideDecoder, WideEncoder, WideKind
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.case_files import (
    StreamCase,
    check_digest,
    difference,
    generated_state,
    parameter_digest,
    picture_of,
)
from dcvc_cli.families.conformance_form import CaseRun, Findings
from dcvc_cli.families.diverse_contexts.frames import FramePayloadDecoder, FramePayloadEncoder, PFrame
from dcvc_cli.families.diverse_contexts.model import ESTIMATORS, DiverseModel
from dcvc_cli.families.wide_latents.payload import join_strings, split_payload
from dcvc_cli.families.wide_latents.tables import gaussian_scales, laplace_scales, published_z_table
from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat

StoredRows = tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]
"""(first row, cdf (rows, width), lengths, offsets)."""


@dataclass(frozen=True)
class CaseUnit:
    """One payload of a case and its frames: one I frame, or one or several P frames."""

    p_frames: tuple[PFrame, ...]
    quality: int
    num_coders: int = 1

    @property
    def frame_type(self) -> NalType:
        return NalType.P if self.p_frames else NalType.I

    @property
    def num_frames(self) -> int:
        return max(len(self.p_frames), 1)


class DiverseCase(StreamCase):
    """A case, which is decoded and encoded unit by unit.

    Attributes:
        kinds: names of the networks in make_params.py, by their names in the model.
        digests: SHA-256 of their parameters, by their names in the model.
        units: units of the stream, in order.
    """

    folder: Path
    model: DiverseModel
    video_format: VideoFormat
    num_frames: int
    seed: int
    kinds: Mapping[str, str]
    digests: Mapping[str, str]
    units: tuple[CaseUnit, ...]

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Returns the seed."""
        return (self.seed,)

    @property
    def suffix(self) -> str:
        """Returns the ending of the names of picture files."""
        return "rgb" if self.video_format.chroma is ChromaFormat.RGB else "yuv"

    # ---- what the family's form says

    @abstractmethod
    def stored_rows(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, Sequence[StoredRows]]:
        """Returns the rows of z tables in symbols.npz, by network."""

    @abstractmethod
    def payloads(self, stream: bytes) -> Iterator[tuple[CaseUnit, bytes]]:
        """Splits stream.bin into its units and their payloads.

        Raises:
            StreamError: the stream is damaged.
        """

    @abstractmethod
    def stream_of(self, payloads: Sequence[bytes]) -> bytes:
        """Makes the bytes of stream.bin of an encoder's payloads."""

    def picture(self, frame: Tensor) -> Picture:
        """Makes the published decoder's picture of a frame 3 x Hp x Wp."""
        return self.model.picture(frame, self.video_format)

    # ---- steps

    def networks(self, run: CaseRun) -> tuple[CodecNetworks, tuple[str, ...]]:
        """Returns (networks with the case's tables of z, notes)."""
        if not run.kept:
            states = {
                name: generated_state(run.generator, dict(network.shapes()), self.kinds[name], self.seed)
                for name, network in self.model.networks.items()
            }
            tables = {name: published_z_table(state, *ESTIMATORS[name]) for name, state in states.items()}
            run.kept["digests"] = {name: parameter_digest(state) for name, state in states.items()}
            run.kept["networks"] = networks_from_state(states, tables, run.precision, run.threads)
        for name, digest in self.digests.items():
            check_digest(self.kinds[name], self.seed, run.kept["digests"][name], digest)
        networks: CodecNetworks = run.kept["networks"]
        path = self.folder / "symbols.npz"
        if not path.exists():
            return networks, ()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                stored = self.stored_rows(arrays)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(f"{path} has no usable z tables: {error}") from error
        return _with_stored_rows(networks, stored)

    def decoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Decodes stream.bin and compares every picture."""
        expected = (self.folder / f"recon.{self.suffix}").read_bytes()
        size, found = self.video_format.frame_bytes, 0
        decoder = FramePayloadDecoder(
            self.model.image, self.model.video, networks, self.model.kind, padded_size(self.video_format.size)
        )
        try:
            for number, (unit, payload) in enumerate(self.payloads((self.folder / "stream.bin").read_bytes())):
                if number >= len(self.units) or unit != replace(self.units[number], num_coders=unit.num_coders):
                    return [f"unit {number} of the stream is {unit}, the case has another"]
                for frame in self._decoded(decoder, unit, payload):
                    picture = self.picture(frame).tobytes()
                    wanted = expected[found * size : (found + 1) * size]
                    if picture != wanted:
                        return [difference(f"frame {found}", picture, wanted, found * size)]
                    found += 1
        except StreamError as error:
            return [f"frame {found}: {error}"]
        if found != self.num_frames or len(expected) != found * size:
            return [f"the stream has {found} frames, the case {self.num_frames}, its pictures {len(expected)} bytes"]
        return []

    @staticmethod
    def _decoded(decoder: FramePayloadDecoder, unit: CaseUnit, payload: bytes) -> Iterator[Tensor]:
        if unit.p_frames:
            yield from decoder.decode_p(payload, unit.p_frames)
            return
        decoder.decode_i(payload, unit.quality)
        assert decoder.reference is not None, "a frame was decoded"
        yield decoder.reference.frame

    def encoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Encodes the input and compares the stream."""
        samples = (self.folder / f"input.{self.suffix}").read_bytes()
        size, first = self.video_format.frame_bytes, 0
        if len(samples) != self.num_frames * size:
            raise InputError(f"the input of {self.folder} has {len(samples)} bytes, not {self.num_frames * size}")
        encoder = FramePayloadEncoder(self.model.image, self.model.video, networks, self.model.kind)
        made = []
        for unit in self.units:
            values = [
                self.model.values(
                    picture_of(samples[index * size : (index + 1) * size], self.video_format), self.video_format
                )
                for index in range(first, first + unit.num_frames)
            ]
            first += unit.num_frames
            if unit.p_frames:
                made.append(encoder.encode_p(list(zip(values, unit.p_frames, strict=True)), unit.num_coders))
            else:
                made.append(encoder.encode_i(values[0], unit.quality, unit.num_coders))
        stream, expected = self.stream_of(made), (self.folder / "stream.bin").read_bytes()
        return [] if stream == expected else [difference("the stream", stream, expected, 0)]


def _with_stored_rows(
    networks: CodecNetworks, stored: Mapping[str, Sequence[StoredRows]]
) -> tuple[CodecNetworks, tuple[str, ...]]:
    """Compares a case's rows of z with the rows made here. Where they differ, the networks get the case's rows. Returns
    (networks, notes)."""
    notes = []
    for name, parts in stored.items():
        own = networks[name].z_table
        cdf, length, offset = own.cdf.copy(), own.cdf_length.copy(), own.offset.copy()
        for first, stored_cdf, stored_length, stored_offset in parts:
            rows = slice(first, first + len(stored_cdf))
            cdf[rows] = 0
            cdf[rows, : stored_cdf.shape[1]] = stored_cdf
            length[rows], offset[rows] = stored_length, stored_offset
        differs = (cdf != own.cdf).any(axis=1) | (length != own.cdf_length) | (offset != own.offset)
        if differs.any():
            try:
                table = CdfTable(cdf, length, offset)
            except TableError as error:
                raise InputError(f"the stored z tables of the {name} network are no tables: {error}") from error
            notes.append(f"{differs.sum()} z table rows of the {name} network differ here; the case's are used")
            networks = replace(networks, by_name={**networks.by_name, name: replace(networks[name], z_table=table)})
    return networks, tuple(notes)


def check_scale_tables(path: Path) -> Findings:
    """Compares the stored tables of y with the package's."""
    faults = []
    with np.load(path, allow_pickle=False) as arrays:
        for name, scales in (("gaussian", gaussian_scales()), ("laplace", laplace_scales())):
            for part in ("cdf", "cdf_length", "offset"):
                key = f"{name}_{part}"
                if not np.array_equal(arrays[key], getattr(scales.table, part)):
                    faults.append(f"{key} differs")
    return Findings(tuple(faults), summary="2 tables of 256 rows")


@dataclass(frozen=True)
class CoderVector:
    """Symbols for the coder alone, and the expected payload.

    Attributes:
        runs: (table ("gaussian" or "laplace"), symbols, rows) of each run.
        digest: SHA-256 of the payload.
    """

    name: str
    num_coders: int
    runs: Sequence[tuple[str, NDArray[Any], NDArray[Any]]]
    digest: str


def check_coder_vectors(vectors: Sequence[CoderVector], kind: WideKind) -> Findings:
    """Encodes symbols, compares payloads byte for byte, and decodes them."""
    tables = {"gaussian": gaussian_scales().table, "laplace": laplace_scales().table}
    faults = []
    for vector in vectors:
        encoder = WideEncoder(kind)
        for table, symbols, rows in vector.runs:
            encoder.add(symbols.astype(np.int16), rows.astype(np.uint8), tables[table])
        made = join_strings(encoder.finish(vector.num_coders))
        if hashlib.sha256(made).hexdigest() != vector.digest:
            faults.append(f"{vector.name}: other bytes than the published coder ({len(made)} bytes)")
            continue
        decoder = WideDecoder(split_payload(made), kind)
        if not all(np.array_equal(decoder.decode(part.rows, part.table), part.symbols) for part in encoder.parts):
            faults.append(f"{vector.name} decodes to other symbols")
        decoder.finish()
    return Findings(tuple(faults), summary=f"{len(vectors)} sequences")
