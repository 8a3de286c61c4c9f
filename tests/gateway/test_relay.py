"""Replies on their way to the client: bytes through, usage known, broken streams said to be broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmaas_gateway.call import ROUTES
from lmaas_gateway.errors import (
    GatewayError,
    ModelNotFoundError,
    ReplicaRefusalError,
    ReplicaTimeoutError,
    StreamInterruptedError,
)
from lmaas_gateway.relay import error_body, error_event, refusal
from lmaas_gateway.testing import Ending, FakeModel, FakeReplica, Fault, Framing, Point, Script
from support.serving import ASK, CHAT, STREAM, run_gateway, settings_for
from support.stub import Response, raw_client, request_bytes

MESSAGES: dict[str, Any] = {**ASK, "max_tokens": 3}
RESPONSES: dict[str, Any] = {"model": "mock", "input": "one two three", "max_output_tokens": 3}
BY_ROUTE = {
    CHAT: ASK,
    "/v1/completions": {"model": "mock", "prompt": "one two three", "max_tokens": 3},
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}
EVENT = 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
ROUTE = {route.path: route for route in ROUTES}


async def outcome_of(
    path: str, fields: dict[str, Any], script: Script
) -> tuple[Response, dict[str, Any], str]:
    """Make one call; give its reply, its access line and the metrics after it."""
    # Only silence is waited for: where none is scripted, a pause of the machine must not be one.
    idle_s = 0.3 if script.fault is Fault.HANG else 30
    async with (
        FakeReplica(script=script) as replica,
        run_gateway(settings_for(replica, timeouts={"idle_s": idle_s})) as running,
    ):
        reply = await running.post(path, fields)
        line = await running.logged()
        metrics = (await running.get("/metrics")).body.decode()
        assert running.in_flight == 0
    return reply, line, metrics


def events_of(reply: Response) -> list[bytes]:
    assert reply.body.endswith(b"\n\n")
    return reply.body.removesuffix(b"\n\n").split(b"\n\n")


class TestUsage:
    @pytest.mark.parametrize("path", BY_ROUTE)
    @pytest.mark.parametrize("is_stream", [False, True])
    async def test_is_known_of_every_call(self, path: str, is_stream: bool) -> None:
        fields = {**BY_ROUTE[path], "max_tokens": 3, **({"stream": True} if is_stream else {})}
        reply, line, metrics = await outcome_of(path, fields, Script())
        assert reply.status == 200
        assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 3)
        assert (line["outcome"], line.get("stream", False)) == ("ok", is_stream)
        assert 'lmaas_prompt_tokens_total{model="mock",replica="mock-0"} 3.0' in metrics
        assert 'lmaas_completion_tokens_total{model="mock",replica="mock-0"} 3.0' in metrics
        assert (
            f'lmaas_requests_total{{code="200",model="mock",replica="mock-0",route="{path}"}} 1.0' in metrics
        )

    @pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
    async def test_is_hidden_from_a_stream_that_did_not_ask(self, path: str) -> None:
        reply, _, _ = await outcome_of(path, {**BY_ROUTE[path], "stream": True}, Script())
        assert b"usage" not in reply.body
        assert events_of(reply)[-1] == b"data: [DONE]"

    async def test_is_kept_for_a_stream_that_asked(self) -> None:
        options = {"stream_options": {"include_usage": True}}
        reply, _, _ = await outcome_of(CHAT, {**STREAM, **options}, Script())
        assert json.loads(events_of(reply)[-2][6:])["usage"]["completion_tokens"] == 3

    async def test_of_several_prompts_and_choices(self) -> None:
        reply, line, _ = await outcome_of(CHAT, {**STREAM, "n": 3}, Script())
        assert line["completion_tokens"] == 9
        assert events_of(reply)[-1] == b"data: [DONE]"

    async def test_that_begins_a_long_ranking_is_known(self) -> None:
        documents = ["red cat " + "x" * 1000 for _ in range(200)]
        async with (
            FakeReplica(FakeModel(kind="rerank")) as replica,
            run_gateway(settings_for(replica, kind="rerank")) as running,
        ):
            ask = {"model": "mock", "query": "cat", "documents": documents}
            reply = await running.post("/v1/rerank", ask)
            line = await running.logged()
        assert len(reply.body) > 128 * 1024
        assert line["prompt_tokens"] == reply.json["usage"]["prompt_tokens"] == 601

    async def test_at_the_end_of_a_long_reply_in_small_pieces_is_known(self) -> None:
        text = "word " * 40_000
        body = json.dumps({"text": text, "usage": {"prompt_tokens": 11, "completion_tokens": 22}})
        reply, line, _ = await outcome_of(CHAT, ASK, Script(body=body, slice_bytes=5000))
        assert reply.body.decode() == body
        assert (line["prompt_tokens"], line["completion_tokens"]) == (11, 22)

    async def test_of_embeddings(self) -> None:
        async with (
            FakeReplica(FakeModel(kind="embedding")) as replica,
            run_gateway(settings_for(replica, kind="embedding")) as running,
        ):
            await running.post("/v1/embeddings", {"model": "mock", "input": ["a b", "c"]})
            line = await running.logged()
        assert line["prompt_tokens"] == 3
        assert line["completion_tokens"] == 0


class TestUsageOfBrokenStreams:
    @pytest.mark.parametrize("path", BY_ROUTE)
    async def test_what_was_generated_is_counted_and_said_to_be_estimated(self, path: str) -> None:
        opening = {"/v1/responses": 4, "/v1/messages": 2, CHAT: 1}.get(path, 0)
        script = Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=opening + 7)
        fields = {**BY_ROUTE[path], "stream": True, "max_tokens": 20, "max_output_tokens": 20}
        _, line, metrics = await outcome_of(path, fields, script)
        assert (line["completion_tokens"], line["usage_estimated"]) == (7, True)
        assert line["prompt_tokens"] > 0
        assert 'lmaas_completion_tokens_total{model="mock",replica="mock-0"} 7.0' in metrics

    async def test_client_that_leaves_is_counted_so_far(self) -> None:
        script = Script(tokens=50, token_gap_s=0.01)
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, {**STREAM, "max_tokens": 50}))
                await client.head()
                seen = b""
                while seen.count(b"\n\n") < 11:
                    seen += await client.chunk()
            line = await running.logged()
            await replica.record.until(lambda: replica.aborted == 1)
        assert (line["status"], line["usage_estimated"]) == (499, True)
        assert 10 <= line["completion_tokens"] < 30

    async def test_what_the_replica_told_itself_is_exact(self) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        script = Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=5)
        _, line, _ = await outcome_of(CHAT, {**STREAM, "max_tokens": 9, "stream_options": options}, script)
        assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 4)
        assert line["usage_estimated"] is False

    async def test_whole_stream_is_never_estimated(self) -> None:
        _, line, _ = await outcome_of(CHAT, STREAM, Script())
        assert line["usage_estimated"] is False

    async def test_whole_stream_of_a_replica_without_usage_is(self) -> None:
        event = 'data: {"id":"x","choices":[{"delta":{"content":"a"},"finish_reason":%s}]}\r\n\r\n'
        events = (event % "null", event % "null", event % '"stop"', "data: [DONE]\r\n\r\n")
        reply, line, _ = await outcome_of(CHAT, STREAM, Script(events=events))
        assert reply.body.endswith(b"[DONE]\r\n\r\n")
        assert (line["outcome"], line["usage_estimated"]) == ("ok", True)
        assert line["completion_tokens"] in {3, 4}


class TestEndlessStreams:
    async def test_more_tokens_than_were_asked_for_are_cut(self) -> None:
        script = Script(events=tuple(EVENT for _ in range(500)))
        reply, line, _ = await outcome_of(CHAT, {**STREAM, "max_tokens": 10}, script)
        assert b"stream_interrupted" in reply.body
        assert line["outcome"] == "interrupted"
        assert 84 < line["completion_tokens"] <= 500

    async def test_without_a_bound_the_context_length_is_one(self) -> None:
        script = Script(events=tuple(EVENT for _ in range(500)))
        async with (
            FakeReplica(FakeModel(max_model_len=16), script=script) as replica,
            run_gateway(settings_for(replica)) as running,
        ):
            reply = await running.post(CHAT, {**ASK, "stream": True})
        assert b"stream_interrupted" in reply.body

    async def test_event_without_end_is_cut(self) -> None:
        script = Script(events=(EVENT, "data: " + "x" * 6_000_000))
        reply, line, _ = await outcome_of(CHAT, STREAM, script)
        assert b"stream_interrupted" in reply.body
        assert len(reply.body) < 2000
        assert line["outcome"] == "interrupted"

    async def test_reply_without_end_is_cut(self) -> None:
        script = Script(events=tuple("data: " + "x" * 100_000 + "\n\n" for _ in range(40)), token_gap_s=0.02)
        async with (
            FakeReplica(script=script) as replica,
            run_gateway(settings_for(replica, max_reply_bytes=2**20)) as running,
        ):
            reply = await running.post(CHAT, STREAM)
            await replica.record.until(lambda: replica.aborted == 1)
        assert b"stream_interrupted" in reply.body
        assert len(reply.body) < 3_500_000

    async def test_deadline_within_a_stream_is_told_as_such_and_blames_nobody(self) -> None:
        script = Script(tokens=100, token_gap_s=0.05)
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, {**STREAM, "max_tokens": 100}, "x-request-deadline-ms: 300")
            assert running.pool.replicas[0].breaker.consecutive_failures == 0
        (*_, last) = events_of(reply)
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert (error["code"], error["retryable"]) == ("deadline_exceeded", False)


class TestRoutes:
    @pytest.mark.parametrize(
        ("kind", "path", "fields"),
        [
            ("classify", "/v1/classify", {"input": "x"}),
            ("embedding", "/v1/score", {"text_1": "a", "text_2": ["b"]}),
            ("chat", "/v1/tokenize", {"prompt": "a b"}),
            ("chat", "/v1/detokenize", {"tokens": [1]}),
        ],
    )
    async def test_unversioned_routes_of_the_replica_are_reached(
        self, kind: str, path: str, fields: dict[str, Any]
    ) -> None:
        async with FakeReplica(FakeModel(kind=kind)) as replica:  # type: ignore[arg-type]  # a kind, as parametrized
            async with run_gateway(settings_for(replica, kind=kind)) as running:
                reply = await running.post(path, {"model": "mock", **fields})
            assert reply.status == 200
            assert replica.calls[0].request.path == ROUTE[path].replica_path


class TestBrokenStreams:
    @pytest.mark.parametrize("path", BY_ROUTE)
    @pytest.mark.parametrize(
        "script",
        [
            Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=3),
            Script(fault=Fault.RESET, fault_at=Point.INSIDE_EVENT, fault_events=3),
            Script(fault=Fault.HANG, fault_at=Point.AFTER_EVENTS, fault_events=3),
            Script(ending=Ending.EOF),
            Script(ending=Ending.ENGINE_ERROR),
            Script(ending=Ending.NO_TERMINAL_EVENT),
        ],
    )
    async def test_end_in_an_error_event_of_their_dialect(self, path: str, script: Script) -> None:
        fields = {**BY_ROUTE[path], "max_tokens": 20, "stream": True}
        reply, line, _ = await outcome_of(path, fields, script)
        last = events_of(reply)[-1]
        data = json.loads(last.partition(b"data: ")[2])
        assert reply.status == 200
        assert b"[DONE]" not in reply.body
        assert b"EngineCore" not in reply.body
        if path == "/v1/messages":
            assert last.startswith(b"event: error\n")
            assert data["type"] == "error"
            assert "message_stop" not in reply.body.decode()
        elif path == "/v1/responses":
            assert last.startswith(b"event: error\n")
            assert (data["type"], data["code"]) == ("error", "stream_interrupted")
        else:
            assert last.startswith(b"data: ")
            assert data["error"]["code"] == "stream_interrupted"
            assert data["error"]["retryable"] is True
        assert (line["status"], line["outcome"], line["code"]) == (200, "interrupted", "stream_interrupted")

    @pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
    async def test_terminal_event_without_finish_reason_is_not_passed_on(self, path: str) -> None:
        fields = {**BY_ROUTE[path], "stream": True}
        reply, line, _ = await outcome_of(path, fields, Script(ending=Ending.NO_FINISH_REASON))
        assert b"[DONE]" not in reply.body
        assert b"message_stop" not in reply.body
        assert line["outcome"] == "interrupted"

    async def test_usage_so_far_is_counted(self) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        script = Script(fault=Fault.CLOSE, fault_at=Point.AFTER_EVENTS, fault_events=3)
        _, line, _ = await outcome_of(CHAT, {**STREAM, "max_tokens": 9, "stream_options": options}, script)
        assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 2)

    async def test_stream_sliced_into_bytes_is_whole(self) -> None:
        reply, line, _ = await outcome_of(CHAT, STREAM, Script(slice_bytes=1))
        assert events_of(reply)[-1] == b"data: [DONE]"
        assert line["outcome"] == "ok"

    async def test_stream_that_lingers_after_its_end_is_whole(self) -> None:
        script = Script(fault=Fault.HANG, fault_at=Point.AFTER_EVENTS, fault_events=6)
        reply, line, _ = await outcome_of(CHAT, STREAM, script)
        assert events_of(reply)[-1] == b"data: [DONE]"
        assert line["outcome"] == "ok"

    async def test_client_that_leaves_at_the_last_event_had_its_whole_reply(self) -> None:
        script = Script(fault=Fault.HANG, fault_at=Point.AFTER_EVENTS, fault_events=6)
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, STREAM))
                await client.reader.readuntil(b"data: [DONE]\n\n")
            line = await running.logged()
        assert (line["outcome"], line["status"], line["completion_tokens"]) == ("ok", 200, 3)

    async def test_something_else_than_a_stream_is_a_502(self) -> None:
        script = Script(body='{"id":"x"}')
        reply, line, _ = await outcome_of(CHAT, STREAM, script)
        assert (reply.status, reply.error["code"]) == (502, "bad_replica_reply")
        assert line["code"] == "bad_replica_reply"


class TestBrokenReplies:
    @pytest.mark.parametrize("framing", [Framing.LENGTH, Framing.CHUNKED])
    async def test_connection_ends_short_so_that_the_client_sees_it(self, framing: Framing) -> None:
        body = json.dumps({"text": "x" * 800_000})
        script = Script(body=body, fault=Fault.CLOSE, fault_at=Point.INSIDE_EVENT, framing=framing)
        async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica)) as running:
            async with raw_client(running.port) as client:
                client.send(request_bytes(CHAT, ASK))
                status, headers = await client.head()
                assert status == 200
                received = await client.reader.read()
            line = await running.logged()
            failures = running.pool.replicas[0].breaker.consecutive_failures
            assert running.in_flight == 0
        assert len(received) < len(body)
        assert not received.endswith(b"0\r\n\r\n")
        assert (line["outcome"], line["status"]) == ("interrupted", 200)
        assert failures == 1
        assert ("content-length" in headers) == (framing is Framing.LENGTH)

    @pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.EOF])
    async def test_reply_of_unknown_length_is_whole(self, framing: Framing) -> None:
        body = json.dumps({"text": "x" * 200_000})
        reply, line, _ = await outcome_of(CHAT, ASK, Script(body=body, framing=framing))
        assert reply.body.decode() == body
        assert line["outcome"] == "ok"


def wire(**error: Any) -> bytes:
    return json.dumps({"error": error}).encode()


class TestRefusals:
    def test_4xx_keeps_message_and_param(self) -> None:
        error = refusal(400, wire(message="max_tokens=9 is too much", param="max_tokens", code=400), "mock")
        assert (error.status, error.code, error.type) == (400, "invalid_request", "invalid_request_error")
        assert (error.message, error.param) == ("max_tokens=9 is too much", "max_tokens")

    def test_context_length_has_a_code_of_its_own(self) -> None:
        message = "This model's maximum context length is 2048 tokens."
        assert refusal(400, wire(message=message), "mock").code == "context_length_exceeded"

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b'{"error":"Unauthorized"}',
            b'{"detail":"Not Found"}',
            b'{"error":{"message":"\xff"}}',
            b'{"error":{"message":7}}',
            b'{"error":null}',
            b'{"a":' * 200_000,
        ],
    )
    def test_text_that_cannot_be_read_is_replaced(self, body: bytes) -> None:
        error = refusal(404, body, "mock")
        assert error.status == 404
        assert error.message == "The model 'mock' does not take this call (HTTP 404)."

    def test_anthropics_and_plain_messages_are_read(self) -> None:
        assert refusal(400, b'{"type":"error","error":{"type":"x","message":"m"}}', "mock").message == "m"
        assert refusal(422, b'{"object":"error","message":"m"}', "mock").message == "m"

    async def test_over_the_wire(self) -> None:
        async with FakeReplica() as replica, run_gateway(settings_for(replica)) as running:
            reply = await running.post(CHAT, {**ASK, "max_tokens": 99999})
            messages = await running.post("/v1/messages", {**ASK, "max_tokens": 99999})
            replica.script = Script(status=500)
            failed = await running.post(CHAT, STREAM)
            lines = running.log
        assert (reply.status, reply.error["param"]) == (400, "max_tokens")
        assert "max_model_len" in reply.error["message"]
        assert messages.error["type"] == "invalid_request_error"
        assert (failed.status, failed.error["code"]) == (502, "replica_error")
        assert b"scripted" not in failed.body
        assert [line["status"] for line in lines] == [400, 400, 502]

    async def test_error_body_that_breaks_off_is_still_answered(self) -> None:
        script = Script(status=400, fault=Fault.RESET, fault_at=Point.INSIDE_EVENT)
        reply, _, _ = await outcome_of(CHAT, ASK, script)
        assert (reply.status, reply.error["code"]) == (400, "invalid_request")

    async def test_endless_error_body_is_not_kept(self) -> None:
        reply, _, _ = await outcome_of(CHAT, ASK, Script(status=400, body="x" * 2_000_000))
        assert reply.status == 400
        assert len(reply.body) < 1000


class TestErrorForms:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (ModelNotFoundError("m"), "not_found_error"),
            (ReplicaTimeoutError("m"), "timeout_error"),
            (ReplicaRefusalError(422, "m"), "invalid_request_error"),
            (ReplicaRefusalError(503, "m"), "overloaded_error"),
            (ReplicaRefusalError(502, "m"), "api_error"),
        ],
    )
    def test_anthropic_has_its_own_types(self, error: GatewayError, kind: str) -> None:
        body = json.loads(error_body(error, ROUTE["/v1/messages"], "req_1"))
        assert body == {"type": "error", "error": {"type": kind, "message": "m"}, "request_id": "req_1"}

    def test_everyone_else_gets_openais(self) -> None:
        body = json.loads(error_body(ModelNotFoundError("m", param="model"), None))
        fields = {
            "message": "m",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        assert body == {"error": fields}

    @pytest.mark.parametrize("path", BY_ROUTE)
    def test_event_is_one_event(self, path: str) -> None:
        event = error_event(StreamInterruptedError("broke\noff"), ROUTE[path])
        assert event.count(b"\n\n") == 1
        assert event.endswith(b"\n\n")


def test_refusal_names_the_field_as_openai_does_and_repeats_no_input() -> None:
    problems = [
        {
            "type": "list_type",
            "loc": ("body", "messages"),
            "msg": "Input should be a valid list",
            "input": "secret",
        }
    ]
    body = json.dumps({"error": {"message": str(problems), "param": "body.messages", "code": 400}}).encode()
    error = refusal(400, body, "m")
    assert error.param == "messages"
    assert error.message == "`messages` cannot be used: Input should be a valid list."


def test_refusal_without_a_field_still_repeats_no_input() -> None:
    error = refusal(400, json.dumps({"message": "{'input': 'secret'}"}).encode(), "m")
    assert "secret" not in error.message
    assert error.param is None
