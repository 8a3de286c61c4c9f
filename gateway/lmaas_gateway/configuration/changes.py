"""What an operator can change beside the configuration file, as values that are laid over it.

A change is checked, remembered in `Overrides`, and applied to each configuration from then on, so that a
reload of the file does not undo it. The gateway's restart does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lmaas_gateway.errors import InvalidConfigurationError, ModelNotFoundError, ReplicaNotFoundError
from lmaas_gateway.settings import ModelSettings, ReplicaSettings

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from lmaas_gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class AddReplica:
    """Let a replica that runs somewhere take calls for a model."""

    model: str
    replica: ReplicaSettings


@dataclass(frozen=True, slots=True)
class RemoveReplica:
    """Send a replica no more calls, and forget it when it has ended those that it has."""

    name: str


@dataclass(frozen=True, slots=True)
class ChangeReplica:
    """Set how much a replica takes, or let it drain; None leaves as it is."""

    name: str
    weight: float | None = None
    draining: bool | None = None


@dataclass(frozen=True, slots=True)
class ScaleModel:
    """Launch so many replicas of a model that the gateway launches itself.

    Attributes:
        model: Its name.
        replicas: How many; 0 stops it, None starts as many as the configuration wants, one at least.
    """

    model: str
    replicas: int | None


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget all that operators changed: the configuration file alone counts."""


Change = AddReplica | RemoveReplica | ChangeReplica | ScaleModel | Reset


@dataclass(frozen=True, slots=True)
class Overrides:
    """All that operators changed since the gateway started.

    Attributes:
        added: Replicas by model, with their names.
        removed: Replicas of the file, by model and address.
        changed: Weight and draining, by replica name.
        counts: How many replicas to launch, by model.
    """

    added: tuple[AddReplica, ...] = ()
    removed: frozenset[tuple[str, str]] = frozenset()
    changed: Mapping[str, ChangeReplica] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    def scale(self, settings: Settings) -> Settings:
        """Lay the numbers of replicas to launch over what the file says."""
        return _with_models(settings, (self._scale(model) for model in settings.models))

    def place(self, settings: Settings) -> Settings:
        """Take out and add replicas, in settings whose replicas have addresses."""
        return _with_models(settings, (self._place(model) for model in settings.models))

    def adjust(self, settings: Settings) -> Settings:
        """Lay weight and draining over settings whose replicas have names."""
        return _with_models(settings, (self._adjust(model) for model in settings.models))

    def plus(self, change: Change, settings: Settings, launched: Mapping[str, int]) -> Overrides:
        """Remember one change more.

        Args:
            change: What is asked for.
            settings: The configuration that serves, in which replicas have names.
            launched: How many replicas the file wants of each model that is launched here.

        Raises:
            ModelNotFoundError: there is no such model.
            ReplicaNotFoundError: there is no such replica.
            InvalidConfigurationError: the change does not fit what it is asked for.
        """
        match change:
            case AddReplica():
                return self._add(change, _find_model(change.model, settings))
            case RemoveReplica():
                return self._remove(*_find_replica(change.name, settings), launched)
            case ChangeReplica():
                _find_replica(change.name, settings)
                return dataclasses.replace(self, changed={**self.changed, change.name: self._merge(change)})
            case ScaleModel():
                model = _find_model(change.model, settings)
                if model.name not in launched:
                    message = (
                        f"The replicas of {model.name!r} are not launched here; add or remove single ones."
                    )
                    raise InvalidConfigurationError(message, param="replicas")
                count = max(1, launched[model.name]) if change.replicas is None else change.replicas
                return dataclasses.replace(self, counts={**self.counts, model.name: count})
            case Reset():
                return Overrides()

    def _add(self, change: AddReplica, model: ModelSettings) -> Overrides:
        old = next((replica for replica in _listed(model) if replica.url == change.replica.url), None)
        if old is not None:
            message = f"The model {model.name!r} has this replica already; it is called {old.name!r}."
            raise InvalidConfigurationError(message, param="url")
        return dataclasses.replace(self, added=(*self.added, change))

    def _remove(self, model: ModelSettings, replica: ReplicaSettings, launched: Container[str]) -> Overrides:
        kept = tuple(
            added for added in self.added if (added.model, added.replica.url) != (model.name, replica.url)
        )
        changed = {key: change for key, change in self.changed.items() if key != replica.name}
        if len(kept) < len(self.added):
            return dataclasses.replace(self, added=kept, changed=changed)
        if model.name in launched:
            message = (
                f"The replica {replica.name!r} is launched here; lower the number of its model's replicas."
            )
            raise InvalidConfigurationError(message)
        if len(_listed(model)) == 1:
            message = (
                f"Model {model.name!r} would have no replica that takes calls; add another one first, or "
                "remove the model from the configuration."
            )
            raise InvalidConfigurationError(message)
        removed = self.removed | {(model.name, replica.url)}
        return dataclasses.replace(self, removed=removed, changed=changed)

    def _merge(self, change: ChangeReplica) -> ChangeReplica:
        old = self.changed.get(change.name, change)
        return ChangeReplica(
            change.name,
            old.weight if change.weight is None else change.weight,
            old.draining if change.draining is None else change.draining,
        )

    def _scale(self, model: ModelSettings) -> ModelSettings:
        count = self.counts.get(model.name)
        if count is None or not model.is_launched:
            return model
        return model.model_copy(update={"replicas": count})

    def _place(self, model: ModelSettings) -> ModelSettings:
        kept = tuple(replica for replica in _listed(model) if (model.name, replica.url) not in self.removed)
        urls = {replica.url for replica in kept}
        added = tuple(
            change.replica
            for change in self.added
            if change.model == model.name and change.replica.url not in urls
        )
        return model.model_copy(update={"replicas": kept + added})

    def _adjust(self, model: ModelSettings) -> ModelSettings:
        return model.model_copy(update={"replicas": tuple(map(self._change, _listed(model)))})

    def _change(self, replica: ReplicaSettings) -> ReplicaSettings:
        change = self.changed.get(replica.name)
        if change is None:
            return replica
        update = {"weight": change.weight, "draining": change.draining}
        return replica.model_copy(update={name: value for name, value in update.items() if value is not None})


def _with_models(settings: Settings, models: Iterable[ModelSettings]) -> Settings:
    return settings.model_copy(update={"models": tuple(models)})


def _listed(model: ModelSettings) -> tuple[ReplicaSettings, ...]:
    return () if isinstance(model.replicas, int) else model.replicas


def _find_model(name: str, settings: Settings) -> ModelSettings:
    for model in settings.models:
        if model.name == name:
            return model
    raise ModelNotFoundError(f"No model {name[:100]!r} is served here.", param="model")


def _find_replica(name: str, settings: Settings) -> tuple[ModelSettings, ReplicaSettings]:
    for model in settings.models:
        for replica in _listed(model):
            if replica.name == name:
                return model, replica
    message = f"No replica is called {name[:100]!r}; GET /admin/v1/pools lists them all."
    raise ReplicaNotFoundError(message)
