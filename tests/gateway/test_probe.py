from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lmaas_gateway.replicas.probe import is_serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"/health": b"HTTP/1.1 200 OK\r\n\r\n", "/v1/models": b"HTTP/1.1 200 OK\r\n\r\n"}, True),
        (
            {
                "/health": b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
                "/v1/models": b"HTTP/1.1 200 OK\r\n\r\n",
            },
            False,
        ),
        ({"/health": b"HTTP/1.1 200 OK\r\n\r\n", "/v1/models": b"HTTP/1.1 500 X\r\n\r\n"}, False),
        ({"/health": b"", "/v1/models": b""}, False),
    ],
)
async def test_serving_means_well_and_with_its_model(
    tmp_path: Path, replies: dict[str, bytes], expected: bool
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        writer.write(replies[request.split()[1].decode()])
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "a.sock"):
        assert await is_serving(f"unix:{tmp_path}/a.sock") is expected


async def test_no_socket_is_not_serving(tmp_path: Path) -> None:
    assert not await is_serving(f"unix:{tmp_path}/none.sock")
