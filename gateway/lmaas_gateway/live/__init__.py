"""The numbers of now: one source for the dashboard, `lmaas top` and alerts.

`live.py` looks once a second at what all workers counted; `history.py` keeps the last quarter of an hour;
`sums.py` does the arithmetic; `fleet.py` adds the replicas of this moment; `view.py` is what comes out.
"""

from lmaas_gateway.live.live import DEFAULT_WINDOW_S, Live
from lmaas_gateway.live.view import (
    Flow,
    LiveEngine,
    LiveGpu,
    LiveHost,
    LiveModel,
    LiveReplica,
    LiveView,
    Second,
    Spread,
)

__all__ = [
    "DEFAULT_WINDOW_S",
    "Flow",
    "Live",
    "LiveEngine",
    "LiveGpu",
    "LiveHost",
    "LiveModel",
    "LiveReplica",
    "LiveView",
    "Second",
    "Spread",
]
