"""HTTPS: real handshakes, certificates renewed under load, client certificates, mTLS to replicas."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import ssl
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lmaas import LMaaS
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.greeting import greet_when_ready, write_greeting
from lmaas_gateway.settings import ReplicaSettings, Settings, TlsSettings
from lmaas_gateway.testing import FakeReplica, Listen, Script
from lmaas_gateway.tls.renewal import open_listener, open_replica
from support.certificates import Authority, trusting
from support.processes import served
from support.serving import ASK, CHAT, STREAM, Running, run_gateway, settings_for
from support.stub import ask, raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR = timedelta(hours=1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def replica() -> AsyncIterator[FakeReplica]:
    async with FakeReplica() as opened:
        yield opened


def tls_of(cert: Path, **fields: object) -> dict[str, Any]:
    return {"tls": {"cert_file": cert, **fields}}


def serial_seen(port: int, tls: ssl.SSLContext) -> str:
    """Shake hands; give the serial number of the certificate that was shown."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as line,
        tls.wrap_socket(line, server_hostname="localhost") as secured,
    ):
        shown = secured.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"])


async def status_of(running: Running, tls: ssl.SSLContext | None) -> int:
    return (await ask(running.port, request_bytes(CHAT, ASK), tls)).status


class TestServing:
    async def test_calls_and_streams_over_tls(self, replica: FakeReplica, authority: Authority) -> None:
        settings = settings_for(replica, **tls_of(authority.issue("server.pem")))
        async with run_gateway(settings) as running, raw_client(running.port, trusting(authority)) as client:
            for fields in (ASK, STREAM, ASK):
                client.send(request_bytes(CHAT, fields))
                reply = await client.response()
                assert reply.status == 200
            assert len(await asyncio.to_thread(lambda: running.lines)) == 3
            writer = client.writer.get_extra_info("ssl_object")
            assert (writer.version(), writer.cipher()[0][:4]) == ("TLSv1.3", "TLS_")

    async def test_client_that_speaks_no_tls_is_not_served(
        self, replica: FakeReplica, authority: Authority
    ) -> None:
        async with run_gateway(settings_for(replica, **tls_of(authority.issue("server.pem")))) as running:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await status_of(running, None)
            assert await status_of(running, trusting(authority)) == 200

    async def test_client_that_leaves_a_stream_frees_the_replica(self, authority: Authority) -> None:
        async with (
            FakeReplica(script=Script(token_gap_s=0.01, tokens=1000)) as replica,
            run_gateway(settings_for(replica, **tls_of(authority.issue("server.pem")))) as running,
        ):
            async with raw_client(running.port, trusting(authority)) as client:
                client.send(request_bytes(CHAT, STREAM))
                await client.head()
                await client.chunk()
                client.writer.transport.abort()
            await running.until(lambda: running.in_flight == 0)
            assert (await running.logged())["status"] == 499

    @pytest.mark.parametrize(
        "hostile", [b"", b"\x16\x03\x01\x00\xff" + bytes(300), b"GET / HTTP/1.1\r\n\r\n"]
    )
    async def test_bytes_that_are_no_handshake_end_that_connection_only(
        self, replica: FakeReplica, authority: Authority, hostile: bytes
    ) -> None:
        tls = tls_of(authority.issue("server.pem"), handshake_timeout_s=2)
        async with run_gateway(settings_for(replica, **tls)) as running:
            async with raw_client(running.port) as client:
                client.send(hostile)
                with contextlib.suppress(ConnectionError):
                    async with asyncio.timeout(20):
                        assert b"HTTP" not in await client.reader.read()
            assert await status_of(running, trusting(authority)) == 200


class TestHandshakes:
    @pytest.mark.parametrize(
        ("version", "min_version", "is_served"),
        [
            (ssl.TLSVersion.TLSv1_3, "1.2", True),
            (ssl.TLSVersion.TLSv1_2, "1.2", True),
            (ssl.TLSVersion.TLSv1_1, "1.2", False),
            (ssl.TLSVersion.TLSv1_3, "1.3", True),
            (ssl.TLSVersion.TLSv1_2, "1.3", False),
        ],
    )
    async def test_old_versions_are_refused(
        self,
        replica: FakeReplica,
        authority: Authority,
        version: ssl.TLSVersion,
        min_version: str,
        is_served: bool,
    ) -> None:
        tls = trusting(authority)
        tls.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version = version
            tls.maximum_version = version
        settings = settings_for(replica, **tls_of(authority.issue("server.pem"), min_version=min_version))
        async with run_gateway(settings) as running:
            if is_served:
                assert await status_of(running, tls) == 200
                return
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await status_of(running, tls)

    @pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
    async def test_ciphers_without_forward_secrecy_or_authentication_are_refused(
        self, replica: FakeReplica, authority: Authority, cipher: str
    ) -> None:
        tls = trusting(authority)
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        tls.set_ciphers(cipher)
        async with run_gateway(settings_for(replica, **tls_of(authority.issue("server.pem")))) as running:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await status_of(running, tls)

    async def test_client_that_trusts_another_authority_refuses_us(
        self, replica: FakeReplica, authority: Authority, tmp_path: Path
    ) -> None:
        stranger = Authority(tmp_path, "stranger")
        async with run_gateway(settings_for(replica, **tls_of(authority.issue("server.pem")))) as running:
            with pytest.raises(ssl.SSLCertVerificationError):
                await status_of(running, trusting(stranger))


