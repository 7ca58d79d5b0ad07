"""Training pictures: clips and photos, decoded once into a cache of raw planes, and random crops of them.

Decoding costs more than a training step, so every source is decoded to 8-bit planes in a cache folder, which is mapped
into memory. Crops are reproducible: crop k of a step depends on the seed, the step and k only. So a resumed run sees
the data of an uninterrupted one, and several processes together see the data of one process.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import InputError
from dcvc_cli.learning.segments import Segment
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.sources import Source, find_sources


@dataclass(frozen=True)
class CachedShot:
    """A decoded source: `num_frames` frames of planar samples in one raw file. Photos, PNG clips and whatever is R G B
    have three planes of full size."""

    path: str
    num_frames: int
    height: int
    width: int
    full_chroma: bool

    def planes(self, cache: Path) -> tuple[NDArray[np.uint8], ...]:
        """Maps the planes (frames, h, w) into memory."""
        luma = self.height * self.width
        chroma_shape = (self.height, self.width) if self.full_chroma else (self.height // 2, self.width // 2)
        chroma = chroma_shape[0] * chroma_shape[1]
        data = np.memmap(cache / self.path, np.uint8, "r").reshape(self.num_frames, luma + 2 * chroma)
        return (
            data[:, :luma].reshape(-1, self.height, self.width),
            data[:, luma : luma + chroma].reshape(-1, *chroma_shape),
            data[:, luma + chroma :].reshape(-1, *chroma_shape),
        )


def build_cache(roots: Sequence[Path], cache: Path, *, is_rgb: bool = False) -> list[CachedShot]:
    """Decodes every clip and photo below `roots` (training.sources) that the cache lacks. Returns all shots, sorted by
    the names of their sources.

    Several processes may build one cache at the same time, because files appear whole. What is decoded to R G B
    stands beside what is decoded to Y Cb Cr.

    Raises:
        InputError: there is nothing usable, or a source is damaged. The message names the file.
    """
    cache.mkdir(parents=True, exist_ok=True)
    sources = find_sources(roots)
    pool = ThreadPoolExecutor(min(len(sources), os.cpu_count() or 1))
    try:
        return list(pool.map(lambda source: _cached(source, cache, is_rgb=is_rgb), sources))
    finally:
        pool.shutdown(cancel_futures=True)


def _cached(source: Source, cache: Path, *, is_rgb: bool) -> CachedShot:
    key = source.key + ("-rgb" if is_rgb else "")
    index, raw = cache / f"{key}.json", cache / f"{key}.raw"
    if index.exists():
        return CachedShot(**json.loads(index.read_text()))
    decoded = source.decode(is_rgb=is_rgb)
    num_frames = 0
    with _whole_file(raw) as staged, staged.open("wb") as file:
        for frame in decoded.frames:
            file.write(frame)
            num_frames += 1
    shot = CachedShot(raw.name, num_frames, decoded.height, decoded.width, decoded.full_chroma)
    with _whole_file(index) as staged:
        staged.write_text(json.dumps(asdict(shot)))
    return shot


def material_fingerprint(config: TrainConfig, shots: Sequence[CachedShot]) -> str:
    """Returns a fingerprint of a run's settings and material. It does not depend on the place of the material."""
    sizes = [(shot.num_frames, shot.height, shot.width, shot.full_chroma) for shot in shots]
    return hashlib.sha256(repr((config, sizes)).encode()).hexdigest()[:16]


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """Yields a name to write to, which becomes `path` when the block ends well."""
    staged = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield staged
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


SEQUENCE_CROPS, RECURRING_CROPS = 1, 2
"""Parts of the seed, which keep the random numbers of sequences and of crops that come again apart from the others."""


@dataclass(frozen=True)
class _Window:
    """The place of a crop in a picture. reduce: the window is twice as large and will be halved."""

    top: int
    left: int
    side: int
    reduce: bool


