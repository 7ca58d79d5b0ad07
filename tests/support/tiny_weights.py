"""Untrained weights of the tiny test model, float and exact."""

from dataclasses import replace
from pathlib import Path


def write_tiny_weights(folder: Path, seed: int) -> Path:
    """Writes untrained weights of the test model: a transform codec, so pictures come out recognisable and fast."""
    from dcvc_cli.families.rt.image import ImageModel
    from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
    from dcvc_cli.families.rt.sizes import TINY
    from dcvc_cli.families.rt.video import VideoModel
    from dcvc_cli.training.export import export_model
    from dcvc_cli.weights.file import write_weights

    image = {
        key: value.detach().numpy() for key, value in initial_image_parameters(ImageModel(TINY.image), seed).items()
    }
    video = {
        key: value.detach().numpy() for key, value in initial_video_parameters(VideoModel(TINY.video), seed).items()
    }
    path = folder / "weights" / "tiny.safetensors"
    write_weights(path, export_model("tiny", {"image": image, "video": video}, "untrained, for tests"))
    return path


def write_tiny_exact_weights(folder: Path) -> Path:
    """Writes the same with their integer form beside it, calibrated on little: good for nothing but to be the same
    everywhere."""
    import numpy as np

    from dcvc_cli.preparing.quantise import prepare_exact
    from dcvc_cli.weights.file import read_weights, write_weights

    weights = read_weights(write_tiny_weights(folder, seed=0))
    scene = np.random.default_rng(0).random((3, 5, 6)).repeat(16, 1).repeat(16, 2).astype(np.float32)
    exact = prepare_exact(weights, [[np.roll(scene, 3 * step, 2) for step in range(4)]])
    path = folder / "weights" / "tiny-exact.safetensors"
    write_weights(path, replace(exact, name="tiny-exact"))
    return path
