"""Connections at a socket that several workers accept from."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway import acceptor
from lmaas_gateway.acceptor import Acceptor
from lmaas_gateway.board import Seat, SharedBoard
from lmaas_gateway.server import listen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Worker:
    """One of several that take connections from one socket; all of them live in this process."""

    def __init__(self, listener: socket.socket, folder: Path, slot: int, slots: int) -> None:
        self.open: list[socket.socket] = []
        self.listener = listener.dup()
        self.listener.setblocking(False)
        self.acceptor = Acceptor(
            self.listener,
            self.take,
            lambda: len(self.open),
            shared=SharedBoard(Seat(folder, slot, slots)).number("connections"),
            workers=slots,
        )

    async def take(self, connection: socket.socket) -> None:
        self.open.append(connection)

    def end(self) -> None:
        self.acceptor.close()
        for one in (*self.open, self.listener):
            one.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as one:
        yield one


@contextlib.contextmanager
def workers_at(listener: socket.socket, folder: Path, slots: int) -> Iterator[list[Worker]]:
    workers = [Worker(listener, folder, slot, slots) for slot in range(slots)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()


async def connect(listener: socket.socket, count: int, *, together: bool) -> list[socket.socket]:
    """Open connections, all at once or one after the other."""
    made = []
    for _ in range(count):
        made.append(socket.create_connection(listener.getsockname()))
        if not together:
            await asyncio.sleep(0)
    return made


async def until_open(workers: list[Worker], count: int) -> list[int]:
    async with asyncio.timeout(5):
        while sum(len(worker.open) for worker in workers) < count:
            await asyncio.sleep(0.001)
    return [len(worker.open) for worker in workers]


@pytest.mark.parametrize("together", [True, False])
async def test_each_worker_gets_its_part(listener: socket.socket, tmp_path: Path, together: bool) -> None:
    with workers_at(listener, tmp_path, 4) as workers:
        for worker in workers:
            worker.acceptor.start()
        clients = await connect(listener, 80, together=together)
        counts = await until_open(workers, 80)
        assert max(counts) <= 20 + acceptor._BATCH
        assert min(counts) >= 20 - acceptor._BATCH
        for client in clients:
            client.close()


async def test_what_workers_that_are_gone_or_hang_leave_is_taken_by_the_one_that_is_there(
    listener: socket.socket, tmp_path: Path
) -> None:
    with workers_at(listener, tmp_path, 4) as workers:
        workers[0].acceptor.start()
        clients = await connect(listener, 60, together=True)
        assert await until_open(workers, 60) == [60, 0, 0, 0]
        for client in clients:
            client.close()


async def test_worker_that_lost_its_connections_takes_the_next(
    listener: socket.socket, tmp_path: Path
) -> None:
    with workers_at(listener, tmp_path, 2) as workers:
        for worker in workers:
            worker.acceptor.start()
        clients = await connect(listener, 20, together=False)
        await until_open(workers, 20)
        for one in workers[0].open:
            one.close()
        workers[0].open.clear()
        kept = len(workers[1].open)
        clients += await connect(listener, 8, together=False)
        counts = await until_open(workers, kept + 8)
        assert counts[0] >= 6
        for client in clients:
            client.close()


class Exhausted(socket.socket):
    """A listener of a process that has no descriptor left."""

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(errno.EMFILE, "too many open files")


async def test_connections_wait_while_no_descriptor_is_left(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "_EXHAUSTED_S", 0.05)
    with workers_at(listener, tmp_path, 1) as (worker,):
        worker.acceptor.start()
        monkeypatch.setattr(worker.acceptor, "_listener", Exhausted(fileno=worker.listener.detach()))
        (client,) = await connect(listener, 1, together=True)
        await asyncio.sleep(0.01)
        assert not worker.open
        worker.listener = socket.socket(fileno=worker.acceptor._listener.detach())
        monkeypatch.setattr(worker.acceptor, "_listener", worker.listener)
        await until_open([worker], 1)
        client.close()


async def test_connection_that_does_not_begin_harms_no_other(listener: socket.socket, tmp_path: Path) -> None:
    with workers_at(listener, tmp_path, 1) as (worker,):
        refused = []

        async def refuse(connection: socket.socket) -> None:
            refused.append(connection)
            raise ConnectionResetError

        worker.acceptor._serve, take = refuse, worker.acceptor._serve
        worker.acceptor.start()
        (first,) = await connect(listener, 1, together=True)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(first.recv, 1) == b""
        worker.acceptor._serve = take
        (second,) = await connect(listener, 1, together=True)
        assert await until_open([worker], 1) == [1]
        assert len(refused) == 1
        for client in (first, second):
            client.close()


async def test_closed_one_takes_no_connection_and_gives_up_those_that_have_not_begun(
    listener: socket.socket, tmp_path: Path
) -> None:
    with workers_at(listener, tmp_path, 1) as (worker,):
        begun = asyncio.Event()

        async def hang(connection: socket.socket) -> None:
            with connection:
                begun.set()
                await asyncio.sleep(60)

        worker.acceptor._serve = hang
        worker.acceptor.start()
        clients = await connect(listener, 1, together=True)
        await begun.wait()
        worker.acceptor.close()
        await worker.acceptor.wait_closed()
        clients += await connect(listener, 1, together=True)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(clients[0].recv, 1) == b""
        assert not worker.open
        for client in clients:
            client.close()
