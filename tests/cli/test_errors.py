"""Bad input and bad options: each with its exit code, one line that says what was expected and found, and nothing left
behind."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip
from tests.support.tiny_weights import write_tiny_weights

Call = Callable[..., int]
INTERNAL, USAGE, INPUT, STREAM, ENVIRONMENT = 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def stream(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Makes a stream of five frames of 24x20, I frames at 0 and 3, hashes of 0, 3 and 4."""
    from dcvc_cli.app import run

    folder = tmp_path_factory.mktemp("stream")
    (folder / "clip.y4m").write_bytes(y4m_clip(24, 20, 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVC_HOME", str(tiny_home))
        words = (
            "encode",
            folder / "clip.y4m",
            "-o",
            folder / "a.dcvc",
            "--keyint",
            3,
            "--model",
            "tiny",
            "--threads",
            1,
        )
        assert run([str(word) for word in words]) == 0
    return (folder / "a.dcvc").read_bytes()


@pytest.fixture
def place(stream: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a working folder with a clip, a stream of it, and bad inputs."""
    monkeypatch.chdir(tmp_path)
    Path("clip.y4m").write_bytes(y4m_clip(24, 20, 5))
    Path("good.dcvc").write_bytes(stream)
    Path("empty").write_bytes(b"")
    Path("empty.dcvc").write_bytes(b"")
    Path("text.dcvc").write_bytes(b"This is no stream at all, only some words.\n" * 20)
    Path("zeros.dcvc").write_bytes(bytes(4096))
    Path("cut.dcvc").write_bytes(stream[: len(stream) * 2 // 3])
    Path("text_mode.dcvc").write_bytes(stream.replace(b"\r\n", b"\n"))
    Path("cut.y4m").write_bytes(y4m_clip(24, 20, 5)[:-7])
    Path("odd_24x20.yuv").write_bytes(bytes(24 * 20 * 3 // 2 * 2 + 5))
    Path("plain.yuv").write_bytes(bytes(24 * 20 * 3 // 2))
    Path("deep.y4m").write_bytes(b"YUV4MPEG2 W4 H4 F25:1 C420p12\nFRAME\n" + bytes(48))
    Path("wide.y4m").write_bytes(b"YUV4MPEG2 W8200 H2 F25:1 C420\nFRAME\n" + bytes(8200 * 2 + 4100 * 2))
    Path("folder").mkdir()
    Path("bad.yaml").write_text("qp: 12\nquality: 3\n")
    Path("worse.yaml").write_text("qp: [1")
    return tmp_path


CASES = [
    # bad input of encode
    ("encode missing.y4m -o o.dcvc", INPUT, "cannot read missing.y4m: No such file"),
    ("encode empty -o o.dcvc", INPUT, "empty is empty"),
    ("encode cut.y4m -o o.dcvc", INPUT, "cut.y4m"),
    ("encode text.dcvc -o o.dcvc", INPUT, "coded already"),
    ("encode good.dcvc -o o.dcvc", INPUT, "dcvc decode"),
    ("encode odd_24x20.yuv -o o.dcvc", INPUT, "no multiple of the 720 bytes"),
    ("encode plain.yuv -o o.dcvc", USAGE, "--input-res"),
    ("encode plain.yuv --input-res 24x21 -o o.dcvc", INPUT, "no multiple"),
    ("encode deep.y4m -o o.dcvc", INPUT, "12-bit 4:2:0"),
    ("encode wide.y4m -o o.dcvc", INPUT, "8192x8192"),
    ("encode folder -o o.dcvc", INPUT, "no PNG"),
    ("encode clip.y4m --seek 5 -o o.dcvc", INPUT, "--seek"),
    # outputs
    ("encode clip.y4m -o good.dcvc", USAGE, "-y overwrites"),
    ("encode clip.y4m -o clip.y4m -y", USAGE, "is the input"),
    ("encode clip.y4m -o ./o.dcvc --recon o.dcvc", USAGE, "both write"),
    ("encode clip.y4m -o - --csv -", USAGE, "standard output"),
    ("encode clip.y4m -o nowhere/o.dcvc", INPUT, "cannot write nowhere/o.dcvc"),
    ("concat good.dcvc good.dcvc -o folder", INPUT, "directory"),
    ("encode clip.y4m -o /proc/o.dcvc", INPUT, "cannot write /proc/o.dcvc"),
    ("encode clip.y4m -o o.dcvc --recon o.png", USAGE, "names one picture"),
    ("encode clip.y4m -o /dev/full", INPUT, "No space left"),
    ("encode clip.y4m -o o.dcvc --recon /dev/full", INPUT, "No space left"),
    ("decode good.dcvc -o /dev/full", INPUT, "No space left"),
    ("decode good.dcvc -o clip.y4m", USAGE, "-y overwrites"),
    ("decode good.dcvc -o good.dcvc -y", USAGE, "is the input"),
    ("decode good.dcvc -o o.gif", USAGE, "another codec"),
    ("decode good.dcvc -o o.png", USAGE, "names one picture"),
    ("decode good.dcvc -o nowhere/o.y4m", INPUT, "cannot write"),
    # options
    ("encode clip.y4m -o o.dcvc --qp 64", USAGE, "expected 0..63"),
    ("encode clip.y4m -o o.dcvc --qp x", USAGE, "--qp"),
    ("encode clip.y4m -o o.dcvc --keyint 0", USAGE, "-1 for a first I frame only"),
    ("encode clip.y4m -o o.dcvc --bitrate 500k", USAGE, "--bitrate"),
    ("encode clip.y4m -o o.dcvc --bitrate 500 --qp 30", USAGE, "leave one out"),
    ("encode clip.y4m -o o.dcvc --maxrate 500", USAGE, "--maxrate needs --bitrate"),
    ("encode clip.y4m -o o.dcvc --bitrate 500 --maxrate 400", USAGE, "below --bitrate"),
    ("encode - -o o.dcvc --bitrate 500 --passes 2", USAGE, "--passes 1"),
    ("encode clip.y4m -o o.dcvc --hash sha", USAGE, "crc, md5, none"),
    ("encode clip.y4m -o o.dcvc --force-zero-thres -1", USAGE, "0..4294"),
    ("encode clip.y4m -o o.dcvc --force-keyframes 1,x", USAGE, "frame numbers"),
    ("encode clip.y4m -o o.dcvc --precision fp8", USAGE, "exact, fp16"),
    ("encode clip.y4m -o o.dcvc --input-depth 10", USAGE, "has 8 bits a sample, expected 10"),
    ("encode clip.y4m -o o.dcvc --input-depth 12", USAGE, "12-bit input is not supported"),
    ("encode clip.y4m -o o.dcvc --fps 0", USAGE, "--fps 30000/1001"),
    ("encode clip.y4m -o o.dcvc --input-res 3", USAGE, "WxH"),
    ("encode clip.y4m -o o.dcvc --preset fastest", USAGE, "archive, broadcast, default, low-latency"),
    ("encode clip.y4m -o o.dcvc --config bad.yaml", USAGE, "sets quality, which is no setting"),
    ("encode clip.y4m -o o.dcvc --config worse.yaml", USAGE, "not valid YAML"),
    ("encode clip.y4m -o o.dcvc --config missing.yaml", USAGE, "cannot read missing.yaml"),
    ("encode clip.y4m -o o.dcvc --progress loud", USAGE, "--progress"),
    ("encode clip.y4m -o o.dcvc --wrong", USAGE, "dcvc encode --help"),
    ("encode clip.y4m", USAGE, "--output"),
    ("transcode", USAGE, "transcode"),
    # environment
    ("encode clip.y4m -o o.dcvc --model nothing", ENVIRONMENT, "no weights called 'nothing'"),
    ("encode clip.y4m -o o.dcvc --model clip.safetensors", ENVIRONMENT, "clip.safetensors"),
    ("encode clip.y4m -o o.dcvc --precision exact", ENVIRONMENT, "no exact form"),
    ("encode clip.y4m -o o.dcvc --device cuda:77", ENVIRONMENT, "--device cpu"),
    ("encode clip.y4m -o o.dcvc --device toaster", ENVIRONMENT, "names no device"),
    # bad streams
    *(
        (f"{command} {name}{output}", code, text)
        for command, output in (
            ("decode", " -o o.y4m"),
            ("info", ""),
            ("info --json", ""),
            ("concat good.dcvc", " -o o.dcvc"),
        )
        for name, code, text in (
            ("missing.dcvc", INPUT, "cannot read missing.dcvc: No such file"),
            ("folder", INPUT, "it is a folder"),
            ("empty.dcvc", STREAM, "the stream is empty"),
            ("text.dcvc", STREAM, "no .dcvc stream"),
            ("zeros.dcvc", STREAM, "no .dcvc stream"),
            ("clip.y4m", STREAM, "no .dcvc stream"),
            ("cut.dcvc", STREAM, "[truncated]"),
            ("text_mode.dcvc", STREAM, "signature"),
        )
    ),
    ("decode good.dcvc -o o.y4m --seek 5", INPUT, "good.dcvc holds 5 frames"),
    ("remux missing.bin -o o.dcvc", INPUT, "cannot read"),
    ("remux empty -o o.dcvc", STREAM, "no frame"),
    ("remux good.dcvc -o o.bin", STREAM, "compact format"),
    ("remux good.dcvc -o o.bin --fps 30", USAGE, "--fps"),
]


@pytest.mark.parametrize(("line", "code", "text"), CASES, ids=[case[0] for case in CASES])
def test_exit_code_and_message(
    place: Path, call: Call, capfd: pytest.CaptureFixture[str], line: str, code: int, text: str
) -> None:
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    capfd.readouterr()
    assert call(*line.split()) == code
    output, words = capfd.readouterr()
    errors = [told for told in words.splitlines() if told.startswith("dcvc: ")]
    assert len(errors) == 1, words
    assert text in errors[0]
    assert "Traceback" not in words
    assert output == "" or line.startswith("info")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_wrong_weights(place: Path, call: Call, tmp_path_factory: pytest.TempPathFactory, monkeypatch, capfd) -> None:
    other = tmp_path_factory.mktemp("other")
    write_tiny_weights(other, seed=7)
    monkeypatch.setenv("DCVC_HOME", str(other))
    from dcvc_cli.app import run

    assert run(["decode", "good.dcvc", "-o", "o.y4m"]) == ENVIRONMENT
    words = capfd.readouterr().err
    assert "fingerprints" in words
    assert "dcvc models add" in words
    assert not Path("o.y4m").exists()
    assert run(["info", "good.dcvc"]) == 0, "a stream can be shown without its weights"
    assert "which are not here" in capfd.readouterr().out


def test_keep_partial(place: Path, call: Call, capfd) -> None:
    assert call("decode", "good.dcvc", "-o", "all.y4m") == 0
    assert call("decode", "cut.dcvc", "-o", "part.y4m", "--keep-partial") == STREAM
    assert "kept in part.y4m" in capfd.readouterr().err
    whole, part = Path("all.y4m").read_bytes(), Path("part.y4m").read_bytes()
    assert part == whole[: len(part)]
    assert part.count(b"FRAME\n") >= 2


def test_change_of_size(place: Path, call: Call, capfd) -> None:
    Path("other.y4m").write_bytes(y4m_clip(40, 20, 2))
    assert call("encode", "other.y4m", "-o", "other.dcvc") == 0
    assert call("concat", "good.dcvc", "other.dcvc", "-o", "joined.dcvc") == 0
    assert "picture size changes from 24x20 to 40x20" in capfd.readouterr().err
    assert call("decode", "joined.dcvc", "-o", "o.y4m") == STREAM
    assert "change from 24x20 8-bit 4:2:0 to 40x20 8-bit 4:2:0 at frame 5" in capfd.readouterr().err
    assert not Path("o.y4m").exists()
    assert call("decode", "joined.dcvc", "-o", "second.y4m", "--seek", "5") == 0
    assert Path("second.y4m").read_bytes().startswith(b"YUV4MPEG2 W40 H20 ")


def test_hash_mismatch_names_the_frame(place: Path, call: Call, capfd) -> None:
    """A stream whose every unit is intact, but whose hash is of another picture."""
    from dcvc_cli.bitstream.sei import PictureHash
    from dcvc_cli.bitstream.stream_reader import StreamReader
    from dcvc_cli.bitstream.stream_writer import StreamWriter
    from dcvc_cli.bitstream.units import FrameUnit, SeiUnit

    with open("good.dcvc", "rb") as source, open("forged.dcvc", "wb") as sink:
        writer = StreamWriter(sink)
        for unit in StreamReader(source):
            if isinstance(unit, FrameUnit):
                writer.write_frame(unit.frame_type, writer.use_sps(unit.sps), unit.qp, unit.reset, unit.payload)
            elif isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash):
                digest = bytes(4) if writer.num_frames == 4 else unit.message.digest
                writer.write_hash(unit.message.kind, digest)
        writer.finish()
    assert call("info", "--validate", "forged.dcvc") == 0
    for more in ((), ("--keep-partial",)):
        assert call("decode", "forged.dcvc", "-o", "o.y4m", *more) == STREAM
        words = capfd.readouterr().err
        assert "frame 3 is not the encoder's picture" in words
        assert "last frame known to be right is 0" in words
        assert not Path("o.y4m").exists()
    assert call("decode", "forged.dcvc", "-o", "o.y4m", "--no-verify") == 0


def test_internal_error_is_one_line(call: Call, capfd, monkeypatch) -> None:
    from dcvc_cli import app

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("dcvc_cli.coding.stream_source.StreamSource.__init__", fail)
    assert app.run(["info", "x"]) == INTERNAL
    assert capfd.readouterr().err == "dcvc: internal error: RuntimeError: first (--debug shows the traceback)\n"
    assert app.run(["info", "x", "--debug"]) == INTERNAL
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(place: Path, call: Call, capfd) -> None:
    Path("folder").chmod(0o500)
    assert call("encode", "clip.y4m", "-o", "folder/o.dcvc") == INPUT
    assert "Permission denied" in capfd.readouterr().err
