"""Alerts as people see them, in any worker, and the silences that they ask for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmaas_gateway.watching.alerts import Silence, is_silenced
from lmaas_gateway.watching.delivery import Pacing
from lmaas_gateway.watching.keeping import Keeping
from lmaas_gateway.watching.sending import Sender
from lmaas_gateway.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.watching.alerts import Alert
    from lmaas_gateway.watching.plan import Plan
    from lmaas_gateway.watching.watch import Sights


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway keeps what its watching knows, and which of its processes watches.

    Attributes:
        folder: None for one that goes with the process.
        name: Of the gateway, where several share the folder; its port.
        is_watcher: Whether this process watches; exactly one of a gateway's does.
    """

    folder: Path | None
    name: str
    is_watcher: bool


class AlertDesk:
    """The alerts of this gateway.

    Args:
        place: Where they are kept.
        plan: What is watched.
        sights: What is looked at, in the process that watches.
        metrics: Shows what comes of it.
        clock: Unix seconds.
    """

    def __init__(
        self,
        place: Place,
        plan: Plan,
        sights: Sights,
        *,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._place = place
        self._plan = plan
        self._sights = sights
        self._metrics = metrics
        self._clock = clock
        self._sender = Sender()
        self._keeping: Keeping | None = None
        self._passing: Path | None = None
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch, if this process does."""
        folder = self._place.folder
        if folder is None:
            folder = self._passing = Path(tempfile.mkdtemp(prefix="lmaas-watching-"))
        self._keeping = Keeping(folder, self._place.name)
        if not self._place.is_watcher:
            return
        self._watch = Watch(
            self._keeping,
            self._plan,
            self._sights,
            metrics=self._metrics,
            send=self._sender,
            gateway=f"{socket.gethostname()}:{self._place.name}",
            pacing=Pacing(now=self._clock),
        )
        self._task = asyncio.create_task(self._watch.run())

    def follow(self, plan: Plan) -> None:
        """Watch by another configuration."""
        self._plan = plan
        if self._watch is not None:
            self._watch.follow(plan)

    def alerts(self) -> list[tuple[Alert, Silence | None]]:
        """List the alerts that are, and those that ended lately, with the silence that each is under."""
        if self._keeping is None:
            return []
        silences, at_s = self._keeping.silences(), self._clock()
        return [
            (alert, silences[alert.id] if is_silenced(alert.id, silences, at_s) else None)
            for alert in self._keeping.alerts()
        ]

    def silence(self, id_: str, duration_s: float, comment: str = "") -> bool:
        """Have nobody told of an alert for a while; 0 ends a silence.

        Returns:
            Whether there is such an alert.

        Raises:
            OSError: it cannot be written down.
        """
        if self._keeping is None or all(alert.id != id_ for alert, _ in self.alerts()):
            return False
        at_s = self._clock()
        silence = Silence(at_s + duration_s, comment) if duration_s else None
        self._keeping.silence(id_, silence, at_s)
        return True

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._sender.close()
        if self._passing is not None:
            shutil.rmtree(self._passing, ignore_errors=True)
