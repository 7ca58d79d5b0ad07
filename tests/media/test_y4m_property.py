"""y4m headers: every format comes back, and no line of bytes gives anything but a format or an InputError."""

import io
import sys
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.errors import InputError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.types import ColourDescription, PictureSize, Rational, VideoFormat
from dcvc_cli.media import open_reader
from dcvc_cli.media.y4m import MAX_HEADER_BYTES, format_header, parse_header

sides = st.integers(1, MAX_SIDE)
parts = st.integers(1, (1 << 32) - 1)
formats = st.builds(
    VideoFormat,
    st.builds(PictureSize, sides, sides),
    frame_rate=st.builds(Rational, parts, parts),
    sample_aspect_ratio=st.one_of(st.just(Rational(0, 0)), st.builds(Rational, parts, parts)),
    colour=st.builds(ColourDescription, full_range=st.sampled_from([None, True, False])),
    interlacing=st.sampled_from("ptb?"),
    chroma_location=st.sampled_from(["", "jpeg", "mpeg2", "paldv"]),
)
tag_values = st.one_of(
    st.integers(-5, 20000).map(str),
    st.sampled_from(["420", "420p10", "1:1", "0:0", "30:0", ":", "p", "m", ""]),
    st.text(max_size=8),
)
tags = st.builds(
    lambda key, value: (key + value).encode("utf-8"),
    st.sampled_from([*"WHFICAX", "XCOLORRANGE=", "XYSCSS=", ""]),
    tag_values,
)


@settings(max_examples=200, deadline=None)
@given(formats)
def test_every_format_comes_back(video_format):
    line = format_header(video_format)
    assert len(line) <= MAX_HEADER_BYTES
    header = parse_header(line, "a.y4m")
    assert header.video_format == video_format
    assert header.frame_rate == video_format.frame_rate


@settings(max_examples=300, deadline=None)
@given(st.lists(tags, max_size=8))
def test_any_tags_give_a_format_or_an_input_error(lines):
    try:
        header = parse_header(b" ".join([b"YUV4MPEG2", *lines]) + b"\n", "a.y4m")
    except InputError as error:
        header, message = None, str(error)
    else:
        message = ""
    assert message.isprintable()
    assert (
        header is None or parse_header(format_header(header.video_format), "a.y4m").video_format == header.video_format
    )


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.sampled_from([b"", b" Ixyz", b" XA=1 XB"]), min_size=1, max_size=4),
    st.data(),
)
def test_pictures_pass_through_pipes_in_any_pieces(width, height, frame_tags, data):
    video_format = VideoFormat(PictureSize(width, height))
    pictures = [np.random.default_rng(index).bytes(video_format.frame_bytes) for index in range(len(frame_tags))]
    stream = format_header(video_format) + b"".join(
        b"FRAME" + tag + b"\n" + picture for tag, picture in zip(frame_tags, pictures, strict=True)
    )
    piece = data.draw(st.integers(1, len(stream)))

    class Pieces(io.RawIOBase):
        position = 0

        def readable(self):
            return True

        def readinto(self, target):
            part = stream[self.position : self.position + min(piece, len(target))]
            target[: len(part)] = part
            self.position += len(part)
            return len(part)

    with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pieces()))), open_reader("-") as reader:
        assert [picture.tobytes() for picture in reader] == pictures
