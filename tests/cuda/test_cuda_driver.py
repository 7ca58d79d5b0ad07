"""The launch layer with a driver that is emulated: whole frames through its calls, graphs, and what is said where there
is no GPU."""

from types import SimpleNamespace

import numpy as np
import pytest

from dcvc_cli.backend.cuda import compiler, pinned
from dcvc_cli.backend.cuda import driver as driver_file
from dcvc_cli.backend.cuda.arguments import SOURCES
from dcvc_cli.backend.cuda.compiler import _cached_folder, write_all
from dcvc_cli.backend.cuda.driver import CudaDevice
from dcvc_cli.backend.cuda.engine import CudaEngine, Launch
from dcvc_cli.backend.cuda.kernels import KERNELS
from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_native import ExactNative, make_engine
from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.errors import EnvironmentFault
from tests.cuda.emulated import EmulatedDevice
from tests.cuda.layer_checks import data_of, on_device
from tests.support.exact_frames import FramePair, InventingCoder, ReplayingCoder, invent
from tests.support.models import SPECS, graphs
from tests.support.random_layers import random_network

CUBINS = {source: source.encode() for source in SOURCES}


@pytest.fixture
def emulated_driver(emulator):
    pytest.importorskip("cuda.bindings.driver")
    from tests.cuda.emulated_driver import EmulatedDriver

    return EmulatedDriver(EmulatedDevice(emulator, 0, True, 132))


@pytest.fixture
def late_driver(emulator):
    pytest.importorskip("cuda.bindings.driver")
    from tests.cuda.emulated_driver import EmulatedDriver

    return EmulatedDriver(EmulatedDevice(emulator, 0, True, 132), is_late=True)


def test_frames_through_the_driver(emulated_driver):
    """P frames repeat: after some of them all launches are in graphs, also at another QP, and nothing is allocated any
    more."""
    image, video = graphs(SPECS["tiny"])
    networks = random_network(image, 1), random_network(video, 2)
    cpu, num_frames = make_engine(1), 11
    native = FramePair(image, video, *(ExactNative(n, cpu) for n in networks))
    coded, expected = invent(native, (1, 2), num_frames, 30, 5, reset_at=99)
    engine = CudaEngine(CudaDevice(driver=emulated_driver, cubins=CUBINS))
    pair = FramePair(image, video, *(ExactCuda(n, engine) for n in networks))
    launches, allocations = [], []
    for k, frame in enumerate(coded):
        ops = pair.video_ops if k else pair.image_ops
        coder = ReplayingCoder(ops, frame.steps)
        size = frame.latent_size
        found = (
            pair.inter(frame.z, size, coder, 30, pair.contexts(30, False))
            if k
            else pair.intra(frame.z, size, coder, 30)
        )
        assert all(np.array_equal(x, y) for x, y in zip(expected[k], found, strict=True)), f"frame {k}"
        launches.append(emulated_driver.num_launches)
        allocations.append(emulated_driver.num_allocations)
    assert launches[-1] == launches[-2], "the last frame was not all graphs"
    assert allocations[-1] == allocations[1]
    other = coded[-1]
    for which in (native, pair):
        ops = which.video_ops
        which.planes = which.inter(
            other.z, other.latent_size, InventingCoder(ops, np.random.default_rng(1)), 63, which.contexts(63, False)
        )
    assert all(np.array_equal(x, y) for x, y in zip(native.planes, pair.planes, strict=True))
    assert emulated_driver.num_launches == launches[-1], "another QP takes other graphs"


def test_large_uploads_go_in_pieces(late_driver, monkeypatch):
    """Also where the GPU copies as late as it may: no place is written again before its copy is done."""
    monkeypatch.setattr(pinned, "STAGING_BYTES", 1024)
    device = CudaDevice(driver=late_driver, cubins=CUBINS)
    array = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)
    address = device.allocate(5000, 1)
    for size in (5000, 100, 1000, 900):
        device.upload(address, array[:size])
    found = np.empty(5000, np.uint8)
    device.download(found, address)
    assert np.array_equal(found, array)


