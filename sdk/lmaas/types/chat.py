"""Replies of `/v1/chat/completions`, whole and streamed."""

from __future__ import annotations

from pydantic import Field

from lmaas.types._base import ReplyModel, Usage, WireModel


class FunctionCall(WireModel):
    """The function that the model wants called; `arguments` is JSON text, not yet checked by anyone."""

    name: str
    arguments: str


class ToolCall(WireModel):
    """A call that the model asks for."""

    id: str
    type: str = "function"
    function: FunctionCall


class TopLogprob(WireModel):
    """A token that might have been chosen."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob):
    """A chosen token and the ones that came close."""

    top_logprobs: list[TopLogprob] = Field(default_factory=list)


class ChoiceLogprobs(WireModel):
    """Log-probabilities of a choice, token by token."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class ChatCompletionMessage(WireModel):
    """What the model said. It can go back as it is in the `messages` of the next call."""

    role: str
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(WireModel):
    """One of the `n` answers."""

    index: int
    message: ChatCompletionMessage
    finish_reason: str | None
    stop_reason: int | str | None = None
    logprobs: ChoiceLogprobs | None = None


class ChatCompletion(ReplyModel):
    """A whole answer of a chat model."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None


class FunctionCallDelta(WireModel):
    """A piece of a function call: `arguments` pieces add up to the JSON text."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(WireModel):
    """A piece of the tool call at `index`."""

    index: int
    id: str | None = None
    type: str | None = None
    function: FunctionCallDelta | None = None


class ChoiceDelta(WireModel):
    """What a chunk adds to a message."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChunkChoice(WireModel):
    """What a chunk adds to the answer at `index`; `finish_reason` comes with the last one."""

    index: int
    delta: ChoiceDelta
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: ChoiceLogprobs | None = None


class ChatCompletionChunk(WireModel):
    """A piece of a streamed answer. The last one may have no choices and the `usage` of the call."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
