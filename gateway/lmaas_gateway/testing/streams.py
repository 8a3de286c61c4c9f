"""The event streams of vLLM 0.32, recorded from it: chat, completions, responses, messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from lmaas_gateway.testing import replies
from lmaas_gateway.testing.model import CREATED, Generation
from lmaas_gateway.testing.script import Ending
from lmaas_gateway.testing.wire import Frame, event

DONE = b"data: [DONE]\n\n"

Json = dict[str, Any]


class Dialect(Protocol):
    """One route's way of telling a stream; each method gives whole events."""

    def opening(self) -> Iterator[bytes]:
        """Give what comes before the first token."""

    def token(self, number: int, text: str, *, is_last: bool) -> Iterator[bytes]:
        """Give the events of one token; the last of a complete stream may carry the finish reason."""

    def closing(self) -> Iterator[bytes]:
        """Give what comes between the last token and the terminal event."""

    def terminal(self) -> bytes:
        """Give the event that says the stream is complete."""

    def engine_error(self) -> Iterator[bytes]:
        """Give what a dying engine core makes of the rest of the stream."""


def frames(dialect: Dialect, generation: Generation, ending: Ending) -> Iterator[Frame]:
    """Tell a whole stream, up to the scripted ending."""
    has_finish = ending in {Ending.COMPLETE, Ending.NO_TERMINAL_EVENT}
    yield from map(Frame, dialect.opening())
    for number, text in enumerate(generation.pieces()):
        is_last = has_finish and number == generation.tokens - 1
        for data in dialect.token(number, text, is_last=is_last):
            yield Frame(data, is_token=True, tokens=1)
    if has_finish:
        yield from map(Frame, dialect.closing())
    if ending in {Ending.COMPLETE, Ending.NO_FINISH_REASON}:
        yield Frame(dialect.terminal())
    if ending is Ending.ENGINE_ERROR:
        yield from map(Frame, dialect.engine_error())


class _OpenAIChunks:
    """What the streams of chat and completions have in common."""

    object = ""
    id_prefix = ""

    def __init__(self, generation: Generation, fields: Mapping[str, Any]) -> None:
        options = fields.get("stream_options") or {}
        self._generation = generation
        self._has_usage = bool(options.get("include_usage"))
        self._has_running_usage = self._has_usage and bool(options.get("continuous_usage_stats"))

    def opening(self) -> Iterator[bytes]:
        return iter(())

    def closing(self) -> Iterator[bytes]:
        if self._has_usage:
            total = replies.usage(self._generation, self._generation.completion_tokens)
            yield event(
                {**self._chunk([]), "usage": {**total, "prompt_tokens_details": {"cached_tokens": 0}}}
            )

    def terminal(self) -> bytes:
        return DONE

    def engine_error(self) -> Iterator[bytes]:
        yield event(replies.ENGINE_DEAD)
        yield DONE

    def _chunk(self, choices: list[Json], *, tokens: int | None = None) -> Json:
        chunk = {
            "id": f"{self.id_prefix}-{self._generation.request_id}",
            "object": self.object,
            "created": CREATED,
            "model": self._generation.model,
            "choices": choices,
        }
        if tokens is not None and self._has_running_usage:
            chunk["usage"] = replies.usage(self._generation, tokens)
        return chunk

    def _finish(self, *, is_last: bool) -> Json:
        reason = replies.finish_reason(self._generation) if is_last else None
        return {"logprobs": None, "finish_reason": reason, **({"stop_reason": None} if is_last else {})}


class ChatChunks(_OpenAIChunks):
    """`chat.completion.chunk` events."""

    object = "chat.completion.chunk"
    id_prefix = "chatcmpl"

    def opening(self) -> Iterator[bytes]:
        """Open each choice with its role and no text."""
        for index in range(self._generation.choices):
            delta = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": delta, **self._finish(is_last=False)}
            extra = {"prompt_token_ids": None, "prompt_text": None}
            yield event({**self._chunk([choice], tokens=0), **extra})

    def token(self, number: int, text: str, *, is_last: bool) -> Iterator[bytes]:
        """Give one event a choice."""
        for index in range(self._generation.choices):
            choice = {"index": index, "delta": {"content": text}, **self._finish(is_last=is_last)}
            yield event(self._chunk([{**choice, "token_ids": None}], tokens=number + 1))


