"""The list of codec families, one line a family. Families and models are found here by name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module

from dcvc_cli.bitstream.limits import FrameLimits
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.base import Family, Model

FAMILIES: dict[str, str] = {
    "dcvc": "dcvc_cli.families.dcvc.family:DcvcFamily",
    "dcvc-hem": "dcvc_cli.families.hem.family:HemFamily",
    "dcvc-rt": "dcvc_cli.families.rt.family:RtFamily",
    "dcvc-dc": "dcvc_cli.families.dc.family:DcFamily",
    "dcvc-fm": "dcvc_cli.families.fm.family:FmFamily",
    "dcvc-tcm": "dcvc_cli.families.tcm.family:TcmFamily",
    "dcvc-uf": "dcvc_cli.families.uf.family:UfFamily",
    "evc": "dcvc_cli.families.evc.family:EvcFamily",
    "lite": "dcvc_cli.families.lite.family:LiteFamily",
}
"""Module and class of each family under the name that streams have."""
_guests: dict[str, Family] = {}


@cache
def _load(place: str) -> Family:
    module, _, name = place.partition(":")
    family: Family = getattr(import_module(module), name)()
    return family


def families() -> Mapping[str, Family]:
    """Returns all families by name."""
    return {name: _load(place) for name, place in FAMILIES.items()} | _guests


@contextmanager
def guest(family: Family) -> Iterator[None]:
    """Registers a family from outside dcvc while the block runs."""
    _guests[family.name] = family
    try:
        yield
    finally:
        del _guests[family.name]


def models() -> Mapping[str, Model]:
    """Returns the models of all families by name."""
    return {name: model for family in families().values() for name, model in family.models.items()}


def find_model(name: str) -> Model:
    """Finds a model by name.

    Raises:
        EnvironmentFault: no model has this name. The hint lists the names.
    """
    known = models()
    if name not in known:
        raise EnvironmentFault(f"there is no model {name!r}", f"known: {', '.join(known)}")
    return known[name]


def model_of_stream(sps: Sps) -> Model:
    """Finds the model that an SPS names.

    Raises:
        EnvironmentFault: this dcvc does not know the family, the model or the version of its syntax.
    """
    known = families()
    family = known.get(sps.model_family)
    if family is None or sps.syntax > family.syntax:
        listed = ", ".join(f"{name!r} with syntax {one.syntax}" for name, one in known.items())
        message = f"the stream is of model family {sps.model_family!r} with syntax {sps.syntax}, this dcvc has {listed}"
        raise EnvironmentFault(message, "decode it with a newer dcvc")
    model = family.models.get(sps.model_variant)
    if model is None or len(sps.fingerprints) != len(model.networks):
        message = (
            f"the stream is of model {sps.model_variant!r} of family {sps.model_family!r}, this dcvc has "
            f"{', '.join(family.models)}"
        )
        raise EnvironmentFault(message, "decode it with a newer dcvc")
    return model


def limits_of(sps: Sps) -> FrameLimits | None:
    """Returns the limits of units under an SPS; None for a model that this dcvc does not know."""
    family = families().get(sps.model_family)
    model = family.models.get(sps.model_variant) if family is not None else None
    return None if model is None else model.limits(sps)


def family_of(model: Model) -> Family:
    """Returns the family of a model."""
    return next(family for family in families().values() if family.models.get(model.name) is model)
