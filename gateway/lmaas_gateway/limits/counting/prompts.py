"""What of a call is its prompt, in the words of its route; and what of it can be counted here.

A call with a field that could change how its prompt is read, and that this module does not know to handle, is
left to the replica: it is better asked than guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmaas_gateway.call import Call
    from lmaas_gateway.limits.counting.model_files import ModelFiles

_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
# Fields that decide how a prompt is read, and that not even a replica is told by who has it count.
_UNKNOWN = frozenset(
    {
        "documents",
        "reasoning_effort",
        "chat_template",
        "truncate_prompt_tokens",
        "mm_processor_kwargs",
        "media_io_kwargs",
        "functions",
        "function_call",
        "prompt_embeds",
        "suffix",
        "instruction",
    }
)
# Fields that decide it for some models, which their replicas know best.
_ASKED = frozenset({"tool_choice", "response_format", "structured_outputs", "continue_final_message"})
_PASSED_ON = (
    "tools",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
)
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_BILLING = "x-anthropic-billing"


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts, each read by itself."""

    texts: list[str]
    has_special: bool = True


@dataclass(frozen=True, slots=True)
class Ids:
    """So many token ids, which stand in the call as such."""

    count: int


@dataclass(frozen=True, slots=True)
class Messages:
    """A conversation.

    Attributes:
        variables: What else the template is given.
        is_known: Whether all that matters is known here, so that it can be counted without the replica.
        extras: The fields of the request that the replica must be given to count it.
    """

    messages: list[dict[str, Any]]
    variables: Mapping[str, Any]
    is_known: bool
    extras: Mapping[str, Any] = field(default_factory=dict)


Prompt = Texts | Ids | Messages


def read(call: Call) -> Prompt | None:
    """Read the prompt of a call; None where it cannot be told what it is."""
    body = {name: value for name, value in _DECODE(call.body).items() if value is not None}
    if not _UNKNOWN.isdisjoint(body):
        return None
    path = call.route.path
    if path == "/v1/chat/completions":
        return _read_chat(body)
    if path == "/v1/completions":
        return _read_texts(body.get("prompt"), body)
    if path == "/v1/embeddings" and "messages" not in body:
        return _read_texts(body.get("input"), body)
    return None


def count(files: ModelFiles, prompt: Prompt) -> int | None:
    """Count a prompt with the model's own files; None where only the replica can."""
    if isinstance(prompt, Ids):
        return prompt.count
    if isinstance(prompt, Messages):
        is_readable = prompt.is_known and files.has_template
        return _count_messages(files, prompt) if is_readable else None
    if prompt.has_special and not files.is_plain:
        return None
    return files.count_texts(prompt.texts, has_special=prompt.has_special)


def _count_messages(files: ModelFiles, prompt: Messages) -> int | None:
    if prompt.variables["tools"] and files.reads_tools:
        # The engine writes them out in an order of its own.
        return None
    if not files.takes_texts and not all(isinstance(one.get("content"), str) for one in prompt.messages):
        return None
    return files.count_messages(list(map(_postprocess, prompt.messages)), prompt.variables)


def _read_chat(body: dict[str, Any]) -> Messages | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(map(_is_text, messages)):
        return None
    kwargs = body.get("chat_template_kwargs") or {}
    tools = body.get("tools") or None
    variables = {
        "add_generation_prompt": body.get("add_generation_prompt", True),
        "tools": tools,
        "documents": None,
        **kwargs,
    }
    is_known = (
        _ASKED.isdisjoint(body) and not body.get("add_special_tokens") and all(map(_is_known, messages))
    )
    extras = {name: body[name] for name in _PASSED_ON if name in body}
    return Messages(messages, variables, is_known, extras)


def _is_text(message: object) -> bool:
    """Tell whether a message holds text alone."""
    if not isinstance(message, dict):
        return False
    content = message.get("content")
    return content is None or isinstance(content, str) or _are_texts(content)


def _is_known(message: dict[str, Any]) -> bool:
    return (
        message.get("role") in _ROLES
        and _KEYS.issuperset(message)
        and not (message["role"] == "system" and _BILLING in str(message.get("content")))
    )


def _are_texts(content: object) -> bool:
    return isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    )


def _postprocess(message: dict[str, Any]) -> dict[str, Any]:
    """Shape a message as the engine does before it renders it."""
    content = message.get("content")
    if content is None:
        content = ""
    elif isinstance(content, list):
        content = "\n".join(part["text"] for part in content)
    shaped = {**message, "content": content}
    calls = message.get("tool_calls")
    if message["role"] != "assistant" or not calls:
        shaped.pop("tool_calls", None)
        return shaped
    return {**shaped, "tool_calls": [_with_arguments(called) for called in calls]}


def _with_arguments(called: dict[str, Any]) -> dict[str, Any]:
    function = called["function"]
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {}
    return {**called, "function": {**function, "arguments": arguments if isinstance(arguments, dict) else {}}}


def _read_texts(prompt: object, body: dict[str, Any]) -> Prompt | None:
    has_special = body.get("add_special_tokens") is not False
    if isinstance(prompt, str):
        return Texts([prompt], has_special)
    if not isinstance(prompt, list) or not prompt:
        return None
    if all(isinstance(item, str) for item in prompt):
        return Texts(prompt, has_special)
    if all(isinstance(item, int) for item in prompt):
        return Ids(len(prompt))
    if all(isinstance(item, list) for item in prompt):
        return Ids(sum(map(len, prompt)))
    return None
