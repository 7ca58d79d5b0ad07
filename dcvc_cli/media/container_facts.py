"""Contents of a video file besides the samples of its pictures: other tracks, tags, side data, the chroma position."""

import re
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.types import ColourDescription
from dcvc_cli.media.base import MAX_TAGS_NAMED

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

CHROMA_LOCATIONS = {"left": "mpeg2", "center": "jpeg", "topleft": "paldv"}
"""y4m's names by FFmpeg's; other positions have no field in a stream."""
_OTHER_CHROMA_LOCATIONS = ("top", "bottomleft", "bottom")
_CENTRED_BY_DEFAULT = ("theora", "mjpeg", "mpeg1video", "h261", "h263", "flv1")
_SIDE_DATA_OF_CODING = ("CPB properties", "Skip Samples", "Encryption", "producer reference time", "Film Grain")
"""Side data that says how the file is coded, not how its pictures look. Film grain is in the decoded samples."""
_SIDE_DATA_THAT_IS_CARRIED = (
    "Mastering Display Metadata",
    "Mastering display metadata",
    "Content Light Level Metadata",
)
_SIDE_DATA_OF_PICTURES = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "AMBIENT_VIEWING_ENVIRONMENT": "ambient viewing environment",
    "A53_CC": "closed captions",
    "ICC_PROFILE": "ICC profile",
    "STEREO3D": "stereoscopic 3D",
    "SPHERICAL": "spherical projection",
    "AFD": "active format",
    "S12M_TIMECODE": "time code",
}
_SIDE_DATA_IN_TEXT = {
    "DOVI configuration record": "Dolby Vision",
    "stereo3d": "stereoscopic 3D",
    "Stereo 3D": "stereoscopic 3D",
    "spherical": "spherical projection",
    "Spherical Mapping": "spherical projection",
    "ICC Profile": "ICC profile",
    "Frame cropping": "cropping",
    "Frame Cropping": "cropping",
    "Ambient viewing environment": "ambient viewing environment",
}
_TECHNICAL_TAGS = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|encoded_by|creation_time|handler_name|vendor_id|language"
    r"|software|duration|number_of_(bytes|frames)|bps|_statistics_.*|service_(name|provider)|variant_bitrate|rotate"
    r"|alpha_mode|stereo_mode|isft|comment_source",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class StreamText:
    """Facts that FFmpeg prints about one track.

    Attributes:
        chroma_location: FFmpeg's name of the chroma position, None where the file does not say it.
        side_data: names of the track's side data as FFmpeg prints them.
    """

    chroma_location: str | None
    side_data: tuple[str, ...]


def describe_stream(av: ModuleType, container: Any, index: int) -> StreamText:
    """Reads facts that PyAV has no attribute for from the text that FFmpeg prints
    (findings/pyav-chroma-location.sh)."""
    logging = av.logging
    level, skips_repeated = logging.get_level(), logging.get_skip_repeated()
    try:
        # FFmpeg prints the chroma position at a high log level only. Nothing reaches the user: PyAV keeps the text.
        logging.set_skip_repeated(False)
        logging.set_level(logging.INFO)
        logging.set_libav_level(logging.VERBOSE)
        text = container.dumps_format()
    finally:
        logging.set_libav_level(logging.INFO)
        logging.set_level(level)
        logging.set_skip_repeated(skips_repeated)
    return parse_stream_text(text, index)


def parse_stream_text(text: str, index: int) -> StreamText:
    """Finds the facts about track `index` in what FFmpeg prints about a file; none where the text is not as
    expected."""
    block = re.search(rf"^  Stream #0:{index}\b.*\n((?:    .*\n)*)", text, re.MULTILINE)
    if block is None:
        return StreamText(None, ())
    details = re.search(r"Video: .*?, \w+\(([^()]*)\)", block[0].partition("\n")[0])
    words = details[1].split(", ") if details else []
    named = [word for word in words if word in CHROMA_LOCATIONS or word in _OTHER_CHROMA_LOCATIONS]
    _, _, after = block[1].partition("    Side data:\n")
    side_data = re.findall(r"^      ([^\s:,(][^:,(\n]*)", after, re.MULTILINE)
    return StreamText(named[0] if named else None, tuple(name.strip() for name in side_data))


def chroma_location_of(name: str, text: StreamText, codec: str) -> tuple[str, str | None]:
    """Returns (y4m's name of the chroma position, what a user should know about it).

    Where the file does not say it, the codec's default counts: centred in codecs that follow MPEG-1 and JPEG, else
    left. FFmpeg itself writes "centre" into y4m then (findings/ffmpeg-y4m-chroma-position.sh).
    """
    if text.chroma_location is None:
        location = "jpeg" if codec in _CENTRED_BY_DEFAULT else "mpeg2"
        position = "centre" if location == "jpeg" else "left"
        return (
            location,
            f"{name} does not say where its chroma samples lie: {position} assumed, as is usual for {codec}",
        )
    if text.chroma_location in CHROMA_LOCATIONS:
        return CHROMA_LOCATIONS[text.chroma_location], None
    return "", f"{name} has chroma samples at {text.chroma_location}, which streams have no field for: coded as unknown"


