"""The coders of an evaluation: dcvc, and conventional codecs through ffmpeg. All code the same pictures and use the
same metrics."""

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dcvc_cli.codec.backends import PRECISION_NAMES
from dcvc_cli.codec.choices import DEFAULT_RESET_INTERVAL, DEFAULT_SKIP_THRESHOLD, CodingChoices
from dcvc_cli.coding.decode import OpenedStream
from dcvc_cli.coding.encode import StreamEncoder, encode_pictures
from dcvc_cli.coding.frame_report import FrameReport, picture_quality
from dcvc_cli.coding.opened_models import NetworksOfModel, OpenedModel, open_model
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.evaluating.conventional import code_with_ffmpeg, unpack_clip
from dcvc_cli.evaluating.encoders import ENCODERS, ConventionalCodec, EncoderSettings, require_encoder, versions
from dcvc_cli.evaluating.evaluation import EvaluationPoint, PointMeasurement, Rate
from dcvc_cli.evaluating.scores import with_scores
from dcvc_cli.evaluating.sequence_sources import SequenceSource, SourceType
from dcvc_cli.format.constants import DEFAULT_MODEL
from dcvc_cli.media import OutputFile, PictureReader, open_reader
from dcvc_cli.metrics.results import FrameRecord
from dcvc_cli.weights.store import weights_by_name


@dataclass(frozen=True)
class DcvcSettings:
    """dcvc with one set of weights. `for_model` makes it and chooses the precision.

    Attributes:
        model: a name that `dcvc models list` shows, or a path to a weights file.
        precision: one of PRECISION_NAMES.
        fingerprints: of the model's networks. They tell other weights of the same name apart.
        reset_interval: frames between drops of the reference feature, 0 = never.
        skip_threshold: latents with a predicted scale up to it are not coded; None codes all.
        device: auto, cpu or cuda:N. With auto the workers take the GPUs in turn.
        threads: CPU threads of each worker, None = all cores.
        msssim: measure MS-SSIM too.
        scores: metrics of ffmpeg to measure too.
    """

    model: str
    precision: str
    fingerprints: tuple[int, ...]
    reset_interval: int = DEFAULT_RESET_INTERVAL
    skip_threshold: float | None = DEFAULT_SKIP_THRESHOLD
    device: str = "auto"
    threads: int | None = None
    msssim: bool = False
    scores: tuple[str, ...] = ()

    stream_suffix = ".dcvc"

    @classmethod
    def for_model(cls, model: str = DEFAULT_MODEL, precision: str | None = None, **others: Any) -> "DcvcSettings":
        """Settings with these weights.

        Args:
            precision: one of PRECISION_NAMES; None = exact where the weights have it, else fp32.
            others: values of the other fields.

        Raises:
            UsageError: there is no such precision.
            EnvironmentFault: this machine lacks the weights.
        """
        if precision is not None and precision not in PRECISION_NAMES:
            raise UsageError(f"--precision {precision} is not known, expected one of {', '.join(PRECISION_NAMES)}")
        weights = weights_by_name(model)
        chosen = precision or ("exact" if weights.is_exact else "fp32")
        return cls(model, chosen, weights.fingerprints, **others)

    def open(self, worker: int) -> "DcvcClipCoder":
        return DcvcClipCoder(
            self, open_model(self.model, self.precision, device_of_worker(self.device, worker), self.threads)
        )

    def record(self) -> dict[str, Any]:
        return {
            "codec": "dcvc",
            "model": self.model,
            "fingerprints": [f"{fingerprint:016x}" for fingerprint in self.fingerprints],
            "precision": self.precision,
            "reset_interval": self.reset_interval,
            "skip_threshold": self.skip_threshold,
            "msssim": self.msssim,
            **({"scores": list(self.scores)} if self.scores else {}),
        }


def rates_of_model(name: str, rates: list[Rate], *, is_default: bool) -> list[Rate]:
    """Returns the rates that a model has: one where the QP changes nothing.

    Args:
        name: of the weights, or a path.
        is_default: whether nobody asked for these rates.

    Raises:
        UsageError: somebody asked for several rates of a model that has one.
        EnvironmentFault: this machine lacks the weights.
    """
    if len(rates) == 1 or weights_by_name(name).model.has_qps:
        return rates
    if not is_default:
        hint = (
            "leave out --rate-num and --qp-i; evaluate the weights of each rate, and give dcvc compare all result files"
        )
        raise UsageError(f"--model {name} has one rate, which no QP changes; {len(rates)} rates are asked for", hint)
    return [Rate(0, 0, 0)]


@dataclass(frozen=True)
class ConventionalSettings:
    """A conventional codec.

    Attributes:
        encoder: how clips are coded; the intra period of each clip takes the place of `encoder.intra_period`.
        msssim: measure MS-SSIM too.
        scores: metrics of ffmpeg to measure too.
    """

    codec: ConventionalCodec
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    msssim: bool = False
    scores: tuple[str, ...] = ()

    @property
    def stream_suffix(self) -> str:
        return f".{ENCODERS[self.codec].stream_format}"

    def open(self, worker: int) -> "ConventionalClipCoder":
        require_encoder(self.codec)
        return ConventionalClipCoder(self)

    def record(self) -> dict[str, Any]:
        encoder = {name: value for name, value in asdict(self.encoder).items() if name != "intra_period"}
        scores = {"scores": list(self.scores)} if self.scores else {}
        own, ffmpeg = versions(require_encoder(self.codec), self.codec)
        used = {ENCODERS[self.codec].name: own, "ffmpeg": ffmpeg}
        options = list(self.encoder.options)
        return {"codec": self.codec.value, **encoder, "options": options, "msssim": self.msssim, **scores, **used}


