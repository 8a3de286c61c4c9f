"""The application around the inference routes: errors that are objects, CORS, models, operations."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from lmaas_gateway.api.operations import OperationRoutes
from lmaas_gateway.call import ROUTES
from lmaas_gateway.testing import FakeModel, FakeReplica, Fault, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import ask, raw_client, request_bytes

KEY = "k" * 24
ORIGIN = "https://chat.example.org"


class TestErrors:
    @pytest.mark.parametrize(
        "path", ["/", "/v1", "/v1/nonsense", "/v1/chat/completions/", "/v1/embeddings%00"]
    )
    async def test_unknown_route(self, path: str) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(path, ASK)
        assert (reply.status, reply.error["code"]) == (404, "not_found")
        assert reply.headers["content-type"] == "application/json"

    @pytest.mark.parametrize("path", ["/nonsense", "/v1/models", "/livez", "/admin/v1/pools", CHAT])
    async def test_answers_say_which_request_they_are_of(self, path: str) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica, admin_key=KEY)) as running:
            said = await running.get(path, "x-request-id: mine", f"authorization: Bearer {KEY}")
            made = await running.get(path, 'x-request-id: "no"', f"authorization: Bearer {KEY}")
        assert said.headers["x-request-id"] == "mine"
        assert made.headers["x-request-id"].startswith("req_")

    async def test_long_path_is_not_repeated_whole(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.get("/" + "x" * 5000)
        assert reply.status == 404
        assert len(reply.body) < 500

    @pytest.mark.parametrize("path", [route.path for route in ROUTES])
    async def test_other_method_on_an_inference_route(self, path: str) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.get(path)
        assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")
        assert reply.headers["allow"] == "POST"
        assert "POST" in reply.error["message"]

    @pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x00", b"GET / HTTP/9\r\n\r\n"])
    async def test_bytes_that_are_not_http(self, data: bytes) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(data)
                reply = await client.response()
                assert await client.reader.read() == b""
            assert (await running.get("/livez")).status == 200
        assert reply.status == 400
        assert reply.error["type"] == "invalid_request_error"
        assert reply.headers["connection"] == "close"

    async def test_crash_outside_the_hot_route_is_a_500_without_its_text(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def crash(*_: object) -> None:
            message = "secret"
            raise ZeroDivisionError(message)

        monkeypatch.setattr(OperationRoutes, "livez", crash)
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.get("/livez")
        assert (reply.status, reply.error["code"]) == (500, "internal_error")
        assert b"secret" not in reply.body


class TestCors:
    async def preflight(self, port: int, origin: str, *headers: str) -> Any:
        lines = ("access-control-request-method: POST", f"origin: {origin}", *headers)
        return await ask(port, request_bytes(CHAT, b"", *lines, method="OPTIONS"))

    async def test_front_end_of_a_configured_origin_streams(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, cors_origins=[ORIGIN])) as running,
        ):
            asked = "access-control-request-headers: authorization,content-type,x-stainless-os"
            preflight = await self.preflight(running.port, ORIGIN, asked)
            reply = await running.post(CHAT, STREAM, f"origin: {ORIGIN}")
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "x-stainless-os" in preflight.headers["access-control-allow-headers"]
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert "x-request-id" in reply.headers["access-control-expose-headers"]
        assert reply.body.endswith(b"data: [DONE]\n\n")

    async def test_other_origin_gets_no_permission(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, cors_origins=[ORIGIN])) as running,
        ):
            preflight = await self.preflight(running.port, "https://evil.example.org")
            reply = await running.post(CHAT, ASK, "origin: https://evil.example.org")
        assert preflight.status == 400
        assert "access-control-allow-origin" not in preflight.headers
        assert "access-control-allow-origin" not in reply.headers

    async def test_none_is_configured_by_default(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            preflight = await self.preflight(running.port, ORIGIN)
            reply = await running.post(CHAT, ASK, f"origin: {ORIGIN}")
        assert preflight.status == 405
        assert "access-control-allow-origin" not in reply.headers


class TestModels:
    async def test_list_tells_what_a_client_must_know(self) -> None:
        async with (
            FakeReplica(FakeModel(max_model_len=512)) as replica,
            run_gateway(settings_for(replica)) as running,
        ):
            listed = (await running.get("/v1/models")).json
            one = (await running.get("/v1/models/mock")).json
        assert listed == {"object": "list", "data": [one]}
        assert (one["id"], one["object"], one["owned_by"]) == ("mock", "model", "lmaas")
        assert (one["max_model_len"], one["kind"], one["state"]) == (512, "chat", "ready")
        assert CHAT in one["routes"]

    async def test_unknown_model_is_a_404(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.get("/v1/models/org/mock")
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
        assert "'org/mock'" in reply.error["message"]

    @pytest.mark.parametrize("path", ["/v1/models", "/v1/models/mock", "/metrics"])
    async def test_key_is_asked_for(self, path: str) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, api_key=KEY)) as running,
        ):
            refused = await running.get(path)
            allowed = await running.get(path, f"authorization: Bearer {KEY}")
        assert (refused.status, refused.error["code"]) == (401, "invalid_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert allowed.status == 200


class TestOperations:
    async def test_alive_while_nothing_else_is(self) -> None:
        async with run_gateway(settings_for("http://127.0.0.1:1"), is_ready=False) as running:
            assert (await running.get("/livez")).json == {"status": "ok"}

    async def test_ready_through_its_states(self) -> None:
        async with FakeReplica() as first, FakeReplica() as second:
            first.probe_script = second.probe_script = Script(fault=Fault.HANG)
            async with run_gateway(settings_for(first, second), is_ready=False) as running:

                async def state() -> tuple[int, str]:
                    reply = await running.get("/readyz")
                    return reply.status, reply.json["models"]["mock"]["state"]

                assert await state() == (503, "starting")
                for replica in (first, second):
                    replica.probe_script = Script()
                    replica.reset_connections()
                await running.until(lambda: running.pool.state == "ready")
                assert await state() == (200, "ready")
                await first.stop()
                await running.until(lambda: running.pool.state == "degraded")
                assert await state() == (200, "degraded")
                await second.stop()
                await running.until(lambda: running.pool.state == "unavailable")
                assert await state() == (503, "unavailable")

    async def test_not_ready_says_when_to_ask_again_and_why(self) -> None:
        async with run_gateway(settings_for("http://127.0.0.1:1"), is_ready=False) as running:
            await running.until(lambda: "connection" in running.pool.replicas[0].problem)
            reply = await running.get("/readyz")
        assert reply.headers["retry-after"] == "5"
        (replica,) = reply.json["models"]["mock"]["replicas"]
        assert (replica["name"], replica["ready"]) == ("mock-0", False)
        assert "127.0.0.1" not in reply.body.decode()

    async def test_details_are_for_those_with_the_key(self) -> None:
        async with (
            FakeReplica() as replica,
            run_gateway(settings_for(replica, api_key=KEY)) as running,
        ):
            assert (await running.get("/readyz")).json == {"status": "ready"}
            assert "models" in (await running.get("/readyz", f"x-api-key: {KEY}")).json

    async def test_load_is_told_while_a_call_runs(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            replica.script = Script(headers_delay_s=0.2)
            call = asyncio.create_task(running.post(CHAT, ASK))
            await replica.record.until(lambda: replica.running == 1)
            metrics = (await running.get("/metrics")).body.decode()
            assert 'lmaas_requests_in_flight{model="mock",replica="mock-0"} 1.0' in metrics
            assert 'lmaas_replica_up{model="mock",replica="mock-0"} 1.0' in metrics
            await call
            metrics = (await running.get("/metrics")).body.decode()
            assert 'lmaas_requests_in_flight{model="mock",replica="mock-0"} 0.0' in metrics

    async def test_labels_of_metrics_are_never_a_clients_words(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            await running.post(CHAT, {**ASK, "model": "secret-name"})
            metrics = (await running.get("/metrics")).body.decode()
        assert "secret-name" not in metrics
        assert (
            'lmaas_requests_total{code="404",model="",replica="",route="/v1/chat/completions"} 1.0' in metrics
        )


async def test_malformed_requests_log_no_body(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
        with caplog.at_level(logging.DEBUG):
            await running.post(CHAT, b'{"model":"mock","messages":"my secret prompt"')
            await running.post(CHAT, {"model": "mock", "messages": "my secret prompt"})
        assert "secret" not in str(running.lines)
        assert "secret" not in caplog.text
