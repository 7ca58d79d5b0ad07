"""Conformance cases of DCVC-RT. All of them have networks of the published sizes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, values_from_picture
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
from dcvc_cli.families.rt.elementary_stream import (
    ElementaryFrameUnit,
    ElementaryReader,
    ElementarySps,
    ElementaryWriter,
)
from dcvc_cli.families.rt.entropy_vectors import entropy_checks
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.rt.gop import GopRule
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.model import RtModel
from dcvc_cli.families.rt.sizes import RT
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.constants import NUM_QPS
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize, VideoFormat

MODEL = RtModel(RT, ImageModel(RT.image), VideoModel(RT.video))


@dataclass(frozen=True)
class RtCase(StreamCase):
    """A case, with the settings of its case.json.

    Attributes:
        skip_threshold: None codes all elements.
        digests: SHA-256 of the parameters of the image and the video network.
    """

    folder: Path
    video_format: VideoFormat
    num_frames: int
    rule: GopRule
    skip_threshold: float | None
    entropy_format: EntropyFormat
    seed: int
    digests: tuple[str, str]

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Returns the model's name and the seed."""
        return MODEL.name, self.seed

    def networks(self, run: CaseRun) -> tuple[CodecNetworks, tuple[str, ...]]:
        """Returns (networks with the case's tables of z, notes)."""
        image, video = self.digests
        generated = (
            GeneratedNetwork("dmci", "i", "image", image),
            GeneratedNetwork("dmc", "p", "video", video),
        )
        return stored_tables(self.folder, MODEL, generated, open_generated(run, MODEL, self.seed, generated))

    def decoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Decodes stream.bin and compares every picture with recon.yuv."""
        video_format = self.video_format
        decoder = FramePayloadDecoder(
            MODEL.image, MODEL.video, networks, self.entropy_format, self.skip_threshold, padded_size(self.size)
        )
        num_frames = 0
        with (self.folder / "stream.bin").open("rb") as stream, open_pictures(self.folder) as expected:
            for unit in ElementaryReader(stream):
                if not isinstance(unit, ElementaryFrameUnit):
                    continue
                if (unit.sps.width, unit.sps.height) != (self.size.width, self.size.height):
                    return [
                        f"frame {num_frames} is {unit.sps.width}x{unit.sps.height} in the stream, the case is "
                        f"{self.size}"
                    ]
                decoder.entropy_format = (
                    EntropyFormat.PUBLISHED_TWO if unit.sps.ec_part else EntropyFormat.PUBLISHED_ONE
                )
                try:
                    if unit.frame_type is NalType.I:
                        decoder.decode_i(unit.payload, unit.qp)
                    else:
                        decoder.decode_p(unit.payload, unit.qp, unit.sps.use_ada_i)
                except StreamError as error:
                    return [f"frame {num_frames}: {error}"]
                picture = decoder.picture(video_format, truncate_chroma=True)
                wanted = read_pictures(expected, video_format.frame_bytes)
                if picture.tobytes() != wanted:
                    return [
                        difference(
                            f"frame {num_frames}", picture.tobytes(), wanted, num_frames * video_format.frame_bytes
                        )
                    ]
                num_frames += 1
            rest = read_pictures(expected, 1)
        if num_frames != self.num_frames or rest:
            return [
                f"the stream has {num_frames} frames, the case "
                f"{self.num_frames}" + (", recon.yuv has more" if rest else "")
            ]
        return []

    def encoding_faults(self, networks: CodecNetworks) -> list[str]:
        """Encodes input.yuv and compares every unit with stream.bin."""
        video_format = self.video_format
        encoder = FramePayloadEncoder(MODEL.image, MODEL.video, networks, self.entropy_format, self.skip_threshold)
        planner = self.rule.plans_from()
        sink = io.BytesIO()
        writer = ElementaryWriter(sink)
        expected = memoryview((self.folder / "stream.bin").read_bytes())
        with (self.folder / "input.yuv").open("rb") as clip:
            for index in range(self.num_frames):
                samples = clip.read(video_format.frame_bytes)
                if len(samples) != video_format.frame_bytes:
                    raise InputError(f"{self.folder / 'input.yuv'} ends inside frame {index} of {self.num_frames}")
                values = values_from_picture(picture_of(samples, video_format), video_format)
                plan = planner.next()
                is_i = plan.frame_type is NalType.I
                payload = encoder.encode_i(values, plan.qp) if is_i else encoder.encode_p(values, plan.qp, plan.reset)
                two_coders = self.entropy_format is EntropyFormat.PUBLISHED_TWO
                sps = ElementarySps(self.size.height, self.size.width, two_coders, plan.reset and not is_i)
                began = sink.tell()
                writer.write_frame(plan.frame_type, sps, plan.qp, payload)
                made, wanted = sink.getvalue()[began:], bytes(expected[began : sink.tell()])
                if made != wanted:
                    return [difference(f"frame {index}", made, wanted, began)]
        if sink.tell() != len(expected):
            return [f"stream.bin has {len(expected)} bytes, the encoder made {sink.tell()}, equal as far as they go"]
        return []


class RtConformance(ConformanceForm):
    """Cases of the published DCVC-RT."""

    def claims(self, description: Mapping[str, Any]) -> bool:
        """Claims cases whose networks are called dmci and dmc, without a variant."""
        return "variant" not in description and {"dmci_sha256", "dmc_sha256"} <= set(description.get("params", ()))

    def read_case(self, folder: Path, description: Mapping[str, Any]) -> RtCase:
        """Reads a case.

        Raises:
            InputError: the case has settings that do not exist.
        """
        threshold = description["force_zero_thres"]
        size, num_frames, seed = (
            PictureSize(int(description["width"]), int(description["height"])),
            int(description["frames"]),
            int(description["seed"]),
        )
        qps = int(description["qp_i"]), int(description["qp_p"])
        digests = str(description["params"]["dmci_sha256"]), str(description["params"]["dmc_sha256"])
        rule = GopRule(*qps, int(description["intra_period"]), int(description["reset_interval"]), restart_at_key=False)
        two_coders = bool(description["two_coders"]) or bool(description.get("two_coders_forced", False))
        skip_threshold = None if threshold is None else float(threshold)
        if num_frames < 1 or not all(0 <= qp < NUM_QPS for qp in qps):
            found = f"{num_frames} frames at QP {qps[0]} and {qps[1]}"
            raise InputError(
                f"{folder / 'case.json'} asks for {found}, expected at least 1 frame and QPs 0..{NUM_QPS - 1}"
            )
        entropy_format = EntropyFormat.PUBLISHED_TWO if two_coders else EntropyFormat.PUBLISHED_ONE
        return RtCase(folder, VideoFormat(size), num_frames, rule, skip_threshold, entropy_format, seed, digests)

    def vector_checks(self, folder: Path, generator: ModuleType) -> Sequence[Check]:
        """Returns the checks of the entropy coder's vectors."""
        vectors = folder / "entropy"
        return entropy_checks(vectors, generator) if vectors.is_dir() else ()
