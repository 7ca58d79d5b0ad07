"""Chooses weights, precision and device: an encoder takes them from its options, a decoder from the stream's SPS."""

from dataclasses import dataclass

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.codec.backends import PRECISION_NAMES, choose_device, choose_exact_device, open_networks
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.errors import EnvironmentFault, StreamError, UsageError
from dcvc_cli.families.registry import family_of, model_of_stream
from dcvc_cli.weights.file import ModelWeights
from dcvc_cli.weights.store import weights_by_fingerprints, weights_by_name

NAMES_OF_PRECISIONS = {precision: name for name, precision in PRECISION_NAMES.items()}


@dataclass(frozen=True)
class OpenedModel:
    """Weights whose networks are loaded on a device."""

    weights: ModelWeights
    precision: Precision
    device: str
    networks: CodecNetworks


def device_for(precision: Precision, name: str) -> str:
    """Returns the device that `name` (auto, cpu, cuda:N) stands for; EnvironmentFault where this machine lacks it."""
    # Asking PyTorch for a GPU would cost an exact decoder seconds for nothing.
    return choose_exact_device(name) if precision is Precision.EXACT else choose_device(name)


def open_model(
    model: str, precision: str | None = None, device: str = "auto", threads: int | None = None
) -> OpenedModel:
    """Opens a model for encoding.

    Args:
        model: a name that `dcvc models list` shows, or a path to a weights file.
        precision: one of PRECISION_NAMES; None = exact where the weights have it, else fp32.
        device: auto, cpu or cuda:N.
        threads: CPU threads of the arithmetic, None for all cores.

    Raises:
        UsageError: there is no such precision.
        EnvironmentFault: this machine lacks the weights or the device.
    """
    weights = weights_by_name(model)
    chosen = precision_for(weights, precision)
    place = device_for(chosen, device)
    return OpenedModel(weights, chosen, place, open_weights(weights, chosen, place, threads))


def precision_for(weights: ModelWeights, name: str | None) -> Precision:
    """Returns the precision of a name; None = exact where the weights have it, else fp32. UsageError for names of
    none."""
    if name is None:
        return Precision.EXACT if weights.is_exact else Precision.FLOAT32
    if name not in PRECISION_NAMES:
        raise UsageError(f"--precision {name} is not known, expected one of {', '.join(PRECISION_NAMES)}")
    return PRECISION_NAMES[name]


def open_weights(
    weights: ModelWeights, precision: Precision, device: str = "cpu", threads: int | None = None
) -> CodecNetworks:
    """Loads the networks of weights; EnvironmentFault where the family, the weights or the machine lack this
    precision."""
    known = family_of(weights.model).precisions
    if precision not in known:
        names = ", ".join(name for name, one in PRECISION_NAMES.items() if one in known)
        raise EnvironmentFault(f"model {weights.model.name!r} is not coded in {precision.name.lower()}", f"use {names}")
    if precision is Precision.EXACT and not weights.is_exact:
        hint = "prepare them with `dcvc models quantize`, or use --precision fp32"
        raise EnvironmentFault(f"weights {weights.name!r} have no exact form", hint)
    return open_networks(weights.networks, precision, device, threads)


def weights_of_stream(sps: Sps) -> ModelWeights:
    """Finds the weights that a stream names by fingerprint.

    A remuxed elementary stream may name none (all fingerprints 0): then the weights called like its model variant.

    Raises:
        EnvironmentFault: this machine lacks these weights.
    """
    model = model_of_stream(sps)
    if not any(sps.fingerprints):
        return weights_by_name(sps.model_variant)
    return weights_by_fingerprints(sps.fingerprints, model)


class StreamNetworks:
    """Opens the networks that a stream names. It keeps those opened last only, so that changes of model do not fill the
    memory."""

    def __init__(self, device_name: str = "auto", threads: int | None = None) -> None:
        self._device_name, self._threads = device_name, threads
        self._key: tuple[object, ...] | None = None
        self._networks: CodecNetworks | None = None

    def for_sps(self, sps: Sps) -> CodecNetworks:
        """Opens the networks of a stream; EnvironmentFault where weights, precision or device are missing."""
        key = (sps.model_family, sps.model_variant, sps.fingerprints, sps.precision)
        if self._networks is None or key != self._key:
            self._networks = None
            device = device_for(sps.precision, self._device_name)
            self._networks = open_weights(weights_of_stream(sps), sps.precision, device, self._threads)
            self._key = key
        return self._networks


class NetworksOfModel(StreamNetworks):
    """Gives the decoder the encoder's networks: a worker holds one model, and its weights need not lie where a decoder
    looks."""

    def __init__(self, model: OpenedModel) -> None:
        super().__init__()
        self._model = model

    def for_sps(self, sps: Sps) -> CodecNetworks:
        expected = self._model.weights.fingerprints
        if (sps.fingerprints, sps.precision) != (expected, self._model.precision):
            raise StreamError("the stream names other weights or another precision than it was coded with")
        return self._model.networks
