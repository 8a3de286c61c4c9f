"""Secrets and prompts of a whole session, good and bad, are found in clear nowhere but where they belong."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import TYPE_CHECKING, Any, get_args

import pytest

from lmaas_gateway.logs.lines import JsonFormatter
from lmaas_gateway.settings import Settings
from lmaas_gateway.testing import FakeReplica, Fault, Point
from lmaas_gateway.vault.vault import Purpose, Vault
from security.worlds import MASTER_KEY, OPERATOR_KEY, bearer, world_at
from support.processes import served
from support.serving import ASK, CHAT
from support.stub import RawClient, Response, ask, raw_client, request_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPT = "canary-prompt-4f1d9c0b7a2e"
REPLICA_KEY = "canary-replica-key-8b2f6d1e"
FOREIGN_KEY = "sk-canary-key-of-another-service-51c7"
QUERY_KEY = "canary-key-in-a-query-93ad"

MESSAGES = [{"role": "user", "content": f"say {PROMPT} again"}]
SAY = {"model": "mock", "messages": MESSAGES}
# As vLLM words what it does not take: with the client's own text in it.
INVALID = {"error": {"message": f"[{{'msg': 'wrong', 'input': '{PROMPT}'}}]", "type": "e", "code": 400}}
FAILED = {"error": {"message": f"crashed at {PROMPT}", "type": "e", "code": 500}}


class Session:
    """What is asked of the gateway, and what it said."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.told: list[Response] = []

    async def ask(self, method: str, path: str, fields: object, *headers: str) -> Response:
        return await ask(self.port, request_bytes(path, fields, *headers, method=method))

    async def admin(self, method: str, path: str, fields: object = b"") -> Any:
        reply = await self.ask(method, "/admin/v1" + path, fields, bearer(OPERATOR_KEY))
        assert reply.status < 300, (path, reply.body)
        return reply

    async def fails(self, fields: object, *headers: str, path: str = CHAT) -> None:
        """Make a call that is refused, or fails; what it is told must hold nothing of it."""
        reply = await self.ask("POST", path, fields, *headers)
        assert reply.status >= 400 or b"error" in reply.body, reply.body
        self.told.append(reply)


def spellings(word: bytes) -> Iterator[bytes]:
    """Every way in which a word may stand in a file."""
    yield word
    yield word.hex().encode()
    for shift in range(3):
        # What stands at the ends depends on what is beside it.
        yield base64.b64encode(b"." * shift + word)[4:-4]


def find(words: dict[str, bytes], text: bytes) -> list[str]:
    return [name for name, word in words.items() if any(form in text for form in spellings(word))]


def secrets_of(folder: Path) -> dict[str, bytes]:
    vault = Vault.open(Settings.model_validate({"data_dir": folder, "master_key": MASTER_KEY}))
    words = {purpose: vault.keys_of(purpose) for purpose in get_args(Purpose)}
    words |= {"operator": OPERATOR_KEY.encode(), "master": MASTER_KEY.encode()}
    return words | {"replica": REPLICA_KEY.encode(), "foreign": FOREIGN_KEY.encode()}


async def _begin(session: Session) -> tuple[str, str, str]:
    organization = (await session.admin("POST", "/organizations", {"name": "tenant"})).json["id"]
    wanted = {"name": "kept", "stores_content": True}
    at = f"?organization={organization}"
    project = (await session.admin("POST", f"/projects{at}", wanted)).json["id"]
    issued = (await session.admin("POST", f"/keys{at}", {"project": project, "name": "key"})).json
    return at, issued["id"], issued["secret"]


async def _call(session: Session, replica: FakeReplica, secret: str) -> None:
    key = bearer(secret)
    good = [await session.ask("POST", CHAT, {**SAY, "stream": kind}, key) for kind in (False, True)]
    assert all(PROMPT.encode() in reply.body or reply.status == 200 for reply in good)
    for script in (
        {"status": 400, "body": json.dumps(INVALID)},
        {"status": 500, "body": json.dumps(FAILED)},
        {"body": f"<html>{PROMPT}</html>"},
        {"fault": Fault.CLOSE},
        {"fault": Fault.RESET, "fault_at": Point.AFTER_HEADERS},
    ):
        await session.fails({**SAY, "fake": script}, key)
    error = f'data: {{"error":{{"message":"{PROMPT}"}}}}\n\n'
    await session.fails({**SAY, "stream": True, "fake": {"events": [error]}}, key)
    for body in (
        json.dumps(SAY).encode()[:-3],
        json.dumps({**SAY, "max_tokens": PROMPT}).encode(),
        json.dumps({**SAY, "stream": PROMPT}).encode(),
        json.dumps({**SAY, "cache_salt": [PROMPT]}).encode(),
        json.dumps({**SAY, "chat_template": PROMPT}).encode(),
        b'{"model":"mock","messages":[{"content":"' + PROMPT.encode() + b'\xff"}]}',
    ):
        await session.fails(body, key)
    for header in (bearer(FOREIGN_KEY), f"x-api-key: {FOREIGN_KEY}", bearer(secret[:-2])):
        await session.fails(SAY, header)
    await session.fails(SAY, path=f"{CHAT}?api_key={QUERY_KEY}")
    await session.fails(SAY, key, "idempotency-key: \x01")
    async with raw_client(session.port) as client:
        await _leave(client, replica, key)


