"""What the bodies of all calls together may take of memory."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica, Script
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import raw_client, request_bytes

MIB = 1 << 20
ROOM = {"max_body_bytes": MIB, "connections": {"max_bodies_bytes": MIB}}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


def padded(size: int) -> bytes:
    body = json.dumps(ASK).encode()
    return body + b" " * (size - len(body))


async def test_long_body_beyond_the_room_for_all_is_told_to_wait() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, **ROOM)) as running:
        async with raw_client(running.port) as first, raw_client(running.port) as second:
            first.send(HEAD % MIB + padded(MIB)[:-1])
            room = running.gateway._gates.body_room
            await running.until(lambda: room.held_bytes > MIB * 0.9)
            second.send(request_bytes(CHAT, padded(MIB // 2)))
            refused = await second.response()
            assert (refused.status, refused.error["code"]) == (503, "bodies_full")
            assert refused.headers["retry-after"] == "1"
            first.send(b" ")
            assert (await first.response()).status == 200
        await running.logged(2)
        assert room.held_bytes == 0


async def test_short_bodies_pass_while_long_ones_fill_the_room() -> None:
    async with (
        FakeReplica() as replica,
        run_gateway(settings_for(replica, **ROOM)) as running,
        raw_client(running.port) as giant,
    ):
        giant.send(HEAD % MIB + padded(MIB)[:-1])
        await running.until(lambda: running.gateway._gates.body_room.held_bytes > MIB * 0.9)
        assert (await running.post(CHAT, padded(60_000))).status == 200
        async with raw_client(running.port) as slow:
            slow.send(HEAD % 60_000 + padded(60_000)[:-1])
            slow.send(b" ")
            assert (await slow.response()).status == 200


async def test_room_is_held_until_the_call_ends() -> None:
    script = Script(headers_delay_s=30)
    async with FakeReplica(script=script) as replica, run_gateway(settings_for(replica, **ROOM)) as running:
        room = running.gateway._gates.body_room
        async with raw_client(running.port) as client:
            client.send(request_bytes(CHAT, padded(MIB)))
            await replica.record.until(lambda: replica.running == 1)
            assert room.held_bytes > MIB * 0.9
        await running.logged()
        assert room.held_bytes == 0


@pytest.mark.parametrize("body", [b"x" * MIB, padded(MIB)[:-1] + b"}"])
async def test_body_that_is_refused_gives_its_room_back(body: bytes) -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, **ROOM)) as running:
        assert (await running.post(CHAT, body)).status == 400
        assert running.gateway._gates.body_room.held_bytes == 0


async def test_room_follows_a_new_configuration() -> None:
    async with FakeReplica() as replica, run_gateway(settings_for(replica, **ROOM)) as running:
        larger = settings_for(replica, max_body_bytes=MIB, connections={"max_bodies_bytes": 2 * MIB})
        await running.gateway.change(larger)
        assert running.gateway._gates.body_room.max_bytes == 2 * MIB


def test_room_that_no_longest_body_fits_into_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="max_bodies_bytes is less than max_body_bytes"):
        Settings.model_validate({"max_body_bytes": 2 * MIB, "connections": {"max_bodies_bytes": MIB}})