class CompletionChunks(_OpenAIChunks):
    """`text_completion` events."""

    object = "text_completion"
    id_prefix = "cmpl"

    def token(self, number: int, text: str, *, is_last: bool) -> Iterator[bytes]:
        """Give one event a choice."""
        for index in range(self._generation.choices):
            choice = {"index": index, "text": text, "stop_reason": None, **self._finish(is_last=is_last)}
            yield event(self._chunk([{**choice, "token_ids": None}], tokens=number + 1))


class ResponseEvents:
    """The typed, numbered events of `/v1/responses`."""

    def __init__(self, generation: Generation, fields: Mapping[str, Any]) -> None:
        self._generation = generation
        self._fields = fields
        self._number = -1
        self._place: Json = {"item_id": f"msg_{generation.request_id}", "output_index": 0, "content_index": 0}

    def opening(self) -> Iterator[bytes]:
        """Announce the response, its one item and the item's one part."""
        started = replies.response(self._generation, self._fields, status="in_progress")
        yield self._event("response.created", {"response": started})
        yield self._event("response.in_progress", {"response": started})
        item = replies.response_item(self._generation, status="in_progress")
        yield self._event("response.output_item.added", {"item": item, "output_index": 0})
        part = {"annotations": [], "text": "", "type": "output_text", "logprobs": []}
        yield self._event("response.content_part.added", {**self._place, "part": part})

    def token(self, number: int, text: str, *, is_last: bool) -> Iterator[bytes]:
        """Give one delta."""
        del number, is_last
        yield self._event("response.output_text.delta", {**self._place, "delta": text, "logprobs": []})

    def closing(self) -> Iterator[bytes]:
        """Close text, part and item, each with its whole content."""
        item = replies.response_item(self._generation, status="completed")
        done = {"logprobs": [], "text": self._generation.text}
        yield self._event("response.output_text.done", {**self._place, **done})
        yield self._event("response.content_part.done", {**self._place, "part": item["content"][0]})
        yield self._event("response.output_item.done", {"item": item, "output_index": 0})

    def terminal(self) -> bytes:
        """Give the finished response, usage included."""
        whole = replies.response(self._generation, self._fields, status="completed")
        return self._event("response.completed", {"response": whole})

    def engine_error(self) -> Iterator[bytes]:
        """Give nothing: the stream just ends."""
        return iter(())

    def _event(self, name: str, fields: Json) -> bytes:
        self._number += 1
        return event({**fields, "sequence_number": self._number, "type": name}, name)


class MessageEvents:
    """Anthropic's events, as vLLM tells them on `/v1/messages`."""

    def __init__(self, generation: Generation, fields: Mapping[str, Any]) -> None:
        del fields
        self._generation = generation

    def opening(self) -> Iterator[bytes]:
        """Start the message and its one text block."""
        yield self._event("message_start", {"message": replies.message_start(self._generation)})
        block = {"type": "text", "text": ""}
        yield self._event("content_block_start", {"content_block": block, "index": 0})

    def token(self, number: int, text: str, *, is_last: bool) -> Iterator[bytes]:
        """Give one text delta."""
        del number, is_last
        delta = {"type": "text_delta", "text": text}
        yield self._event("content_block_delta", {"delta": delta, "index": 0})

    def closing(self) -> Iterator[bytes]:
        """Stop the block and tell reason and usage."""
        yield self._event("content_block_stop", {"index": 0})
        whole = replies.message(self._generation)
        delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield self._event("message_delta", {"delta": delta, "usage": whole["usage"]})

    def terminal(self) -> bytes:
        """Stop the message."""
        return self._event("message_stop", {})

    def engine_error(self) -> Iterator[bytes]:
        """Give Anthropic's error event; nothing follows it."""
        error = {"type": "internal_error", "message": replies.ENGINE_DEAD["error"]["message"]}
        yield self._event("error", {"error": error})

    def _event(self, name: str, fields: Json) -> bytes:
        return event({"type": name, **fields}, name)


def raw_frames(events: tuple[str, ...]) -> Iterator[Frame]:
    """Tell a scripted stream as it is."""
    for text in events:
        yield Frame(text.encode(), is_token=True, tokens=text.count('"delta":{"content":'))
