"""Training pictures: clips and photos decoded once into a cache of raw planes, random crops out of it.

Decoding costs more than a training step, so every source is decoded to 8-bit planes in a cache folder that is mapped into memory.
Crops are reproducible: a batch depends on the seed and the step only, so a resumed run sees the data that an uninterrupted one would.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import EnvironmentFault, InputError

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".y4m"}
PHOTO_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg"}


@dataclass(frozen=True)
class CachedShot:
    """A decoded source: `num_frames` frames of planar samples in one raw file. Photos are one frame of 4:4:4."""

    path: str
    num_frames: int
    height: int
    width: int
    full_chroma: bool

    def planes(self, cache: Path) -> tuple[NDArray[np.uint8], ...]:
        """Memory-mapped (frames, h, w) planes."""
        luma = self.height * self.width
        chroma_shape = (self.height, self.width) if self.full_chroma else (self.height // 2, self.width // 2)
        chroma = chroma_shape[0] * chroma_shape[1]
        data = np.memmap(cache / self.path, np.uint8, "r").reshape(self.num_frames, luma + 2 * chroma)
        return (
            data[:, :luma].reshape(-1, self.height, self.width),
            data[:, luma : luma + chroma].reshape(-1, *chroma_shape),
            data[:, luma + chroma :].reshape(-1, *chroma_shape),
        )


def _decode_video(source: Path) -> Iterator[bytes]:
    """Frames as planar 4:2:0 bytes, both sides cropped to even numbers; first item is the (height, width) as JSON."""
    try:
        import av
    except ImportError as error:
        raise EnvironmentFault("training on video files needs PyAV", "pip install dcvc[train]") from error
    with av.open(str(source)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            planes = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
            height, width = frame.height, frame.width
            if index == 0:
                yield json.dumps([height // 2 * 2, width // 2 * 2]).encode()
            yield _even_planes(planes, height, width)


def _even_planes(packed: NDArray[np.uint8], height: int, width: int) -> bytes:
    luma = packed[:height].reshape(height, width)
    rest = packed[height:].reshape(-1)
    size = ((height + 1) // 2, (width + 1) // 2)
    chroma = rest.reshape(2, *size)[:, : height // 2, : width // 2]
    return luma[: height // 2 * 2, : width // 2 * 2].tobytes() + chroma.tobytes()


def _decode_photo(source: Path) -> tuple[int, int, bytes]:
    """BT.709 full-range Y, Cb, Cr planes (docs/bitstream.md, RGB pictures)."""
    from PIL import Image

    rgb = np.asarray(Image.open(source).convert("RGB"), np.float32) / 255
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    planes = (luma, (blue - luma) / 1.8556 + 0.5, (red - luma) / 1.5748 + 0.5)
    samples = np.stack([np.clip(np.rint(plane * 255), 0, 255).astype(np.uint8) for plane in planes])
    return rgb.shape[0], rgb.shape[1], samples.tobytes()


def build_cache(sources: Sequence[Path], cache: Path) -> list[CachedShot]:
    """Decodes every video and photo below `sources` that the cache lacks; returns all shots, sorted by source name.

    Raises InputError if nothing usable is found.
    """
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted(path for root in sources for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES)
    if not files:
        raise InputError(f"no training material below {', '.join(map(str, sources))}", "give folders with videos or pictures")
    return [_cached(path, cache) for path in files]


def _cached(source: Path, cache: Path) -> CachedShot:
    key = hashlib.sha256(f"{source.resolve()} {source.stat().st_size}".encode()).hexdigest()[:16]
    index = cache / f"{key}.json"
    if index.exists():
        return CachedShot(**json.loads(index.read_text()))
    raw = cache / f"{key}.raw"
    if source.suffix.lower() in PHOTO_SUFFIXES:
        height, width, samples = _decode_photo(source)
        raw.write_bytes(samples)
        shot = CachedShot(raw.name, 1, height, width, full_chroma=True)
    else:
        frames = _decode_video(source)
        height, width = json.loads(next(frames))
        num_frames = 0
        with raw.open("wb") as file:
            for frame in frames:
                file.write(frame)
                num_frames += 1
        shot = CachedShot(raw.name, num_frames, height, width, full_chroma=False)
    index.write_text(json.dumps(asdict(shot)))
    return shot


class CropSampler:
    """Random crops with flips, time reversal and 2x reduction; batch `step` is a pure function of (seed, step)."""

    def __init__(self, shots: Sequence[CachedShot], cache: Path, patch: int, num_frames: int, seed: int, reduce_share: float = 0.35) -> None:
        self.shots = [shot for shot in shots if shot.num_frames >= num_frames and min(shot.height, shot.width) >= patch]
        if not self.shots:
            raise InputError(f"no source has {num_frames} frames of at least {patch}x{patch}", "use smaller patches or shorter sequences")
        self.cache, self.patch, self.num_frames, self.seed, self.reduce_share = cache, patch, num_frames, seed, reduce_share
        weights = np.array([(shot.height * shot.width * min(shot.num_frames, 16)) ** 0.5 for shot in self.shots])
        self.cumulative = np.cumsum(weights / weights.sum())

    def batch(self, step: int, size: int) -> NDArray[np.uint8]:
        """(size, num_frames, 3, patch, patch) samples, chroma repeated to full size."""
        random = np.random.default_rng((self.seed, step))
        return np.stack([self._crop(random) for _ in range(size)])

    def _crop(self, random: np.random.Generator) -> NDArray[np.uint8]:
        shot = self.shots[min(int(np.searchsorted(self.cumulative, random.random())), len(self.shots) - 1)]
        reduce = min(shot.height, shot.width) >= 2 * self.patch and random.random() < self.reduce_share
        side = self.patch * (2 if reduce else 1)
        first = int(random.integers(0, shot.num_frames - self.num_frames + 1))
        top = int(random.integers(0, (shot.height - side) // 2 + 1)) * 2
        left = int(random.integers(0, (shot.width - side) // 2 + 1)) * 2
        luma, *chroma = shot.planes(self.cache)
        frames = slice(first, first + self.num_frames)
        parts = [np.asarray(luma[frames, top : top + side, left : left + side])]
        for plane in chroma:
            if shot.full_chroma:
                parts.append(np.asarray(plane[frames, top : top + side, left : left + side]))
            else:
                half = plane[frames, top // 2 : (top + side) // 2, left // 2 : (left + side) // 2]
                parts.append(half.repeat(2, axis=1).repeat(2, axis=2))
        clip = np.stack(parts, axis=1)
        if reduce:
            cells = clip.reshape(*clip.shape[:2], self.patch, 2, self.patch, 2).astype(np.uint16)
            clip = ((cells.sum(axis=(3, 5)) + 2) // 4).astype(np.uint8)
            if not shot.full_chroma:  # the reduced clip is a 4:2:0 clip again
                pairs = clip[:, 1:].reshape(clip.shape[0], 2, self.patch // 2, 2, self.patch // 2, 2).astype(np.uint16)
                mean = ((pairs.sum(axis=(3, 5)) + 2) // 4).astype(np.uint8)
                clip[:, 1:] = mean.repeat(2, axis=2).repeat(2, axis=3)
        if random.random() < 0.5:
            clip = clip[..., ::-1]
        if random.random() < 0.3:
            clip = clip[..., ::-1, :]
        if random.random() < 0.5:
            clip = clip[::-1]
        return np.ascontiguousarray(clip)