def other_contents(container: Any, chosen: Any, is_picture: Any, *, is_kept: bool = False) -> list[str]:
    """Lists everything in a file but the chosen track, as phrases such as "2 audio tracks".

    Args:
        chosen: the video track that is coded.
        is_picture: whether a video track is artwork.
        is_kept: leave out what a TrackReader carries.
    """
    counts: Counter[str] = Counter()
    for stream in container.streams:
        if stream.index != chosen.index:
            kind = stream.type if stream.type in ("audio", "video", "subtitle", "attachment") else "data"
            counts["artwork" if kind == "video" and is_picture(stream) else kind] += 1
    phrases = []
    for kind, count in sorted(counts.items()):
        if is_kept and kind not in ("video", "data"):
            continue
        noun = {"artwork": "artwork picture", "attachment": "attachment"}.get(kind, f"{kind} track")
        phrases.append(f"{count} {noun}" + ("s" if count != 1 else ""))
    if is_kept:
        return phrases
    num_chapters = len(container.chapters()) if hasattr(container, "chapters") else 0
    if num_chapters:
        phrases.append(f"{num_chapters} chapter" + ("s" if num_chapters != 1 else ""))
    tags = [key.lower() for key in {**container.metadata, **chosen.metadata} if not _TECHNICAL_TAGS.fullmatch(key)]
    if tags:
        shown = ", ".join(ascii(tag[:20])[1:-1] for tag in tags[:MAX_TAGS_NAMED])
        phrases.append(f"tags ({shown}{', ...' if len(tags) > MAX_TAGS_NAMED else ''})")
    return phrases


def dropped_side_data(frame: Any, text: StreamText, metadata: dict[str, str]) -> list[str]:
    """Lists side data of the pictures that no stream has a field for, as names for people."""
    names = [
        _SIDE_DATA_OF_PICTURES[item.type.name] for item in frame.side_data if item.type.name in _SIDE_DATA_OF_PICTURES
    ]
    # The display matrix has a note of its own.
    ignored = (
        *_SIDE_DATA_OF_CODING,
        *_SIDE_DATA_THAT_IS_CARRIED,
        "displaymatrix",
        "Display Matrix",
        "unknown side data",
    )
    told = (name for name in text.side_data if not name.startswith(ignored))
    names += [
        next((known for start, known in _SIDE_DATA_IN_TEXT.items() if name.startswith(start)), name) for name in told
    ]
    if metadata.get("alpha_mode", "0") not in ("", "0"):
        names.append("alpha channel")
    if metadata.get("stereo_mode", "mono") != "mono":
        names.append("stereoscopic 3D")
    return list(dict.fromkeys(names))


def hdr_metadata(frame: Any) -> tuple[MasteringDisplay | None, ContentLight | None]:
    """Reads HDR10 metadata of a picture from FFmpeg's structures; None for what is missing or out of range."""
    data = {item.type.name: bytes(item) for item in frame.side_data}
    mastering, light = data.get("MASTERING_DISPLAY_METADATA", b""), data.get("CONTENT_LIGHT_LEVEL", b"")
    content_light = None
    if len(light) >= 8:
        maximum, average = struct.unpack("=II", light[:8])
        content_light = ContentLight(min(maximum, 0xFFFF), min(average, 0xFFFF))
    return _mastering_display(mastering), content_light


def _mastering_display(data: bytes) -> MasteringDisplay | None:
    """Reads AVMasteringDisplayMetadata: x, y of red, green, blue, white, then least, largest luminance, as fractions;
    flags."""
    if len(data) < 88:
        return None
    numbers = struct.unpack("=22i", data[:88])
    if not (numbers[20] and numbers[21]) or not all(numbers[1:20:2]):
        return None
    values = [Fraction(num, den) for num, den in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = ([round(value * 50000) for value in values[at : at + 2]] for at in (0, 2, 4, 6))
    smallest, largest = (round(value * 10000) for value in values[8:10])
    try:
        return MasteringDisplay((*green, *blue, *red), (white[0], white[1]), largest, smallest)  # type: ignore[arg-type]
    except ValueError:
        return None


def announced_duration(container: Any, stream: Any) -> float | None:
    """Seconds that the header of a Matroska file says; None for other files."""
    if "matroska" not in container.format.name:
        return None
    clock = re.fullmatch(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock is not None:
        return 3600 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3])
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def is_artwork(stream: Any, dispositions: Any) -> bool:
    """Returns whether a video track is a picture that belongs to the file, such as a cover, and no video."""
    artwork = getattr(dispositions, "attached_pic", 0) | getattr(dispositions, "timed_thumbnails", 0)
    return bool(stream.disposition & artwork)


def is_turned(frame: "VideoFrame") -> bool:
    """Returns whether a picture is to be rotated or flipped on display."""
    # PyAV's types say that side_data runs over names; it runs over the data.
    side_data = cast("Iterable[SideData]", frame.side_data)
    matrix = next((item for item in side_data if item.type.name == "DISPLAYMATRIX"), None)
    return bool(getattr(frame, "rotation", 0)) or (matrix is not None and not _is_identity(bytes(matrix)))


def _is_identity(matrix: bytes) -> bool:
    """Returns whether a display matrix (nine 32-bit numbers, 16.16 fixed point) neither turns nor flips."""
    if len(matrix) < 36:
        return True
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    return b == 0 and c == 0 and a > 0 and d > 0


def colour_of(context: "VideoCodecContext", frame: "VideoFrame") -> ColourDescription:
    """Finds the colour of a picture, as far as codec and picture state it.

    FFmpeg's numbers for primaries, transfer and matrix are the H.273 code points; its range is 1 limited, 2 full.
    """
    full_range = {1: False, 2: True}.get(int(frame.color_range))
    if frame.format.name.startswith("yuvj"):
        full_range = True
    points = (context.color_primaries, context.color_trc, frame.colorspace)
    primaries, transfer, matrix = (int(point) if 1 <= int(point) <= 255 else 2 for point in points)
    return ColourDescription(primaries, transfer, matrix, full_range)
