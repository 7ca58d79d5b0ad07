"""Which weights, which precision, which device: for an encoder from its options, for a decoder from what the stream names."""

from dataclasses import dataclass, replace

from dcvc_cli.bitstream.limits import MAX_QP_I, MAX_QP_P, FrameLimits, general_limits
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.codec.backends import PRECISION_NAMES, choose_device, choose_exact_device, open_networks
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.errors import EnvironmentFault, UsageError
from dcvc_cli.weights.file import ModelWeights
from dcvc_cli.weights.store import weights_by_fingerprint, weights_by_name

SYNTAXES = {"dcvc-rt": 1, "lite": 1}
"""Model families, and the newest syntax of their payloads that is known here."""


def limits_of_family(sps: Sps) -> FrameLimits | None:
    """What the tables of a model family hold, for readers and writers of its streams; None for a family not known here."""
    if sps.model_family not in SYNTAXES:
        return None
    return replace(general_limits(sps), max_qp_i=MAX_QP_I, max_qp_p=MAX_QP_P)
NAMES_OF_PRECISIONS = {precision: name for name, precision in PRECISION_NAMES.items()}


@dataclass(frozen=True)
class OpenedModel:
    """Weights ready to code."""

    weights: ModelWeights
    precision: Precision
    device: str
    networks: CodecNetworks


def device_for(precision: Precision, name: str) -> str:
    """The device that `name` (auto, cpu, cuda:N) means; EnvironmentFault where it does not exist."""
    # Asking PyTorch for a GPU would cost an exact decoder seconds for nothing.
    return choose_exact_device(name) if precision is Precision.EXACT else choose_device(name)


def open_model(model: str, precision_name: str | None, device_name: str, threads: int | None) -> OpenedModel:
    """A model for encoding.

    Args:
        model: a name that `dcvc models list` shows, or a path to a weights file.
        precision_name: one of PRECISION_NAMES; None = exact where the weights have it, else fp32.

    Raises:
        UsageError: no such precision.
        EnvironmentFault: the weights or the device are not there.
    """
    if precision_name is not None and precision_name not in PRECISION_NAMES:
        raise UsageError(f"--precision {precision_name} is not known, expected one of {', '.join(PRECISION_NAMES)}")
    weights = weights_by_name(model)
    default = Precision.EXACT if weights.is_exact else Precision.FLOAT32
    precision = default if precision_name is None else PRECISION_NAMES[precision_name]
    device = device_for(precision, device_name)
    return OpenedModel(weights, precision, device, open_networks(weights, precision, device, threads))


def weights_of_stream(sps: Sps) -> ModelWeights:
    """The weights that a stream names; where it names none (a remuxed elementary stream of unknown origin), those of its variant's name.

    Raises:
        EnvironmentFault: they are not on this machine.
    """
    if sps.model_family not in SYNTAXES or sps.syntax > SYNTAXES[sps.model_family] or len(sps.fingerprints) != 2:
        known = ", ".join(f"{family!r} with syntax {syntax}" for family, syntax in SYNTAXES.items())
        message = f"the stream is of model family {sps.model_family!r} with syntax {sps.syntax}, this dcvc has {known}"
        raise EnvironmentFault(message, "decode it with a newer dcvc")
    image, video = sps.fingerprints
    if not image and not video:
        return weights_by_name(sps.model_variant)
    return weights_by_fingerprint(image, video, sps.model_variant)


class StreamNetworks:
    """Opens what a stream needs, and keeps the last one only: a stream that changes its model does not fill the memory."""

    def __init__(self, device_name: str = "auto", threads: int | None = None) -> None:
        self._device_name, self._threads = device_name, threads
        self._key: tuple[object, ...] | None = None
        self._networks: CodecNetworks | None = None

    def for_sps(self, sps: Sps) -> CodecNetworks:
        """The networks of a stream; EnvironmentFault where weights, precision or device are missing."""
        key = (sps.model_family, sps.model_variant, sps.fingerprints, sps.precision)
        if self._networks is None or key != self._key:
            self._networks = None
            self._networks = open_networks(weights_of_stream(sps), sps.precision, device_for(sps.precision, self._device_name), self._threads)
            self._key = key
        return self._networks
