"""The parts that conformance cases of codecs on R G B share: networks with the published tables, planar pictures,
symbols."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import InputError
from dcvc_cli.families.base import Model
from dcvc_cli.families.case_files import check_digest, difference, generated_state, parameter_digest
from dcvc_cli.families.conformance_form import CaseRun, Findings
from dcvc_cli.families.wide_latents.rgb import picture_from_rgb, rgb_values
from dcvc_cli.families.wide_latents.tables import gaussian_scales, laplace_scales, published_z_table
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat

Estimators = Mapping[str, Sequence[str]]
"""Names of each network's density estimators, in the order of the rows of its table of z."""


def open_published(
    run: CaseRun, model: Model, estimators: Estimators, seed: int, arguments: Mapping[str, tuple[Any, ...]]
) -> CodecNetworks:
    """Opens a case's networks with the published codec's tables. The run keeps them for the next case.

    Args:
        arguments: arguments of make_params.py's state_dict, by network.
    """
    if not run.kept:
        states = {
            name: generated_state(run.generator, dict(network.shapes()), *arguments[name])
            for name, network in model.networks.items()
        }
        tables = {name: published_z_table(state, *estimators[name]) for name, state in states.items()}
        run.kept["digests"] = {name: parameter_digest(state) for name, state in states.items()}
        run.kept["networks"] = networks_from_state(states, tables, run.precision, run.threads)
    networks: CodecNetworks = run.kept["networks"]
    return networks


def check_digests(run: CaseRun, seed: int, expected: Mapping[str, str]) -> None:
    """Compares the digests of the networks' parameters with the case's.

    Raises:
        InputError: a digest differs.
    """
    for name, digest in expected.items():
        check_digest(name, seed, run.kept["digests"][name], digest)


def with_stored_table(
    networks: CodecNetworks, name: str, stored: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
) -> tuple[CodecNetworks, tuple[str, ...]]:
    """Compares a case's table of z with a network's. If they differ, the network gets the case's table.

    Args:
        stored: cdf, length and offset of each estimator, in the order of rows.

    Returns:
        (networks, notes).
    """
    own = networks[name].z_table
    width = own.cdf.shape[1]
    try:
        cdf = np.concatenate([np.pad(one[0], ((0, 0), (0, width - one[0].shape[1]))) for one in stored])
        table = CdfTable(cdf, *(np.concatenate([one[k] for one in stored]) for k in (1, 2)))
    except ValueError as error:
        raise InputError(f"the stored z tables of the {name} network are no tables: {error}") from error
    if table.num_rows != own.num_rows:
        raise InputError(f"the stored z table of the {name} network has {table.num_rows} rows, not {own.num_rows}")
    differs = (table.cdf != own.cdf).any(axis=1) | (table.cdf_length != own.cdf_length) | (table.offset != own.offset)
    if not differs.any():
        return networks, ()
    changed = {**networks.by_name, name: replace(networks[name], z_table=table)}
    words = f"{int(differs.sum())} z table rows of the {name} network differ here; the case's are used"
    return replace(networks, by_name=changed), (words,)


def planar_values(samples: bytes, size: PictureSize) -> NDArray[np.float32]:
    """Makes the network input of a raw picture of R, G and B planes.

    Raises:
        InputError: the number of samples does not fit the size.
    """
    if len(samples) != 3 * size.num_pixels:
        raise InputError(f"a picture has {len(samples)} bytes, expected {3 * size.num_pixels}")
    red, green, blue = np.frombuffer(samples, np.uint8).reshape(3, size.height, size.width)
    return rgb_values(Picture((red, green, blue)), VideoFormat(size, ChromaFormat.RGB))


def planar_samples(frame: Tensor, size: PictureSize) -> bytes:
    """Makes a raw picture of a network's output. Inverts `planar_values`."""
    return picture_from_rgb(frame, VideoFormat(size, ChromaFormat.RGB)).tobytes()


def symbol_fault(folder: Path, names: Mapping[str, NDArray[Any]]) -> str | None:
    """Names the first array of symbols.npz that differs from the array found under its name. None: all are equal."""
    try:
        with np.load(folder / "symbols.npz", allow_pickle=False) as stored:
            for name, found in names.items():
                if not np.array_equal(stored[name], found):
                    where = int((stored[name] != found).sum()) if stored[name].shape == found.shape else "all"
                    return f"{name} differs in {where} of {found.size} elements"
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / 'symbols.npz'} has no usable symbols: {error}") from error
    return None


def bytes_fault(what: str, found: bytes, expected: bytes, offset: int = 0) -> tuple[str, ...]:
    """Returns a fault if two byte strings differ."""
    return () if found == expected else (difference(what, found, expected, offset),)


def table_findings(path: Path, names: Sequence[str]) -> Findings:
    """Compares the stored tables of y with the package's."""
    own = {"gaussian": gaussian_scales, "laplace": laplace_scales}
    faults = []
    with np.load(path, allow_pickle=False) as arrays:
        for name in names:
            table = own[name]().table
            parts = {"cdf": table.cdf, "cdf_length": table.cdf_length, "offset": table.offset}
            faults += [
                f"{name}_{key} differs" for key, ours in parts.items() if (arrays[f"{name}_{key}"] != ours).any()
            ]
    return Findings(tuple(faults), summary=f"{len(names)} tables of 256 rows")