class TestClientCertificates:
    @pytest.mark.parametrize(
        ("rule", "shown", "is_served"),
        [
            ("required", "good", True),
            ("required", "none", False),
            ("required", "strange", False),
            ("required", "expired", False),
            ("optional", "good", True),
            ("optional", "none", True),
            ("optional", "strange", False),
        ],
    )
    async def test_who_gets_in(
        self,
        replica: FakeReplica,
        authority: Authority,
        tmp_path: Path,
        rule: str,
        shown: str,
        is_served: bool,
    ) -> None:
        of_clients = Authority(tmp_path, "of clients")
        certs = {
            "none": None,
            "good": of_clients.issue("good.pem", subject="app"),
            "strange": authority.issue("strange.pem"),
            "expired": of_clients.issue("expired.pem", begins=-2 * HOUR, ends=-HOUR),
        }
        tls = tls_of(authority.issue("server.pem"), client_certificates=rule, client_ca_file=of_clients.path)
        async with run_gateway(settings_for(replica, **tls)) as running:
            client = trusting(authority, certs[shown])
            if is_served:
                assert await status_of(running, client) == 200
                return
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await status_of(running, client)
            assert running.lines == []

    async def test_renewed_authority_decides_who_gets_in_next(
        self, replica: FakeReplica, authority: Authority, tmp_path: Path
    ) -> None:
        first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(first.path.read_bytes())
        tls = tls_of(authority.issue("server.pem"), client_certificates="required", client_ca_file=trusted)
        mine, theirs = (trusting(authority, each.issue(f"{i}.pem")) for i, each in enumerate((first, second)))
        async with run_gateway(settings_for(replica, **tls)) as running:
            assert await status_of(running, mine) == 200
            trusted.write_bytes(second.path.read_bytes())
            await running.gateway.renew_tls()
            assert await status_of(running, theirs) == 200
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await status_of(running, mine)


