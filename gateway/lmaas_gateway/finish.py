"""The end of a stream that a limit ended: a last event that says so, its usage, and its terminal event.

A client that knows nothing of limits sees what it sees when `max_tokens` is reached.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas_gateway.call import Call, Usage
    from lmaas_gateway.errors import GatewayError

_ID = re.compile(rb'"id": ?"([^"\\]{1,256})"')
_CREATED = re.compile(rb'"created": ?(\d{1,20})')
_DATA = re.compile(rb"(?:^|\n)data: ?(\{[^\r\n]*\})")


class _Created(msgspec.Struct):
    """The first event of a stream of `/v1/responses`."""

    response: dict[str, Any] = {}


_OPENINGS = msgspec.json.Decoder(_Created)


def can_finish(call: Call) -> bool:
    """Tell whether the dialect of a stream has an end that is none of the model's own."""
    return call.route.dialect in {"chat", "responses"}


def finish(call: Call, first: bytes, unfinished: Iterable[int], usage: Usage, why: GatewayError) -> bytes:
    """Write the last events of a stream.

    Args:
        call: What was asked.
        first: The first bytes of the stream, which hold its id.
        unfinished: The choices that are still open.
        usage: What the stream has come to.
        why: The limit that ended it.
    """
    detail = {"limited": True, "code": why.code, "message": why.message}
    if call.route.dialect == "responses":
        return _finish_response(first, usage, detail)
    is_chat = call.route.path == "/v1/chat/completions"
    head = {
        "id": _text(_ID.search(first)),
        "object": "chat.completion.chunk" if is_chat else "text_completion",
        "created": int(_text(_CREATED.search(first)) or 0),
        "model": call.model,
    }
    text: dict[str, Any] = {"delta": {}} if is_chat else {"text": ""}
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": index, **text, "finish_reason": "length"}], "lmaas": detail}
        for index in unfinished
    ]
    if call.wants_usage:
        chunks.append({**head, "choices": [], "usage": _write(usage, "prompt", "completion")})
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


def _finish_response(first: bytes, usage: Usage, detail: dict[str, Any]) -> bytes:
    found = _DATA.search(first)
    response = {} if found is None else _OPENINGS.decode(found[1]).response
    response |= {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": _write(usage, "input", "output"),
        "lmaas": detail,
    }
    event = {"type": "response.incomplete", "response": response}
    return b"event: response.incomplete\ndata: %b\n\n" % msgspec.json.encode(event)


def _write(usage: Usage, prompt: str, completion: str) -> dict[str, int]:
    return {
        f"{prompt}_tokens": usage.prompt_tokens,
        f"{completion}_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _text(match: re.Match[bytes] | None) -> str:
    return "" if match is None else match[1].decode("utf-8", "replace")
