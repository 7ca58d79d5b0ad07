"""The models that can be trained here: those of an image network and a video network."""

from dcvc_cli.errors import UsageError
from dcvc_cli.families.registry import models
from dcvc_cli.families.rt.model import RtModel


def trainable() -> dict[str, RtModel]:
    """By name."""
    return {name: model for name, model in models().items() if isinstance(model, RtModel)}


def trainable_model(name: str) -> RtModel:
    """A model by name; UsageError lists what there is."""
    known = trainable()
    if name not in known:
        raise UsageError(f"there is no model {name!r}", f"known: {', '.join(known)}")
    return known[name]
