"""Schedules of progressive training: the presets, what is refused with a sentence, and what a distortion is."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.registry import find_model
from dcvc_cli.learning.progressive.distortion import msssim
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.surrogate import laplace_bits
from dcvc_cli.metrics.msssim import msssim_plane
from dcvc_cli.training.config import TrainConfig, read_train_config
from dcvc_cli.training.export import export_model, network_state, state_of_weights
from dcvc_cli.training.models import trainable_model
from dcvc_cli.training.settings import setting_names

MODELS = ("dcvc", "dcvc-tcm", "dcvc-hem", "dcvc-dc")


@pytest.mark.parametrize("model", MODELS)
def test_a_preset_has_the_published_schedule(model: str) -> None:
    config = read_train_config(Path(f"{model}-video"))
    stages = config.stages
    growth = stages[:16]
    assert [stage.own.loss for stage in growth[::4]] == ["motion", "picture", "contextual", "all"]
    assert [stage.num_frames + 1 for stage in growth[:4]] == [2, 3, 5, 7]
    assert {(stage.rate_first, stage.rate_last, stage.own.update) for stage in growth} == {(1e-4, 1e-4, "frame")}
    assert [(stage.own.update, stage.rate_first) for stage in stages[16:]] == [("clip", 4e-5), ("clip", 1e-4)]
    assert stages[-1].num_frames == 31
    assert stages[-1].batch == 2
    assert config.keep_best
    assert all(stage.plateau_patience for stage in stages)
    assert len(config.own.lambdas) == (1 if model in ("dcvc", "dcvc-tcm") else 4)


TEXT = """network: video
model: tiny-tcm
lambdas: [2048]
stages:
  - {num_steps: 1, batch: 2, patch: 64, rate_first: 1.0e-3, rate_last: 1.0e-3, loss: contextual, freeze: [motion]}
