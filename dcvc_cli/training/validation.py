"""Validation during training: codes clips to real bits with the present weights and decodes them.

The product's own encoder and decoder run in float32. So the figures are those of an export, apart from the rounding of
its weights, and not the training's estimate. Validation draws no random number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.backends import open_networks
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.coding.frame_report import bits_per_pixel, picture_quality
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.errors import InputError
from dcvc_cli.families.base import Model
from dcvc_cli.format.colour_conversion import matrix_of, rgb_picture
from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat
from dcvc_cli.media.reader import open_reader
from dcvc_cli.training.logs import ValidationRecord
from dcvc_cli.training.models import trainable_model
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.sources import ycc_planes
from dcvc_cli.weights.compression import table_arrays
from dcvc_cli.weights.file import ModelWeights, NetworkWeights
from dcvc_cli.weights.stored_arrays import ESTIMATOR_PREFIX

QPS = (0, 21, 42, 63)
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class ValidationClip:
    """The first pictures of a source, in memory."""

    name: str
    video_format: VideoFormat
    pictures: tuple[Picture, ...]


def read_validation_clips(sources: Sequence[str], num_frames: int) -> list[ValidationClip]:
    """Reads the first pictures of every source (any that media.reader opens).

    Raises:
        InputError: a source cannot be read.
    """
    clips = []
    for source in sources:
        with open_reader(source, max_frames=num_frames) as reader:
            name = source.rstrip("/").rpartition("/")[2]
            clips.append(ValidationClip(name, reader.format, tuple(reader)))
        if not clips[-1].pictures:
            raise InputError(f"{source} holds no picture to validate with")
    names = [clip.name for clip in clips]
    if len(set(names)) < len(names):
        raise InputError(f"validation clips need different names, found {', '.join(sorted(names))}")
    return clips


WATCHED_GRID = 64
"""Sides of watched clips are cut to multiples of this, which every network takes."""


def training_samples(clip: ValidationClip, *, is_rgb: bool) -> torch.Tensor:
    """Makes the samples of a clip for a network in training: (1, frames, 3, h, w) in 0..1. Sides are cut to multiples
    of 64, from the top left.

    Raises:
        InputError: a side is shorter.
    """
    size = clip.video_format.size
    height, width = (side // WATCHED_GRID * WATCHED_GRID for side in (size.height, size.width))
    if not (height and width):
        raise InputError(f"{clip.name} is {size.width}x{size.height}, too small to decide by: 64x64 is the least")
    frames = [_samples(picture, clip.video_format, is_rgb=is_rgb)[:, :height, :width] for picture in clip.pictures]
    return torch.from_numpy(np.stack(frames)[None]).float() / 255


def _samples(picture: Picture, video_format: VideoFormat, *, is_rgb: bool) -> NDArray[np.uint8]:
    """Returns (3, h, w), chroma repeated to full size."""
    has_rgb = video_format.chroma is ChromaFormat.RGB
    if is_rgb:
        return np.stack(
            picture.planes if has_rgb else rgb_picture(picture, video_format, matrix_of(video_format)).planes
        )
    if has_rgb:
        return np.stack(ycc_planes(*picture.planes))
    luma, *chroma = picture.planes
    height, width = luma.shape
    return np.stack([luma, *(plane.repeat(2, axis=0).repeat(2, axis=1)[:height, :width] for plane in chroma)])


class ClipValidator:
    """Codes clips at a few QPs.

    Args:
        model: name of the model that is trained.
        network: name of the network that is trained.
        frozen: state dicts of the networks that it is trained behind, by name. The others of the model are untrained.
        processes: those that share the clips; None: this process alone, on the CPU.
    """

    def __init__(
        self,
        clips: Sequence[ValidationClip],
        model: str,
        network: str,
        *,
        frozen: Mapping[str, State | None] | None = None,
        processes: TrainingProcesses | None = None,
        qps: Sequence[int] = QPS,
    ) -> None:
        self._clips, self._network, self._processes = clips, network, processes or TrainingProcesses()
        self._model = trainable_model(model)
        self._qps = qps if self._model.has_qps else qps[:1]
        self._keyint = self._model.trainee(network).keyint
        states = {
            name: (frozen or {}).get(name) or self._model.trainee(name).initial_parameters(0)
            for name in self._model.networks
            if name != network
        }
        self._others = {name: _float_weights(self._model, name, state) for name, state in states.items()}

    def __call__(self, step: int, state: State) -> Iterator[ValidationRecord]:
        """Yields records of every clip at every QP, coded with the parameters `state`. All processes call this; each
        codes its share, and all get all records."""
        parts = self._others | {self._network: _float_weights(self._model, self._network, state)}
        weights = ModelWeights(self._model, {name: parts[name] for name in self._model.networks}, name="training")
        networks = open_networks(weights.networks, Precision.FLOAT32, str(self._processes.device))
        choices = [CodingChoices(qp_i=qp, qp_p=qp, keyint=self._keyint) for qp in self._qps]
        jobs = [partial(_coded, clip, one, weights, networks, step) for clip in self._clips for one in choices]
        yield from self._processes.shared(jobs)


def _coded(
    clip: ValidationClip, choices: CodingChoices, weights: ModelWeights, networks: CodecNetworks, step: int
) -> ValidationRecord:
    """Codes a clip and decodes it from its payloads."""
    sps, model = sps_for(clip.video_format, weights, Precision.FLOAT32, choices), weights.model
    encoder, decoder = model.encoder(networks, sps, choices), model.decoder(networks, sps)
    sources, size_bytes = iter(clip.pictures), 0
    qualities: list[dict[str, float]] = []
    for unit in chain(*map(encoder.push, clip.pictures), encoder.flush()):
        size_bytes += len(unit.payload)
        number = len(qualities)
        frame = FrameUnit(
            0, len(unit.payload), unit.frame_type, 0, sps, unit.qp, unit.reset, unit.payload, number, number % 256
        )
        qualities += [
            picture_quality(next(sources), decoded, clip.video_format, psnr=True, msssim=False)
            for decoded in decoder.push(replace(frame, pictures=unit.pictures))
        ]
    mean = {name: sum(quality[name] for quality in qualities) / len(qualities) for name in qualities[0]}
    bpp = bits_per_pixel(size_bytes, len(clip.pictures), clip.video_format.size.num_pixels)
    return ValidationRecord(step, clip.name, choices.qp_i, len(clip.pictures), bpp, mean["psnr"], mean.get("psnr_y"))


def _float_weights(model: Model, network: str, state: State) -> NetworkWeights:
    """Makes weights of unrounded parameters and their table of z."""
    arrays: dict[str, NDArray[np.float32]] = {
        name: value.detach().float().cpu().contiguous().numpy() for name, value in state.items()
    }
    coding = {name: value for name, value in arrays.items() if not name.startswith(ESTIMATOR_PREFIX)}
    return NetworkWeights(model.networks[network], coding | table_arrays(model.z_table(network, arrays)))
