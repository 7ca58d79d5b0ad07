"""Settings of an encode in layers: defaults, then a preset, then a config file, then the command line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dcvc_cli.bitstream.sps_blocks import Vbv
from dcvc_cli.codec.choices import ENTROPY_FORMATS, HASH_KINDS, LOSSLESS_QP, CodingChoices
from dcvc_cli.coding.quality_target import EXAMPLE, QualityTarget
from dcvc_cli.errors import UsageError
from dcvc_cli.format.constants import DEFAULT_MODEL, MAX_BASE_QP
from dcvc_cli.weights.store import presets_folder

MAX_SETTINGS_BYTES = 1 << 16
RATE_MODES = ("bitrate", "target_size", "crf", "target")
"""Settings that choose the QPs; at most one of them."""
NEEDS = {"passes": ("bitrate", "target_size"), "maxrate": ("bitrate", "target_size", "crf"), "bufsize": ("maxrate",)}
"""Settings that hold beside one of others only."""
_QPS = ("qp", "qp_i", "qp_p")
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([kMG]?)", re.ASCII)
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
MIN_TARGET_SIZE, MAX_TARGET_SIZE = 100, 1 << 50
_CHOICES = CodingChoices()
PRESET_KEY = "preset"


@dataclass(frozen=True)
class EncodeSettings:
    """Settings that a preset or a config file may hold, under the names of the options.

    Attributes:
        qp: 0..63, HIGHER is better quality and a bigger file.
        qp_i: QP of I frames in place of qp, 0..63.
        qp_p: base QP of P frames in place of qp, 0..63.
        keyint: frames from one I frame to the next, -1 = only the first frame is one.
        force_keyframes: numbers of frames that become I frames; 0 is the first one coded.
        scenecut: whether the first frame of a scene becomes an I frame.
        min_keyint: frames from an I frame to one that a scene cut makes, at least 1.
        bitrate: kbit/s that the stream is to take, in place of qp; None = none.
        target_size: bytes that the stream is to take at most, also as text such as 700k, 4.5M or 2G; None = any number.
        crf: quality 0..63 on the scale of qp, with complexity taken into account; None = none.
        target: quality to reach, as quality_target.QualityTarget.parse reads it; None = none.
        passes: 1, or 2 for a first pass that finds out what frames take.
        maxrate: kbit/s at which a receiver's buffer fills, at least bitrate; None = no buffer.
        bufsize: kbit that this buffer holds; None = those of a second.
        lossless: whether the decoder's pictures are the source, in place of qp and bitrate.
        reset_interval: frames between drops of the reference feature, 0..65535, 0 = never.
        force_zero_thres: skip threshold: latents with a predicted scale up to it are not coded; 0 codes all.
        model: a name that `dcvc models list` shows, or a path to a weights file.
        precision: None = exact where the weights have it, else fp32.
        device: auto, cpu or cuda:N.
        threads: CPU threads of the arithmetic, None = all cores.
        hash: crc, md5 or none.
        entropy_format: one of ENTROPY_FORMATS.

    Raises:
        UsageError: a value cannot be obeyed; the message names its option.
    """

    qp: int = _CHOICES.qp_p
    qp_i: int | None = None
    qp_p: int | None = None
    keyint: int = _CHOICES.keyint
    force_keyframes: tuple[int, ...] = ()
    scenecut: bool = _CHOICES.scene_cuts
    min_keyint: int = _CHOICES.min_keyint
    bitrate: float | None = None
    target_size: int | None = None
    crf: int | None = None
    target: str | None = None
    passes: int = 1
    maxrate: float | None = None
    bufsize: float | None = None
    lossless: bool = _CHOICES.lossless
    reset_interval: int = _CHOICES.reset_interval
    force_zero_thres: float = _CHOICES.skip_threshold or 0
    model: str = DEFAULT_MODEL
    precision: str | None = None
    device: str = "auto"
    threads: int | None = None
    hash: str = "crc"
    entropy_format: str = "auto"

    def __post_init__(self) -> None:
        for name in ("qp", "qp_i", "qp_p", "crf"):
            self._check_whole(name, 0, MAX_BASE_QP)
        if self.keyint != -1:
            self._check_whole("keyint", 1, 1 << 31, "or -1 for a first I frame only")
        for name in ("scenecut", "lossless"):
            _check(name, getattr(self, name), isinstance(getattr(self, name), bool), "true or false")
        self._check_whole("min_keyint", 1, 1 << 31)
        self._check_rates()
        self._check_whole("reset_interval", 0, 65535)
        self._check_whole("threads", 1, 1024)
        _check(
            "force_zero_thres",
            self.force_zero_thres,
            _is_number(self.force_zero_thres) and 0 <= self.force_zero_thres <= 4294,
            "0..4294",
        )
        for name, known in (("hash", HASH_KINDS), ("entropy_format", ENTROPY_FORMATS)):
            value = getattr(self, name)
            _check(name, value, isinstance(value, str) and value in known, ", ".join(known))
        for name in ("model", "device", "precision"):
            value = getattr(self, name)
            _check(
                name,
                value,
                (isinstance(value, str) and value != "") or (name == "precision" and value is None),
                "a name",
            )
        numbers = self.force_keyframes
        valid = isinstance(numbers, tuple | list) and all(type(number) is int and number >= 0 for number in numbers)
        _check("force_keyframes", numbers, valid, "frame numbers from 0")
        object.__setattr__(self, "force_keyframes", tuple(numbers))

    def _check_whole(self, name: str, low: int, high: int, more: str = "") -> None:
        value = getattr(self, name)
        optional = name in ("qp_i", "qp_p", "crf", "threads")
        valid = (value is None and optional) or (
            isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        )
        _check(name, value, valid, f"{low}..{high} {more}".strip())

    def _check_rates(self) -> None:
        self._check_whole("passes", 1, 2)
        for name in ("bitrate", "maxrate", "bufsize"):
            value = getattr(self, name)
            _check(name, value, value is None or (_is_number(value) and 0.001 <= value <= 4_000_000), "0.001..4000000")
        object.__setattr__(self, "target_size", _size_in_bytes(self.target_size))
        _check("target", self.target, self.target is None or isinstance(self.target, str), EXAMPLE)
        if self.target is not None:
            QualityTarget.parse(self.target)
        modes = [name for name in RATE_MODES if getattr(self, name) is not None]
        if len(modes) > 1:
            first, second = (option_name(name) for name in modes[:2])
            raise UsageError(f"{first} and {second} both choose the QPs", "leave one out")
        unfit = [*modes, *(name for name in NEEDS if getattr(self, name) not in (None, 1))]
        if self.lossless and unfit:
            message = f"--lossless takes as many bits as it needs, so {option_name(unfit[0])} does not go with it"
            raise UsageError(message, "leave one out")
        for name, needed in NEEDS.items():
            if getattr(self, name) not in (None, 1) and all(getattr(self, other) is None for other in needed):
                raise UsageError(f"{option_name(name)} needs {' or '.join(map(option_name, needed))}")
        if self.maxrate is not None and self.bitrate is not None and self.maxrate < self.bitrate:
            raise UsageError(f"--maxrate {self.maxrate:g} is below --bitrate {self.bitrate:g}, expected it or more")

    @property
    def vbv(self) -> Vbv | None:
        """Returns the buffer that the settings ask for; nine tenths full at the start."""
        if self.maxrate is None:
            return None
        size = round(1000 * (self.maxrate if self.bufsize is None else self.bufsize))
        return Vbv(round(1000 * self.maxrate), size, size * 9 // 10)

    @property
    def qp_base_i(self) -> int:
        qp = self.qp if self.qp_i is None else self.qp_i
        return LOSSLESS_QP if self.lossless else qp

    @property
    def qp_base_p(self) -> int:
        qp = self.qp if self.qp_p is None else self.qp_p
        return LOSSLESS_QP if self.lossless else qp

    def coding_choices(self) -> CodingChoices:
        """Returns the settings as the encoder takes them."""
        return CodingChoices(
            qp_i=self.qp_base_i,
            qp_p=self.qp_base_p,
            keyint=self.keyint,
            forced_keys=frozenset(self.force_keyframes),
            scene_cuts=self.scenecut,
            min_keyint=self.min_keyint,
            reset_interval=self.reset_interval,
            skip_threshold=self.force_zero_thres or None,
            hash_kind=HASH_KINDS[self.hash],
            entropy_format=ENTROPY_FORMATS[self.entropy_format],
            vbv=self.vbv,
            lossless=self.lossless,
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _size_in_bytes(value: object) -> int | None:
    """Reads a number of bytes, or a text such as 4.5M; UsageError for anything else."""
    if value is None:
        return None
    match = _SIZE.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    size = 0 if match is None else round(float(match[1]) * _UNITS[match[2]])
    _check("target_size", value, MIN_TARGET_SIZE <= size <= MAX_TARGET_SIZE, "bytes, such as 700k, 4.5M or 2G")
    return size


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise UsageError(f"{option_name(name)} {value!r} is not known, expected {expected}")


def option_name(field: str) -> str:
    """Returns the option of a field: `qp_i` -> `--qp-i`."""
    return "--" + field.replace("_", "-")


DEFAULTS = EncodeSettings()
SETTING_NAMES = tuple(field.name.replace("_", "-") for field in fields(EncodeSettings))


def preset_names() -> list[str]:
    """Names of the presets that come with dcvc."""
    return sorted(path.stem for path in presets_folder().glob("*.yaml"))


def read_settings_file(path: Path, *, may_name_preset: bool) -> dict[str, Any]:
    """Reads the settings of a YAML file by field name.

    Args:
        may_name_preset: allow the key `preset`, which names the layer below this one.

    Raises:
        UsageError: the file is unreadable, is no mapping, or has a key that is no setting.
    """
    import yaml

    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SETTINGS_BYTES + 1)
        if len(content) > MAX_SETTINGS_BYTES:
            raise UsageError(f"{path} is larger than {MAX_SETTINGS_BYTES} bytes, the limit of a settings file")
        values = yaml.safe_load(content)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    known = (*SETTING_NAMES, *((PRESET_KEY,) if may_name_preset else ()))
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no settings, expected lines such as `qp: 40`")
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise UsageError(f"{path} sets {', '.join(unknown)}, which is no setting", f"settings are {', '.join(known)}")
    return {key.replace("-", "_"): value for key, value in values.items()}


def layered_settings(given: Mapping[str, Any], preset: str | None, config: str | None) -> EncodeSettings:
    """Lays defaults, preset, config file and command line over each other; a later layer wins.

    `qp` in a layer wins over `qp-i` and `qp-p` of earlier layers too. A layer that says how QPs are chosen (a QP, a
    bitrate, a quality, lossless coding) drops what earlier layers say about it.

    Args:
        given: values of the command line by field name; None = not given.
        preset: name of the preset, None = the one that the config file names, if any.
        config: path of the config file, None for none.

    Raises:
        UsageError: as EncodeSettings and `read_settings_file`, or there is no such preset.
    """
    config_values = read_settings_file(Path(config), may_name_preset=True) if config is not None else {}
    named = config_values.pop(PRESET_KEY, None)
    preset = preset if preset is not None else named
    layers = [
        _preset_values(str(preset)) if preset is not None else {},
        config_values,
        {k: v for k, v in given.items() if v is not None},
    ]
    values: dict[str, Any] = {}
    for layer in layers:
        dropped = _dropped_by(layer, values)
        values = {name: value for name, value in values.items() if name not in dropped} | layer
    return EncodeSettings(**values)


def _dropped_by(layer: Mapping[str, Any], before: Mapping[str, Any]) -> set[str]:
    """Returns the settings of the layers before that do not hold beside what this layer says of the QPs."""
    modes = {name for name in RATE_MODES if layer.get(name) is not None}
    qps = {name for name in _QPS if layer.get(name) is not None}
    if qps and (modes or layer.get("lossless")):
        does = f"{option_name(min(modes))} chooses the QPs" if modes else "--lossless has one quality"
        raise UsageError(f"{does}, so --qp, --qp-i and --qp-p do not go with it", "leave one out")
    if not (qps or modes or layer.get("lossless")):
        return set()
    dropped = {"lossless", *RATE_MODES} | (set() if modes & set(before) else set(NEEDS))
    return dropped if qps and "qp" not in qps else dropped | {"qp_i", "qp_p"}


def _preset_values(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise UsageError(
            f"there is no preset {name!r}, expected one of {', '.join(preset_names())}",
            "--config FILE.yaml takes a file of your own",
        )
    return read_settings_file(presets_folder() / f"{name}.yaml", may_name_preset=False)