"""


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("lambdas: [2048]\n", "", "lambdas"),
        ("[2048]", "[256, 512]", "the network has 1 rates, found 2 weights"),
        ("[2048]", "2048", "lambdas: expected a list"),
        ("[2048]", "[-1]", "lambdas: expected a number above 0"),
        ("[2048]\n", "[2048]\ndistortion: psnr\n", "distortion is mse-mean, mse-sum or ms-ssim"),
        ("[2048]\n", "[2048]\ndistortion: ms-ssim\n", "MS-SSIM needs crops of 161 samples"),
        ("[2048]\n", "[2048]\ncuda: false\n", "unknown setting cuda"),
        ("tiny-tcm\n", "tiny-dcvc\nsurrogate: mixed\n", "only noise stands for those"),
        ("loss: contextual", "loss: 5", "loss is warp, motion, picture, contextual or all"),
        (", freeze: [motion]", "", "must be frozen"),
        ("patch: 64", "patch: 200", "no multiple of 64"),
        ("batch: 2", "batch: 2, frame_only: 1", "frame_only: expected true or false"),
        ("batch: 2", "batch: 2, weigh_frames: true", "weigh_frames needs frame_weights"),
        ("batch: 2", "batch: 2, quantise_weights: true", "is for networks that ship with 8 bits"),
        ("batch: 2", "batch: 2, freeze: [sound]", "the network has no part 'sound'"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(old: str, new: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(TEXT)
    assert read_train_config(path).num_steps == 1
    path.write_text(TEXT.replace(old, new) if "freeze: [sound]" not in new else TEXT.replace("[motion]", "[sound]"))
    with pytest.raises(UsageError, match=named):
        read_train_config(path)


def test_weights_of_frames_need_as_many_frames(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    weighed = TEXT.replace("[2048]\n", "[2048]\nframe_weights: [0.5, 1.2, 0.5, 0.9]\n")
    for num_frames, is_enough in ((2, False), (4, True)):
        path.write_text(weighed.replace("batch: 2", f"batch: 2, weigh_frames: true, num_frames: {num_frames}"))
        if is_enough:
            assert read_train_config(path).stages[0].own.weigh_frames
        else:
            with pytest.raises(UsageError, match="4 frame_weights need as many P frames, found num_frames 2"):
                read_train_config(path)


def test_msssim_is_that_of_evaluation() -> None:
    random = np.random.default_rng(1)
    x = random.uniform(0, 1, (192, 224)).astype(np.float32)
    y = np.clip(x + random.normal(0, 0.1, x.shape), 0, 1).astype(np.float32)
    ours = float(msssim(*(torch.from_numpy(plane)[None, None].double() for plane in (x, y))))
    assert ours == pytest.approx(msssim_plane(x.astype(float) * 255, y.astype(float) * 255), abs=1e-9)


def test_laplace_bits_are_those_of_the_mass_and_outliers_keep_a_gradient() -> None:
    residual, scale = torch.tensor([0.0, 0.3, -2.0, 5.0]), torch.tensor([0.5, 1.0, 2.0, 4.0])
    law = torch.distributions.Laplace(0.0, scale.double())
    mass = law.cdf(residual.double() + 0.5) - law.cdf(residual.double() - 0.5)
    torch.testing.assert_close(laplace_bits(residual, scale).double(), -mass.log2(), atol=1e-5, rtol=1e-5)
    far = torch.tensor([300.0], requires_grad=True)
    laplace_bits(far, torch.tensor([0.5])).sum().backward()
    assert far.grad is not None
    assert float(far.grad) > 0


# ---- from published checkpoints and back


def published(model: str, network: str) -> dict[str, torch.Tensor]:
    state = find_model(model).random_parameters(network)
    return {name: torch.from_numpy(value) for name, value in state.items()}


def test_a_published_checkpoint_serves_as_it_is(tmp_path: Path) -> None:
    path, network = tmp_path / "intra.pth.tar", find_model("tiny-tcm").networks["image"]
    state = published("tiny-tcm", "image")
    torch.save({"state_dict": state}, path)
    read = network_state(path, network)
    assert all(np.array_equal(read[name], value.numpy()) for name, value in state.items())
    name = next(iter(state))
    torch.save({key: value for key, value in state.items() if key != name}, path)
    with pytest.raises(InputError, match=rf"intra\.pth\.tar is not of this network: {name} is missing"):
        network_state(path, network)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"intra\.pth\.tar is not a training checkpoint"):
        network_state(path, network)


@pytest.mark.parametrize("model", ["tiny-dcvc", "tiny-tcm", "tiny-dcvc-hem", "tiny-dcvc-dc"])
def test_an_export_keeps_every_bit_and_training_goes_on_from_it(model: str) -> None:
    """But for the density whose table stands in its place."""
    states = {network: published(model, network) for network in ("image", "video")}
    arrays = {network: {name: value.numpy() for name, value in state.items()} for network, state in states.items()}
    weights = export_model(model, arrays, "")
    for network, state in states.items():
        again = state_of_weights(weights, model, network)
        assert set(again) == set(state)
        for name, value in state.items():
            if name.startswith("bit_estimator_z."):
                assert again[name].shape == value.shape
            else:
                assert torch.equal(again[name], value), name


ARGUMENTS = """
vimeo_dir septuplet_list precomputed_dir uvg_dir hevc_b_dir bvi_aom_dir i_frame_model_name i_frame_model
i_frame_model_path i_frame_pretrained i_frame_quality lambda_value quality_index single_lambda stage gop_size epochs
batch_size crop_size num_workers seed learning_rate force_learning_rate reset_lr lr_scheduler lr_step_size lr_gamma
lr_milestones lr_min_factor lr_patience use_scheduler scheduler_factor scheduler_patience scheduler_min_lr
lr_warmup_epochs warmup frame_only finetune finetune_checkpoint fine_tune_lr stage4_gop_opt finetune_epochs
finetune_max_sequences resume previous_stage_checkpoint load_pretrained spynet_checkpoint
spynet_from_dcvc_checkpoint grad_clip_max_norm gradient_accumulation_steps use_ema ema_decay evaluate_both
global_best_dir mixed_precision compile cuda cuda_device ddp_find_unused_parameters eval_freq eval_max_frames skip_eval
not_skip_test model_type p_frame_model_path max_frames intra_period real_compression use_real_compression save_results
force_intra_period force_frame_num rate_num write_stream test_config
"""


def test_the_page_maps_every_argument_of_the_scripts() -> None:
    """And the settings and options that it names exist."""
    page = (Path(__file__).parents[2] / "docs" / "progressive-training.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ") and "--" in line.split("|")[1]]
    mapped = set(re.findall(r"--(\w+)", " ".join(theirs for theirs, _ in rows)))
    assert set(ARGUMENTS.split()) <= mapped
    trained = trainable_model("dcvc").trainee("video")
    known = setting_names(TrainConfig) | setting_names(Stage)
    known |= setting_names(trained.settings) | setting_names(trained.stage_settings)
    named = set(re.findall(r"`([a-z_]+):", " ".join(ours for _, ours in rows)))
    assert named <= known
