"""What is read of the models and of this process: when somebody asks, or once a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.metrics import names
from lmaas_gateway.metrics.engines import EngineCounts
from lmaas_gateway.metrics.fleet import FleetGauges
from lmaas_gateway.metrics.process import ProcessUse

if TYPE_CHECKING:
    from lmaas_gateway.assembly.snapshot import Current
    from lmaas_gateway.metrics import Metrics


class Gauges:
    """Reads what nobody tells.

    Args:
        metrics: Where it is counted.
        current: The models of the moment.
        has_engines: Whether this process counts what engines count: of several workers, one does.
    """

    def __init__(self, metrics: Metrics, current: Current, *, has_engines: bool) -> None:
        self._metrics = metrics
        self._current = current
        self._process = ProcessUse(metrics)
        self._engines = EngineCounts(metrics) if has_engines else None
        FleetGauges(current.pools).watch(metrics)
        metrics.watch(names.STORED_BYTES, self._stored_bytes)

    def look(self) -> None:
        """Look at replicas, their engines and this process; once a second."""
        self._look_at_replicas()
        if self._engines is not None:
            self._engines.look(self._current.directory())
        self._process.look()

    def _stored_bytes(self) -> list[tuple[tuple[str], float]]:
        return self._current.snapshot.replays.sizes_bytes()

    def _look_at_replicas(self) -> None:
        """Share out the time of replicas whose calls take long, and count it."""
        for pool in self._current.directory():
            for replica in pool.replicas:
                replica.look()
                if replica.busy is not None and (seconds := replica.busy.take_seconds()):
                    self._metrics.count(names.REPLICA_BUSY, (pool.name, replica.name), seconds)
