"""The models that can be trained here: those that list networks to train."""

from dcvc_cli.errors import UsageError
from dcvc_cli.families.base import Model
from dcvc_cli.families.registry import models


def trainable() -> dict[str, Model]:
    """By name."""
    return {name: model for name, model in models().items() if model.trainees}


def trainee_names() -> list[str]:
    """Names of all networks that some model lists as trainable, each once, in the order of training."""
    return list(dict.fromkeys(name for model in trainable().values() for name in model.trainees))


def trained_before(name: str) -> list[str]:
    """Networks that some model trains before the network `name`, which may be trained behind them."""
    lists = [model.trainees for model in trainable().values() if name in model.trainees]
    return list(dict.fromkeys(before for trainees in lists for before in trainees[: trainees.index(name)]))


def models_with(name: str) -> list[str]:
    """Models that list a network as trainable, without those for tests."""
    return [model.name for model in trainable().values() if name in model.trainees and not model.is_for_tests]


def trainable_model(name: str) -> Model:
    """A model by name; UsageError lists what there is."""
    known = trainable()
    if name not in known:
        raise UsageError(f"there is no model {name!r}", f"known: {', '.join(known)}")
    return known[name]
