"""What must hold between the models of one list: names, fallbacks, canaries and kinds."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.settings.models import ModelSettings


def check_models(models: tuple[ModelSettings, ...]) -> None:
    """Check all that can be told before kinds are known.

    Raises:
        ValueError: a name is taken, or a model that stands in does not exist or leads back.
    """
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            message = f"two models are called {name!r}; give each a `name` of its own"
            raise ValueError(message)
    _check_aliases(models)
    _check_stand_ins(models)


def check_kinds(models: Iterable[ModelSettings]) -> None:
    """Check, once all kinds are known, that no model is stood in for by one of another kind.

    Raises:
        SettingsError: one is.
    """
    kinds = {model.name: model.kind or "chat" for model in models}
    for model in models:
        names = model.fallbacks if model.canary is None else (*model.fallbacks, model.canary.model)
        for name in names:
            if kinds[name] != kinds[model.name]:
                raise SettingsError(
                    f"model {name!r} is of kind {kinds[name]} and cannot stand in for {model.name!r}, "
                    f"which is of kind {kinds[model.name]}"
                )


def _check_aliases(models: tuple[ModelSettings, ...]) -> None:
    taken = {model.name for model in models}
    for model in models:
        for alias in model.aliases:
            if not alias or alias in taken:
                message = f"model {model.name!r} has the alias {alias!r}, which is taken; give it another one"
                raise ValueError(message)
            taken.add(alias)


def _check_stand_ins(models: tuple[ModelSettings, ...]) -> None:
    """Refuse fallbacks and canaries that do not exist, and chains that come back to where they began."""
    chains = {model.name: model.fallbacks for model in models}
    for model in models:
        wanted = [("fallbacks", name) for name in model.fallbacks]
        if model.canary is not None:
            wanted.append(("canary", model.canary.model))
        for setting, name in wanted:
            if name not in chains or name == model.name:
                message = f"{setting} of model {model.name!r} name {name!r}; name another model of the list"
                raise ValueError(message)
    try:
        TopologicalSorter(chains).prepare()
    except CycleError as error:
        message = f"fallbacks go round in a circle: {' → '.join(error.args[1])}; take one of them out"
        raise ValueError(message) from None
