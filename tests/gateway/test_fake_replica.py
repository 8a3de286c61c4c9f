"""The fake replica against real clients and raw sockets: it fails as told, and counts what it saw."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fake_replica_clients import ASK, CHAT, STREAM, Received, client_of, opened, receive, request
from lmaas_gateway.testing import (
    Ending,
    FakeModel,
    FakeReplica,
    Fault,
    Framing,
    Listen,
    Outcome,
    Point,
    Script,
)
from lmaas_gateway.testing.plan import Finish, Wait, steps
from lmaas_gateway.testing.wire import EVENT_STREAM, Answer, Frame, event, head


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data


class TestShapes:
    """What official clients and vLLM's documentation expect of each route."""

    async def test_chat_echoes_the_last_message_and_counts_tokens(self) -> None:
        async with FakeReplica() as replica, openai_client(replica) as client:
            reply = await client.chat.completions.create(
                model="mock", messages=[{"role": "user", "content": "one two three"}], max_tokens=2, n=2
            )
        assert [choice.message.content for choice in reply.choices] == ["one two", "one two"]
        assert reply.choices[0].finish_reason == "length"
        assert reply.usage is not None
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 4)

    async def test_chat_stream_tells_every_choice_and_running_usage(self) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        async with FakeReplica() as replica, client_of(replica) as client:
            reply = await client.post(CHAT, json={**STREAM, "n": 2, "stream_options": options})
        events = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
        chunks = [json.loads(data) for data in events[:-1]]
        assert events[-1] == "[DONE]"
        assert [chunk["choices"][0]["index"] for chunk in chunks[:-1]] == [0, 1] * 4
        assert [chunk["usage"]["completion_tokens"] for chunk in chunks[::2]] == [0, 1, 2, 3, 6]
        assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-3:-1]] == ["length", "length"]
        assert chunks[-1]["choices"] == []

    async def test_stream_has_no_usage_unless_asked_for(self) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            reply = await client.post(CHAT, json=STREAM)
        assert "usage" not in reply.text
        assert reply.headers["content-type"] == EVENT_STREAM

    async def test_completions_plain_and_streamed(self) -> None:
        async with FakeReplica() as replica, openai_client(replica) as client:
            plain = await client.completions.create(model="mock", prompt="a b", max_tokens=3)
            stream = await client.completions.create(model="mock", prompt="a b", max_tokens=3, stream=True)
            streamed = [chunk.choices[0] async for chunk in stream]
        assert plain.choices[0].text == "".join(choice.text for choice in streamed) == "a b a"
        assert streamed[-1].finish_reason == "length"

    async def test_responses_plain_and_streamed(self) -> None:
        async with FakeReplica() as replica, openai_client(replica) as client:
            plain = await client.responses.create(model="mock", input="a b", max_output_tokens=3)
            async with client.responses.stream(model="mock", input="a b") as stream:
                kinds = [item.type async for item in stream]
                final = await stream.get_final_response()
        assert plain.output_text == "a b a"
        assert plain.status == "incomplete"
        assert final.status == "completed"
        assert kinds[0] == "response.created"
        assert kinds.count("response.output_text.delta") == 16

    async def test_messages_plain_and_streamed(self) -> None:
        client = anthropic.AsyncAnthropic(base_url="http://unset", api_key="x", max_retries=0)
        async with FakeReplica() as replica, client.with_options(base_url=replica.url) as asking:
            ask: Any = {"model": "mock", "max_tokens": 3, "messages": [{"role": "user", "content": "a b"}]}
            plain = await asking.messages.create(**ask)
            async with asking.messages.stream(**ask) as stream:
                final = await stream.get_final_message()
        assert plain.content[0].model_dump()["text"] == final.content[0].model_dump()["text"] == "a b a"
        assert plain.stop_reason == final.stop_reason == "max_tokens"
        assert final.usage.output_tokens == 3

    async def test_embeddings_as_base64_are_the_same_numbers(self) -> None:
        async with FakeReplica(FakeModel(kind="embedding")) as replica, client_of(replica) as client:
            ask = {"model": "mock", "input": ["x", "y"]}
            floats = (await client.post("/v1/embeddings", json=ask)).json()
            packed = (await client.post("/v1/embeddings", json={**ask, "encoding_format": "base64"})).json()
        vector = floats["data"][1]["embedding"]
        assert list(struct.unpack("<384f", base64.b64decode(packed["data"][1]["embedding"]))) == vector
        assert vector != floats["data"][0]["embedding"]
        assert sum(value * value for value in vector) == pytest.approx(1)

    async def test_rerank_puts_the_likest_document_first(self) -> None:
        async with FakeReplica(FakeModel(kind="rerank")) as replica, client_of(replica) as client:
            ask = {"query": "red cat", "documents": ["blue dog", "a red cat"], "top_n": 1}
            ranked = (await client.post("/v1/rerank", json=ask)).json()
            scored = (
                await client.post("/score", json={"text_1": "red cat", "text_2": ["red", "cat red"]})
            ).json()
        assert [result["index"] for result in ranked["results"]] == [1]
        assert [item["score"] for item in scored["data"]] == [0.5, 1.0]

    async def test_classify_gives_a_distribution(self) -> None:
        async with FakeReplica(FakeModel(kind="classify")) as replica, client_of(replica) as client:
            item = (await client.post("/classify", json={"input": "x"})).json()["data"][0]
        assert sum(item["probs"]) == pytest.approx(1)
        assert item["label"] in {"negative", "positive"}

    async def test_detokenize_undoes_tokenize(self) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            tokens = (await client.post("/tokenize", json={"prompt": "to be or to"})).json()
            text = (await client.post("/detokenize", json={"tokens": [*tokens["tokens"], 99]})).json()
            strings = (await client.post("/tokenize", json={**ASK, "return_token_strs": True})).json()
        assert tokens["count"] == 4
        assert tokens["tokens"][0] == tokens["tokens"][3]
        assert text == {"prompt": "to be or to <unk>"}
        assert strings["token_strs"] == ["one", "two", "three"]

    async def test_probes_tell_version_models_and_load(self) -> None:
        async with FakeReplica(FakeModel(max_model_len=512)) as replica, client_of(replica) as client:
            replica.waiting, replica.kv_cache_usage_perc = 3, 0.25
            assert (await client.get("/health")).content == b""
            assert (await client.get("/version")).json() == {"version": "0.32.0"}
            assert (await client.get("/v1/models")).json()["data"][0]["max_model_len"] == 512
            metrics = (await client.get("/metrics")).text
        assert 'vllm:num_requests_waiting{engine="0",model_name="mock"} 3.0\n' in metrics
        assert 'vllm:kv_cache_usage_perc{engine="0",model_name="mock"} 0.25\n' in metrics
        assert replica.record.probes["/health"] == 1
        assert replica.requests == 0


