"""Accept connections from a socket that other workers accept from too, and leave each of them its part.

Processes that wait at one socket are not served in turn: who is awake takes what is there, and one of four
got more than half of 200 connections that came one after another. Sockets of their own (`SO_REUSEPORT`) are
dealt out evenly, but what waits at the one of a worker that dies or hangs waits with it. Here all wait at one
socket, and who has more connections than its part lets the others go first for a moment: none depends on any
one worker.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.board import SharedNumber

# How many connections more than its part a worker takes at once.
_FREE_CONNECTIONS = 2
# How long the others may go first, and how many connections are taken after that, whoever has more.
_STEP_BACK_S = 0.002
_BATCH = 8
# No descriptor is left: connections wait, as asyncio has them wait.
_EXHAUSTED_S = 1.0


class Acceptor:
    """Takes the connections of one worker; where uvicorn expects a server, it is one.

    Args:
        listener: Bound and listening, without blocking; whoever made it closes it.
        serve: Makes a connection's transport and protocol.
        count: Tells how many connections are served here.
        shared: The connections of all workers, on the board.
        workers: How many workers there are.
    """

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[socket.socket], Awaitable[object]],
        count: Callable[[], int],
        *,
        shared: SharedNumber,
        workers: int,
    ) -> None:
        self._listener = listener
        self._serve = serve
        self._count = count
        self._shared = shared
        self._workers = workers
        self._told = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Take connections from now on."""
        self._loop.add_reader(self._listener, self._look)

    def close(self) -> None:
        """Take no further connections; those that were taken stay."""
        if self._rest is None:
            self._loop.remove_reader(self._listener)
        else:
            self._rest.cancel()

    async def wait_closed(self) -> None:
        """Give up the connections that have not begun: a handshake may take longer than there is time."""
        for task in self._beginning:
            task.cancel()

    def _look(self) -> None:
        if self._is_ahead():
            self._rest_for(_STEP_BACK_S)
            return
        for _ in range(_BATCH):
            if not self._take():
                return
            if self._is_ahead():
                self._rest_for(_STEP_BACK_S)
                return

    def _is_ahead(self) -> bool:
        """Tell the others how many connections are here; tell whether these are more than its part."""
        own = self._count() + len(self._beginning)
        self._shared.add(own - self._told)
        self._told = own
        return own * self._workers > self._shared.total() + _FREE_CONNECTIONS * self._workers

    def _rest_for(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._rest = self._loop.call_later(seconds, self._return)

    def _return(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener, self._look)
        for _ in range(_BATCH):
            if not self._take():
                return

    def _take(self) -> bool:
        """Take a connection; False if there is none to be had now."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError:
            self._rest_for(_EXHAUSTED_S)
            return False
        connection.setblocking(False)  # noqa: FBT003  # the socket's own way
        task = self._loop.create_task(self._begin(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        return True

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._serve(connection)
        except OSError:
            # Its client left, or is no client of TLS.
            connection.close()
