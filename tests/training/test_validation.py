"""Validation during training: real bits, the decoder's pictures, and no trace of it in what is trained."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.errors import InputError
from dcvc_cli.families.rt.frames import FramePayloadDecoder
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.stage import Stage
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import build_cache
from dcvc_cli.training.logs import ValidationRecord
from dcvc_cli.training.trainer import Trainer
from dcvc_cli.training.validation import QPS, ClipValidator, read_validation_clips
from tests.support.clips import y4m_clip

pytestmark = pytest.mark.usefixtures("training_arithmetic")

DATA = Path(__file__).parents[1] / "data"
CLIP = DATA / "carphone_qcif.y4m"


def clips(tmp_path: Path, num_frames: int = 3) -> list[str]:
    path = tmp_path / "small.y4m"
    path.write_bytes(y4m_clip(48, 38, num_frames))
    return [str(path)]


@pytest.mark.parametrize("network", ["image", "video"])
def test_run_is_the_same_with_and_without(network: str, tmp_path: Path) -> None:
    config = TrainConfig(
        network, "tiny", (Stage(5, 2, 32, 1e-3, 1e-3, num_frames=2),), 50.0, 12000.0, autocast="none", validate_every=2
    )
    image_state = initial_image_parameters(ImageModel(TINY.image)) if network == "video" else None
    shots = build_cache([DATA], tmp_path / "cache")
    trainers = []
    for validated in (False, True):
        trainer = Trainer(config, shots, tmp_path / "cache", tmp_path / str(validated), frozen={"image": image_state})
        validate = (
            ClipValidator(
                read_validation_clips(clips(tmp_path), 9), "tiny", network, frozen={"image": image_state}, qps=(0, 63)
            )
            if validated
            else None
        )
        trainer.run(report=lambda record: None, validate=validate)
        trainers.append(trainer)
    for name, value in trainers[0].parameters.items():
        assert torch.equal(value, trainers[1].parameters[name]), name
    logs = [(tmp_path / folder / "log.csv").read_text().split(",")[:10] for folder in ("False", "True")]
    assert logs[0] == logs[1]
    assert not (tmp_path / "False" / "validation.csv").exists()
    with (tmp_path / "True" / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["clip"], row["qp"], row["num_frames"]) for row in rows] == [
        (step, "small.y4m", qp, "3") for step in ("2", "4", "5") for qp in ("0", "63")
    ]
    for low, high in zip(rows[::2], rows[1::2], strict=True):
        assert 0 < float(low["bpp"]) < float(high["bpp"])
        assert 10 < float(low["psnr"]) < float(high["psnr"])


def test_bits_are_those_of_payloads_that_decode_to_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One I frame and the P frames after it; the decoder is handed every payload that is counted."""
    sizes: dict[str, list[int]] = {"decode_i": [], "decode_p": []}
    for name, seen in sizes.items():
        original = getattr(FramePayloadDecoder, name)

        def count(
            self: object, payload: bytes, *others: object, original: object = original, seen: list[int] = seen
        ) -> None:
            seen.append(len(payload))
            original(self, payload, *others)  # type: ignore[operator]

        monkeypatch.setattr(FramePayloadDecoder, name, count)
    found = read_validation_clips([str(CLIP)], 9)
    assert len(found[0].pictures) == 8
    assert len(read_validation_clips([str(CLIP)], 5)[0].pictures) == 5
    image_state = initial_image_parameters(ImageModel(TINY.image))
    validate = ClipValidator(found, "tiny", "video", frozen={"image": image_state}, qps=(42,))
    (record,) = validate(7, initial_video_parameters(VideoModel(TINY.video)))
    assert [len(seen) for seen in sizes.values()] == [1, 7]
    assert (record.step, record.clip, record.qp, record.num_frames) == (7, "carphone_qcif.y4m", 42, 8)
    assert record.bpp == pytest.approx(8 * (sum(sizes["decode_i"]) + sum(sizes["decode_p"])) / (8 * 176 * 144))
    assert record.psnr_y is not None
    assert 20 < record.psnr_y < 45  # sixteen latents, untrained


def test_image_training_codes_i_frames_at_all_qps(tmp_path: Path) -> None:
    records: list[ValidationRecord] = []
    state = torch.get_rng_state()
    validate = ClipValidator(read_validation_clips(clips(tmp_path, 2), 9), "tiny", "image")
    records += validate(1, initial_image_parameters(ImageModel(TINY.image)))
    assert torch.equal(state, torch.get_rng_state())
    assert [record.qp for record in records] == list(QPS)
    assert np.all(np.diff([record.bpp for record in records]) > 0)
    assert records[0].psnr < records[1].psnr  # at the highest QPs the untrained latents leave the range that is coded
    assert records[0] == replace(records[0], step=1, clip="small.y4m", num_frames=2)


def test_rgb_clip_has_no_luma_psnr(tmp_path: Path) -> None:
    from PIL import Image

    scene = np.random.default_rng(1).integers(60, 190, (3, 4, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    for number in (1, 2):
        Image.fromarray(np.roll(scene, number, 1)).save(tmp_path / f"im{number}.png")
    validate = ClipValidator(read_validation_clips([f"{tmp_path}/"], 9), "tiny", "image", qps=(32,))
    (record,) = validate(1, initial_image_parameters(ImageModel(TINY.image)))
    assert record.clip == tmp_path.name
    assert record.psnr_y is None
    assert record.psnr > 15


def test_clips_need_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different names"):
        read_validation_clips(clips(tmp_path) * 2, 9)
    with pytest.raises(InputError, match=r"absent\.y4m"):
        read_validation_clips([str(tmp_path / "absent.y4m")], 9)
