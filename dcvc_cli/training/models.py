"""The models that can be trained: they list networks to train."""

from dcvc_cli.errors import UsageError
from dcvc_cli.families.base import Model
from dcvc_cli.families.registry import models


def trainable() -> dict[str, Model]:
    """Returns the models that can be trained, by name."""
    return {name: model for name, model in models().items() if model.trainees}


def trainee_names() -> list[str]:
    """Returns the names of all networks that some model lists as trainable, each once, in the order of training."""
    return list(dict.fromkeys(name for model in trainable().values() for name in model.trainees))


def trained_before(name: str) -> list[str]:
    """Returns the networks that some model trains before the network `name`."""
    lists = [model.trainees for model in trainable().values() if name in model.trainees]
    return list(dict.fromkeys(before for trainees in lists for before in trainees[: trainees.index(name)]))


def models_with(name: str) -> list[str]:
    """Returns the models that list a network as trainable, without models for tests."""
    return [model.name for model in trainable().values() if name in model.trainees and not model.is_for_tests]


def trainable_model(name: str) -> Model:
    """Finds a model that can be trained.

    Raises:
        UsageError: there is none of this name. The hint lists the names.
    """
    known = trainable()
    if name not in known:
        raise UsageError(f"there is no model {name!r}", f"known: {', '.join(known)}")
    return known[name]
