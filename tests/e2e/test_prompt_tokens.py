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
    from lmaas_gateway.settings import ModelKind

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CHATS, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES, MESSAGES, RERANK, SCORE = "/v1/responses", "/v1/messages", "/v1/rerank", "/v1/score"
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


def respond(given: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return RESPONSES, {"model": CHAT, "input": given, "max_output_tokens": 1, **fields}


def message(*messages: dict[str, Any], **fields: Any) -> tuple[str, dict[str, Any]]:
    return MESSAGES, {"model": CHAT, "messages": list(messages), "max_tokens": 1, **fields}


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
    *map(respond, TEXTS[:3]),
    respond("Name it.", instructions="You answer in one word."),
    respond(
        [user("What is the capital of France?"), ANSWER, user("And of Italy?")], instructions="Be brief."
    ),
    respond([user([{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}])]),
    respond(
        [
            user("Weather in Rome?"),
            {"type": "function_call", "name": "weather", "arguments": '{"place": "Rome"}', "call_id": "c1"},
            {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
            user("Thanks."),
        ]
    ),
    *(message(user(text)) for text in TEXTS[:3]),
    message(user("And of Italy?"), system="You answer in one word."),
    message(
        user([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
        ANSWER,
        user("three"),
        system=[{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}],
    ),
    (RERANK, {"model": EMBEDDING, "query": "a cat", "documents": list(TEXTS[:3])}),
    (SCORE, {"model": EMBEDDING, "text_1": ["a cat", "a dog"], "text_2": ["a kitten", "a puppy barks"]}),
    (SCORE, {"model": EMBEDDING, "queries": "a cat", "documents": ["a kitten", "taxes"]}),
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
    usage = reply.json()["usage"]
    told = usage.get("prompt_tokens")
    if told is None:
        # Anthropic's route tells apart what was in the prefix cache.
        told = usage["input_tokens"] + usage.get("cache_read_input_tokens", 0) * (path == MESSAGES)
    route = next(route for route in ROUTES if route.path == path)
    call = make_call(msgspec.json.encode(body), route=route)
    prompt = prompts.read(call)
    assert prompt is not None
    kind: ModelKind = "embedding" if body["model"] == EMBEDDING else "chat"
    assert prompts.count(files[body["model"]], prompt, kind) == told
    assert bound_prompt(call) >= told


def test_engine_counts_the_messages_that_are_left_to_it(gateway: LiveGateway) -> None:
    tools = [{"name": "weather", "description": "Tell it.", "input_schema": {"type": "object"}}]
    called = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"place": "Rome"}}
    told = {"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}
    path, body = message(
        user("Weather?"), {"role": "assistant", "content": [called]}, user([told]), tools=tools
    )
    reply = httpx.post(gateway.base_url.removesuffix("/v1") + path, json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    usage = reply.json()["usage"]
    route = next(route for route in ROUTES if route.path == path)
    question = prompts.read(make_call(msgspec.json.encode(body), route=route))
    assert isinstance(question, prompts.Question)
    asked = {"model": CHAT, **question.fields}
    with gateway.engine(CHAT) as engine:
        counted = engine.post(question.path, json=asked).json()
    assert counted["input_tokens"] == usage["input_tokens"] + usage.get("cache_read_input_tokens", 0)
