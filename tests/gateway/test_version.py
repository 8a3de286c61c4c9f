"""Releases of vLLM that fall to one hostile request take no calls, unless the operator says so."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.replicas.version import is_too_old, read_version
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import read_request, stub_server

if TYPE_CHECKING:
    from support.stub import Handler


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("0.31.9", True),
        ("0.6.3.post1", True),
        ("v0.31", True),
        ("0.1.dev1+g1234", True),
        ("0.32.0", False),
        ("0.32.0+cpu", False),
        ("0.32.0rc1", False),
        ("0.32", False),
        ("1.0.0", False),
        ("dev", False),
        ("", False),
        (None, False),
    ],
)
def test_releases_are_told_apart(version: str | None, is_old: bool) -> None:
    assert is_too_old(version) == is_old


@pytest.mark.parametrize(
    ("status", "body", "version"),
    [
        (200, b'{"version":"0.32.0"}', "0.32.0"),
        (404, b'{"version":"0.1.0"}', None),
        (200, b"{}", None),
        (200, b"\xff", None),
        (200, b'{"version":7}', None),
        (200, b'{"a":' * 100_000, None),
    ],
)
def test_answer_of_another_engine_tells_no_version(status: int, body: bytes, version: str | None) -> None:
    assert read_version(status, body) == version


def engine(version: str | None) -> Handler:
    """An engine that is well, serves `mock`, and is of this version; None has no such route."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            status, body = "200 OK", b"{}"
            if request.startswith(b"GET /v1/models"):
                body = b'{"data":[{"id":"mock"}]}'
            elif request.startswith(b"GET /version"):
                status, body = (
                    ("200 OK", b'{"version":"%b"}' % version.encode()) if version else ("404 No", b"")
                )
            elif request.startswith(b"GET /metrics"):
                status = "404 No"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)

    return handler


async def test_old_engine_takes_no_calls() -> None:
    async with stub_server(engine("0.31.0")) as port:
        settings = settings_for(f"http://127.0.0.1:{port}")
        async with run_gateway(settings, is_ready=False) as running:
            (replica,) = running.pool.replicas
            await running.until(lambda: "0.31.0" in replica.problem)
            assert "old_engines" in replica.problem
            reply = await running.post(CHAT, ASK)
            assert reply.status == 503


@pytest.mark.parametrize(("version", "warnings"), [("0.31.0", 1), ("0.32.0", 0), (None, 0)])
async def test_others_take_calls_and_an_old_one_is_told_of_once(
    version: str | None, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with stub_server(engine(version)) as port:
        settings = settings_for(f"http://127.0.0.1:{port}", old_engines="warn")
        with caplog.at_level(logging.WARNING, "lmaas.gateway"):
            async with run_gateway(settings) as running:
                await asyncio.sleep(0.2)
                assert running.pool.state == "ready"
                assert (await running.post(CHAT, ASK)).status == 200
    assert sum("hostile request" in line for line in caplog.messages) == warnings
