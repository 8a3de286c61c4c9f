"""The client's connection: writes held back and let go, departures told."""

from __future__ import annotations

import asyncio
from typing import cast

from lmaas_gateway.api.client_connection import ClientConnection


class Transport:
    """Remembers what is done to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def get_extra_info(self, name: str) -> str:
        return name

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError


def connection_to(transport: Transport) -> ClientConnection:
    return ClientConnection(cast("asyncio.Transport", transport))


def test_writes_pass_at_once() -> None:
    transport = Transport()
    connection = connection_to(transport)
    connection.write(b"a")
    connection.uncork()
    assert transport.written == [b"a"]


def test_held_writes_leave_in_one_piece() -> None:
    transport = Transport()
    connection = connection_to(transport)
    connection.cork()
    connection.write(b"head")
    connection.write(b"body")
    assert transport.written == []
    connection.uncork()
    connection.write(b"more")
    assert transport.written == [b"headbody", b"more"]


def test_closing_lets_go_of_what_is_held() -> None:
    transport = Transport()
    connection = connection_to(transport)
    connection.cork()
    connection.write(b"last")
    connection.close()
    assert transport.written == [b"last"]
    assert transport.is_closed


def test_everything_else_is_the_transports() -> None:
    assert connection_to(Transport()).get_extra_info("peername") == "peername"
