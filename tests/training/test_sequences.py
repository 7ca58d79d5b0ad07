"""Training on long sequences: the places of slots, their frames, the state that they hand on, and a kill between two
steps, which leaves no trace."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.errors import UsageError
from dcvc_cli.families.lite.motion.field import FieldCoder
from dcvc_cli.families.rt import training_sequences as module
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.model import RtModel
from dcvc_cli.families.rt.objective import Conditions, Reference, VideoNetworks, code_p_frame
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.training_sequences import BatchPlace, Sequences, sequence_loss
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.losses import TrainingOperations, relative_loss, relative_weight
from dcvc_cli.learning.parameters import as_parameters, random_parameters
from dcvc_cli.learning.segments import Segment, segment_of, segments_of, sequence_qp
from dcvc_cli.learning.share import BatchShare
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, Objective
from dcvc_cli.training.checkpointing import read_checkpoint, write_checkpoint
from dcvc_cli.training.config import TrainConfig, read_train_config
from dcvc_cli.training.data import CachedShot, CropSampler
from dcvc_cli.training.trainer import Trainer
from tests.support.models import WITH_MOTION, graphs, video_model
from tests.support.motions import Following, differences

pytestmark = [pytest.mark.native, pytest.mark.usefixtures("training_arithmetic")]

STAGE = Stage(12, 4, 32, 1e-3, 1e-3, num_frames=2, sequence_frames=8)
LAMBDAS = (30.0, 7200.0)


def write_clip(cache: Path, num_frames: int = 7) -> CachedShot:
    """Writes a pattern that moves by a sample a frame, 64x80; frame k has luma k in its corner."""
    y, x = np.mgrid[0:64, 0:96]
    wide = 128 + 60 * np.sin(x / 5) * np.cos(y / 7)
    frames = []
    for k in range(num_frames):
        luma = wide[:, k : k + 80].astype(np.uint8)
        frames.append(np.concatenate([luma.ravel(), np.full(64 * 80 // 2, 100 + k, np.uint8)]))
    (cache / "clip.raw").write_bytes(np.stack(frames).tobytes())
    return CachedShot("clip.raw", num_frames, 64, 80, full_chroma=False)


# ---- where slots stand


def test_slots_go_through_their_sequences_at_different_places() -> None:
    for slot in range(STAGE.batch):
        path = [segment_of(step, slot, STAGE) for step in range(9)]
        for now, then in pairwise(path):
            goes_on = (now.sequence, now.first_frame + 2) if now.first_frame < 6 else (now.sequence + 1, 0)
            assert (then.sequence, then.first_frame) == goes_on
    assert {segment_of(0, slot, STAGE).first_frame for slot in range(4)} == {0, 2, 4, 6}
    assert segments_of(5, STAGE, BatchShare(1, 2)) == [segment_of(5, 1, STAGE)]


def test_every_batch_has_qps_of_the_whole_range() -> None:
    for sequence in range(20):
        qps = [sequence_qp(3, Segment(slot, sequence, 0), 8, 64) for slot in range(8)]
        assert [qp // 8 for qp in qps] == list(range(8))
    drawn = {sequence_qp(3, Segment(7, sequence, 0), 8, 64) for sequence in range(200)}
    assert drawn == set(range(56, 64))
    assert sequence_qp(3, Segment(1, 4, 0), 8, 64) == sequence_qp(3, Segment(1, 4, 16), 8, 64)


def test_segments_of_a_sequence_meet(tmp_path: Path) -> None:
    """The frame before a segment is the last one of the segment before it, and clips are played forwards and
    backwards."""
    sampler = CropSampler([write_clip(tmp_path)], tmp_path, 32, 3, seed=9)
    parts = sampler.sequence_batch([Segment(2, 1, first) for first in range(0, 24, 2)])
    assert parts.shape == (12, 3, 3, 32, 32)
    for now, then in pairwise(parts):
        assert np.array_equal(now[-1], then[0])
    numbers = [int(frame[1, 0, 0]) - 100 for part in parts for frame in part[1:]]
    assert set(np.abs(np.diff(numbers))) == {1}
    assert {0, 6} <= set(numbers)
    assert not np.array_equal(parts[0], sampler.sequence_batch([Segment(2, 2, 0)])[0])


# ---- what a step hands on


def coded(
    spec: object, num_frames: int, parts: int, **options: bool
) -> tuple[Sequences, list[BatchLoss], dict[str, torch.nn.Parameter]]:
    """`parts` segments of `num_frames` frames of two slots; the loss of the last one has gradients."""
    image, video = graphs(spec)
    parameters = as_parameters(initial_video_parameters(video, seed=1))
    models = VideoNetworks(video, parameters, image, initial_image_parameters(image, seed=2), spec)
    clip = torch.rand(2, 1 + num_frames * parts, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    kept, losses = Sequences(), []
    for part in range(parts):
        first = part * num_frames
        segments = [Segment(slot, 0, first) for slot in range(2)]
        torch.manual_seed(part)
        frames = clip[:, first : first + num_frames + 1]
        losses.append(
            sequence_loss(
                models,
                BatchPlace(kept, segments, torch.tensor([10, 50])),
                frames,
                Objective(LAMBDAS),
                Conditions(**options),
            )
        )
    losses[-1].loss.backward()
    return kept, losses, parameters


@pytest.mark.parametrize("spec", [TINY, WITH_MOTION])
def test_segments_decode_what_one_long_segment_does(spec: object) -> None:
    (whole, _, _), (parts, losses, _) = coded(spec, 6, 1), coded(spec, 2, 3)
    assert all(np.isfinite(loss.loss.item()) for loss in losses)
    for slot, state in whole.states.items():
        other = parts.states[slot]
        assert state.next_segment == other.next_segment == Segment(slot, 0, 6)
        torch.testing.assert_close(state.frame, other.frame)
        torch.testing.assert_close(state.feature, other.feature)
        if spec is WITH_MOTION:
            torch.testing.assert_close(state.memory.long_term, other.memory.long_term)


def test_gradient_checkpointing_changes_nothing() -> None:
    (_, plain, ours), (_, again, theirs) = (
        coded(WITH_MOTION, 3, 2),
        coded(WITH_MOTION, 3, 2, gradient_checkpointing=True),
    )
    assert plain[-1].loss.item() == again[-1].loss.item()
    for name, value in ours.items():
        assert value.grad is None or torch.equal(value.grad, theirs[name].grad), name


def test_samples_without_their_feature_are_coded_from_the_picture() -> None:
    """A batch with samples of both kinds codes each sample as a batch of its own kind would."""
    for spec in (TINY, WITH_MOTION):
        model = video_model(spec.video)
        ops = TrainingOperations(random_parameters(model, 4))
        x, frame = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(8))
        feature = torch.rand(2, spec.video.feature, 4, 4, generator=torch.Generator().manual_seed(9))
        qp = torch.tensor([20, 20])
        with torch.no_grad():
            mixed = code_p_frame(
                model, ops, x, Reference(frame, feature, torch.tensor([True, False])[:, None, None, None]), qp
            )[0]
            alone = (
                code_p_frame(model, ops, x, Reference(frame if model.predicts_pictures else None, feature), qp)[0],
                code_p_frame(model, ops, x, Reference(frame), qp)[0],
            )
        torch.testing.assert_close(mixed[0], alone[0][0])
        torch.testing.assert_close(mixed[1], alone[1][1])
        assert not torch.allclose(alone[0][1], alone[1][1])


def test_features_are_dropped_where_the_encoder_drops_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    original = module._reference

    def watch(frame: torch.Tensor, feature: torch.Tensor | None, has_feature: list[bool]) -> Reference:
        seen.append(has_feature[0])
        return original(frame, feature, has_feature)

    monkeypatch.setattr(module, "_reference", watch)
    coded(TINY, 17, 4)
    assert [position for position, known in enumerate(seen, 1) if not known] == [1, 33, 65]


def test_a_state_that_is_not_finite_is_not_kept() -> None:
    image, video = ImageModel(TINY.image), VideoModel(TINY.video)
    parameters = initial_video_parameters(video)
    parameters["recon_generation_net.head.bias"] = parameters["recon_generation_net.head.bias"] * float("nan")
    models, kept = VideoNetworks(video, parameters, image, initial_image_parameters(image), TINY), Sequences()
    sequence_loss(
        models,
        BatchPlace(kept, [Segment(0, 0, 0)], torch.tensor([30])),
        torch.rand(1, 3, 3, 32, 32),
        Objective(LAMBDAS),
        Conditions(),
    )
    assert not kept.states


def test_the_vectors_coder_goes_on(tmp_path: Path) -> None:
    rng, following = np.random.default_rng(3), Following()
    motions = [following.random(rng, 4, 6) for _ in range(4)]
    coder, other = FieldCoder(), FieldCoder()
    assert [part.shape for part in coder.state()[1:3]] == [(0, 0, 2)] * 2
    for motion in motions[:3]:
        coder.encode(motion)
    state = coder.state()
    assert np.array_equal(state.vectors, motions[2].vectors)
    assert np.array_equal(state.tracks, motions[2].tracks)
    write_checkpoint(tmp_path / "c.pt", {"learned": torch.from_numpy(state.learned)})
    other.restore(state._replace(learned=torch.load(tmp_path / "c.pt")["learned"].numpy()))
    assert other.number == 3
    assert other.encode(motions[3]) == coder.encode(motions[3]) != FieldCoder().encode(motions[3])
    narrow = state.vectors[:, :1].copy()
    for wrong in (
        {"learned": state.learned[:-1]},
        {"vectors": narrow, "tracks": narrow},
        {"vectors": state.vectors[0]},
        {"tracks": state.tracks[:, :4].copy()},
        {"number": 0},
        {"number": -1},
    ):
        with pytest.raises(ValueError, match=r"state|even|field"):
            other.restore(state._replace(**wrong))


@pytest.mark.parametrize("number", [1, 2, 3, 10])
def test_a_coder_that_was_stored_follows_tracks_as_before(number: int) -> None:
    """At every place between two long-term references."""
    rng, following = np.random.default_rng(number), Following()
    coder, other = FieldCoder(), FieldCoder()
    for _ in range(number):
        coder.encode(following.random(rng, 4, 6))
    other.restore(coder.state())
    for _ in range(10):
        motion = following.random(rng, 4, 6)
        data = coder.encode(motion)
        assert differences(motion, other.decode(data, 4, 6)) == []


# ---- a run


def make_trainer(folder: Path, shot: CachedShot) -> Trainer:
    config = TrainConfig(
        "video", "tiny", (STAGE, replace(STAGE, num_steps=3, batch=2)), *LAMBDAS, autocast="none", cost_exponent=0.5
    )
    return Trainer(
        config, [shot], folder.parent, folder, frozen={"image": initial_image_parameters(ImageModel(TINY.image))}
    )


@pytest.mark.parametrize("spec", [TINY, WITH_MOTION])
def test_a_resumed_run_equals_an_uninterrupted_one(
    spec: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcvc_cli.training.trainer.trainable_model", lambda name: RtModel(spec, *graphs(spec)))
    shot = write_clip(tmp_path)
    whole = make_trainer(tmp_path / "whole", shot)
    whole.run(report=lambda record: None)
    make_trainer(tmp_path / "parts", shot).run(report=lambda record: None, stop_at_step=6)
    size = (tmp_path / "parts" / "checkpoint.pt").stat().st_size
    stored = read_checkpoint(tmp_path / "parts" / "checkpoint.pt")["sequences"]
    assert sorted(state["segment"] for state in stored) == [
        (slot, *_place(segment_of(6, slot, STAGE))) for slot in range(4)
    ]
    state_bytes = sum(
        state[part].nbytes
        for state in stored
        for part in ("frame", "feature", "long_term")
        if state.get(part) is not None
    )
    without = {
        name: value
        for name, value in read_checkpoint(tmp_path / "parts" / "checkpoint.pt").items()
        if name != "sequences"
    }
    write_checkpoint(tmp_path / "without.pt", without)
    assert size - (tmp_path / "without.pt").stat().st_size < 1.5 * state_bytes + 20_000, (
        "parts of a batch are stored with the whole of it"
    )
    for stop in (7, 13, None):
        resumed = make_trainer(tmp_path / "parts", shot)
        assert resumed.resume()
        resumed.run(report=lambda record: None, stop_at_step=stop)
    assert resumed.step == whole.step == 15
    for name, value in whole.parameters.items():
        assert torch.equal(value, resumed.parameters[name]), name


def _place(segment: Segment) -> tuple[int, int]:
    """Returns the next segment as the last one names it: a finished sequence ends at its own last frame."""
    if segment.first_frame == 0 and segment.sequence > 0:
        return segment.sequence - 1, STAGE.sequence_frames
    return segment.sequence, segment.first_frame


# ---- settings


def test_cost_exponent_weighs_easy_samples_more() -> None:
    cost, weight = torch.tensor([0.02, 0.5], requires_grad=True), torch.tensor([1000.0, 1000.0])
    plain, fair = (relative_loss(cost, weight, exponent) for exponent in (0.0, 1.0))
    assert plain.item() == pytest.approx((relative_weight(weight) * cost).mean().item())
    (gradient,) = torch.autograd.grad(fair, cost)
    assert float(gradient[0] / gradient[1]) == pytest.approx(25, rel=1e-5)
    (gradient,) = torch.autograd.grad(relative_loss(torch.tensor([1e-9, 0.5]) * cost, weight, 1.0), cost)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("sequence_frames: 9, num_frames: 2", "multiple"),
        ("sequence_frames: 8, num_frames: 2, num_lead_frames: 3", "lead"),
        ("sequence_frames: -8", "0 or more"),
    ],
)
def test_wrong_sequences_are_refused(settings: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "network: video\nmodel: tiny\nlambda_first: 1\nlambda_last: 2\nstages:\n"
        f"  - {{num_steps: 1, batch: 1, patch: 32, rate_first: 1, rate_last: 1, {settings}}}\n"
    )
    with pytest.raises(UsageError, match=complaint):
        read_train_config(path)
