"""Makes a plan: reads a clip once, finds its scenes, and splits it into chunks."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.coding.chunk_plan import MAX_CHUNK_FRAMES, Chunk, InputOptions, Plan
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.opened_models import precision_for
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.control.frame_control import Lookahead
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import Picture
from dcvc_cli.media import PictureReader, open_reader
from dcvc_cli.media.container import ContainerReader
from dcvc_cli.weights.file import ModelWeights
from dcvc_cli.weights.store import weights_by_name

_END_BYTES = 1 << 20


@dataclass(frozen=True)
class ChunkFrames:
    """How long a chunk may be, in pictures; `most` is at least twice `least`. A clip's only chunk may be shorter."""

    least: int = 96
    most: int = 480

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most // 2 or self.most > MAX_CHUNK_FRAMES:
            raise UsageError(
                f"--chunk-frames {self.least}:{self.most}: expected LEAST:MOST from 1, MOST at least twice LEAST and "
                f"at most {MAX_CHUNK_FRAMES}"
            )


def make_plan(
    source: str,
    options: InputOptions,
    settings: EncodeSettings,
    chunk_frames: ChunkFrames = ChunkFrames(),
    *,
    limits: Limits,
    allow_float: bool = False,
    on_frame: Callable[[], None] | None = None,
) -> Plan:
    """Reads a clip once and plans its chunks.

    Args:
        on_frame: called after each picture.

    Raises:
        UsageError: settings that chunks cannot keep, or arithmetic that differs from machine to machine without
            `allow_float`.
        InputError: the clip cannot be read, or is a pipe.
        EnvironmentFault: this machine lacks the weights.
    """
    check_settings(settings)
    weights = weights_by_name(settings.model)
    precision = precision_for(weights, settings.precision)
    if not allow_float:
        check_same_everywhere(weights, precision)
    size, digest = source_facts(source)
    with open_input(source, options, limits) as reader:
        carries_tracks = has_tracks(reader)
        sps = write_sps(sps_for(reader.format, weights, precision, settings.coding_choices()))
        lookahead = Lookahead(reader.format, needed=True)
        digests: list[bytes] = []
        cuts: list[int] = []
        for index, seen in enumerate(lookahead.over(reader)):
            digests.append(picture_digest(seen.picture))
            if seen.begins_scene:
                cuts.append(index)
            if on_frame is not None:
                on_frame()
    chunks = tuple(
        Chunk(number, start, end - start, begins, digest_of(digests[start:end]))
        for number, (start, end, begins) in enumerate(spans(len(digests), cuts, chunk_frames))
    )
    fingerprints = weights.fingerprint_texts
    place = source if digest is None else os.path.abspath(source)
    return Plan(place, size, digest, options, carries_tracks, settings, allow_float, fingerprints, sps, chunks)


def check_settings(settings: EncodeSettings) -> None:
    """Raises UsageError for settings that hold for a whole stream and not for its chunks."""
    if settings.target_size is not None:
        raise UsageError(
            "--target-size holds for a whole clip, and chunks do not know each other", "--bitrate or --crf"
        )
    if settings.maxrate is not None:
        raise UsageError(
            "--maxrate steers a buffer over the whole stream, and chunks do not know each other", "leave it out"
        )


def check_same_everywhere(weights: ModelWeights, precision: Precision) -> None:
    """Raises UsageError for arithmetic whose results differ from machine to machine."""
    is_exact = precision is Precision.EXACT and all(
        network.analysis is not None for network in weights.networks.values()
    )
    if not is_exact:
        what = "a float precision" if precision is not Precision.EXACT else f"weights {weights.name!r}"
        raise UsageError(
            f"{what} codes other bytes on other machines and with other numbers of threads", "--allow-float codes so"
        )


def spans(num_frames: int, cuts: Sequence[int], chunk_frames: ChunkFrames) -> Iterator[tuple[int, int, str]]:
    """Yields (start, end, why it starts there) of each chunk of a clip: at cuts where that gives lengths that are
    allowed.

    Args:
        cuts: numbers of the pictures that begin scenes, rising.
    """
    least, most = chunk_frames.least, chunk_frames.most
    start, begins = 0, "start"
    candidates = [cut for cut in cuts if cut <= num_frames - least]
    while start < num_frames:
        cut = next((cut for cut in candidates if cut >= start + least), num_frames)
        end, reason = cut, "scene"
        if cut - start > most:
            # A piece shorter than `most` + `least` is halved: each half has at least half of `most`, hence `least`.
            end, reason = start + (most if cut - start >= most + least else (cut - start) // 2), "length"
        yield start, end, begins
        start, begins = end, reason


def open_input(source: str, options: InputOptions, limits: Limits, chunk: Chunk | None = None) -> PictureReader:
    """Opens an input, or one chunk of it, with times as the whole clip has them.

    Raises:
        InputError: the input cannot be read, or is a pipe.
    """
    if source == "-" or (os.path.exists(source) and not os.path.isdir(source) and not os.path.isfile(source)):
        raise InputError(f"{source} is a pipe or a device, chunks are read from files", "write it to a file first")
    reader = open_reader(
        source,
        size=options.size,
        frame_rate=options.frame_rate,
        bit_depth=options.bit_depth,
        input_format=options.input_format,
        skip_frames=options.seek + (0 if chunk is None else chunk.start),
        max_frames=options.frames if chunk is None else chunk.num_frames,
        limits=limits,
        keep_tracks=options.keep_tracks,
        zero_frame=options.seek,
    )
    reader.format = options.tagged(reader.format)
    return reader


def has_tracks(reader: PictureReader) -> bool:
    """Returns whether an input that was opened with its other tracks has any."""
    return isinstance(reader, ContainerReader) and reader.tracks is not None and bool(reader.tracks.header)


def source_facts(source: str) -> tuple[int | None, str | None]:
    """Finds (size, digest of the first and the last MiB) of a file; (None, None) of a folder or a pattern."""
    if not os.path.isfile(source):
        return None, None
    try:
        with open(source, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(file.read(_END_BYTES))
            file.seek(max(0, size - _END_BYTES))
            digest.update(file.read(_END_BYTES))
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}") from error
    return size, digest.hexdigest()[:32]


def picture_digest(picture: Picture) -> bytes:
    """Returns 16 bytes of a picture's samples and its time."""
    digest = hashlib.sha256(str(picture.time).encode())
    for plane in picture.planes:
        digest.update(str(plane.shape).encode())
        digest.update(plane.tobytes())
    return digest.digest()[:16]


def digest_of(digests: Sequence[bytes]) -> str:
    """Returns 32 hexadecimal digits of a chunk, from those of its pictures."""
    return hashlib.sha256(b"".join(digests)).hexdigest()[:32]