def test_a_place_is_written_again_only_when_its_copy_is_done(late_driver, monkeypatch):
    """Without the wait for a copy, a late copy brings what a later upload put in its place."""
    monkeypatch.setattr(pinned, "STAGING_BYTES", 1024)
    device, pieces = CudaDevice(driver=late_driver, cubins=CUBINS), range(3 * pinned.NUM_STAGES)
    address, found = device.allocate(1024 * len(pieces), 1), np.empty(1024 * len(pieces), np.uint8)
    for piece in pieces:
        device.upload(address + 1024 * piece, np.full(1024, piece, np.uint8))
    assert late_driver.num_stream_waits == 0, "an upload waits for its place, not for all work"
    device.download(found, address)
    assert np.array_equal(found, np.repeat(np.arange(len(pieces), dtype=np.uint8), 1024))


def test_arrays_that_kernels_write_are_read_behind_their_mark(late_driver):
    """Two frames' arrays wait at a time. A third request takes the place of the first, whose owner keeps its values."""
    engine = CudaEngine(CudaDevice(driver=late_driver, cubins=CUBINS))
    kept = []
    for frame in range(5):
        symbols = np.full((8, 4, 4), frame + 1, np.int8)
        z = ExactCuda(ExactNetwork({}, 6), engine).z_from_symbols(symbols)
        taken, _ = ExactCuda(ExactNetwork({}, 6), engine).choose_z(ExactCuda(ExactNetwork({}, 6), engine), z)
        kept.append((symbols, taken))
    for symbols, taken in kept:
        assert np.array_equal(symbols, taken())
        assert np.array_equal(symbols, taken()), "a second call gives the same"
    assert sum(len(places) for places in engine.places._places.values()) == 2


def test_what_a_gpu_cannot_count_is_refused(emulated_driver):
    engine = CudaEngine(CudaDevice(driver=emulated_driver, cubins=CUBINS))
    with pytest.raises(EnvironmentFault, match="too many elements for the CUDA kernels"):
        engine.tensor(32768, 8192, 8)
    with pytest.raises(EnvironmentFault, match="1 x 65536 x 1 blocks of threads, more than a GPU starts"):
        engine.prepare("matrix_small_plain", (1, 65536))


class TorchStream:
    """A stream of PyTorch that tells who waits for whom."""

    def __init__(self, name, events):
        self.name, self._events = name, events

    def wait_stream(self, other):
        self._events.append(f"{self.name} waits for {other.name}")


def test_what_pytorch_does_on_the_gpu_stands_in_order(emulated_driver, monkeypatch):
    """PyTorch with CUDA in name only: its tensors are views of the emulator's memory, its streams tell who waits."""
    torch, events = pytest.importorskip("torch"), []
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda handle, device: TorchStream("own", events))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: TorchStream("torch", events))
    real = torch.as_tensor

    def as_tensor(place, device):
        fields = dict(place.__cuda_array_interface__)
        events.append(f"view on {device}")
        return torch.from_numpy(np.asarray(SimpleNamespace(__array_interface__=fields)))

    monkeypatch.setattr(torch, "as_tensor", as_tensor)
    device = CudaDevice(driver=emulated_driver, cubins=CUBINS)
    address, values = device.allocate(400, 4), np.arange(100, dtype=np.float32)
    device.write_tensor(address, torch.from_numpy(values).reshape(10, 10))
    assert events == ["torch waits for own", "view on cuda:0", "own waits for torch"]
    found = device.read_tensor(address, 200)
    assert np.array_equal(found.numpy(), values.view(np.int16))
    device._view(address, 100, "<f4").zero_()
    assert np.array_equal(found.numpy(), values.view(np.int16)), "what was read is a copy"
    assert events[3:6] == ["torch waits for own", "view on cuda:0", "own waits for torch"]
    monkeypatch.setattr(torch, "as_tensor", real)
    assert not device.shares_with_torch, "PyTorch here has no CUDA"


