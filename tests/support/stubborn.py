"""A worker that cannot be stopped nicely; in a module of its own, because the worker's process imports it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from lmaas_gateway.board import Seat
    from lmaas_gateway.settings import Settings
    from lmaas_gateway.workers import Listeners


def serve_forever(settings: Settings, listeners: Listeners, seat: Seat, link: socket.socket) -> None:
    del settings, listeners, seat, link
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pause()
