"""Real calls of a real engine, explained: by the SDK, on the command line, and in the head of the reply."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from e2e.live_gateway import ADMIN_KEY, CHAT, lmaas_command
from lmaas import LMaaS, NotFoundError

if TYPE_CHECKING:
    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

# More than a block of the CPU engine's prefix cache, which holds 128 tokens.
LONG = "The river runs from the mountains to the sea, past mills and meadows. " * 24
MESSAGES = [{"role": "user", "content": LONG + "Say one word."}]


def test_stream_of_the_real_engine_is_explained_with_its_own_times(gateway: LiveGateway) -> None:
    names = [f"explained-{turn}-{uuid.uuid4().hex}" for turn in range(2)]
    with LMaaS(base_url=gateway.base_url, admin_key=ADMIN_KEY, max_retries=0) as client:
        for name in names:
            with client.chat.completions.create(
                model=CHAT,
                messages=MESSAGES,
                max_tokens=8,
                stream=True,
                extra_body={"ignore_eos": True},
                extra_headers={"x-request-id": name},
            ) as stream:
                assert list(stream)
        first, again = [client.calls.explain(name) for name in names]
        assert {call.id for call in client.calls.list(model=CHAT, limit=100)} >= set(names)
        with pytest.raises(NotFoundError):
            client.calls.explain("of-nobody")
    assert (first.model, first.outcome, first.completion_tokens) == (CHAT, "ok", 8)
    assert first.engine is not None
    assert first.engine.source == "engine"
    assert 0 < (first.engine.prefill_s or 0) < first.duration_s
    assert 0 < (first.engine.decode_s or 0) < first.duration_s
    assert again.cached_tokens >= 128
    assert again.prompt_tokens == first.prompt_tokens
    (prefill,) = (step.text for step in again.steps if step.name == "prefill")
    assert f"{again.cached_tokens} were in its prefix cache" in prefill


def test_plain_reply_has_its_times_in_its_head_and_on_the_command_line(gateway: LiveGateway) -> None:
    name = f"explained-{uuid.uuid4().hex}"
    body = {"model": CHAT, "messages": MESSAGES, "max_tokens": 4}
    reply = httpx.post(
        f"{gateway.base_url}/chat/completions", json=body, headers={"x-request-id": name}, timeout=120
    )
    assert reply.status_code == 200
    assert re.fullmatch(r"route;dur=[\d.]+, upstream;dur=[\d.]+", reply.headers["server-timing"])
    told = subprocess.run(
        [lmaas_command(), "explain", name],
        env={**os.environ, "LMAAS_BASE_URL": gateway.base_url, "LMAAS_ADMIN_KEY": ADMIN_KEY},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told.startswith(f"{name}: ok after ")
    assert re.search(r"^prefill +\d.* engine +\d+ of \d+ prompt tokens were read", told, re.MULTILINE)
    assert re.search(r"^decode +\d.* engine +The reply was written: 4 tokens", told, re.MULTILINE)
