"""The replica client over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.replica_clients import ASK, PATH, STREAM, call, client_of, read_all
from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.faults import (
    ReplicaBusyError,
    ReplicaClosedError,
    ReplicaConnectError,
    ReplicaDeadlineError,
    ReplicaProtocolError,
)
from lmaas_gateway.settings import ReplicaSettings, TimeoutSettings
from lmaas_gateway.testing import FakeReplica, Fault, Framing, Listen, Point, Script
from support.stub import OK, read_request, replying, stub_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

UNCHUNKED_HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@contextlib.asynccontextmanager
async def client_of_stub(*replies: bytes) -> AsyncIterator[ReplicaClient]:
    async with stub_server(replying(*replies)) as port, client_of(f"http://127.0.0.1:{port}") as client:
        yield client


class TestKeepAlive:
    async def test_calls_one_after_another_share_a_connection(self) -> None:
        async with FakeReplica() as replica, client_of(replica.url) as client:
            for _ in range(3):
                status, _ = await call(client)
                assert status == 200
            assert replica.record.connections == 1

    async def test_calls_at_once_have_a_connection_each(self) -> None:
        script = Script(headers_delay_s=0.05)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            await asyncio.gather(*(call(client) for _ in range(4)))
            assert replica.record.connections == 4

    async def test_connection_that_the_replica_closed_is_replaced_and_the_call_not_lost(self) -> None:
        script = Script(close_idle_after_s=0.01)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            await call(client)
            await replica.record.until(lambda: replica.record.open_connections == 0)
            assert (await call(client))[0] == 200
            assert [seen.connection for seen in replica.calls] == [1, 2]

    async def test_connection_closed_as_the_call_is_written_is_replaced_once_and_says_so(self) -> None:
        resent = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            resent.append(b"x-lmaas-resent" in await read_request(reader))
            writer.write(OK)
            resent.append(b"x-lmaas-resent" in await read_request(reader))

        async with stub_server(serve) as port, client_of(f"http://127.0.0.1:{port}") as client:
            assert await call(client) == (200, b"ok")
            assert await call(client) == (200, b"ok")
        assert resent[:3] == [False, False, True]

    async def test_call_that_was_sent_before_its_replica_went_is_known_to_have_been_sent(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)
            await read_request(reader)
            client._address = Address("127.0.0.1", 1)

        async with stub_server(serve) as port, client_of(f"http://127.0.0.1:{port}") as client:
            await call(client)
            with pytest.raises(ReplicaConnectError) as caught:
                await call(client)
            assert caught.value.was_sent_before

    async def test_new_connection_that_closes_without_a_reply_is_not_tried_again(self) -> None:
        async with client_of_stub(b"") as client:
            with pytest.raises(ReplicaClosedError):
                await call(client)

    async def test_kept_connection_that_closes_within_a_reply_is_not_tried_again(self) -> None:
        async with client_of_stub(OK, b"HTTP/1.1 200") as client:
            await call(client)
            with pytest.raises(ReplicaClosedError):
                await call(client)

    async def test_connection_kept_too_long_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lmaas_gateway.replicas.client._KEEP_ALIVE_S", 0.0)
        async with FakeReplica() as replica, client_of(replica.url) as client:
            await call(client)
            await call(client)
            assert replica.record.connections == 2
            await replica.record.until(lambda: replica.record.open_connections == 1)

    @pytest.mark.parametrize("framing", [Framing.EOF, Framing.LENGTH])
    async def test_connection_that_the_replica_will_close_is_not_kept(self, framing: Framing) -> None:
        script = Script(close=True, framing=framing)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            await call(client)
            await call(client)
            assert replica.record.connections == 2

    async def test_reply_that_nobody_asked_for_is_never_given_to_the_next_call(self) -> None:
        poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
        written = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)
            await asyncio.sleep(0.02)
            writer.write(poison)
            written.set()
            await reader.read()

        async with stub_server(serve) as port, client_of(f"http://127.0.0.1:{port}") as client:
            assert (await call(client))[1] == b"ok"
            await written.wait()
            await asyncio.sleep(0.02)
            assert (await call(client))[1] == b"ok"

    async def test_second_reply_to_one_call_is_dropped_with_its_connection(self) -> None:
        second = b"HTTP/1.1 500 No\r\nx-second: 1\r\ncontent-length: 6\r\n\r\nsecond"
        async with client_of_stub(OK + second) as client:
            exchange = await client.post(PATH, ASK)
            assert (exchange.status, await read_all(exchange)) == (200, b"ok")
            assert b"x-second" not in exchange.headers
            exchange.close()
            assert not client._idle


class TestBodies:
    @pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.LENGTH, Framing.EOF])
    @pytest.mark.parametrize("slice_bytes", [0, 1])
    async def test_every_framing_in_any_pieces_gives_the_same_body(
        self, framing: Framing, slice_bytes: int
    ) -> None:
        script = Script(body="0123456789" * 20, framing=framing, slice_bytes=slice_bytes)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            assert await call(client) == (200, b"0123456789" * 20)

    @pytest.mark.parametrize(
        "reply",
        [
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhello",
        ],
    )
    async def test_truncated_body_is_an_error_after_what_came(self, reply: bytes) -> None:
        async with client_of_stub(reply) as client:
            exchange = await client.post(PATH, ASK)
            assert await exchange.read() in {b"hello", b"short"}
            with pytest.raises(ReplicaClosedError):
                await exchange.read()
            exchange.close()

    async def test_body_without_length_that_is_reset_is_an_error(self) -> None:
        script = Script(framing=Framing.EOF, fault=Fault.RESET, fault_at=Point.INSIDE_EVENT, body="x" * 100)
        async with FakeReplica(script=script) as replica, client_of(replica.url) as client:
            with pytest.raises(ReplicaClosedError):
                await call(client)

    async def test_interim_replies_are_skipped(self) -> None:
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        async with client_of_stub(interim + OK) as client:
            exchange = await client.post(PATH, ASK)
            assert (exchange.status, await read_all(exchange)) == (200, b"ok")
            assert b"link" not in exchange.headers
            exchange.close()

    async def test_reply_without_body_keeps_its_connection(self) -> None:
        async with client_of_stub(b"HTTP/1.1 204 No Content\r\n\r\n", OK) as client:
            assert await call(client) == (204, b"")
            assert await call(client) == (200, b"ok")

    async def test_long_request_arrives_whole_with_its_headers(self) -> None:
        body = b'{"model":"mock","messages":[],"pad":"' + b"x" * 300_000 + b'"}'
        async with FakeReplica() as replica, client_of(replica.url) as client:
            exchange = await client.post(PATH, body, b"x-request-id: r1\r\n")
            exchange.close()
            seen = replica.calls[0].request
            assert seen.body == body
            assert seen.headers["x-request-id"] == "r1"
            assert seen.headers["authorization"] == "Bearer secret"
            assert seen.headers["accept-encoding"] == "identity"
            assert seen.headers["host"] == replica.url.removeprefix("http://")

    async def test_closed_exchange_reads_as_ended(self) -> None:
        async with FakeReplica() as replica, client_of(replica.url) as client:
            exchange = await client.get("/health")
            exchange.close()
            exchange.close()
            assert exchange.is_drained
            assert exchange.take() == await exchange.read() == b""


class TestHostileReplies:
    @pytest.mark.parametrize(
        "reply",
        [
            b"220 smtp.example.org ESMTP\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\nxxxx",
            b"\x16\x03\x01\x02\x00",
            b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000,
        ],
    )
    async def test_what_is_not_http_is_a_protocol_error(self, reply: bytes) -> None:
        async with client_of_stub(reply) as client:
            with pytest.raises(ReplicaProtocolError):
                await call(client)

    async def test_garbage_within_a_chunked_body_is_a_protocol_error(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnot hex\r\n"
        async with client_of_stub(head) as client:
            with pytest.raises(ReplicaProtocolError):
                await call(client)

    async def test_server_that_speaks_first_is_a_protocol_error(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH\r\n")
            await reader.read()

        async with stub_server(serve) as port, client_of(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(ReplicaProtocolError):
                await call(client)


class TestDeadlines:
    async def test_refused_connection(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            async with client_of(f"http://127.0.0.1:{free.getsockname()[1]}") as client:
                with pytest.raises(ReplicaConnectError, match=r"^no connection: connection refused$"):
                    await call(client)

    async def test_unknown_host_is_a_connect_error(self) -> None:
        async with client_of("http://no-such-host.invalid:1") as client:
            with pytest.raises(ReplicaConnectError):
                await call(client)

    async def test_deadline_of_the_call_itself_is_not_that_of_connecting(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with client_of(f"http://127.0.0.1:{silent.getsockname()[1]}") as client:
                with pytest.raises(ReplicaDeadlineError) as caught:
                    await client.post(PATH, ASK, deadline_s=asyncio.get_running_loop().time())
        assert caught.value.deadline == "total"

    @pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.EAGAIN, errno.EMFILE])
    async def test_lack_of_this_machine_is_not_the_replicas_fault(
        self, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lack(*_: object, **__: object) -> None:
            raise OSError(number, "lack")

        async with client_of("http://127.0.0.1:1") as client:
            monkeypatch.setattr(asyncio.get_running_loop().__class__, "create_connection", lack)
            with pytest.raises(ReplicaBusyError):
                await call(client)

    async def test_connect_deadline_when_nobody_accepts(self) -> None:
        with socket.socket() as full, contextlib.ExitStack() as stack:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            async with client_of(url, timeouts=TimeoutSettings(connect_s=0.2)) as client:
                with pytest.raises(ReplicaDeadlineError) as caught:
                    await call(client)
                assert caught.value.deadline == "connect"
                assert client._connecting == 0

    @pytest.mark.parametrize(
        ("timeouts", "script", "deadline"),
        [
            (TimeoutSettings(first_byte_s=0.1), Script(fault=Fault.HANG), "first_byte"),
            (
                TimeoutSettings(idle_s=0.1),
                Script(fault=Fault.HANG, fault_at=Point.AFTER_EVENTS, fault_events=2),
                "idle",
            ),
            (TimeoutSettings(total_s=0.2), Script(tokens=100, token_gap_s=0.02), "total"),
        ],
    )
    async def test_deadline_ends_the_call_and_the_replica_sees_it(
        self, timeouts: TimeoutSettings, script: Script, deadline: str
    ) -> None:
        async with FakeReplica(script=script) as replica, client_of(replica.url, timeouts=timeouts) as client:
            with pytest.raises(ReplicaDeadlineError) as caught:
                await call(client, STREAM)
            assert caught.value.deadline == deadline
            await replica.record.until(lambda: replica.record.open_connections == 0)

    async def test_body_without_length_is_not_taken_for_whole_after_its_deadline(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(UNCHUNKED_HEAD + b"part")
            await reader.read()

        timeouts = TimeoutSettings(total_s=0.1)
        async with (
            stub_server(serve) as port,
            client_of(f"http://127.0.0.1:{port}", timeouts=timeouts) as client,
        ):
            exchange = await client.post(PATH, ASK)
            await asyncio.sleep(0.4)
            assert await exchange.read() == b"part"
            with pytest.raises(ReplicaDeadlineError):
                await exchange.read()
            exchange.close()

    async def test_whole_reply_waits_for_its_reader_as_long_as_it_takes(self) -> None:
        timeouts = TimeoutSettings(total_s=0.1, idle_s=0.1)
        async with FakeReplica() as replica, client_of(replica.url, timeouts=timeouts) as client:
            exchange = await client.post(PATH, ASK)
            await asyncio.sleep(0.4)
            assert b"chat.completion" in await read_all(exchange)
            exchange.close()


class TestSilence:
    async def test_system_asks_a_silent_replica_within_ten_seconds(self) -> None:
        async with FakeReplica() as replica, client_of(replica.url) as client:
            exchange = await client.post(PATH, ASK)
            await read_all(exchange)
            exchange.close()
            (connection,) = client._idle
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle_s, interval_s, count = (
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle_s + interval_s * count <= 10
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 10_000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    return certificate, key


def tls_listen(certificate: tuple[Path, Path]) -> Listen:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return Listen(tls=context)


class TestAddresses:
    async def test_tls_replica_whose_ca_is_trusted(self, certificate: tuple[Path, Path]) -> None:
        async with (
            FakeReplica(listen=tls_listen(certificate)) as replica,
            client_of(replica.url, ca_file=certificate[0]) as client,
        ):
            assert (await call(client))[0] == 200
            assert (await call(client))[0] == 200
            assert replica.record.connections == 1

    async def test_tls_replica_whose_ca_is_not_trusted_is_refused(
        self, certificate: tuple[Path, Path]
    ) -> None:
        tls = tls_listen(certificate).tls
        async with (
            stub_server(replying(OK), tls=tls) as port,
            client_of(f"https://127.0.0.1:{port}") as client,
        ):
            with pytest.raises(ReplicaConnectError):
                await call(client)

    async def test_unix_socket(self, tmp_path: Path) -> None:
        path = tmp_path / "replica.sock"
        async with (
            FakeReplica(listen=Listen(uds=path)) as replica,
            client_of(f"unix:{path}") as client,
        ):
            assert (await call(client))[0] == 200
            assert replica.calls[0].request.headers["host"] == "localhost"

    async def test_missing_unix_socket_is_a_connect_error(self, tmp_path: Path) -> None:
        async with client_of(f"unix:{tmp_path}/none.sock") as client:
            with pytest.raises(ReplicaConnectError):
                await call(client)

    @pytest.mark.parametrize(
        ("url", "host", "port"),
        [
            ("http://replica", "replica", 80),
            ("https://replica", "replica", 443),
            ("http://replica:9001/", "replica", 9001),
            ("http://[::1]:9001", "::1", 9001),
        ],
    )
    def test_parsing(self, url: str, host: str, port: int) -> None:
        address = Address.parse(ReplicaSettings(url=url))
        assert (address.host, address.port) == (host, port)
        assert (address.tls is not None) == url.startswith("https")

    def test_host_header_of_an_ipv6_address_has_brackets(self) -> None:
        client = ReplicaClient(Address("::1", 9001), timeouts=TimeoutSettings())
        assert "host: [::1]:9001\r\n" in client._common_headers
