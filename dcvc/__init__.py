"""dcvc: a neural video codec. Decodes and encodes .dcvc streams with NumPy pictures; docs/python.md shows how.

Importing this package loads neither torch nor weights.
"""

from dcvc_cli import __version__
from dcvc_cli.api.decoder import Decoder
from dcvc_cli.api.encoder import Encoder, Samples
from dcvc_cli.api.frame import Frame
from dcvc_cli.api.information import info
from dcvc_cli.coding.encode import EncodeSummary
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.frame_report import FrameReport
from dcvc_cli.coding.opened_models import OpenedModel, open_model
from dcvc_cli.errors import DcvcError, EnvironmentFault, InputError, StreamError, UsageError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import ChromaFormat, ColourDescription, Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media import PictureReader, PictureWriter
from dcvc_cli.media import open_reader as open_pictures
from dcvc_cli.media import open_writer as create_pictures

__all__ = [
    "ChromaFormat",
    "ColourDescription",
    "DcvcError",
    "Decoder",
    "EncodeSettings",
    "EncodeSummary",
    "Encoder",
    "EnvironmentFault",
    "Frame",
    "FrameReport",
    "InputError",
    "Limits",
    "OpenedModel",
    "Picture",
    "PictureReader",
    "PictureSize",
    "PictureWriter",
    "Rational",
    "Samples",
    "StreamError",
    "UsageError",
    "VideoFormat",
    "__version__",
    "create_pictures",
    "info",
    "open_model",
    "open_pictures",
]
