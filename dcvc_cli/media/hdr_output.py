"""HDR10 metadata of a video file that is written.

PyAV has no place to state mastering display and content light level of an encoder. x264, x265 and SVT-AV1 take them as
options of their own and write them into the coded video. For FFV1 in Matroska, a track of a small Matroska file that
states them serves as the template of the new track.
"""

import struct

from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.types import VideoFormat

_CHROMATICITY, _LUMINANCE = 50000, 10000
"""Units of a stream in 1 and in a candela a square metre."""
_ENCODER_PARAMETERS = {
    "libx264": ("x264-params", "mastering-display", "cll", True),
    "libx265": ("x265-params", "master-display", "max-cll", True),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", False),
}
"""(option of FFmpeg, parameters of the encoder for display and light level, whether the display is in the units of a
stream)."""


def has_hdr(video_format: VideoFormat) -> bool:
    """Whether the pictures have mastering display or content light level."""
    return video_format.mastering_display is not None or video_format.content_light is not None


def hdr_options(codec: str, video_format: VideoFormat, options: dict[str, str]) -> dict[str, str] | None:
    """The options of an encoder, with those that state the HDR10 metadata; None for an encoder that has no such."""
    if codec not in _ENCODER_PARAMETERS:
        return None
    name, display, level, is_whole = _ENCODER_PARAMETERS[codec]
    parts = [options[name]] if name in options else []
    mastering, light = video_format.mastering_display, video_format.content_light
    if mastering is not None:
        parts.append(f"{display}={_display(mastering, is_whole=is_whole)}")
    if light is not None:
        parts.append(f"{level}={light.max_content},{light.max_frame_average}")
    return {**options, name: ":".join(parts)}


def _display(mastering: MasteringDisplay, *, is_whole: bool) -> str:
    """The display as x264 and x265 have it, in the units of a stream, or as SVT-AV1 has it, in 1 and candela."""

    def text(value: int, unit: int) -> str:
        return str(value) if is_whole else f"{value / unit:.6f}"

    points = (*mastering.primaries, *mastering.white_point)
    pairs = zip(("G", "B", "R", "WP"), points[0::2], points[1::2], strict=True)
    places = "".join(f"{name}({text(x, _CHROMATICITY)},{text(y, _CHROMATICITY)})" for name, x, y in pairs)
    return f"{places}L({text(mastering.max_luminance, _LUMINANCE)},{text(mastering.min_luminance, _LUMINANCE)})"


def matroska_template(video_format: VideoFormat) -> bytes:
    """A Matroska file with a track of FFV1 that states the HDR10 metadata, and one empty packet.

    Source: RFC 9559, section 5.1.4.1.28 (Video).
    """
    colour = b""
    light, mastering = video_format.content_light, video_format.mastering_display
    if light is not None:
        colour += _content_light(light)
    if mastering is not None:
        green, blue, red = mastering.primaries[0:2], mastering.primaries[2:4], mastering.primaries[4:6]
        points = [value / _CHROMATICITY for value in (*red, *green, *blue, *mastering.white_point)]
        numbers = (*points, mastering.max_luminance / _LUMINANCE, mastering.min_luminance / _LUMINANCE)
        ids = range(0x55D1, 0x55DB)
        fields = (_element(number, struct.pack(">d", value)) for number, value in zip(ids, numbers, strict=True))
        colour += _element(0x55D0, b"".join(fields))
    size = video_format.size
    video = _number(0xB0, size.width) + _number(0xBA, size.height) + _element(0x55B0, colour)
    track = _number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 1) + _element(0x86, b"V_FFV1")
    tracks = _element(0x1654AE6B, _element(0xAE, track + _element(0xE0, video)))
    info = _element(0x1549A966, _number(0x2AD7B1, 1_000_000) + _element(0x4D80, b"-") + _element(0x5741, b"-"))
    cluster = _element(0x1F43B675, _number(0xE7, 0) + _element(0xA3, b"\x81\0\0\x80" + bytes(16)))
    head = _element(0x1A45DFA3, _element(0x4282, b"matroska") + _number(0x4287, 4) + _number(0x4285, 2))
    return head + _element(0x18538067, info + tracks + cluster)


def _content_light(light: ContentLight) -> bytes:
    return _number(0x55BC, light.max_content) + _number(0x55BD, light.max_frame_average)


def _element(number: int, data: bytes) -> bytes:
    """An EBML element: id, size in eight bytes, content."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + (1 << 56 | len(data)).to_bytes(8, "big") + data


def _number(number: int, value: int) -> bytes:
    return _element(number, value.to_bytes(8, "big"))
