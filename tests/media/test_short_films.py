"""Video files of one and two pictures: encoders with B frames put all their packets out at the end."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.format.types import Picture, PictureSize, VideoFormat
from dcvc_cli.media import open_reader, open_writer
from dcvc_cli.media.video_writer import set_decoding_times

av = pytest.importorskip("av")
CODECS = {"libx265": "libx265 x265-params=log-level=none", "libx264": "libx264", "ffv1": "ffv1"}


@dataclass
class Packet:
    pts: int
    dts: int = -70368744194048


@pytest.mark.parametrize(
    ("presented", "decoded"), [([0], [0]), ([5, 6], [5, 6]), ([0, 4, 2, 1, 3], [-2, -1, 0, 1, 2]), ([], [])]
)
def test_decoding_times_follow_from_presentation_times(presented: list[int], decoded: list[int]) -> None:
    packets = [Packet(time) for time in presented]
    set_decoding_times(packets)
    assert [packet.dts for packet in packets] == decoded


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("num_pictures", [1, 2, 3])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_short_film_is_written(tmp_path: Path, codec: str, num_pictures: int, ending: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = str(tmp_path / f"film.{ending}")
    size = PictureSize(64, 48)
    chroma = np.full((24, 32), 128, np.uint8)
    planes = (np.full((48, 64), 128, np.uint8), chroma, chroma)
    for _ in range(3):
        with open_writer(path, VideoFormat(size), overwrite=True, codec=CODECS[codec]) as writer:
            for _ in range(num_pictures):
                writer.write(Picture(planes))
        with open_reader(path) as reader:
            assert len(list(reader)) == num_pictures
        with av.open(path) as film:
            shown = sorted(packet.pts * packet.time_base for packet in film.demux(video=0) if packet.size)
        assert [float(time - shown[0]) for time in shown] == pytest.approx([n / 25 for n in range(num_pictures)])
