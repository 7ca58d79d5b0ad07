"""The pictures of I frames that a frozen network codes ahead of trained P frames, and a folder that keeps them.

A picture is coded alone, in float32 as streams are, and rounded to 16 bits a sample, with and without the folder. So a
run has the same bits with and without it. The key of an entry names everything that the picture follows from: weights,
codec, rate, samples, version, arithmetic. Another network never takes it.
"""

import hashlib
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from dcvc_cli import __version__
from dcvc_cli.errors import InputError
from dcvc_cli.learning.progressive.codec import ProgressiveCodec
from dcvc_cli.learning.trainee import State

LARGEST_SAMPLE = 65535
CHECK_BYTES = 4
"""Of an entry: the CRC of its samples stands behind them."""
SHARES = 16
"""A folder is scanned after each sixteenth of its limit that was written, and cut to fifteen sixteenths of it."""


class IFrameStore:
    """Keeps pictures in files, up to a number of bytes; those that nobody took for longest go first.

    Several processes may share a folder, because files appear whole and a file that is missing is coded anew.

    Args:
        folder: made when the first picture is kept.
        max_bytes: of all files together.
        num_processes: processes of this run that write to the folder.

    Attributes:
        num_taken: pictures that the folder had.
        num_kept: pictures that were written.
    """

    def __init__(self, folder: Path, max_bytes: int, num_processes: int = 1) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._allowance = max_bytes // SHARES // num_processes
        self._room = 0
        self.num_taken = self.num_kept = 0

    def take(self, key: str, num_bytes: int) -> bytes | None:
        """Returns an entry of this length; None if there is none, or it is damaged."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _fault(path, error) from error
        samples = content[:-CHECK_BYTES]
        if len(samples) != num_bytes or content[-CHECK_BYTES:] != _check(samples):
            return None
        with suppress(OSError):
            os.utime(path)
        self.num_taken += 1
        return samples

    def keep(self, key: str, samples: bytes) -> None:
        """Writes an entry, if it is not larger than the share of the limit that is free.

        Raises:
            InputError: the folder cannot be written to.
        """
        size, path = len(samples) + CHECK_BYTES, self._path(key)
        staged = path.with_name(f"{path.name}.{os.getpid()}.partial")
        if size > self._allowance:
            return
        try:
            if size > self._room:
                self._drop_oldest(self.max_bytes - self.max_bytes // SHARES)
                self._room = self._allowance
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.write_bytes(samples + _check(samples))
            staged.replace(path)
        except OSError as error:
            with suppress(OSError):
                staged.unlink()
            raise _fault(path, error) from error
        self._room -= size
        self.num_kept += 1

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.i16"

    def _drop_oldest(self, limit: int) -> None:
        """Removes files until those that stay have `limit` bytes at most."""
        found = []
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= limit:
                return
            path.unlink(missing_ok=True)
            total -= size


class IFrames:
    """The pictures of frozen I frames of a codec.

    Args:
        store: keeps them; None: each is coded anew.
    """

    def __init__(self, codec: ProgressiveCodec, store: IFrameStore | None = None) -> None:
        self.codec, self.store = codec, store
        self._known: tuple[State, bytes] | None = None

    @torch.no_grad()
    def pictures(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Returns the pictures (N, 3, h, w) in 0..1, float32, as decoders have them, on the grid of 16 bits.

        Args:
            state: the parameters of the I-frame network.
            x: the sources, of this shape.
            rate: indices of their rates (N), or (1) for all.
        """
        rates = rate.expand(len(x))
        return torch.cat([self._one(state, x[k : k + 1], rates[k : k + 1]) for k in range(len(x))])

    def _one(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        def code() -> torch.Tensor:
            with torch.autocast(x.device.type, enabled=False):
                picture = self.codec.i_frame(state, x, rate).float().clamp(0, 1)
            return (picture * LARGEST_SAMPLE).round()

        samples = code() if self.store is None else self._kept(self.store, state, x, rate, code)
        return samples / LARGEST_SAMPLE

    def _kept(
        self,
        store: IFrameStore,
        state: State,
        x: torch.Tensor,
        rate: torch.Tensor,
        code: Callable[[], torch.Tensor],
    ) -> torch.Tensor:
        key = self._key(state, x, rate)
        found = store.take(key, x.numel() * 2)
        if found is not None:
            samples = np.frombuffer(found, "<u2").astype(np.float32).reshape(x.shape)
            return torch.from_numpy(samples).to(x.device)
        coded = code()
        store.keep(key, coded.cpu().numpy().astype("<u2").tobytes())
        return coded

    def _key(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> str:
        if self._known is None or self._known[0] is not state:
            self._known = state, _digest_of(state)
        arithmetic = torch.__version__, x.device.type, torch.get_num_threads()
        codec = type(self.codec).__module__, int(rate), tuple(x.shape)
        digest = hashlib.sha256(self._known[1])
        digest.update(repr((__version__, arithmetic, codec)).encode())
        digest.update(x.float().contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


def _digest_of(state: State) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().float().contiguous().cpu().numpy()
        digest.update(repr((name, value.shape)).encode())
        digest.update(value.tobytes())
    return digest.digest()


def _check(samples: bytes) -> bytes:
    return zlib.crc32(samples).to_bytes(CHECK_BYTES, "little")


def _fault(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot keep I frames in {path}: {error.strerror}", "--cache names another folder")
