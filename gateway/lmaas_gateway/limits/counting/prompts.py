"""What of a call is its prompt, in the words of its route; and what of it can be counted here.

A call with a field that could change how its prompt is read, and that this module does not know to handle, is
left to the replica: it is better asked than guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from lmaas_gateway.limits.counting.conversations import chat_of_messages, chat_of_response, tools_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lmaas_gateway.call import Call
    from lmaas_gateway.limits.counting.conversations import Chat
    from lmaas_gateway.limits.counting.model_files import ModelFiles
    from lmaas_gateway.settings import ModelKind

_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
# Fields that decide how a prompt is read, and that not even a replica is told by who has it count.
_UNKNOWN = frozenset(
    {
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
# What of a message a replica needs to count it.
_OF_MESSAGES = (
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "chat_template_kwargs",
)
_CUT_TEXTS = frozenset({"max_tokens_per_query", "max_tokens_per_doc"})
_PAIRS = (("query", "documents"), ("queries", "documents"), ("text_1", "text_2"))


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
class Pairs:
    """Texts that are compared: each query with its document, or the only query with each."""

    queries: list[str]
    documents: list[str]

    @property
    def texts(self) -> list[str]:
        """What a model reads that embeds each text by itself."""
        return self.queries + self.documents

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What a model reads that ranks two texts together."""
        queries = self.queries * len(self.documents) if len(self.queries) == 1 else self.queries
        return list(zip(queries, self.documents, strict=False))


@dataclass(frozen=True, slots=True)
class Question:
    """What a replica is asked to have a prompt counted: where, and with which fields beside the model."""

    path: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Messages:
    """A conversation.

    Attributes:
        variables: What else the template is given.
        is_known: Whether all that matters is known here, so that it can be counted without the replica.
        question: Has the replica count it.
    """

    messages: Chat
    variables: Mapping[str, Any]
    is_known: bool
    question: Question


Prompt = Texts | Ids | Pairs | Messages | Question


def read(call: Call) -> Prompt | None:
    """Read the prompt of a call; None where it cannot be told what it is."""
    body = {name: value for name, value in _DECODE(call.body).items() if value is not None}
    reader = _READERS.get(call.route.path)
    return None if reader is None or not _UNKNOWN.isdisjoint(body) else reader(body)


def count(files: ModelFiles, prompt: Prompt, kind: ModelKind = "chat") -> int | None:
    """Count a prompt with the model's own files; None where only the replica can.

    Args:
        files: The model's.
        prompt: What is counted.
        kind: The model's: one that embeds reads the texts of a pair one by one, one that ranks both together.
    """
    match prompt:
        case Ids():
            return prompt.count
        case Messages() if prompt.is_known and files.has_template:
            return _count_messages(files, prompt)
        case Texts() if files.is_plain or not prompt.has_special:
            return files.count_texts(prompt.texts, has_special=prompt.has_special)
        case Pairs() if files.is_plain:
            if kind == "embedding":
                return files.count_texts(prompt.texts, has_special=True)
            return files.count_pairs(prompt.pairs)
    return None


def _count_messages(files: ModelFiles, prompt: Messages) -> int | None:
    if prompt.variables["tools"] and files.reads_tools:
        # The engine writes them out in an order of its own.
        return None
    if not files.takes_texts and not all(isinstance(one.get("content"), str) for one in prompt.messages):
        return None
    return files.count_messages(list(map(_postprocess, prompt.messages)), prompt.variables)


def _read_chat(body: dict[str, Any]) -> Messages | None:
    messages = body.get("messages")
    if "documents" in body or not isinstance(messages, list) or not all(map(_is_text, messages)):
        return None
    extras = {name: body[name] for name in _PASSED_ON if name in body}
    question = Question("/tokenize", {"messages": messages, **extras})
    return _conversation(body, messages, body.get("tools") or None, question)


def _read_response(body: dict[str, Any]) -> Messages | None:
    messages = chat_of_response(body)
    if messages is None:
        return None
    tools = tools_of(body)
    extras = {"tools": tools} if tools else {}
    if "chat_template_kwargs" in body:
        extras["chat_template_kwargs"] = body["chat_template_kwargs"]
    question = Question("/tokenize", {"messages": messages, **extras})
    return _conversation(body, messages, tools, question)


def _read_messages(body: dict[str, Any]) -> Messages | Question:
    question = Question(
        "/v1/messages/count_tokens", {name: body[name] for name in _OF_MESSAGES if name in body}
    )
    messages = chat_of_messages(body)
    if messages is None:
        return question
    return _conversation(body, messages, body.get("tools") or None, question)


def _conversation(body: dict[str, Any], messages: Chat, tools: object, question: Question) -> Messages:
    variables = {
        "add_generation_prompt": body.get("add_generation_prompt", True),
        "tools": tools,
        "documents": None,
        **(body.get("chat_template_kwargs") or {}),
    }
    is_known = (
        _ASKED.isdisjoint(body) and not body.get("add_special_tokens") and all(map(_is_known, messages))
    )
    return Messages(messages, variables, is_known, question)


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


def _read_completion(body: dict[str, Any]) -> Prompt | None:
    return _read_texts(body.get("prompt"), body)


def _read_embedding(body: dict[str, Any]) -> Prompt | None:
    return None if "messages" in body else _read_texts(body.get("input"), body)


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


def _read_pairs(body: dict[str, Any]) -> Pairs | None:
    if not _CUT_TEXTS.isdisjoint(body):
        return None
    for first, second in _PAIRS:
        if first in body and second in body:
            queries, documents = _as_texts(body[first]), _as_texts(body[second])
            break
    else:
        return None
    if queries is None or documents is None:
        return None
    return Pairs(queries, documents)


def _as_texts(given: object) -> list[str] | None:
    texts = [given] if isinstance(given, str) else given
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None


_READERS: Mapping[str, Callable[[dict[str, Any]], Prompt | None]] = {
    "/v1/chat/completions": _read_chat,
    "/v1/completions": _read_completion,
    "/v1/embeddings": _read_embedding,
    "/v1/responses": _read_response,
    "/v1/messages": _read_messages,
    "/v1/rerank": _read_pairs,
    "/v1/score": _read_pairs,
}
