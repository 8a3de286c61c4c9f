"""The configuration of a gateway that serves, and the one way in which it changes.

Whatever asks for a change (the file, SIGHUP, an operator), it is the same: read all settings again, lay the
operators' changes over them, check the whole, build what follows from it beside what serves, swap. One
change at a time; on any error the old configuration goes on serving.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from lmaas_gateway.configuration.changes import Overrides
from lmaas_gateway.configuration.names import name_replicas, names_of
from lmaas_gateway.errors import GatewayError, InvalidConfigurationError, SettingsError
from lmaas_gateway.metrics.names import CONFIG_CHANGES
from lmaas_gateway.settings import fixed_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.configuration.changes import Change
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.launcher import Launcher
    from lmaas_gateway.settings import Settings


_LOG = logging.getLogger("lmaas.gateway")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change.

    Attributes:
        generation: Counts the configurations that have served, from 1.
        is_changed: Whether anything is another now.
    """

    generation: int
    is_changed: bool


class Target(Protocol):
    """What serves by a configuration."""

    @property
    def metrics(self) -> Metrics:
        """Where changes are counted."""
        ...

    async def change(self, settings: Settings) -> None:
        """Build what follows from `settings` and swap.

        Raises:
            SettingsError: it cannot be; nothing has changed.
        """
        ...

    async def renew_tls(self) -> None:
        """Read the files of TLS again; those that cannot be used are said in the log."""
        ...

    def calls_at(self, model: str, url: str) -> int:
        """Count the calls that a replica works on."""
        ...


class Configuration:
    """Holds what serves, and replaces it.

    Args:
        base: What was read at start.
        load: Reads all settings again; called in a thread.
        launcher: Starts the engines of launched models; None where there is none.

    Raises:
        SettingsError: the settings cannot work.
    """

    def __init__(
        self, base: Settings, load: Callable[[], Settings], *, launcher: Launcher | None = None
    ) -> None:
        self._base = base
        self._load = load
        self._launcher = launcher
        self._overrides = Overrides()
        self._lock = asyncio.Lock()
        self._target: Target | None = None
        self._generation = 1
        self._settings = name_replicas(self._resolve(base), {})

    @property
    def settings(self) -> Settings:
        """The configuration that serves; all replicas have addresses and names."""
        return self._settings

    def attach(self, target: Target) -> None:
        """Say what serves by this configuration, and is to change with it."""
        self._target = target

    async def reload(self) -> Outcome:
        """Read all settings again.

        Raises:
            InvalidConfigurationError: they cannot work; the old ones serve.
        """
        async with self._lock:
            return await self._try(self._reload)

    async def change(self, change: Change) -> Outcome:
        """Apply an operator's change.

        Raises:
            GatewayError: it cannot be; the old configuration serves.
        """
        async with self._lock:
            return await self._try(lambda: self._change(change))

    async def refresh(self) -> Outcome:
        """Serve by the addresses that the launcher gives now.

        Raises:
            InvalidConfigurationError: what it launched cannot serve.
        """
        async with self._lock:
            return await self._try(lambda: self._replace(self._base, self._overrides))

    def calls_at(self, model: str, url: str) -> int:
        """Count the calls that a replica works on."""
        return 0 if self._target is None else self._target.calls_at(model, url)

    async def _reload(self) -> Outcome:
        if self._target is not None:
            await self._target.renew_tls()
        return await self._replace(await asyncio.to_thread(self._load), self._overrides)

    async def _change(self, change: Change) -> Outcome:
        launched = {
            model.name: model.replicas for model in self._base.models if isinstance(model.replicas, int)
        }
        return await self._replace(self._base, self._overrides.plus(change, self._settings, launched))

    async def _try(self, replace: Callable[[], Awaitable[Outcome]]) -> Outcome:
        try:
            outcome = await replace()
        except (SettingsError, GatewayError) as error:
            self._count("refused")
            _LOG.error("the configuration was not changed, the old one serves: %s", error)
            if isinstance(error, GatewayError):
                raise
            raise InvalidConfigurationError(f"Nothing was changed: {error}.") from None
        except Exception:
            self._count("refused")
            _LOG.exception("the configuration was not changed, the old one serves: the gateway failed on it")
            raise
        self._count("changed" if outcome.is_changed else "unchanged")
        if outcome.is_changed:
            _LOG.info("the configuration was changed to generation %d", outcome.generation)
        return outcome

    def _count(self, result: Literal["changed", "unchanged", "refused"]) -> None:
        if self._target is not None:
            self._target.metrics.count(CONFIG_CHANGES, (result,))

    async def _replace(self, base: Settings, overrides: Overrides) -> Outcome:
        _check_fixed(self._base, base)
        if not base.models:
            raise SettingsError("there is no model to serve")
        names = names_of(self._settings)
        scaled = overrides.scale(base)
        if self._launcher is not None:
            await self._launcher.get_ready(scaled.models)
        named = name_replicas(self._resolve(scaled), names)
        settings = overrides.adjust(name_replicas(overrides.place(named), names))
        is_changed = settings != self._settings
        if is_changed:
            if self._target is not None:
                await self._target.change(settings)
            self._settings = settings
            self._generation += 1
        self._base, self._overrides = base, overrides
        if self._launcher is not None:
            self._launcher.follow(scaled.models, self)
        return Outcome(self._generation, is_changed)

    def _resolve(self, settings: Settings) -> Settings:
        return settings if self._launcher is None else self._launcher.resolve(settings)


def _check_fixed(old: Settings, new: Settings) -> None:
    """Refuse what cannot change while the gateway runs."""
    fixed = [name for name in fixed_names() if getattr(old, name) != getattr(new, name)]
    if fixed:
        raise SettingsError(f"{', '.join(fixed)} cannot change while the gateway runs; restart it for that")
