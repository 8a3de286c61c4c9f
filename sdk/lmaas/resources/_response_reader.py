"""Reads the events of a streamed response: whole when the response has ended and says how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from lmaas import errors
from lmaas._failures import Exchange, event_error, validation_error
from lmaas.sse import ServerSentEvent, SSEParser, StreamTooLargeError
from lmaas.types import (
    ResponseArgumentsDoneEvent,
    ResponseContentPartEvent,
    ResponseDeltaEvent,
    ResponseEvent,
    ResponseOutputItemEvent,
    ResponseStateEvent,
    ResponseTextDoneEvent,
)

_CLASSES: Final[dict[str, type[ResponseEvent]]] = {
    "response.created": ResponseStateEvent,
    "response.queued": ResponseStateEvent,
    "response.in_progress": ResponseStateEvent,
    "response.completed": ResponseStateEvent,
    "response.incomplete": ResponseStateEvent,
    "response.failed": ResponseStateEvent,
    "response.output_item.added": ResponseOutputItemEvent,
    "response.output_item.done": ResponseOutputItemEvent,
    "response.content_part.added": ResponseContentPartEvent,
    "response.content_part.done": ResponseContentPartEvent,
    "response.output_text.delta": ResponseDeltaEvent,
    "response.output_text.done": ResponseTextDoneEvent,
    "response.reasoning_text.delta": ResponseDeltaEvent,
    "response.reasoning_text.done": ResponseTextDoneEvent,
    "response.refusal.delta": ResponseDeltaEvent,
    "response.function_call_arguments.delta": ResponseDeltaEvent,
    "response.function_call_arguments.done": ResponseArgumentsDoneEvent,
}
_ENDS: Final = frozenset({"response.completed", "response.incomplete"})


class ResponseReader:
    """Reads the stream of one response; see `lmaas._streaming.Reader`.

    Args:
        reply: The head of the reply, for what errors tell.
    """

    def __init__(self, reply: Exchange) -> None:
        self._reply = reply
        self._parser = SSEParser()
        self._text: list[str] = []
        self.is_done = False
        self.events = 0

    @property
    def partial_text(self) -> str:
        """The text that has come so far."""
        return "".join(self._text)

    def feed(self, chunk: bytes) -> Iterator[ResponseEvent]:
        """Yield the events that `chunk` completes; what follows the end of the response is nothing.

        Raises:
            APIError: an event is an error, or says that the response failed, or is no such event.
            StreamTruncatedError: `[DONE]` came before the end.
        """
        if self.is_done:
            return
        try:
            for event in self._parser.feed(chunk):
                self.events += 1
                yield self._take(event)
                if self._has_ended():
                    return
        except StreamTooLargeError as exc:
            raise errors.StreamError(str(exc), request_id=self._request_id) from exc

    def finish(self) -> None:
        """Take note of the end of the bytes.

        Raises:
            StreamTruncatedError: the response has not ended.
        """
        if not self.is_done:
            message = "The stream ended before the response did: the answer is not whole."
            raise errors.StreamTruncatedError(message, request_id=self._request_id)

    def _has_ended(self) -> bool:
        return self.is_done

    def _take(self, event: ServerSentEvent) -> ResponseEvent:
        if event.data == "[DONE]":
            self.finish()
        try:
            kind = ResponseEvent.model_validate_json(event.data)
            value = _CLASSES.get(kind.type, ResponseEvent).model_validate_json(event.data)
        except ValidationError as exc:
            raise self._error_in(event) from exc
        if value.type == "error" or event.event == "error":
            raise self._error_in(event)
        if isinstance(value, ResponseDeltaEvent) and value.type == "response.output_text.delta":
            self._text.append(value.delta)
        if isinstance(value, ResponseStateEvent):
            self._take_state(value)
        return value

    def _take_state(self, event: ResponseStateEvent) -> None:
        if event.type == "response.failed":
            fault = event.response.error
            message = (fault and fault.message) or "The response failed; the server did not say why."
            code = None if fault is None or fault.code is None else str(fault.code)
            raise errors.StreamInterruptedError(message, code=code, request_id=self._request_id)
        self.is_done = event.type in _ENDS

    def _error_in(self, event: ServerSentEvent) -> errors.APIError:
        is_error = event.event == "error"
        error = event_error(self._reply, event.data, is_error_event=is_error)
        return error or validation_error(self._reply, event.data.encode(), "a stream of response events")

    @property
    def _request_id(self) -> str | None:
        return self._reply.headers.get("x-request-id")