@asynccontextmanager
async def openai_client(replica: FakeReplica) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{replica.url}/v1", api_key="x", max_retries=0) as client:
        yield client


class TestRefusals:
    """The errors that vLLM gives by itself."""

    @pytest.mark.parametrize(
        ("kind", "path"),
        [("chat", "/v1/embeddings"), ("embedding", CHAT), ("classify", "/v1/score"), ("rerank", "/classify")],
    )
    async def test_route_of_another_kind_does_not_exist(self, kind: Any, path: str) -> None:
        async with FakeReplica(FakeModel(kind=kind)) as replica, client_of(replica) as client:
            reply = await client.post(path, json=ASK)
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})

    @pytest.mark.parametrize(
        ("body", "status", "param"),
        [
            (b'{"model": "mock"', 400, "body"),
            (b"\xff", 400, "body"),
            (b'{"model": "mock", "messages": "x"}', 400, "body.messages"),
            (b"[]", 400, "body.messages"),
            (b'{"model": "other", "messages": []}', 404, "model"),
            (b'{"model": "mock", "messages": [], "max_tokens": 99999}', 400, "max_tokens"),
        ],
    )
    async def test_bad_body_is_an_openai_error(self, body: bytes, status: int, param: str) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            reply = await client.post(CHAT, content=body)
        assert reply.status_code == status
        assert reply.json()["error"]["param"] == param
        assert reply.json()["error"]["code"] == status

    async def test_messages_route_refuses_in_anthropics_shape(self) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            reply = await client.post("/v1/messages", json={**ASK, "model": "other"})
        assert reply.status_code == 404
        assert reply.json()["type"] == "error"

    async def test_get_on_a_post_route_is_405_and_elsewhere_404(self) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            wrong, missing = await client.get(CHAT), await client.get("/nothing")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert missing.status_code == 404

    async def test_api_key_guards_v1_only(self) -> None:
        async with FakeReplica(api_key="secret") as replica, client_of(replica) as client:
            refused = await client.post(CHAT, json=ASK)
            allowed = await client.post(CHAT, json=ASK, headers={"authorization": "Bearer secret"})
            health = await client.get("/health")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
        assert (allowed.status_code, health.status_code) == (200, 200)

    async def test_bytes_that_are_no_http_close_the_connection(self) -> None:
        async with FakeReplica() as replica:
            reader, writer = await opened(replica)
            writer.write(b"\x16\x03\x01 not http\r\n\r\n")
            assert await reader.read() == b""
            writer.close()