@pytest.mark.parametrize("name", ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"])
def test_without_graphs_launches_start_one_by_one(name, emulated_driver, monkeypatch, capsys):
    """The driver refuses a graph: every round computes the same, and one line says so."""
    real, refused = getattr(emulated_driver, name), emulated_driver.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED

    def refusing(*given):
        if name == "cuStreamEndCapture":
            real(*given)  # the recording ends all the same
        return refused, None

    monkeypatch.setattr(emulated_driver, name, refusing)
    ops = ExactCuda(ExactNetwork({}, 6), CudaEngine(CudaDevice(driver=emulated_driver, cubins=CUBINS)))
    x = np.arange(-60, 60).astype(np.int16).reshape(8, 3, 5)
    for _ in range(4):
        assert np.array_equal(np.maximum(x, 0), data_of(ops, ops.clamp_unit(on_device(ops, x, 13))))
    assert emulated_driver.num_graph_launches == 0
    told = capsys.readouterr().err
    assert told.count("dcvc: kernels start one by one, not as CUDA graphs: the CUDA driver reports") == 1


def test_an_old_gpu_or_none_is_told(emulated_driver):
    with pytest.raises(EnvironmentFault, match="there is no GPU 3, the driver knows 1"):
        CudaDevice(3, emulated_driver, CUBINS)
    emulated_driver._capability = (7, 5)
    with pytest.raises(EnvironmentFault, match=r"compute capability 7\.5, 8\.0 is needed"):
        CudaDevice(0, emulated_driver, CUBINS)


def test_a_gpu_is_described_without_opening_it(emulated_driver, monkeypatch, tmp_path):
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    monkeypatch.setattr(emulated_driver, "cuDevicePrimaryCtxRetain", None)
    text = driver_file.describe_gpu(0, emulated_driver)
    assert text.startswith("emulator, compute capability 9.0, kernels to be compiled at first use by NVRTC ")
    write_all(_cached_folder((9, 0), 13), CUBINS)
    assert driver_file.describe_gpu(0, emulated_driver).endswith("kernels compiled before")


def test_a_missing_compiler_is_told(emulated_driver, monkeypatch, tmp_path):
    """A GPU for which nothing is compiled, and no NVRTC."""
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    monkeypatch.setattr(compiler, "_in_wheels", list)
    monkeypatch.setattr(compiler, "_NVRTC_NAMES", ())
    compiler.find_nvrtc.cache_clear()
    for run in (lambda: driver_file.describe_gpu(0, emulated_driver), lambda: CudaDevice(0, emulated_driver)):
        with pytest.raises(EnvironmentFault, match=r"the CUDA compiler NVRTC of version 13 or earlier.* is missing"):
            run()


def test_errors_of_the_driver_have_their_name(emulated_driver):
    out_of_memory = emulated_driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
    device = CudaDevice(driver=emulated_driver, cubins=CUBINS)
    emulated_driver.cuMemAlloc = lambda size: (out_of_memory, None)
    with pytest.raises(EnvironmentFault, match=r"no 123 bytes of memory left \(CUDA_ERROR_OUT_OF_MEMORY\)"):
        device.allocate(123, 1)
    emulated_driver.cuLaunchKernel = lambda *_: (emulated_driver.CUresult.CUDA_ERROR_LAUNCH_FAILED,)
    launches = [Launch(KERNELS["coding_scan"], (1, 1, 1), bytes(KERNELS["coding_scan"].structure()))]
    with pytest.raises(EnvironmentFault, match="CUDA_ERROR_LAUNCH_FAILED"):
        device.run(launches)


def test_without_the_bindings(monkeypatch):
    monkeypatch.setattr(driver_file.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(EnvironmentFault, match="the package cuda-bindings is missing"):
        driver_file.driver_module()