class TestRenewal:
    async def test_new_certificate_is_shown_and_open_connections_go_on(
        self, replica: FakeReplica, authority: Authority
    ) -> None:
        cert = authority.issue("server.pem")
        tls = trusting(authority)
        async with run_gateway(settings_for(replica, **tls_of(cert))) as running:
            before = await asyncio.to_thread(serial_seen, running.port, tls)
            async with raw_client(running.port, tls) as client:
                client.send(request_bytes(CHAT, ASK))
                assert (await client.response()).status == 200
                authority.issue("server.pem")
                await running.gateway.renew_tls()
                client.send(request_bytes(CHAT, ASK))
                assert (await client.response()).status == 200
            assert await asyncio.to_thread(serial_seen, running.port, tls) != before

    async def test_fault_of_our_own_ends_no_watch(
        self, authority: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        context = open_listener(TlsSettings(cert_file=authority.issue("server.pem")))
        assert context is not None
        context._build = lambda: 1 / 0  # type: ignore[assignment, return-value]  # a fault
        assert not await context.renew()
        assert "division by zero" in caplog.text

    async def test_changed_file_is_noticed_once_it_is_quiet(self, authority: Authority) -> None:
        cert = authority.issue("server.pem")
        context = open_listener(TlsSettings(cert_file=cert))
        assert context is not None
        first = context._newest
        await context.look()
        assert context._newest is first
        authority.issue("server.pem")
        await context.look()
        assert context._newest is first
        authority.issue("server.pem")
        await context.look()
        assert context._newest is first
        await context.look()
        assert context._newest is not first

    async def test_gateway_looks_by_itself(self, replica: FakeReplica, authority: Authority) -> None:
        tls = trusting(authority)
        async with run_gateway(settings_for(replica, **tls_of(authority.issue("server.pem")))) as running:
            before = await asyncio.to_thread(serial_seen, running.port, tls)
            authority.issue("server.pem")
            async with asyncio.timeout(10):
                while await asyncio.to_thread(serial_seen, running.port, tls) == before:
                    await asyncio.sleep(0.2)

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda path, _: path.write_bytes(b"nonsense"), "not a certificate in PEM"),
            (lambda path, _: path.unlink(), "cannot be read"),
            (lambda path, _: path.chmod(0o644), "chmod 600"),
            (lambda path, authority: authority.issue(path.name, begins=-2 * HOUR, ends=-HOUR), "expired at"),
            (
                lambda path, authority: authority.issue(path.name, begins=HOUR, ends=2 * HOUR),
                "check the clock",
            ),
            (lambda path, authority: authority.issue(path.name, password=b"x"), "key_password"),
            (lambda path, _: path.write_bytes(path.read_bytes()[:-150]), "cannot be used"),
        ],
    )
    async def test_bad_new_certificate_is_said_and_the_old_one_kept(
        self,
        replica: FakeReplica,
        authority: Authority,
        caplog: pytest.LogCaptureFixture,
        spoil: Any,
        reason: str,
    ) -> None:
        cert = authority.issue("server.pem")
        tls = trusting(authority)
        async with run_gateway(settings_for(replica, **tls_of(cert))) as running:
            before = await asyncio.to_thread(serial_seen, running.port, tls)
            spoil(cert, authority)
            await running.gateway.renew_tls()
            assert await asyncio.to_thread(serial_seen, running.port, tls) == before
            assert await status_of(running, tls) == 200
        (record,) = [record for record in caplog.records if "TLS files were not taken" in record.message]
        assert reason in record.message

    async def test_no_call_is_lost_while_certificates_change(
        self, replica: FakeReplica, authority: Authority
    ) -> None:
        tls = trusting(authority)
        cert = authority.issue("server.pem")
        statuses: list[int] = []
        is_over = False

        async def load(running: Running) -> None:
            while not is_over:
                async with raw_client(running.port, tls) as client:
                    for _ in range(3):
                        client.send(request_bytes(CHAT, STREAM))
                        statuses.append((await client.response()).status)

        async with run_gateway(settings_for(replica, **tls_of(cert))) as running:
            loads = [asyncio.create_task(load(running)) for _ in range(4)]
            for _ in range(10):
                authority.issue("server.pem")
                await running.gateway.renew_tls()
                await asyncio.sleep(0.02)
            is_over = True
            await asyncio.gather(*loads)
        assert len(statuses) > 20
        assert set(statuses) == {200}


