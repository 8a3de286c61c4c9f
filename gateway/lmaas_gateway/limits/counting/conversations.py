"""Conversations in the words of OpenAI's responses and Anthropic's messages, as engines make chats of them.

What is not handled here for certain gives None, and is counted by a replica, or taken at its bound.

Source: vLLM 0.32, `entrypoints/openai/responses/utils.py` and `entrypoints/anthropic/serving.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Chat = list[dict[str, Any]]

# Anthropic's own client says so in a system text, which engines leave out.
_BILLING = "x-anthropic-billing"
# Fields that put something else before the input, take from it, or change how it is read.
_NOT_IN_RESPONSES = frozenset({"previous_response_id", "previous_input_messages", "prompt", "reasoning"})
_NOT_IN_MESSAGES = frozenset({"thinking", "output_config"})
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})


def chat_of_response(body: Mapping[str, Any]) -> Chat | None:
    """Make a chat of `/v1/responses`: its instructions, and the items of its input."""
    if not _NOT_IN_RESPONSES.isdisjoint(body) or body.get("truncation", "disabled") != "disabled":
        return None
    if not all(tool.get("type") == "function" for tool in body.get("tools", ())):
        return None
    chat: Chat = []
    if instructions := body.get("instructions"):
        if not isinstance(instructions, str):
            return None
        chat.append({"role": "system", "content": instructions})
    given = body.get("input")
    if isinstance(given, str):
        return [*chat, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        return None
    return chat if all(_add_item(chat, item) for item in given) else None


def chat_of_messages(body: Mapping[str, Any]) -> Chat | None:
    """Make a chat of `/v1/messages`: its system text, and messages of text alone."""
    if not _NOT_IN_MESSAGES.isdisjoint(body) or not isinstance(body.get("messages"), list):
        return None
    chat: Chat = []
    system = _texts_of(body.get("system") or [])
    if system is None or any(text.startswith(_BILLING) for text in system):
        return None
    if system:
        chat.append({"role": "system", "content": "".join(system)})
    return chat if all(_add_message(chat, message) for message in body["messages"]) else None


def tools_of(body: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Give the tools of `/v1/responses` in the words of chats; None if there are none."""
    tools = body.get("tools")
    if not isinstance(tools, list) or not tools:
        return None
    return [
        {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}
        for tool in tools
    ]


def _add_item(chat: Chat, item: object) -> bool:
    """Add an item of a response's input; tell whether it is understood."""
    if not isinstance(item, dict) or item.get("status", "completed") != "completed":
        return False
    match item:
        case {"type": "function_call", "name": str(name), "arguments": str(text)} if "namespace" not in item:
            function = {"name": name, "arguments": text}
            called = {"type": "function", "id": item.get("call_id"), "function": function}
            if chat and chat[-1]["role"] == "assistant":
                chat[-1].setdefault("tool_calls", []).append(called)
            else:
                chat.append({"role": "assistant", "content": None, "tool_calls": [called]})
        case {"type": "function_call_output", "output": str(output)}:
            chat.append({"role": "tool", "content": output, "tool_call_id": item.get("call_id")})
        case {"role": str(role), "content": content} if item.get("type", "message") == "message":
            texts = _texts_of(content)
            if texts is None or (role == "assistant" and len(texts) != 1):
                return False
            _add_text(chat, role, texts)
        case _:
            return False
    return True


def _add_text(chat: Chat, role: str, texts: list[str]) -> None:
    """Add what somebody said; what the assistant says belongs to the tools that it has just called."""
    if role == "assistant" and chat and chat[-1]["role"] == role and chat[-1]["content"] is None:
        chat[-1]["content"] = texts[0]
        return
    parts = [{"type": "text", "text": text} for text in texts]
    chat.append({"role": role, "content": texts[0] if len(texts) == 1 else parts})


def _add_message(chat: Chat, message: object) -> bool:
    """Add a message of Anthropic's; tell whether it is understood."""
    match message:
        case {"role": "user" | "assistant" as role, "content": str(text)}:
            chat.append({"role": role, "content": text})
        case {"role": "user" | "assistant" as role, "content": list(blocks)}:
            texts = _texts_of(blocks)
            if texts is None or not all(texts):
                return False
            _add_text(chat, role, texts)
        case _:
            return False
    return True


def _texts_of(content: object) -> list[str] | None:
    """Give the texts of a content that has nothing else."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return None
    texts = []
    for part in content:
        match part:
            case {"type": kind, "text": str(text)} if kind in _TEXT_PARTS:
                texts.append(text)
            case _:
                return None
    return texts
