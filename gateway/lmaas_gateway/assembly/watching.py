"""What is watched while calls are served: the numbers of now, canary prompts, and alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmaas_gateway.live import Live
from lmaas_gateway.quality.canaries import Canaries
from lmaas_gateway.watching.desk import AlertDesk, Place
from lmaas_gateway.watching.plan import derived_from, plan_of
from lmaas_gateway.watching.watch import Sights

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from lmaas_gateway.assembly.snapshot import Current
    from lmaas_gateway.assembly.surroundings import Surroundings
    from lmaas_gateway.call import Call, Exits
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.reply import Reply
    from lmaas_gateway.settings import CanaryPrompt, Settings
    from lmaas_gateway.watching.plan import Derive, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Who watches.

    Attributes:
        live: The numbers of now, in every process.
        canaries: Sends canary prompts, in one process.
        desk: The alerts, told by one process, shown by all.
        derive: Makes the secrets of webhooks; None where there is no master secret.
    """

    live: Live
    canaries: Canaries
    desk: AlertDesk
    derive: Derive | None

    def plan(self, settings: Settings) -> Plan:
        """Read out of a configuration what is watched, and who is told.

        Raises:
            SettingsError: an objective cannot be counted, or a webhook has no secret.
        """
        return plan_of(settings, self.derive)


def open_watching(settings: Settings, metrics: Metrics, current: Current, around: Surroundings) -> Watching:
    """Make them; nobody watches yet.

    Args:
        settings: Those of the start.
        metrics: What they look at.
        current: The configuration of the moment.
        around: With tenancy there is a store, so that what they know outlives the process.

    Raises:
        SettingsError: as `Watching.plan`.
    """
    live = Live(metrics, current.pools)

    def prompts() -> tuple[CanaryPrompt, ...]:
        return current.settings().canary_prompts if around.is_first else ()

    def ask(call: Call, meter: Meter, exits: Exits) -> Awaitable[Reply]:
        return current.snapshot.pipeline.probe(call, meter, exits)

    canaries = Canaries(prompts, ask, metrics)
    derive = None if around.tenancy is None else derived_from(around.tenancy.vault)
    desk = AlertDesk(
        _place_of(settings, around),
        plan_of(settings, derive),
        Sights(pools=current.directory, totals=lambda: live.totals, canaries=canaries.state),
        metrics=metrics,
    )
    return Watching(live=live, canaries=canaries, desk=desk, derive=derive)


def _place_of(settings: Settings, around: Surroundings) -> Place:
    """Say where what watching knows is kept, and whether this process watches: the first of several does."""
    folder = around.shared_folder if around.tenancy is None else settings.data_folder() / "watching"
    return Place(folder, str(settings.port), is_watcher=around.is_first)
