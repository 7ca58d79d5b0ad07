"""Opens weights on a backend in a precision. This is the one place that chooses between implementations of the
arithmetic."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_analysis import AnalysisNetwork
from dcvc_cli.backend.exact_native import MAX_THREADS, ExactNative, make_engine
from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.backend.operations import Operations
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.networks import CodecNetwork, CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.graph.network import Network

CUDA_TWIN_VARIABLE = "DCVC_CUDA"
"""If this environment variable is "twin", the slow twin computes in place of --device cuda."""
PRECISION_NAMES = {
    "exact": Precision.EXACT,
    "fp16": Precision.FLOAT16,
    "bf16": Precision.BFLOAT16,
    "fp32": Precision.FLOAT32,
    "fp64": Precision.FLOAT64,
}


def choose_device(name: str) -> str:
    """Turns `auto`, `cpu` or `cuda:N` into a device.

    Raises:
        EnvironmentFault: this machine has no such device.
    """
    if name == "cpu":
        return name
    import torch

    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda:0" if available else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EnvironmentFault(f"{name!r} names no device", "use auto, cpu or cuda:N") from error
    missing = _missing_of(device)
    if missing:
        raise EnvironmentFault(f"device {name} is not available: {missing}", "use --device cpu")
    return name


def _missing_of(device: Any) -> str:
    """Says what a device of PyTorch lacks; empty if nothing."""
    import torch

    if device.type != "cuda":
        return "PyTorch runs on cpu and cuda here"
    if torch.version.cuda is None:
        return "this PyTorch is built without CUDA"
    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA driver or no GPU"
    count = torch.cuda.device_count()
    return "" if (device.index or 0) < count else f"PyTorch finds {count} GPUs"


def choose_exact_device(name: str) -> str:
    """Turns a device's name into a device of exact arithmetic, without PyTorch. `auto` is the CPU: no measurement has
    shown yet where a GPU is faster.

    Raises:
        EnvironmentFault: this machine has no such device.
    """
    if name in ("auto", "cpu"):
        return "cpu"
    if not re.fullmatch(r"cuda(:\d{1,3})?", name):
        raise EnvironmentFault(f"{name!r} names no device", "use auto, cpu or cuda:N")
    return name


class NetworkArrays(Protocol):
    """The stored numbers of one network (weights.file.NetworkWeights)."""

    @property
    def model(self) -> Network:
        """Returns the graph that the numbers are of."""

    @property
    def exact(self) -> Mapping[str, NDArray[Any]]:
        """Arrays of the exact profile. Weights without it have none."""

    @property
    def analysis(self) -> AnalysisNetwork | None:
        """Returns the integer form of the layers that only an encoder runs; None where they run in float."""

    @property
    def z_table(self) -> CdfTable: ...

    @property
    def published_z_table(self) -> CdfTable | None:
        """Returns the table for the published codec's entropy formats, if they have another; else None."""

    def parameters(self) -> Mapping[str, NDArray[np.float32]]:
        """Returns the state dict in float32."""


def open_networks(
    networks: Mapping[str, NetworkArrays], precision: Precision, device: str = "cpu", threads: int | None = None
) -> CodecNetworks:
    """Makes networks ready to code.

    Args:
        networks: networks by name, in the family's order.
        threads: CPU threads of the arithmetic; None = all cores.

    Raises:
        EnvironmentFault: the weights or the machine cannot do this precision.
    """
    num_threads = _num_threads(threads)
    if precision is Precision.EXACT:
        make = _exact_operations(device, num_threads)
        opened = {name: _open_exact(network, make, device, threads) for name, network in networks.items()}
    else:
        opened = {name: _open_network(network, precision, device, threads) for name, network in networks.items()}
    return CodecNetworks(opened, num_threads)


def _num_threads(threads: int | None) -> int:
    return min(threads or os.cpu_count() or 1, MAX_THREADS)


def _open_network(weights: NetworkArrays, precision: Precision, device: str, threads: int | None) -> CodecNetwork:
    operations = _float_operations(weights.parameters(), precision, device, threads)
    return CodecNetwork(operations, operations, weights.z_table, weights.published_z_table)


