"""Bodies and bytes that mean harm get an error object, and the service goes on."""

from __future__ import annotations

import json
import re
import socket
from http.client import HTTPResponse
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

DEPTH = 200_000
MEBIBYTE = 2**20
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
SAY = b'{"model":"%b","max_tokens":1,"messages":[{"role":"user","content":"hi"}]' % CHAT.encode()


def chat_with(field: bytes) -> bytes:
    """A good chat call but for one more field."""
    return SAY + b"," + field + b"}"


def chat_saying(content: bytes) -> bytes:
    return SAY.replace(b'"hi"', content) + b"}"


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{'model': 1}",
    "half an object": SAY,
    "two objects": SAY + b"}{}",
    "a list": b"[]",
    "a number": b"1e9",
    "no model": b'{"messages": []}',
    "model of a wrong type": b'{"model": 5}',
    "model is null": b'{"model": null}',
    "model with a path": b'{"model": "../../etc/passwd"}',
    "model with NUL": b'{"model": "a\\u0000b"}',
    "messages of a wrong type": b'{"model":"%b","messages":"hi"}' % CHAT.encode(),
    "no messages": b'{"model":"%b","messages":[]}' % CHAT.encode(),
    "stream of a wrong type": chat_with(b'"stream":"yes"'),
    "stream_options of a wrong type": chat_with(b'"stream":true,"stream_options":[]'),
    "n of a wrong type": chat_with(b'"stream":true,"n":"two"'),
    "negative max_tokens": chat_with(b'"max_tokens":-1'),
    "huge max_tokens": chat_with(b'"max_tokens":' + b"9" * 40),
    "infinite max_tokens": chat_with(b'"max_tokens":1e400'),
    "infinite temperature": chat_with(b'"temperature":1e400'),
    "not a number": chat_with(b'"temperature":NaN'),
    "a number of many digits": chat_with(b'"seed":' + b"1" * 10_000),
    "invalid UTF-8": chat_saying(b'"\xff\xfe"'),
    "overlong UTF-8": chat_saying(b'"\xc0\xaf"'),
    "lone high surrogate": chat_saying(b'"\\ud800"'),
    "lone low surrogate": chat_saying(b'"\\udc00"'),
    "surrogate in UTF-8": chat_saying(b'"\xed\xa0\x80"'),
    "raw NUL": chat_saying(b'"a\x00b"'),
    "nested lists": chat_with(b'"x":' + b"[" * DEPTH + b"]" * DEPTH),
    "nested objects": chat_with(b'"x":' + b'{"a":' * DEPTH + b"1" + b"}" * DEPTH),
    "nesting that never ends": b"[" * DEPTH,
    "nested messages": chat_saying(b"[" * 700 + b"]" * 700),
}


INSIDE = re.compile(r"Traceback|\.py\b|/(?:tmp|root|home)/|site-packages")
"""What an error must not tell of the machine behind it."""


@pytest.fixture(autouse=True)
def _service_goes_on(gateway: LiveGateway) -> Iterator[None]:
    yield
    assert httpx.get(f"{gateway.url}/livez", timeout=5).status_code == 200
    reply = post(gateway, SAY + b"}")
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["finish_reason"] == "length"


def post(gateway: LiveGateway, body: bytes, path: str = "/chat/completions") -> httpx.Response:
    return httpx.post(
        f"{gateway.base_url}{path}", content=body, headers={"content-type": "application/json"}, timeout=30
    )


def assert_openai_error(reply: httpx.Response) -> None:
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert len(error["message"]) < 8192
    assert not INSIDE.search(error["message"]), error["message"]


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_body_is_refused_with_an_error_object(gateway: LiveGateway, name: str) -> None:
    reply = post(gateway, MALFORMED[name])
    assert 400 <= reply.status_code < 500
    assert_openai_error(reply)


def test_prompt_with_nul_and_other_controls_is_only_text(gateway: LiveGateway) -> None:
    reply = post(gateway, chat_saying(b'"a\\u0000b\\u001b[31m\\uffff"'))
    assert reply.status_code == 200


@pytest.mark.parametrize("path", ["/embeddings", "/responses", "/completions", "/tokenize", "/rerank"])
def test_every_route_refuses_deep_nesting(gateway: LiveGateway, path: str) -> None:
    model = EMBEDDING if path in {"/embeddings", "/rerank"} else CHAT
    body = b'{"model":"%b","input":%b}' % (model.encode(), b"[" * DEPTH + b"]" * DEPTH)
    reply = post(gateway, body, path)
    assert reply.status_code == 400
    assert_openai_error(reply)


def test_64_mebibytes_are_refused_by_their_announced_length(gateway: LiveGateway) -> None:
    with connect(gateway) as sock:
        sock.sendall(POST + b"content-length: %d\r\n\r\n" % (64 * MEBIBYTE))
        answer = HTTPResponse(sock)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["code"] == "body_too_large"


def test_64_mebibytes_in_one_body_are_refused(gateway: LiveGateway) -> None:
    reply = post(gateway, chat_saying(b'"%b"' % (b"x" * 64 * MEBIBYTE)))
    assert reply.status_code == 413
    assert_openai_error(reply)


def test_64_mebibytes_of_unannounced_length_are_refused(gateway: LiveGateway) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * MEBIBYTE

    reply = httpx.post(f"{gateway.base_url}/chat/completions", content=chunks(), timeout=30)
    assert reply.status_code == 413
    assert_openai_error(reply)


def test_31_mebibytes_of_prompt_are_too_long_for_the_model_not_for_the_gateway(gateway: LiveGateway) -> None:
    reply = post(gateway, chat_saying(b'"%b"' % (b"x " * 15 * MEBIBYTE)))
    assert reply.status_code == 400
    assert_openai_error(reply)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET\r\n\r\n",
        POST + b"content-length: -5\r\n\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["TLS", "no HTTP", "negative length", "two lengths", "bad chunk"],
)
def test_bytes_that_are_not_http_are_refused_and_the_connection_closed(
    gateway: LiveGateway, data: bytes
) -> None:
    with connect(gateway) as sock:
        sock.sendall(data)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("value", ["a b", "x" * 129, "é", '"quoted"'])
def test_request_id_that_cannot_stand_in_a_log_is_replaced(gateway: LiveGateway, value: str) -> None:
    reply = httpx.get(f"{gateway.base_url}/models")
    assert reply.status_code == 200
    reply = httpx.post(
        f"{gateway.base_url}/embeddings",
        json={"model": EMBEDDING, "input": "x"},
        headers=[(b"x-request-id", value.encode())],
    )
    assert reply.headers["x-request-id"].startswith("req_")


def test_host_header_of_the_client_decides_nothing(gateway: LiveGateway) -> None:
    reply = httpx.get(f"{gateway.base_url}/models/", headers={"host": "evil.example"})
    assert reply.status_code == 404
    assert "evil.example" not in reply.text
    assert "location" not in reply.headers


def connect(gateway: LiveGateway) -> socket.socket:
    parts = urlsplit(gateway.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)