class DcvcClipCoder:
    """Codes into a file with a StreamEncoder, and decodes that file with a decoder of its own. Both share the networks'
    parameters only."""

    def __init__(self, settings: DcvcSettings, model: OpenedModel) -> None:
        self._settings, self._model = settings, model
        self._networks = NetworksOfModel(model)

    def measure(self, point: EvaluationPoint, stream: Path) -> PointMeasurement:
        """Measures as ClipCoder.measure says. Every picture hash in the stream is checked: I frames, every 32nd frame
        and the last frame have one."""
        encoded = self._encode(point, stream)
        records = []
        with StreamSource(str(stream)) as source, open_clip(point.sequence) as reader:
            num_pixels = reader.format.size.num_pixels
            decoded = OpenedStream(source).frames(self._networks, verify=True)
            # The decoder comes first in zip: it checks the last hash before it ends.
            for frame, original, report in zip(decoded, reader, encoded, strict=True):
                quality = picture_quality(
                    original, frame.picture, reader.format, psnr=True, msssim=self._settings.msssim
                )
                records.append(_frame_record(frame.report, report.seconds, quality))
        with StreamSource(str(stream)) as source, open_clip(point.sequence) as reader:
            again = (frame.picture for frame in OpenedStream(source).frames(self._networks))
            records = with_scores(records, self._settings.scores, reader.format, reader, again)
        return PointMeasurement(records, num_pixels)

    def _encode(self, point: EvaluationPoint, stream: Path) -> list[FrameReport]:
        rate, settings = point.rate, self._settings
        choices = CodingChoices(
            qp_i=rate.qp_i,
            qp_p=rate.qp_i if rate.qp_p is None else rate.qp_p,
            keyint=point.sequence.intra_period,
            reset_interval=settings.reset_interval,
            skip_threshold=settings.skip_threshold,
        )
        reports: list[FrameReport] = []
        with open_clip(point.sequence) as reader, OutputFile(str(stream), overwrite=True) as sink:
            encode_pictures(StreamEncoder(self._model, reader.format, choices, sink), reader, reports.append)
        return reports


class ConventionalClipCoder:
    """Unpacks a clip with dcvc's own reader, so that ffmpeg codes the same pictures as dcvc."""

    def __init__(self, settings: ConventionalSettings) -> None:
        self._settings = settings

    def measure(self, point: EvaluationPoint, stream: Path) -> PointMeasurement:
        settings = self._settings
        with tempfile.TemporaryDirectory(prefix="dcvc-clip-") as folder:
            with open_clip(point.sequence) as reader:
                clip = unpack_clip(reader, Path(folder, "source.yuv"))
            encoder = EncoderSettings(**{**asdict(settings.encoder), "intra_period": point.sequence.intra_period})
            records = code_with_ffmpeg(
                settings.codec,
                clip,
                point.rate.qp_i,
                encoder,
                stream=stream,
                msssim=settings.msssim,
                scores=settings.scores,
            )
        return PointMeasurement(records, clip.format.size.num_pixels)


def open_clip(sequence: SequenceSource) -> PictureReader:
    """Opens a clip of a test set.

    Raises:
        InputError: the clip is missing, or differs from the configuration: in size, or with fewer frames where their
            number is known.
    """
    if not sequence.path.exists():
        raise InputError(f"{sequence.path} is not there", "--root says where the test set lies")
    kind = {SourceType.YUV420: "yuv", SourceType.PNG: "png", SourceType.VIDEO: None}[sequence.source_type]
    size = sequence.size if sequence.source_type is SourceType.YUV420 else None
    reader = open_reader(str(sequence.path), size=size, input_format=kind, max_frames=sequence.num_frames)
    found = reader.format.size
    fault = None
    if sequence.size not in (None, found):
        fault = f"{sequence.path} is {found}, expected {sequence.size} as the test configuration says"
    elif (
        sequence.source_type is not SourceType.VIDEO
        and reader.num_frames is not None
        and reader.num_frames < sequence.num_frames
    ):
        fault = (
            f"{sequence.path} has {reader.num_frames} frames, expected {sequence.num_frames} as the test configuration "
            "says"
        )
    if fault is not None:
        reader.close()
        raise InputError(fault)
    return reader


def device_of_worker(name: str, worker: int) -> str:
    """Returns the device of a worker: with `auto` the workers take the GPUs in turn, or the CPU where there is none;
    other names stay."""
    if name != "auto":
        return name
    try:
        import torch
    except ImportError:
        return "cpu"
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{worker % num_gpus}" if num_gpus else "cpu"


def _frame_record(report: FrameReport, encode_seconds: float, quality: dict[str, float]) -> FrameRecord:
    def planes(metric: str) -> tuple[float, float, float] | None:
        values = [quality[name] for plane in "yuv" if (name := f"{metric}_{plane}") in quality]
        return (values[0], values[1], values[2]) if len(values) == 3 else None

    msssim = quality.get("msssim")
    return FrameRecord(
        is_intra=report.frame_type == "I",
        num_bits=8 * report.size_bytes,
        psnr=quality["psnr"],
        psnr_planes=planes("psnr"),
        msssim=msssim,
        msssim_planes=planes("msssim") if msssim is not None else None,
        encode_seconds=encode_seconds,
        decode_seconds=report.seconds,
    )
