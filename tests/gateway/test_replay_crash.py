"""Idempotency keys over the death of gateways, and between several of them: real processes, real signals."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from gateway.processes import eventually
from lmaas_gateway.testing import FakeReplica, Outcome, Script
from support.processes import served
from support.serving import ASK, CHAT, STREAM
from support.stub import Response, ask, raw_client, request_bytes

if TYPE_CHECKING:
    from pathlib import Path

KEY = "idempotency-key: 6d7f6a9e-0f0b-4d7a-9d0e-0c2f1c1a7e11"


def call(fields: object = ASK, key: str = KEY) -> bytes:
    return request_bytes(CHAT, fields, key, "connection: close")


def kept_in(folder: Path) -> str:
    return f"idempotency: {{folder: '{folder}'}}"


def is_replayed(reply: Response) -> bool:
    return reply.headers.get("idempotent-replayed") == "true"


async def answered(port: int, data: bytes) -> Response:
    """Ask until it is no worker that answers without having probed its replicas yet."""
    while (reply := await ask(port, data)).status == 503:
        await asyncio.sleep(0.05)
    return reply


async def test_gateway_killed_between_the_replicas_end_and_the_reply_leaves_the_key_free(
    tmp_path: Path,
) -> None:
    folder = kept_in(tmp_path / "kept")
    async with FakeReplica(script=Script(headers_delay_s=1.5)) as replica:
        async with served(replica, tmp_path, folder) as (process, port), raw_client(port) as client:
            client.send(call())
            await replica.record.until(lambda: replica.running == 1, within_s=5)
            # Stopped, it cannot read what the replica sends meanwhile; then it never will.
            process.send_signal(signal.SIGSTOP)
            await replica.record.until(lambda: replica.record.count(Outcome.FINISHED) == 1, within_s=5)
            process.kill()
            await process.wait()
        replica.script = Script()
        async with served(replica, tmp_path, folder) as (_, port):
            again = await ask(port, call())
            assert (again.status, is_replayed(again)) == (200, False)
            replayed = await ask(port, call())
            assert (replayed.body, is_replayed(replayed)) == (again.body, True)
        assert replica.requests == 2


async def test_reply_that_a_client_saw_whole_outlives_the_gateway(tmp_path: Path) -> None:
    folder = kept_in(tmp_path / "kept")
    async with FakeReplica() as replica:
        async with served(replica, tmp_path, folder) as (process, port):
            whole = [await ask(port, call(ASK)), await ask(port, call(STREAM, KEY + "s"))]
            process.kill()
            await process.wait()
        async with served(replica, tmp_path, folder) as (_, port):
            again = [await ask(port, call(ASK)), await ask(port, call(STREAM, KEY + "s"))]
            assert (await ask(port, call({**ASK, "n": 2}))).status == 422
        assert [reply.body for reply in again] == [reply.body for reply in whole]
        assert all(map(is_replayed, again))
        assert replica.requests == 2


async def test_two_gateways_on_one_folder_hold_each_key_once(tmp_path: Path) -> None:
    folder = kept_in(tmp_path / "kept")
    paths = tmp_path / "one", tmp_path / "other"
    for path in paths:
        path.mkdir()
    async with (
        FakeReplica(script=Script(headers_delay_s=2)) as replica,
        served(replica, paths[0], folder) as (process, one),
        served(replica, paths[1], folder) as (_, other),
    ):
        first = asyncio.create_task(ask(one, call()))
        await replica.record.until(lambda: replica.requests == 1, within_s=5)
        assert (await ask(other, call())).error["code"] == "idempotency_in_flight"
        assert (await ask(other, call({**ASK, "n": 2}))).error["code"] == "idempotency_mismatch"
        await first
        assert is_replayed(await ask(other, call()))
        assert replica.requests == 1
        # The holder dies at work; the other one takes the key over.
        replica.script = Script(headers_delay_s=30)
        async with raw_client(one) as client:
            client.send(call(key=KEY + "2"))
            await replica.record.until(lambda: replica.requests == 2, within_s=5)
            assert (await ask(other, call(key=KEY + "2"))).status == 409
            process.kill()
            await process.wait()
            replica.script = Script()
            assert (await ask(other, call(key=KEY + "2"))).status == 200


async def test_workers_of_one_gateway_share_their_keys(tmp_path: Path) -> None:
    async with FakeReplica() as replica, served(replica, tmp_path, "workers: 2") as (process, port):
        for number in range(5):
            replies = [await answered(port, call(key=f"{KEY}{number}")) for _ in range(6)]
            assert [reply.status for reply in replies] == [200] * 6
            assert [is_replayed(reply) for reply in replies] == [False] + [True] * 5
        assert replica.requests == 5
        process.terminate()
        await process.wait()


async def test_stopped_gateway_leaves_no_claim_and_no_owner_behind(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    async with FakeReplica() as replica:
        async with served(replica, tmp_path, kept_in(kept)) as (process, port):
            await ask(port, call())
            process.terminate()
            await process.wait()
        await eventually(lambda: not any(any((kept / part).iterdir()) for part in ("claims", "owners")))