class TestReplicas:
    def listen(self, authority: Authority, of_gateways: Authority) -> Listen:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.issue("replica.pem"))
        context.load_verify_locations(of_gateways.path)
        context.verify_mode = ssl.CERT_REQUIRED
        return Listen(tls=context)

    async def test_replica_that_wants_a_certificate_gets_it(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        of_gateways = Authority(tmp_path, "of gateways")
        async with FakeReplica(listen=self.listen(authority, of_gateways)) as replica:
            address = {"url": replica.url, "ca_file": authority.path}
            model: dict[str, Any] = {"name": "mock", "kind": "chat", "replicas": [address]}
            settings = Settings.model_validate({"models": [model], "probe_interval_s": 0.05})
            async with run_gateway(settings, is_ready=False) as running:
                assert (await running.post(CHAT, ASK)).status == 503
            address["cert_file"] = cert = of_gateways.issue("gateway.pem")
            async with run_gateway(
                Settings.model_validate({**settings.model_dump(), "models": [model]})
            ) as running:
                assert (await running.post(CHAT, ASK)).status == 200
                first = running.pool.replicas[0].client.tls
                assert first is not None
                before = first._newest
                of_gateways.issue(cert.name)
                await running.gateway.renew_tls()
                assert first._newest is not before
                assert (await running.post(CHAT, ASK)).status == 200

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            ({"url": "https://a:1", "key_file": "/k"}, "there is no cert_file"),
            ({"url": "http://a:1", "cert_file": "/c"}, "speaks no TLS"),
        ],
    )
    def test_settings_that_cannot_work(self, fields: dict[str, str], problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            ReplicaSettings.model_validate(fields)

    def test_files_that_cannot_be_used_are_said(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"CA file .* cannot be used"):
            open_replica(ReplicaSettings(url="https://a:1", ca_file=tmp_path / "none"))
        (tmp_path / "empty").write_text("nothing")
        with pytest.raises(SettingsError, match="holds no certificate"):
            open_replica(ReplicaSettings(url="https://a:1", ca_file=tmp_path / "empty"))

    async def test_context_without_files_has_nothing_to_look_at(self) -> None:
        context = open_replica(ReplicaSettings(url="https://a:1"))
        before = context._newest
        await context.look()
        assert context._newest is before


class TestSettings:
    @pytest.mark.parametrize(
        "fields",
        [
            {"key_file": "/k"},
            {"client_certificates": "required", "client_ca_file": "/c"},
            {"cert_file": "/c", "client_certificates": "required"},
            {"cert_file": "/c", "client_ca_file": "/a"},
        ],
    )
    def test_half_of_what_is_needed_is_refused(self, fields: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=r"cert_file|client_certificates"):
            TlsSettings.model_validate(fields)

    def test_key_of_another_certificate_is_said(self, authority: Authority) -> None:
        cert, key = authority.issue("a.pem"), authority.issue("b.pem")
        with pytest.raises(SettingsError, match="is not that of the certificate"):
            open_listener(TlsSettings(cert_file=cert, key_file=key))

    def test_key_that_is_not_there_is_said(self, authority: Authority, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"private key .* cannot be read"):
            open_listener(TlsSettings(cert_file=authority.issue("a.pem"), key_file=tmp_path / "none"))

    def test_encrypted_key_opens_with_its_password(self, authority: Authority) -> None:
        cert = authority.issue("a.pem", password=b"open sesame")
        assert open_listener(TlsSettings.model_validate({"cert_file": cert, "key_password": "open sesame"}))
        with pytest.raises(SettingsError, match="key_password"):
            open_listener(TlsSettings(cert_file=cert))

    def test_none_is_none(self) -> None:
        assert open_listener(TlsSettings()) is None


class TestGreeting:
    async def test_greeting_waits_for_readiness_over_tls(
        self, replica: FakeReplica, authority: Authority
    ) -> None:
        settings = settings_for(replica, **tls_of(authority.issue("server.pem")))
        said: list[str] = []
        async with run_gateway(settings) as running:
            await greet_when_ready(running.gateway.settings, running.port, said.append)
        assert said[0].startswith(f"Ready: https://127.0.0.1:{running.port}/v1")

    async def test_where_certificates_are_required_nobody_is_asked(self, authority: Authority) -> None:
        tls = tls_of(authority.issue("a.pem"), client_certificates="required", client_ca_file=authority.path)
        said: list[str] = []
        await greet_when_ready(Settings.model_validate(tls), 1, said.append)
        assert said == [write_greeting(Settings.model_validate(tls), 1)]


class TestProcesses:
    async def test_signal_renews_the_certificate_in_every_worker_and_no_call_is_lost(
        self, replica: FakeReplica, authority: Authority, tmp_path: Path
    ) -> None:
        cert = authority.issue("server.pem")
        tls = trusting(authority)
        lines = ("workers: 2", "open: true", f"tls: {{cert_file: '{cert}'}}")
        async with served(replica, tmp_path, *lines) as (process, port):
            before = await asyncio.to_thread(serial_seen, port, tls)
            authority.issue("server.pem")
            process.send_signal(signal.SIGHUP)
            shown = {before}
            async with asyncio.timeout(20):
                for _ in itertools.count():
                    assert (await ask(port, request_bytes(CHAT, ASK), tls)).status == 200
                    shown = {await asyncio.to_thread(serial_seen, port, tls) for _ in range(12)}
                    if before not in shown:
                        break
            assert len(shown) == 1

    async def test_sdk_and_curl_are_served(
        self, replica: FakeReplica, authority: Authority, tmp_path: Path
    ) -> None:
        lines = ("open: true", f"tls: {{cert_file: '{authority.issue('server.pem')}'}}")
        async with served(replica, tmp_path, *lines) as (_, port):
            url = f"https://localhost:{port}/v1"

            def call_with_sdk() -> tuple[int, int]:
                client = LMaaS(
                    base_url=url, api_key="none", http_client=httpx.Client(verify=trusting(authority))
                )
                with client:
                    whole = client.chat.completions.create(model="mock", messages=ASK["messages"])
                    stream = client.chat.completions.create(
                        model="mock", messages=ASK["messages"], stream=True, max_tokens=3
                    )
                    return len(whole.choices), len(list(stream))

            choices, events = await asyncio.to_thread(call_with_sdk)
            assert (choices, events > 2) == (1, True)
            process = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "--cacert", str(authority.path), f"{url}/models"),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            assert b'"mock"' in out
