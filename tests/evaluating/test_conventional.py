"""Conventional codecs through ffmpeg: frames, bytes and types add up, settings arrive, and what is missing is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault, InputError, StreamError, UsageError
from dcvc_cli.evaluating import conventional
from dcvc_cli.evaluating.conventional import (
    ConventionalCodec,
    EncoderSettings,
    RateControl,
    RawClip,
    code_with_ffmpeg,
    coded_frames,
    encode_command,
    unpack_clip,
)
from dcvc_cli.format.types import PictureSize, Rational, VideoFormat

FAST = ("-preset", "ultrafast", "-tune", "zerolatency")


@pytest.fixture
def clip(tmp_path: Path) -> RawClip:
    """Eight frames of a smooth pattern that moves by three samples a frame."""
    video = VideoFormat(PictureSize(128, 96), frame_rate=Rational(30, 1))
    column, row = np.meshgrid(np.arange(300), np.arange(96))
    wave = (128 + 60 * np.sin(column / 9) * np.cos(row / 7)).astype(np.uint8)
    path = tmp_path / "clip.yuv"
    chroma = np.full((48, 64), 128, np.uint8)
    path.write_bytes(
        b"".join(wave[:, 3 * index : 3 * index + 128].tobytes() + chroma.tobytes() * 2 for index in range(8))
    )
    return RawClip(path, video, 8)


def skip_without(codec: ConventionalCodec) -> None:
    try:
        conventional.require_encoder(codec)
    except EnvironmentFault as missing:
        pytest.skip(str(missing))


@pytest.mark.ffmpeg
@pytest.mark.parametrize("codec", list(ConventionalCodec))
def test_every_frame_is_measured_and_every_byte_counted(
    codec: ConventionalCodec, clip: RawClip, tmp_path: Path
) -> None:
    skip_without(codec)
    stream = tmp_path / "stream"
    options = FAST if codec is not ConventionalCodec.SVTAV1 else ("-preset", "12")
    records = code_with_ffmpeg(codec, clip, 30, EncoderSettings(options), stream=stream)
    assert [record.is_intra for record in records] == [True] + [False] * 7
    container = 32 + 12 * 8 if codec is ConventionalCodec.SVTAV1 else 0
    assert sum(record.num_bits for record in records) == 8 * (stream.stat().st_size - container)
    for record in records:
        assert record.psnr_planes is not None
        assert record.psnr == pytest.approx((6 * record.psnr_planes[0] + sum(record.psnr_planes[1:])) / 8)
        assert 25 < record.psnr_planes[0] < 60
    worse = code_with_ffmpeg(codec, clip, 45, EncoderSettings(options))
    assert sum(record.num_bits for record in worse) < sum(record.num_bits for record in records)


@pytest.mark.ffmpeg
@pytest.mark.parametrize("codec", [ConventionalCodec.X264, ConventionalCodec.X265])
def test_gop_b_frames_and_informational_messages(codec: ConventionalCodec, clip: RawClip, tmp_path: Path) -> None:
    skip_without(codec)
    intra = code_with_ffmpeg(codec, clip, 30, EncoderSettings(FAST, intra_period=1))
    assert all(record.is_intra for record in intra)
    every_third = code_with_ffmpeg(codec, clip, 30, EncoderSettings(FAST, intra_period=3))
    assert [index for index, record in enumerate(every_third) if record.is_intra] == [0, 3, 6]
    stream = tmp_path / "stream"
    settings = EncoderSettings(("-preset", "veryfast", "-bf", "2"), b_frames=True)
    records = code_with_ffmpeg(codec, clip, 30, settings, stream=stream)
    assert "B" in {kind for kind, _ in coded_frames(codec, stream, 8)}
    assert 8 * stream.stat().st_size == sum(record.num_bits for record in records)
    assert b"x264 - core" not in stream.read_bytes()
    assert b"x265 (build" not in stream.read_bytes()


@pytest.mark.ffmpeg
def test_coded_frames_refuses_a_wrong_count(clip: RawClip, tmp_path: Path) -> None:
    skip_without(ConventionalCodec.X264)
    code_with_ffmpeg(ConventionalCodec.X264, clip, 30, EncoderSettings(FAST), stream=tmp_path / "stream")
    with pytest.raises(StreamError, match=r"8 frames .* expected 9"):
        coded_frames(ConventionalCodec.X264, tmp_path / "stream", 9)


@pytest.mark.ffmpeg
def test_unpacked_clip_is_the_source_sample_for_sample(clip: RawClip, tmp_path: Path) -> None:
    skip_without(ConventionalCodec.X264)
    source = tmp_path / "clip.y4m"
    frames = [b"FRAME\n" + picture.tobytes() for picture in clip.pictures()]
    source.write_bytes(b"YUV4MPEG2 W128 H96 F30000:1001 Ip C420jpeg\n" + b"".join(frames))
    whole = unpack_clip(source, tmp_path / "whole.yuv")
    assert (whole.num_frames, whole.format.size, whole.format.frame_rate) == (
        8,
        clip.format.size,
        Rational(30000, 1001),
    )
    assert whole.path.read_bytes() == clip.path.read_bytes()
    part = unpack_clip(source, tmp_path / "part.yuv", num_frames=3)
    assert part.num_frames == 3
    assert part.path.read_bytes() == clip.path.read_bytes()[: 3 * clip.format.frame_bytes]


@pytest.mark.ffmpeg
def test_bad_sources_and_options_are_told(clip: RawClip, tmp_path: Path) -> None:
    skip_without(ConventionalCodec.X264)
    (tmp_path / "text.mkv").write_text("no video")
    with pytest.raises(InputError, match=r"text\.mkv"):
        unpack_clip(tmp_path / "text.mkv", tmp_path / "out.yuv")
    (tmp_path / "deep.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F25:1 Ip C444\nFRAME\n" + bytes(768))
    with pytest.raises(InputError, match="yuv444p, expected 8-bit 4:2:0"):
        unpack_clip(tmp_path / "deep.y4m", tmp_path / "out.yuv")
    with pytest.raises(UsageError, match="ffmpeg failed"):
        code_with_ffmpeg(ConventionalCodec.X264, clip, 30, EncoderSettings(("-preset", "warp")))
    short = RawClip(clip.path, clip.format, 9)
    with pytest.raises(InputError, match="ends in frame 8"):
        list(short.pictures())


def test_missing_program_or_encoder_is_named(clip: RawClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conventional, "_encoders", lambda: frozenset({"libx264"}))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(EnvironmentFault, match="built without libx265"):
        code_with_ffmpeg(ConventionalCodec.X265, clip, 30, EncoderSettings())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EnvironmentFault, match="ffmpeg was not found"):
        code_with_ffmpeg(ConventionalCodec.X264, clip, 30, EncoderSettings())


def test_user_options_win(clip: RawClip) -> None:
    settings = EncoderSettings(("-x265-params", "bframes=3", "-g", "50"), RateControl.CRF)
    command = encode_command(ConventionalCodec.X265, clip, 27.5, settings, Path("out"))
    assert command[command.index("-x265-params") + 1].endswith(":bframes=0:bframes=3")
    assert command.count("-x265-params") == 1
    assert [command[index + 1] for index, word in enumerate(command) if word == "-g"] == ["9999", "50"]
    assert command[command.index("-crf") + 1] == "27.5"
    assert command[-3:] == ["-f", "hevc", "out"]
    assert "-bf" not in encode_command(ConventionalCodec.X264, clip, 27, EncoderSettings(b_frames=True), Path("out"))
