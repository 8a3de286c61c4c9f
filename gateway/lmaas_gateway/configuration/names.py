"""Names of replicas that have none: the model's and a number, kept for as long as the replica is there."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.settings import ModelSettings, ReplicaSettings, Settings

    Names = Mapping[tuple[str, str], str]


def names_of(settings: Settings) -> dict[tuple[str, str], str]:
    """Give the names of all replicas by model and address."""
    return {
        (model.name, replica.url): replica.name for model in settings.models for replica in _listed(model)
    }


def name_replicas(settings: Settings, given: Names) -> Settings:
    """Name every replica that has an address.

    A replica that had a name keeps it when others before it go: it stands in metrics, and operators use it.

    Args:
        settings: Where replicas may lack a name.
        given: Names that were given before, by model and address.

    Raises:
        SettingsError: two replicas have the same name.
    """
    taken: set[str] = set()
    for model in settings.models:
        for replica in _listed(model):
            name = replica.name
            if name in taken:
                raise SettingsError(f"two replicas are called {name!r}; give each a name of its own")
            taken |= {name} if name else set()
    models = [_name_all(model, given, taken) for model in settings.models]
    return settings.model_copy(update={"models": tuple(models)})


def _name_all(model: ModelSettings, given: Names, taken: set[str]) -> ModelSettings:
    if isinstance(model.replicas, int):
        return model
    names: dict[str, str] = {replica.url: replica.name for replica in model.replicas if replica.name}
    missing = [replica for replica in model.replicas if not replica.name]
    for replica in missing:
        old = given.get((model.name, replica.url))
        if old is not None and old not in taken:
            names[replica.url] = old
            taken.add(old)
    # The names of replicas that were added at run time are not in these settings yet, and still theirs.
    unusable = taken.union(given.values())
    numbers = itertools.count()
    for replica in missing:
        if replica.url not in names:
            names[replica.url] = next(
                name for number in numbers if (name := f"{model.name}-{number}") not in unusable
            )
    taken.update(names.values())
    replicas = (replica.model_copy(update={"name": names[replica.url]}) for replica in model.replicas)
    return model.model_copy(update={"replicas": tuple(replicas)})


def _listed(model: ModelSettings) -> tuple[ReplicaSettings, ...]:
    return () if isinstance(model.replicas, int) else model.replicas
