"""What runs beside the GPU, as an order of events: symbols of a frame are coded while the GPU computes the next one."""

import threading

import numpy as np
import pytest

from dcvc_cli.backend.cuda import driver
from dcvc_cli.backend.cuda.arguments import SOURCES
from dcvc_cli.backend.cuda.driver import CudaDevice
from dcvc_cli.backend.cuda.engine import CudaEngine
from dcvc_cli.backend.cuda.landing import Landing
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.backends import open_networks
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.media.synthetic_clip import synthetic_format, synthetic_pictures
from dcvc_cli.weights.store import weights_by_name
from tests.cuda.emulated import EmulatedDevice
from tests.cuda.layer_checks import engine_on

pytestmark = pytest.mark.native
CUBINS = {source: source.encode() for source in SOURCES}
SIZE, NUM_FRAMES, PATIENCE_SECONDS = (16, 16), 4, 60
CHOICES = CodingChoices(qp_i=40, qp_p=40, keyint=-1)


@pytest.fixture
def engine(emulator, monkeypatch):
    """What `--device cuda` opens."""
    made = engine_on(emulator)
    monkeypatch.setattr(driver, "open_engine", lambda name: made)
    return made


@pytest.fixture
def late_driver(emulator):
    pytest.importorskip("cuda.bindings.driver")
    from tests.cuda.emulated_driver import EmulatedDriver

    return EmulatedDriver(EmulatedDevice(emulator), is_late=True)


@pytest.fixture
def clip(tiny_home, monkeypatch):
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    weights, video_format = weights_by_name("tiny-exact"), synthetic_format(*SIZE)
    return weights, video_format, list(synthetic_pictures(video_format, NUM_FRAMES))


def test_symbols_are_coded_while_the_gpu_computes_the_next_frame(engine, clip, monkeypatch):
    """The coder of every frame but the last waits until the device was given work of the next frame. So this ends only
    if the next frame does not wait for the coder."""
    weights, video_format, pictures = clip
    events, changed = [], threading.Condition()

    def tell(event):
        with changed:
            events.append(event)
            changed.notify_all()

    run, finish = engine.device.run, FrameEncoder.finish

    def running(launches):
        tell(("gpu", pushed[-1]))
        run(launches)

    def coding(self, start=None):
        assert threading.current_thread() is not threading.main_thread()
        frame = len([event for event in events if event[0] == "coding"])
        tell(("coding", frame))
        with changed:
            assert frame == NUM_FRAMES - 1 or changed.wait_for(
                lambda: ("gpu", frame + 1) in events, PATIENCE_SECONDS
            ), f"frame {frame + 1} waited until frame {frame} was coded"
        tell(("coded", frame))
        return finish(self, start)

    monkeypatch.setattr(engine.device, "run", running)
    monkeypatch.setattr(FrameEncoder, "finish", coding)
    networks = open_networks(weights.networks, Precision.EXACT, "cuda")
    encoder = weights.model.encoder(networks, sps_for(video_format, weights, Precision.EXACT, CHOICES), CHOICES)
    units, shown, pushed = [], [], []
    for k, picture in enumerate((*pictures, None)):
        pushed.append(k)
        for unit in encoder.flush() if picture is None else encoder.push(picture):
            units.append((len(pushed) - 1, unit))
            shown.append(encoder.reconstruction()[0])
    assert [came for came, _ in units] == [1, 2, 3, 4], "a unit comes with the picture after its own"
    for frame in range(NUM_FRAMES - 1):
        assert events.index(("gpu", frame + 1)) < events.index(("coded", frame))

    monkeypatch.undo()
    networks = open_networks(weights.networks, Precision.EXACT, "cpu")
    encoder = weights.model.encoder(networks, sps_for(video_format, weights, Precision.EXACT, CHOICES), CHOICES)
    for (_, unit), decoded, picture in zip(units, shown, pictures, strict=True):
        (expected,) = encoder.push(picture)
        assert expected == unit
        (wanted,) = encoder.reconstruction()
        assert all(np.array_equal(a, b) for a, b in zip(wanted.planes, decoded.planes, strict=True))