class TestChoosingAScript:
    async def test_header_beats_body_beats_queue_beats_default(self) -> None:
        async with FakeReplica(script=Script(status=500)) as replica, client_of(replica) as client:
            replica.scripts.append(Script(status=501))
            body = {**ASK, "fake": {"status": 502}}
            by_header = await client.post(CHAT, json=body, headers={"x-fake-script": '{"status": 503}'})
            others = [await client.post(CHAT, json=fields) for fields in (body, ASK, ASK)]
        assert by_header.status_code == 503
        assert [reply.status_code for reply in others] == [502, 501, 500]
        assert others[0].json()["error"]["code"] == 502

    @pytest.mark.parametrize(
        "brought", ["{", "[]", '{"toknes": 1}', '{"tokens": "x"}', '{"body": "", "events": []}']
    )
    async def test_wrong_script_is_told_to_its_author(self, brought: str) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            reply = await client.post(CHAT, json=ASK, headers={"x-fake-script": brought})
        assert reply.status_code == 400
        assert reply.json()["error"]["message"].startswith("fake replica: ")

    async def test_script_fields_come_as_json(self) -> None:
        script = Script.from_mapping(
            {"fault": "reset", "fault_at": "after_events", "headers": [["retry-after", "3"]], "ending": "eof"}
        )
        assert script.fault is Fault.RESET
        assert script.fault_at is Point.AFTER_EVENTS
        assert script.headers == (("retry-after", "3"),)
        assert script.ending is Ending.EOF

    async def test_probe_script_makes_it_unhealthy(self) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            replica.probe_script = Script(status=503)
            assert (await client.get("/health")).status_code == 503
            assert (await client.post(CHAT, json=ASK)).status_code == 200


class TestReplies:
    async def test_scripted_body_status_and_headers_go_out_as_they_are(self) -> None:
        script = Script(
            status=299, body="<html>", headers=(("Content-Type", "text/html"), ("retry-after", "7"))
        )
        async with FakeReplica(script=script) as replica, client_of(replica) as client:
            reply = await client.post(CHAT, json=ASK)
        assert (reply.status_code, reply.text) == (299, "<html>")
        assert (reply.headers["content-type"], reply.headers["retry-after"]) == ("text/html", "7")

    async def test_scripted_events_go_out_as_they_are(self) -> None:
        script = Script(events=("data: {\n\n", ": comment\n\n"))
        async with FakeReplica(script=script) as replica, client_of(replica) as client:
            reply = await client.post(CHAT, json=STREAM)
        assert reply.text == "data: {\n\n: comment\n\n"

    async def test_scripted_text_repeats_and_a_huge_token_leads(self) -> None:
        async with FakeReplica(script=Script(text="x y", tokens=3)) as replica, client_of(replica) as client:
            assert text_of(await client.post(CHAT, json=ASK)) == "x y x"
            replica.script = Script(tokens=2, huge_token_bytes=100_000)
            assert text_of(await client.post(CHAT, json=ASK)) == "x" * 100_000 + " two"

    async def test_request_id_is_echoed_and_made_up_otherwise(self) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            given_one = await client.post(CHAT, json=ASK, headers={"x-request-id": "mine"})
            made_up = await client.post(CHAT, json=ASK)
        assert given_one.headers["x-request-id"] == "mine"
        assert given_one.json()["id"] == "chatcmpl-mine"
        assert len(made_up.headers["x-request-id"]) == 32

    @pytest.mark.parametrize("framing", Framing)
    @pytest.mark.parametrize("slice_bytes", [0, 1, 7])
    async def test_framing_and_slicing_never_change_the_events(
        self, framing: Framing, slice_bytes: int
    ) -> None:
        async with FakeReplica() as replica, client_of(replica) as client:
            headers = {"x-request-id": "same"}
            expected = await client.post(CHAT, json=STREAM, headers=headers)
            replica.script = Script(framing=framing, slice_bytes=slice_bytes)
            reply = await client.post(CHAT, json=STREAM, headers=headers)
        assert reply.content == expected.content
        assert ("content-length" in reply.headers) == (framing is Framing.LENGTH)
        assert ("transfer-encoding" in reply.headers) == (framing in {Framing.AUTO, Framing.CHUNKED})

    @pytest.mark.parametrize("difference", [-5, 5])
    async def test_content_length_can_be_wrong(self, difference: int) -> None:
        async with FakeReplica() as replica:
            replica.script = Script(body="0123456789", content_length_error=difference)
            reply = await receive(replica, ASK)
        assert f"content-length: {10 + difference}".encode() in reply.head
        assert reply.body == b"0123456789"

    async def test_raw_bytes_replace_the_reply(self) -> None:
        async with FakeReplica(script=Script(raw="HTTP/9.9 nonsense\r\n\r\n\xff")) as replica:
            assert await receive(replica, ASK) == Received(b"HTTP/9.9 nonsense", b"\xff")

    async def test_connection_is_kept_unless_told_otherwise(self) -> None:
        async with FakeReplica() as replica:
            reader, writer = await opened(replica)
            # Two at once, as a pipelining client sends them.
            writer.write(request(CHAT, ASK) * 2)
            await replica.record.until(lambda: replica.record.count(Outcome.FINISHED) == 2)
            replica.script = Script(close=True)
            writer.write(request(CHAT, ASK))
            data = await reader.read()
            writer.close()
        assert data.count(b"HTTP/1.1 200 OK") == 3
        assert data.count(b"connection: close") == 1
        assert {call.connection for call in replica.calls} == {1}

    async def test_idle_connection_is_closed_without_a_word(self) -> None:
        async with FakeReplica(script=Script(close_idle_after_s=0.02)) as replica:
            reader, writer = await opened(replica)
            writer.write(request(CHAT, ASK))
            data = await reader.read()
            writer.close()
        assert b"connection: close" not in data
        assert data.endswith(b"}")

    async def test_call_before_the_idle_close_keeps_the_connection(self) -> None:
        async with FakeReplica(script=Script(close_idle_after_s=30)) as replica:
            _, writer = await opened(replica)
            for expected in (1, 2):
                writer.write(request(CHAT, ASK))
                await replica.record.until(lambda count=expected: replica.requests == count)  # type: ignore[misc] # mypy cannot infer a lambda with a default
            writer.close()
        assert replica.record.connections == 1