def _exact_operations(device: str, num_threads: int) -> Callable[[ExactNetwork], Operations]:
    """Returns a function that makes the exact operations of a network. Those of one call share threads, or a GPU."""
    if not device.startswith("cuda"):
        engine = make_engine(num_threads)
        return lambda network: ExactNative(network, engine)
    if _wants_cuda_twin():
        return ExactTwin
    from dcvc_cli.backend.cuda import driver
    from dcvc_cli.backend.exact_cuda import ExactCuda

    gpu = driver.open_engine(device)
    return lambda network: ExactCuda(network, gpu)


def _wants_cuda_twin() -> bool:
    """Returns whether the slow twin computes in place of a GPU.

    Raises:
        EnvironmentFault: DCVC_CUDA is neither "native", the default, nor "twin".
    """
    implementation = os.environ.get(CUDA_TWIN_VARIABLE) or "native"
    if implementation not in ("native", "twin"):
        message = f"{CUDA_TWIN_VARIABLE} must be native or twin, found {implementation!r}"
        raise EnvironmentFault(message, f"unset {CUDA_TWIN_VARIABLE}")
    return implementation == "twin"


def _open_exact(
    weights: NetworkArrays, make: Callable[[ExactNetwork], Operations], device: str, threads: int | None
) -> CodecNetwork:
    synthesis = make(ExactNetwork.from_arrays(weights.model, weights.exact))
    if weights.analysis is not None:
        return CodecNetwork(synthesis, make(weights.analysis), weights.z_table)

    def analysis_operations() -> Any:
        place = _analysis_device(device)
        return _float_operations(weights.parameters(), _analysis_precision(weights, place), place, threads)

    return CodecNetwork(synthesis, cast(Operations, _AtFirstUse(analysis_operations)), weights.z_table)


def _analysis_device(device: str) -> str:
    """Returns where the encoder's half runs: beside the exact half, or on the CPU where PyTorch has no CUDA."""
    import torch

    return device if torch.cuda.is_available() else "cpu"


def _analysis_precision(weights: NetworkArrays, device: str) -> Precision:
    """Chooses the float precision of the encoder's half of an exact codec: bfloat16 if the machine multiplies it
    natively, else float32.

    Only weights with 8-bit layers get bfloat16, because their own rounding is as coarse (measured on `lite`,
    docs/decisions/0012: no bits lost). The encoder's half decides the symbols only, so no decoder depends on this
    choice.
    """
    import torch

    has_narrow_layers = any(
        name.endswith(".weight") and value.dtype == np.int8 for name, value in weights.exact.items()
    )
    if not has_narrow_layers:
        return Precision.FLOAT32
    if device != "cpu":
        return Precision.BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else Precision.FLOAT32
    is_native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return Precision.BFLOAT16 if is_native is not None and is_native() else Precision.FLOAT32


class _AtFirstUse:
    """Operations that only an encoder needs, made at their first use. So an exact decoder never loads PyTorch."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        made = self._make()
        self.__dict__.update({key: getattr(made, key) for key in dir(made) if not key.startswith("_")})
        return getattr(made, name)


def _float_operations(
    parameters: Mapping[str, NDArray[np.float32]], precision: Precision, device: str, threads: int | None
) -> Any:
    import torch

    from dcvc_cli.backend.float_torch import InferenceOperations

    if threads:
        torch.set_num_threads(threads)
    dtype = {
        Precision.FLOAT16: torch.float16,
        Precision.BFLOAT16: torch.bfloat16,
        Precision.FLOAT32: torch.float32,
        Precision.FLOAT64: torch.float64,
    }[precision]
    recorder = None
    if device.startswith("cuda") and not _wants_cuda_twin():
        from dcvc_cli.backend.torch_graphs import CudaRecorder

        recorder = CudaRecorder()
    own = {name: torch.from_numpy(value).to(device, dtype) for name, value in parameters.items()}
    return InferenceOperations(own, recorder)


def networks_from_state(
    states: Mapping[str, Mapping[str, NDArray[np.float32]]],
    z_tables: Mapping[str, CdfTable],
    precision: Precision,
    threads: int | None = None,
) -> CodecNetworks:
    """Makes networks of plain state dicts and tables by name, for conformance vectors and for trials during
    training."""
    opened = {}
    for name, state in states.items():
        operations = _float_operations(state, precision, "cpu", threads)
        opened[name] = CodecNetwork(operations, operations, z_tables[name])
    return CodecNetworks(opened)
