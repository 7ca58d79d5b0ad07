"""Sections of networks played back from recordings: a stream's bytes and pictures are those without recordings.

The recorder here works on the CPU and is as unkind as a GPU may be: what a section left behind is spoilt as soon as
another one is played.
"""

import pytest

torch = pytest.importorskip("torch")

from dcvc_cli.backend import torch_graphs  # noqa: E402
from dcvc_cli.backend.float_torch import InferenceOperations  # noqa: E402
from dcvc_cli.backend.torch_graphs import RepeatedSections  # noqa: E402
from dcvc_cli.bitstream.nal import NalType  # noqa: E402
from dcvc_cli.bitstream.sps import Precision  # noqa: E402
from dcvc_cli.bitstream.units import FrameUnit  # noqa: E402
from dcvc_cli.codec.choices import CodingChoices  # noqa: E402
from dcvc_cli.codec.networks import CodecNetwork, CodecNetworks  # noqa: E402
from dcvc_cli.coding.stream_format import sps_for  # noqa: E402
from dcvc_cli.media.synthetic_clip import synthetic_format, synthetic_pictures  # noqa: E402
from dcvc_cli.weights.store import weights_by_name  # noqa: E402


def tensors_of(outputs):
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


class CpuRecorder:
    """Plays a section back by running it again into the tensors of the first time."""

    def __init__(self):
        self.num_recorded = self.num_played = 0
        self._shared = []

    def record(self, run):
        outputs = run()
        self.num_recorded += 1
        self._shared += tensors_of(outputs)

        def replay():
            self.num_played += 1
            for tensor in self._shared:
                tensor.fill_(torch.nan)
            for kept, new in zip(tensors_of(outputs), tensors_of(run()), strict=True):
                kept.copy_(new)

        return replay, outputs


def networks_of(weights, recorder):
    opened = {}
    for name, network in weights.networks.items():
        parameters = {key: torch.from_numpy(value) for key, value in network.parameters().items()}
        operations = InferenceOperations(parameters, recorder)
        opened[name] = CodecNetwork(operations, operations, network.z_table)
    return CodecNetworks(opened)


@pytest.mark.native
def test_a_stream_from_recordings_is_the_same(tiny_home, monkeypatch):
    """I and P frames, a reset, several QPs; each section is recorded once."""
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    torch.set_num_threads(1)
    weights, video_format = weights_by_name("tiny"), synthetic_format(40, 24)
    choices = CodingChoices(qp_i=40, qp_p=44, keyint=6, reset_interval=3)
    sps = sps_for(video_format, weights, Precision.FLOAT32, choices)
    pictures = list(synthetic_pictures(video_format, 8))
    recorder, results = CpuRecorder(), []
    with torch.inference_mode():
        for networks in (networks_of(weights, None), networks_of(weights, recorder)):
            encoder = weights.model.encoder(networks, sps, choices)
            units = [unit for picture in pictures for unit in encoder.push(picture)]
            recorded = recorder.num_recorded
            decoder, planes = weights.model.decoder(networks, sps), []
            for k, unit in enumerate(units):
                size = len(unit.payload)
                frame = FrameUnit(0, size, unit.frame_type, 0, sps, unit.qp, unit.reset, unit.payload, k, k % 256)
                planes += [plane.tobytes() for picture in decoder.push(frame) for plane in picture.planes]
            results.append((units, planes))
    assert results[0] == results[1]
    assert recorder.num_played > 2 * recorder.num_recorded
    reconstructions = {unit.qp for unit in results[0][0] if unit.frame_type is NalType.P}
    assert recorder.num_recorded - recorded <= len(reconstructions), "else the decoder runs the encoder's sections"


def test_shapes_layouts_and_values_have_recordings_of_their_own():
    recorder = CpuRecorder()
    sections = RepeatedSections(recorder)

    def scaled(x, factor):
        return x * factor, x + factor

    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    for given, factor in ((x, 2), (x, 3), (x.to(memory_format=torch.channels_last), 2), (x[:, :1], 2), (x, 2)):
        found = sections.run("scaled", scaled, (given, factor))
        assert all(torch.equal(a, b) for a, b in zip(found, scaled(given, factor), strict=True))
        assert found[0].stride() == (given * factor).stride()
    assert (recorder.num_recorded, recorder.num_played) == (4, 5)


class StillRecorder:
    """For inputs that never change: there is nothing to play."""

    num_recorded = 0

    def record(self, run):
        self.num_recorded += 1
        return lambda: None, run()


def test_sections_inside_sections_and_old_ones(monkeypatch):
    monkeypatch.setattr(torch_graphs, "MAX_SECTIONS", 2)
    recorder = StillRecorder()
    sections = RepeatedSections(recorder)

    def outer(x, number):
        return sections.run("inner", lambda y: y + 1, (x,)) * number

    for number in (1, 2, 3, 3, 1):
        assert torch.equal(sections.run("outer", outer, (torch.ones(2), number)), torch.full((2,), 2.0) * number)
    assert recorder.num_recorded == 4, "three numbers, and the first again after it was dropped"


class RefusingRecorder:
    """Refuses sections as PyTorch does where an operation cannot be recorded."""

    num_asked = 0

    def record(self, run):
        self.num_asked += 1
        run()
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with ...")


def test_a_section_that_cannot_be_recorded_is_launched_every_time(capsys):
    """It is tried once, so all its results come the same way, and one line says so."""
    recorder = RefusingRecorder()
    sections = RepeatedSections(recorder)
    for k in range(4):
        x = torch.full((2,), float(k))
        assert torch.equal(sections.run("doubled", lambda y: 2 * y, (x,)), 2 * x)
        assert torch.equal(sections.run("more", lambda y: y + 1, (x,)), x + 1)
    assert recorder.num_asked == 2
    told = capsys.readouterr().err
    assert told == (
        "dcvc: a part of a network runs without a CUDA graph: CUDA error: operation not permitted when stream is "
        "capturing\n"
    )
