"""Opens the decoder of a stream's frames, and a new one where the SPS changes the pictures or the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.pictures import video_format_of
from dcvc_cli.coding.opened_models import StreamNetworks
from dcvc_cli.coding.output_times import StreamClock
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import PictureDecoder
from dcvc_cli.families.registry import model_of_stream
from dcvc_cli.format.types import Picture


@dataclass(frozen=True)
class StreamDecoder:
    """A decoder and the SPS that it was opened for."""

    sps: Sps
    pictures: PictureDecoder


def with_times(pictures: Sequence[Picture], unit: FrameUnit, clock: StreamClock) -> Sequence[Picture]:
    """Gives decoded pictures of a unit the times that the source has, if any."""
    return [replace(picture, time=time) for picture, time in zip(pictures, clock.times(unit), strict=True)]


def decoder_for(
    sps: Sps, before: Sps | None, decoder: StreamDecoder | None, networks: StreamNetworks, index: int
) -> StreamDecoder:
    """Makes the decoder of frame `index`: the one of the frame before where `sps` lets it go on, else a new one.

    Args:
        sps: SPS of frame `index`.
        before: SPS of the frame before, None for the first frame.
        decoder: decoder of the frame before, None where its state cannot be used.

    Raises:
        StreamError: the pictures change their size or sampling, or no model of this dcvc decodes the stream.
        EnvironmentFault: weights, precision or device are missing.
    """
    if decoder is not None and sps.can_follow(decoder.sps):
        return decoder
    if before is not None:
        old, new = video_format_of(before), video_format_of(sps)
        if (old.size, old.sampling) != (new.size, new.sampling):
            found = f"{old.size} {old.sampling} to {new.size} {new.sampling}"
            hint = f"decode the parts apart: --frames {index}, then --seek {index}"
            raise StreamError(f"the pictures change from {found} at frame {index}, expected one size to the end", hint)
    if sps.max_reorder:
        message = "the stream's pictures are coded in another order than they are shown"
        raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
    model, video_format = model_of_stream(sps), video_format_of(sps)
    if not model.codes(video_format):
        message = (
            f"the stream's pictures are {video_format.sampling}, which model {model.name} of this dcvc does not code"
        )
        raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
    return StreamDecoder(sps, model.decoder(networks.for_sps(sps), sps))
