"""A server on a real socket that does exactly what a test tells it, byte by byte."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int, requests: list[Received]) -> None:
        self.sock = sock
        self.number = number
        self._file = sock.makefile("rb")
        self._requests = requests

    def receive(self) -> Received | None:
        """Read one request, None when the client has gone."""
        line = self._file.readline().decode().strip()
        if not line:
            return None
        headers: dict[str, str] = {}
        while header := self._file.readline().decode().strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers.get("content-length", "0")))
        received = Received(line, headers, body)
        self._requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def is_left(self, within_s: float = 2.0) -> bool:
        """Tell whether the client closes the connection."""
        self.sock.settimeout(within_s)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self._file.close()
        self.sock.close()


Script: TypeAlias = Callable[[Connection], None]


class HostileServer:
    """Runs a script for each connection, each in a thread of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self.requests: list[Received] = []
        self.stopping = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def connections(self) -> int:
        return len(self._connections)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                connection = Connection(sock, len(self._connections), self.requests)
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        # Clients of these tests hang up in the middle: that is no failure of the server.
        with suppress(OSError, ValueError):
            self._script(connection)
        with suppress(OSError):
            connection.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> HostileServer:
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


@contextmanager
def serving(script: Script) -> Iterator[HostileServer]:
    """Serve `script` on a free port."""
    with HostileServer(script) as server:
        yield server


def head(status: int = 200, *headers: str) -> bytes:
    """Return a status line and headers."""
    return "\r\n".join([f"HTTP/1.1 {status} X", *headers, "", ""]).encode()


def reply(body: bytes, status: int = 200, *headers: str, kind: str = "application/json") -> bytes:
    """Return a whole reply with its length."""
    return head(status, f"content-type: {kind}", f"content-length: {len(body)}", *headers) + body


def chunked(part: bytes) -> bytes:
    """Return `part` as a chunk of HTTP's chunked coding; nothing at all is its end."""
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


STREAM_HEAD = head(
    200, "content-type: text/event-stream", "transfer-encoding: chunked", "x-request-id: req-7"
)


def chat_event(text: str | None = None, *, finish: str | None = None, index: int = 0) -> bytes:
    """Return an event of a chat stream."""
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def answering(*replies: bytes) -> Script:
    """Answer request after request with these bytes, the last one for ever."""
    left = list(replies)

    def script(connection: Connection) -> None:
        while connection.receive() is not None:
            connection.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def streaming(parts: Iterable[bytes], *, end: bytes = chunked(b"")) -> Script:
    """Answer each request with a chunked event stream of `parts`, then `end`, then hang up."""

    def script(connection: Connection) -> None:
        connection.receive()
        connection.send(STREAM_HEAD)
        for part in parts:
            connection.send(chunked(part))
        connection.send(end)

    return script


CHAT_BODY = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
