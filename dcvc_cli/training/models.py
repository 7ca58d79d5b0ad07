"""The models that can be trained here: those that list networks to train."""

from dcvc_cli.errors import UsageError
from dcvc_cli.families.base import Model
from dcvc_cli.families.registry import models


def trainable() -> dict[str, Model]:
    """By name."""
    return {name: model for name, model in models().items() if model.trainees}


def trainable_model(name: str) -> Model:
    """A model by name; UsageError lists what there is."""
    known = trainable()
    if name not in known:
        raise UsageError(f"there is no model {name!r}", f"known: {', '.join(known)}")
    return known[name]