async def _leave(client: RawClient, replica: FakeReplica, key: str) -> None:
    client.send(request_bytes(CHAT, {**SAY, "stream": True, "fake": {"token_gap_s": 0.05}}, key))
    await client.head()
    client.writer.transport.abort()
    await replica.record.until(lambda: replica.running == 0)


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_canary_is_found_in_every_spelling(before: bytes) -> None:
    words = {"prompt": PROMPT.encode()}
    for text in (before + PROMPT.encode(), base64.b64encode(before + PROMPT.encode() + b"xyz")):
        assert find(words, text) == ["prompt"]
    assert find(words, PROMPT.encode().hex().encode()) == ["prompt"]
    assert find(words, PROMPT[:-1].encode()) == []


async def test_session_leaves_no_secret_and_no_prompt_anywhere(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    lines = (
        f"admin_key: {OPERATOR_KEY}",
        f"master_key: {MASTER_KEY}",
        f"data_dir: {folder}",
        "log_level: debug",
    )
    words = secrets_of(folder)
    async with FakeReplica() as replica:
        serving = served(replica, tmp_path, *lines, is_open=False, replica_key=REPLICA_KEY)
        async with serving as (process, port):
            session = Session(port)
            at, key_id, secret = await _begin(session)
            words |= {"key": secret.encode(), "prompt": PROMPT.encode(), "query": QUERY_KEY.encode()}
            await _call(session, replica, secret)
            await asyncio.sleep(1.5)  # what is written in batches is written
            shown = [await session.admin("GET", path) for path in _pages(at, key_id)]
            kept = (await session.admin("GET", f"/contents{at}")).json["data"]
            read = await session.admin("GET", f"/contents/{kept[0]['id']}{at}")
            assert PROMPT.encode() in read.body
            process.kill()
            out, err = await process.communicate()
    for reply in session.told:
        assert find(words, repr(reply.headers).encode() + reply.body) == [], reply
    for reply in shown:
        assert find(words, reply.body) == [], reply.body
    assert find(words, out) == []
    assert find(words, err) == []
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.stat().st_size > 1000 for path in files)
    assert {path.name: found for path in files if (found := find(words, path.read_bytes()))} == {}


def _pages(at: str, key_id: str) -> list[str]:
    """Everything that operators can look at, but for contents, which are there to be read."""
    nouns = ("organizations", "projects", "members", "keys", "limits", "audit", "contents", "prices")
    spans = (f"/usage{at}&start=1700000000", f"/usage/export{at}&start=1700000000")
    return [*(f"/{noun}{at}" for noun in nouns), *spans, f"/keys/{key_id}{at}", "/config", "/pools"]


async def test_metrics_hold_no_secret_and_no_prompt(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        key = bearer(tenant.plain)
        post = world.running.post
        await post(CHAT, SAY, key)
        await post(CHAT, {**SAY, "model": PROMPT}, key)
        await post(CHAT, {**SAY, "fake": {"status": 500}}, key)
        await post(f"/v1/{PROMPT}", SAY, key)
        await post(CHAT, SAY, bearer(FOREIGN_KEY))
        metrics = await world.running.get("/metrics", bearer(tenant.keys["owner"]))
        words = {"prompt": PROMPT.encode(), "key": tenant.plain.encode(), "foreign": FOREIGN_KEY.encode()}
        assert metrics.status == 200
        assert find(words, metrics.body) == []
        assert find(words, b"".join(world.running.lines)) == []


async def test_crash_inside_the_gateway_tells_nothing_of_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> Any:
        raise RuntimeError(PROMPT)

    async with world_at(tmp_path) as world:
        tenant = await world.tenant("tenant")
        monkeypatch.setattr("lmaas_gateway.pipeline.relay", crash)
        with caplog.at_level(logging.DEBUG):
            reply = await world.running.post(CHAT, {**ASK, "messages": MESSAGES}, bearer(tenant.plain))
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    # As `logs.configure` writes them.
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert any("RuntimeError" in line for line in lines)
    assert find({"prompt": PROMPT.encode()}, "\n".join(lines).encode() + reply.body) == []
