"""What is counted of a prompt here is what the real engine counts, to the token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from e2e.test_fidelity import CHAT, EMBEDDING, PROMPTS, TEXTS, folder_of
from lmaas_gateway.call import ROUTES
from lmaas_gateway.limits.bounds import bound_prompt
from lmaas_gateway.limits.counting import prompts
from lmaas_gateway.limits.counting.model_files import ModelFiles
from support.calls import make_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.live_gateway import LiveGateway

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CHATS, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather of a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        },
    }
]
CALLED = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Rome"}'}}]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def say(content: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return CHATS, {"model": CHAT, "messages": [user(content)], "max_tokens": 1, **fields}


def converse(*messages: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return CHATS, {"model": CHAT, "messages": list(messages), "max_tokens": 1, **fields}


def complete(prompt: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return COMPLETIONS, {"model": CHAT, "prompt": prompt, "max_tokens": 1, **fields}


def embed(given: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return EMBEDDINGS, {"model": EMBEDDING, "input": given, **fields}


SYSTEM = {"role": "system", "content": "You answer in one word."}
ANSWER = {"role": "assistant", "content": "Paris."}
CALLS = [
    *map(say, TEXTS),
    *map(say, PROMPTS[:6]),
    say(""),
    say("<|im_start|>user\n<|im_end|> is no message"),
    say([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
    say("Name it.", n=2),
    say("Name it.", tools=TOOLS),
    say("Name it.", add_generation_prompt=False),
    say("Name it.", chat_template_kwargs={"add_generation_prompt": True}),
    say("Name it.", stop=["x"], temperature=0.3, top_p=0.5, seed=1, user="u", logprobs=True),
    converse(SYSTEM, user("What is the capital of France?"), ANSWER, user("And of Italy?")),
    converse(
        user("Weather in Rome?"),
        {"role": "assistant", "content": "", "tool_calls": CALLED},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        user("Thanks."),
        tools=TOOLS,
    ),
    *map(complete, TEXTS),
    complete(["one", "two words"]),
    complete([1, 2, 3, 4]),
    complete([[1, 2, 3], [4, 5]]),
    complete("Once upon", n=3),
    complete("Once upon", add_special_tokens=False),
    *map(embed, TEXTS[:7]),
    embed(list(TEXTS[:5])),
    embed([101, 2023, 102]),
    embed([[101, 102], [101, 2023, 102]]),
    embed("A cat", encoding_format="base64"),
]


@pytest.fixture(scope="session")
def files(engine_python: str) -> Mapping[str, ModelFiles]:
    return {name: ModelFiles.load(Path(folder_of(name, engine_python))) for name in (CHAT, EMBEDDING)}


@pytest.mark.parametrize(("path", "body"), CALLS)
def test_prompt_is_counted_as_the_engine_counts_it(
    path: str, body: dict[str, Any], gateway: LiveGateway, files: Mapping[str, ModelFiles]
) -> None:
    reply = httpx.post(gateway.base_url.removesuffix("/v1") + path, json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    told = reply.json()["usage"]["prompt_tokens"]
    route = next(route for route in ROUTES if route.path == path)
    call = make_call(msgspec.json.encode(body), route=route)
    prompt = prompts.read(call)
    assert prompt is not None
    assert prompts.count(files[body["model"]], prompt) == told
    assert bound_prompt(call) >= told
