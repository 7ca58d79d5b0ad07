"""Codes chunks of a plan."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from dcvc_cli import __version__
from dcvc_cli.bitstream.sps_syntax import write_sps
from dcvc_cli.coding.chunk_plan import Chunk, Plan
from dcvc_cli.coding.encode import EncodeSummary, StreamEncoder, encode_pictures
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.frame_report import FrameCallback
from dcvc_cli.coding.memory import encoding_memory
from dcvc_cli.coding.opened_models import OpenedModel, open_model
from dcvc_cli.coding.passes import first_pass, one_pass, rate_target, second_pass
from dcvc_cli.coding.plan_making import digest_of, open_input, picture_digest, source_facts
from dcvc_cli.control.levels import LevelRate
from dcvc_cli.errors import EnvironmentFault, InputError, UsageError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import Picture
from dcvc_cli.media import OutputFile


def open_plan_model(plan: Plan, device: str | None = None, threads: int | None = None) -> OpenedModel:
    """Opens the weights that a plan was made with.

    Args:
        device: auto, cpu or cuda:N; None = cpu, or auto where the plan allows float arithmetic.
        threads: CPU threads of the arithmetic, None for all cores.

    Raises:
        UsageError: a device other than the CPU without the plan's permission.
        EnvironmentFault: this dcvc is of another version than the plan, or this machine has other weights of this name.
    """
    if plan.dcvc_version != __version__:
        raise EnvironmentFault(
            f"the plan was made by dcvc {plan.dcvc_version}, this is dcvc {__version__}",
            "use one version on all machines, or make the plan again",
        )
    device = device or ("auto" if plan.allow_float else "cpu")
    if device != "cpu" and not plan.allow_float:
        raise UsageError(
            f"--device {device}: a GPU codes other bytes than the CPU, which the plan does not allow",
            "dcvc plan --allow-float",
        )
    opened = open_model(plan.settings.model, plan.settings.precision, device, threads)
    found = opened.weights.fingerprint_texts
    if found != dict(plan.fingerprints):
        raise EnvironmentFault(
            f"weights {plan.settings.model!r} on this machine have fingerprints {' '.join(found.values())}, the plan "
            f"was made with {' '.join(plan.fingerprints.values())}",
            "put the same weights on all machines",
        )
    return opened


def encode_chunk(
    plan: Plan,
    number: int,
    source: str,
    opened: OpenedModel,
    sink: OutputFile,
    limits: Limits,
    on_frame: FrameCallback | None = None,
    levels: LevelRate | None = None,
) -> EncodeSummary:
    """Codes one chunk into a stream of its own.

    Args:
        source: the input on this machine.
        opened: as `open_plan_model` gives it.
        levels: gives the QPs; None: those of the chunk, or those that the settings choose.

    Raises:
        UsageError: the plan has no such chunk.
        InputError: the input is not the one that the plan was made from.
    """
    chunk = plan.chunk(number)
    check_source(plan, source)
    settings = _settings_of(plan, chunk)
    choices = settings.coding_choices()
    with open_input(source, plan.options, limits, chunk) as reader:
        size = reader.format.size
        limits.check_encoding(reader.name, size.width, size.height, encoding_memory(opened, size))
        target = rate_target(settings, reader.name, reader.format, chunk.num_frames)
        rate = levels or (LevelRate(chunk.levels) if chunk.levels else one_pass(settings, target))
        if target is not None and settings.passes == 2:
            again = partial(open_input, source, plan.options, limits, chunk)
            rate = second_pass(target, first_pass(opened, reader.format, choices, target, again))
        encoder = StreamEncoder(opened, reader.format, choices, sink, rate=rate, label=plan.label(number))
        if write_sps(encoder.sps) != plan.sps:
            raise InputError(
                f"{source} has another format here than where the plan was made (size, rate, colour or times)",
                "use the plan's input, and one version of PyAV on all machines",
            )
        return encode_pictures(encoder, _checked(plan, chunk, source, reader), on_frame)


def check_source(plan: Plan, source: str) -> None:
    """Raises InputError for another input than the plan's, as far as size and ends of the file tell."""
    if plan.source_digest is not None and not os.path.exists(source):
        raise InputError(f"cannot read {source}: there is no such file")
    if source_facts(source) != (plan.source_bytes, plan.source_digest):
        raise InputError(
            f"{source} is not the file that the plan was made from: its size or contents differ",
            "give that file, or make the plan again",
        )


def _settings_of(plan: Plan, chunk: Chunk) -> EncodeSettings:
    """Returns the plan's settings, with numbers of frames counted from the chunk's start."""
    numbers = tuple(number - chunk.start for number in plan.settings.force_keyframes)
    return replace(plan.settings, force_keyframes=tuple(number for number in numbers if 0 <= number < chunk.num_frames))


def _checked(plan: Plan, chunk: Chunk, source: str, pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Returns the pictures of a chunk; InputError at their end where they are not those of the plan."""
    digests = []
    for picture in pictures:
        digests.append(picture_digest(picture))
        yield picture
    if digest_of(digests) != chunk.digest:
        first = plan.options.seek + chunk.start
        raise InputError(
            f"{source}: pictures {first} to {first + chunk.num_frames - 1} are not those that the plan was made from",
            "use the plan's input, and one version of PyAV on all machines; or make the plan again",
        )