def test_an_encoder_leaves_the_waiting_to_its_coder(late_driver, clip, monkeypatch):
    """The GPU works as late as it may: only when somebody waits for it. The main thread never does, and downloads
    nothing. Kernels write the symbols into the host's memory, those that are coded and no others."""
    weights, video_format, pictures = clip
    engine = CudaEngine(CudaDevice(driver=late_driver, cubins=CUBINS))
    monkeypatch.setattr(driver, "open_engine", lambda name: engine)
    monkeypatch.setattr(engine.device, "download", None)
    waited, taken = [], []
    for name in ("cuEventSynchronize", "cuStreamSynchronize"):
        wait = getattr(late_driver, name)
        told = lambda *given, wait=wait: waited.append(threading.current_thread()) or wait(*given)  # noqa: E731
        monkeypatch.setattr(late_driver, name, told)
    freed, free = [], engine.memory.free
    monkeypatch.setattr(engine.memory, "free", lambda at: freed.append(threading.current_thread()) or free(at))
    take = Landing.take
    monkeypatch.setattr(Landing, "take", lambda self: taken.append(take(self)) or taken[-1])
    networks = open_networks(weights.networks, Precision.EXACT, "cuda")
    sps = sps_for(video_format, weights, Precision.EXACT, CHOICES)
    encoder = weights.model.encoder(networks, sps, CHOICES)
    units = [unit for picture in pictures for unit in encoder.push(picture)]
    units += encoder.flush()
    assert waited, "the coder waits for the symbols"
    assert threading.main_thread() not in waited
    assert set(freed) == {threading.main_thread()}, "device memory has one owner"
    steps = [arrays for arrays in taken if len(arrays) == 2]
    assert all(symbols.size == rows.size for symbols, rows in steps)

    networks = open_networks(weights.networks, Precision.EXACT, "cpu")
    encoder = weights.model.encoder(networks, sps, CHOICES)
    counted, add = [], FrameEncoder._part_of_y
    monkeypatch.setattr(
        FrameEncoder, "_part_of_y", staticmethod(lambda *given: counted.append(given[0].size) or add(*given))
    )
    assert [unit for picture in pictures for unit in encoder.push(picture)] == units
    assert [symbols.size for symbols, _ in steps] == counted, "as many symbols cross as are coded"


def test_hyper_latents_are_read_while_the_gpu_computes_the_contexts(engine, clip, monkeypatch):
    """A P frame's z is read after the device was given what does not depend on it, and before what does."""
    weights, video_format, pictures = clip
    sps = sps_for(video_format, weights, Precision.EXACT, CHOICES)
    cpu, gpu = (open_networks(weights.networks, Precision.EXACT, device) for device in ("cpu", "cuda"))
    encoder = weights.model.encoder(cpu, sps, CHOICES)
    units = [unit for picture in pictures for unit in encoder.push(picture)]
    events, run, decode_z, decode_y = [], engine.device.run, FrameDecoder.decode_z, FrameDecoder.decode_y

    def running(launches):
        events.append("scales" if any(launch.kernel.name == "coding_rows" for launch in launches) else "other")
        run(launches)

    monkeypatch.setattr(engine.device, "run", running)
    monkeypatch.setattr(FrameDecoder, "decode_z", lambda *parts: events.append("z") or decode_z(*parts))
    monkeypatch.setattr(FrameDecoder, "decode_y", lambda *parts: events.append("y") or decode_y(*parts))
    decoder = weights.model.decoder(gpu, sps)
    for k, unit in enumerate(units):
        events.clear()
        frame = FrameUnit(0, len(unit.payload), unit.frame_type, 0, sps, unit.qp, unit.reset, unit.payload, k, k % 256)
        decoder.push(frame)
        before = events[: events.index("z")]
        assert set(before) == ({"other"} if k else set()), "what the device was given before z was read"
        assert k < 3 or before == ["other"], "once all weights are there, one group of launches"
        assert engine.pending == []
        steps = [event for event in events if event in ("scales", "y")]
        assert steps == ["scales", "y"] * (len(steps) // 2), "symbols of a step need its scales"