def text_of(reply: httpx.Response) -> str:
    return str(reply.json()["choices"][0]["message"]["content"])


class TestPlan:
    """Pauses are laid out by a plain function, so nobody has to wait for them."""

    def test_pauses_stand_before_headers_first_event_and_further_tokens(self) -> None:
        answer = Answer(200, (Frame(b"a"), Frame(b"b", is_token=True), Frame(b"c", is_token=True)))
        script = Script(headers_delay_s=1, first_token_delay_s=2, token_gap_s=3, framing=Framing.EOF)
        laid_out = list(steps(answer, script))
        expected = [Wait(1), "head", Wait(2), b"a", b"b", Wait(3), b"c", Finish.CLOSE]
        assert [step for step in laid_out if step != laid_out[1]] == [
            step for step in expected if step != "head"
        ]

    @given(st.lists(st.binary(min_size=1), max_size=5))
    def test_chunks_carry_exactly_the_frames(self, frames: list[bytes]) -> None:
        laid_out = list(steps(Answer(200, map(Frame, frames), is_stream=True), Script()))
        body = b"".join(step for step in laid_out[1:] if isinstance(step, bytes))
        assert unchunked(body) == b"".join(frames)

    def test_unknown_status_still_has_a_status_line(self) -> None:
        assert head(599, ()) == b"HTTP/1.1 599 Unknown\r\n\r\n"

    def test_event_may_have_a_name(self) -> None:
        assert event({"a": 1}, "x") == b'event: x\ndata: {"a":1}\n\n'


class TestAddresses:
    async def test_unix_socket_is_served_and_removed(self, tmp_path: Path) -> None:
        path = tmp_path / "replica.sock"
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with (
            FakeReplica(listen=Listen(uds=path)) as replica,
            httpx.AsyncClient(transport=transport) as client,
        ):
            assert replica.url == f"unix:{path}"
            assert (await client.post(f"http://x{CHAT}", json=ASK)).status_code == 200
            replica.script = Script(fault=Fault.RESET)
            with pytest.raises(httpx.TransportError):
                await client.post(f"http://x{CHAT}", json=ASK)
        assert not path.exists()

    def test_tls_shows_in_the_address(self) -> None:
        listen = Listen(port=1, tls=ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        assert asyncio.run(_address(listen)) == "https://127.0.0.1:1"


async def _address(listen: Listen) -> str:
    return FakeReplica(listen=listen).url


class TestProcess:
    @pytest.mark.parametrize("options", [["--fast"], ["--itl-ms", "1"]])
    @pytest.mark.parametrize("is_unix", [True, False])
    def test_serves_until_interrupted(self, options: list[str], is_unix: bool, tmp_path: Path) -> None:
        path = tmp_path / "s"
        where = ["--uds", str(path)] if is_unix else []
        command = [sys.executable, "-m", "lmaas_gateway.testing", "--model", "m", *options, *where]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            transport = httpx.HTTPTransport(uds=str(path)) if is_unix else None
            with httpx.Client(transport=transport) as client:
                url = "http://x" if is_unix else address
                models = client.get(f"{url}/v1/models").json()
            started = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(10) == 130
        assert address == (f"unix:{path}" if is_unix else url)
        assert models["data"][0]["id"] == "m"
        assert time.monotonic() - started < 10
