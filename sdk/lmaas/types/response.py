"""Replies of `/v1/responses`, and the events of its streams."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lmaas.types._base import ReplyModel, WireModel
from lmaas.types.chat import TokenLogprob


class ResponseContent(WireModel):
    """A part of a message: `text` for `output_text` and `reasoning_text`, `refusal` for `refusal`."""

    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: list[Any] | None = None
    logprobs: list[TokenLogprob] | None = None


class ResponseOutputItem(WireModel):
    """Something that the model put out: `type` says what, and which of the fields it has.

    `message` has `role` and `content`; `function_call` has `call_id`, `name` and `arguments` (JSON text, not
    yet checked by anyone); `reasoning` has `summary` and `content`.
    """

    type: str
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: list[ResponseContent] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    summary: list[Any] | None = None


class InputTokensDetails(WireModel):
    """Where input tokens came from."""

    cached_tokens: int | None = None


class OutputTokensDetails(WireModel):
    """What output tokens were spent on."""

    reasoning_tokens: int | None = None


class ResponseUsage(WireModel):
    """Tokens that a response was charged for."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: InputTokensDetails | None = None
    output_tokens_details: OutputTokensDetails | None = None


class ResponseFault(WireModel):
    """Why a response failed."""

    code: str | int | None = None
    message: str | None = None


class IncompleteDetails(WireModel):
    """Why a response is incomplete, such as `max_output_tokens`."""

    reason: str | None = None


class Response(ReplyModel):
    """What the model put out for an input. `created_at` is in Unix seconds."""

    id: str
    object: str = "response"
    created_at: float = 0
    model: str
    status: str | None = None
    output: list[ResponseOutputItem] = Field(default_factory=list)
    error: ResponseFault | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: Any = None
    metadata: dict[str, Any] | None = None
    previous_response_id: str | None = None
    usage: ResponseUsage | None = None

    @property
    def output_text(self) -> str:
        """The text of all messages, one after another; "" if there is none."""
        return "".join(
            part.text or ""
            for item in self.output
            if item.type == "message"
            for part in item.content or ()
            if part.type == "output_text"
        )


class ResponseEvent(WireModel):
    """An event of a streamed response; `type` says which. Its kinds that are known have a class each."""

    type: str
    sequence_number: int | None = None


class ResponseStateEvent(ResponseEvent):
    """The response as a whole: `response.created`, `.in_progress`, `.completed`, `.incomplete`, `.failed`."""

    response: Response


class ResponseOutputItemEvent(ResponseEvent):
    """An item begins or is there: `response.output_item.added`, `.done`."""

    output_index: int
    item: ResponseOutputItem


class ResponseContentPartEvent(ResponseEvent):
    """A part of a message begins or is there: `response.content_part.added`, `.done`."""

    item_id: str
    output_index: int
    content_index: int
    part: ResponseContent


class ResponseDeltaEvent(ResponseEvent):
    """A piece of text, reasoning, refusal or arguments: the types that end in `.delta`."""

    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    delta: str
    logprobs: list[TokenLogprob] | None = None


class ResponseTextDoneEvent(ResponseEvent):
    """A text or reasoning is there: `response.output_text.done`, `response.reasoning_text.done`."""

    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    text: str


class ResponseArgumentsDoneEvent(ResponseEvent):
    """The arguments of a call are there: `response.function_call_arguments.done`."""

    item_id: str | None = None
    output_index: int | None = None
    name: str | None = None
    arguments: str
