"""Conventional codecs through ffmpeg: frames, bytes and types add up, settings arrive, and what is missing is named."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault, InputError, StreamError, UsageError
from dcvc_cli.evaluating import encoders
from dcvc_cli.evaluating.conventional import RawClip, code_with_ffmpeg, coded_frames, unpack_clip
from dcvc_cli.evaluating.encoders import (
    ENCODERS,
    SIZES_NAME,
    ConventionalCodec,
    EncoderSettings,
    RateControl,
    encode_command,
    require_encoder,
    versions,
)
from dcvc_cli.format.types import PictureSize, Rational, VideoFormat
from dcvc_cli.media import open_reader

FAST = ("-preset", "ultrafast", "-tune", "zerolatency")
FASTEST = {
    ConventionalCodec.X264: FAST,
    ConventionalCodec.X265: FAST,
    ConventionalCodec.SVTAV1: ("-preset", "12"),
    ConventionalCodec.AOM: ("-cpu-used", "8"),
    ConventionalCodec.VVENC: ("-preset", "faster"),
}


@pytest.fixture
def clip(tmp_path: Path) -> RawClip:
    """Makes eight frames of a smooth pattern that moves by three samples a frame."""
    video = VideoFormat(PictureSize(128, 96), frame_rate=Rational(30, 1))
    column, row = np.meshgrid(np.arange(300), np.arange(96))
    wave = (128 + 60 * np.sin(column / 9) * np.cos(row / 7)).astype(np.uint8)
    path = tmp_path / "clip.yuv"
    chroma = np.full((48, 64), 128, np.uint8)
    path.write_bytes(
        b"".join(wave[:, 3 * index : 3 * index + 128].tobytes() + chroma.tobytes() * 2 for index in range(8))
    )
    return RawClip(path, video, 8)


def skip_without(codec: ConventionalCodec) -> str:
    try:
        return require_encoder(codec)
    except EnvironmentFault as missing:
        pytest.skip(str(missing))


@pytest.mark.ffmpeg
@pytest.mark.parametrize("codec", list(ConventionalCodec))
def test_every_frame_is_measured_and_every_byte_counted(
    codec: ConventionalCodec, clip: RawClip, tmp_path: Path
) -> None:
    program = skip_without(codec)
    stream = tmp_path / "stream"
    settings = EncoderSettings(FASTEST[codec], b_frames=codec is ConventionalCodec.VVENC)
    records = code_with_ffmpeg(codec, clip, 30, settings, stream=stream)
    assert [record.is_intra for record in records] == [True] + [False] * 7
    container = 32 + 12 * 8 if ENCODERS[codec].stream_format == "ivf" else 0
    assert sum(record.num_bits for record in records) == 8 * (stream.stat().st_size - container)
    for record in records:
        assert record.psnr_planes is not None
        assert record.psnr == pytest.approx((6 * record.psnr_planes[0] + sum(record.psnr_planes[1:])) / 8)
        assert 25 < record.psnr_planes[0] < 60
    worse = code_with_ffmpeg(codec, clip, 45, settings)
    assert sum(record.num_bits for record in worse) < sum(record.num_bits for record in records)
    own, ffmpeg = versions(program, codec)
    assert own[0].isdigit() or own[0] == "v"
    assert ffmpeg != "unknown"


@pytest.mark.ffmpeg
def test_vvenc_without_b_frames_codes_i_frames_only(clip: RawClip) -> None:
    skip_without(ConventionalCodec.VVENC)
    settings = EncoderSettings(("-preset", "faster"), intra_period=1)
    assert all(record.is_intra for record in code_with_ffmpeg(ConventionalCodec.VVENC, clip, 40, settings))
    with pytest.raises(UsageError, match="hierarchy of B frames"):
        code_with_ffmpeg(ConventionalCodec.VVENC, clip, 40, EncoderSettings())


@pytest.mark.ffmpeg
def test_an_encoder_of_ten_bits_gives_near_lossless_pictures_back(clip: RawClip) -> None:
    """A slip in the conversion to ten bits and back would cost a level, which is 48 dB."""
    skip_without(ConventionalCodec.VVENC)
    settings = EncoderSettings(("-preset", "faster", "-qpa", "0"), intra_period=1)
    assert all(record.psnr > 54 for record in code_with_ffmpeg(ConventionalCodec.VVENC, clip, 1, settings))


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
    # The P frame after B frames is coded before them and shown after them: sizes stand in the order of display.
    kinds, sizes = zip(*_frames_of(codec, clip, settings, tmp_path), strict=True)
    assert "B" in kinds
    assert [8 * size for size in sizes] == [record.num_bits for record in records]
    assert max(sizes[1:]) == max(size for kind, size in zip(kinds, sizes, strict=True) if kind == "P")
    assert 8 * stream.stat().st_size == sum(record.num_bits for record in records)
    assert b"x264 - core" not in stream.read_bytes()
    assert b"x265 (build" not in stream.read_bytes()


def _frames_of(
    codec: ConventionalCodec, clip: RawClip, settings: EncoderSettings, folder: Path, expected: int = 8
) -> list[tuple[str, int]]:
    program = require_encoder(codec)
    command = encode_command(program, codec, (clip.path, clip.format), 30, settings, "coded")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return coded_frames(program, codec, folder / "coded", expected)


@pytest.mark.ffmpeg
def test_coded_frames_refuses_what_does_not_add_up(clip: RawClip, tmp_path: Path) -> None:
    program, settings = skip_without(ConventionalCodec.X264), EncoderSettings(FAST)
    with pytest.raises(StreamError, match=r"8 frames .* expected 9"):
        _frames_of(ConventionalCodec.X264, clip, settings, tmp_path, expected=9)
    sizes = tmp_path / SIZES_NAME
    rows = sizes.read_text().splitlines()
    sizes.write_text("\n".join([*rows[:-1], rows[-1].replace(rows[-1].split(",")[4], " 7")]))
    with pytest.raises(StreamError, match="bytes, expected 8 frames and"):
        coded_frames(program, ConventionalCodec.X264, tmp_path / "coded", 8)


def test_an_unpacked_clip_is_the_source_sample_for_sample(clip: RawClip, tmp_path: Path) -> None:
    source = tmp_path / "clip.y4m"
    frames = [b"FRAME\n" + b"".join(plane.tobytes() for plane in picture.planes) for picture in clip.pictures()]
    source.write_bytes(b"YUV4MPEG2 W128 H96 F30000:1001 Ip C420jpeg\n" + b"".join(frames))
    with open_reader(str(source)) as reader:
        whole = unpack_clip(reader, tmp_path / "whole.yuv")
    assert (whole.num_frames, whole.format.frame_rate) == (8, Rational(30000, 1001))
    assert whole.path.read_bytes() == clip.path.read_bytes()
    (tmp_path / "dense.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F25:1 Ip C444\nFRAME\n" + bytes(768))
    with (
        open_reader(str(tmp_path / "dense.y4m")) as reader,
        pytest.raises(InputError, match="8-bit 4:4:4 pictures, conventional codecs are measured on 8-bit 4:2:0 only"),
    ):
        unpack_clip(reader, tmp_path / "out.yuv")


@pytest.mark.ffmpeg
def test_bad_options_are_told(clip: RawClip) -> None:
    skip_without(ConventionalCodec.X264)
    with pytest.raises(UsageError, match="ffmpeg failed"):
        code_with_ffmpeg(ConventionalCodec.X264, clip, 30, EncoderSettings(("-preset", "warp")))
    with pytest.raises(UsageError, match=r"x264 has no QP 52, expected 0\.\.51"):
        code_with_ffmpeg(ConventionalCodec.X264, clip, 52, EncoderSettings())
    short = RawClip(clip.path, clip.format, 9)
    with pytest.raises(InputError, match="ends in frame 8"):
        list(short.pictures())


def test_missing_program_or_encoder_is_named(clip: RawClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "encoders_of", lambda program: frozenset({"libx264"}))
    monkeypatch.setattr(encoders, "ffmpeg_programs", lambda: iter(["/usr/bin/ffmpeg"]))
    with pytest.raises(EnvironmentFault, match="/usr/bin/ffmpeg: built without libx265"):
        code_with_ffmpeg(ConventionalCodec.X265, clip, 30, EncoderSettings())
    monkeypatch.setattr(encoders, "ffmpeg_programs", lambda: iter([]))
    with pytest.raises(EnvironmentFault, match="ffmpeg was not found"):
        code_with_ffmpeg(ConventionalCodec.X264, clip, 30, EncoderSettings())


def test_user_options_win(clip: RawClip) -> None:
    source = clip.path, clip.format
    settings = EncoderSettings(("-x265-params", "bframes=3", "-g", "50"), RateControl.CRF)
    command = encode_command("ffmpeg", ConventionalCodec.X265, source, 27.5, settings, "out")
    assert command[command.index("-x265-params") + 1].endswith(":bframes=0:bframes=3")
    assert command.count("-x265-params") == 1
    assert [command[index + 1] for index, word in enumerate(command) if word == "-g"] == ["9999", "50"]
    assert command[command.index("-crf") + 1] == "27.5"
    assert command[-3:] == ["-f", "tee", f"[f=hevc]out|[f=framecrc]{SIZES_NAME}"]
    free = EncoderSettings(b_frames=True)
    assert "-bf" not in encode_command("ffmpeg", ConventionalCodec.X264, source, 27, free, "out")