class CropSampler:
    """Random crops with flips, time reversal and 2x reduction; crop k of `step` is a pure function of (seed, step, k).

    Args:
        crops_per_source: crops that each source has; the step draws one of them. 0: it draws any.
        run_seed: seed of the crops that come again, which samplers with other seeds share.
    """

    def __init__(
        self,
        shots: Sequence[CachedShot],
        cache: Path,
        patch: int,
        num_frames: int,
        seed: int,
        reduce_share: float = 0.35,
        *,
        to_and_fro: bool = False,
        pad: bool = False,
        crops_per_source: int = 0,
        run_seed: int = 0,
    ) -> None:
        shortest, smallest = min(2, num_frames) if to_and_fro else num_frames, 2 if pad else patch
        self.crops_per_source, self.run_seed = crops_per_source, run_seed
        self._numbers = [
            number
            for number, shot in enumerate(shots)
            if shot.num_frames >= shortest and min(shot.height, shot.width) >= smallest
        ]
        self.shots = [shots[number] for number in self._numbers]
        if not self.shots:
            raise InputError(
                f"no source has {num_frames} frames of at least {patch}x{patch}",
                "use smaller patches or shorter sequences",
            )
        self.cache, self.patch, self.num_frames, self.seed, self.reduce_share = (
            cache,
            patch,
            num_frames,
            seed,
            reduce_share,
        )
        weights = np.array([(shot.height * shot.width * min(shot.num_frames, 16)) ** 0.5 for shot in self.shots])
        self.cumulative = np.cumsum(weights / weights.sum())

    def batch(self, step: int, size: int, first: int = 0) -> NDArray[np.uint8]:
        """Cuts crops first .. first + size - 1 of a step: samples (size, num_frames, 3, patch, patch), with chroma
        repeated to full size."""
        return np.stack(
            [self._crop(np.random.default_rng((self.seed, step, index))) for index in range(first, first + size)]
        )

    def sequence_batch(self, segments: Sequence[Segment]) -> NDArray[np.uint8]:
        """Cuts the frames of each segment and the frame before them: (size, num_frames, 3, patch, patch). A sequence is
        one place of a clip, played forwards and backwards in turn until the sequence ends."""
        crops = []
        for segment in segments:
            random = np.random.default_rng((self.seed, SEQUENCE_CROPS, segment.slot, segment.sequence))
            shot = self.shots[self._shot(random)]
            window = self._window(shot, random)
            there_and_back = np.concatenate([np.arange(shot.num_frames), np.arange(shot.num_frames - 2, 0, -1)])
            start = int(random.integers(0, len(there_and_back))) + segment.first_frame
            frames = there_and_back[np.arange(start, start + self.num_frames) % len(there_and_back)]
            crops.append(_flipped(self._cut(shot, window, frames), random))
        return np.ascontiguousarray(np.stack(crops))

    def _padded(self, clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pads to (frames, 3, patch, patch): what is smaller stands in the middle of black, the odd row or column
        behind it."""
        height, width = clip.shape[2:]
        if min(height, width) == self.patch:
            return clip
        whole = np.empty((*clip.shape[:2], self.patch, self.patch), np.uint8)
        whole[:] = np.array(BLACK, np.uint8)[:, None, None]
        top, left = (self.patch - height) // 2, (self.patch - width) // 2
        whole[:, :, top : top + height, left : left + width] = clip
        return whole

    def _crop(self, random: np.random.Generator) -> NDArray[np.uint8]:
        number = self._shot(random)
        shot = self.shots[number]
        if self.crops_per_source:
            crop = int(random.integers(0, self.crops_per_source))
            random = np.random.default_rng((self.run_seed, RECURRING_CROPS, self._numbers[number], crop))
        window = self._window(shot, random)
        clip = _flipped(self._cut(shot, window, self._frames(shot, random)), random)
        if random.random() < 0.5:
            clip = clip[::-1]
        return np.ascontiguousarray(clip)

    def _frames(self, shot: CachedShot, random: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of the frames of a crop: a random part of the clip, or to and fro from its start."""
        if shot.num_frames >= self.num_frames:
            first = int(random.integers(0, shot.num_frames - self.num_frames + 1))
            return np.arange(first, first + self.num_frames)
        there_and_back = np.concatenate([np.arange(shot.num_frames), np.arange(shot.num_frames - 2, 0, -1)])
        return there_and_back[np.arange(self.num_frames) % len(there_and_back)]

    def _shot(self, random: np.random.Generator) -> int:
        return min(int(np.searchsorted(self.cumulative, random.random())), len(self.shots) - 1)

    def _window(self, shot: CachedShot, random: np.random.Generator) -> _Window:
        reduce = min(shot.height, shot.width) >= 2 * self.patch and random.random() < self.reduce_share
        side = self.patch * (2 if reduce else 1)
        top = int(random.integers(0, max(0, shot.height - side) // 2 + 1)) * 2
        left = int(random.integers(0, max(0, shot.width - side) // 2 + 1)) * 2
        return _Window(top, left, side, reduce)

    def _cut(self, shot: CachedShot, window: _Window, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Cuts the window of frames, (frames, 3, patch, patch), and halves it if `window.reduce` says so."""
        top, left, side = window.top, window.left, window.side
        luma, *chroma = shot.planes(self.cache)
        parts = [luma[frames, top : top + side, left : left + side]]
        for plane in chroma:
            if shot.full_chroma:
                parts.append(plane[frames, top : top + side, left : left + side])
            else:
                half = plane[frames, top // 2 : (top + side) // 2, left // 2 : (left + side) // 2]
                parts.append(half.repeat(2, axis=1).repeat(2, axis=2))
        clip = np.stack(parts, axis=1)
        if not window.reduce:
            return self._padded(clip)
        cells = clip.reshape(*clip.shape[:2], self.patch, 2, self.patch, 2).astype(np.uint16)
        clip = ((cells.sum(axis=(3, 5)) + 2) // 4).astype(np.uint8)
        if not shot.full_chroma:  # the reduced clip is a 4:2:0 clip again
            pairs = clip[:, 1:].reshape(clip.shape[0], 2, self.patch // 2, 2, self.patch // 2, 2).astype(np.uint16)
            mean = ((pairs.sum(axis=(3, 5)) + 2) // 4).astype(np.uint8)
            clip[:, 1:] = mean.repeat(2, axis=2).repeat(2, axis=3)
        return clip


BLACK = (0, 128, 128)
"""Y, Cb, Cr."""


def _flipped(clip: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    if random.random() < 0.5:
        clip = clip[..., ::-1]
    if random.random() < 0.3:
        clip = clip[..., ::-1, :]
    return clip
