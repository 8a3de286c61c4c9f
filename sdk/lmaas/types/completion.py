"""Replies of `/v1/completions`, whole and streamed: the wire uses one shape for both."""

from __future__ import annotations

from pydantic import Field

from lmaas.types._base import ReplyModel, Usage, WireModel


class CompletionLogprobs(WireModel):
    """Log-probabilities of a choice: lists of equal length, one item a token."""

    tokens: list[str] = Field(default_factory=list)
    token_logprobs: list[float | None] = Field(default_factory=list)
    text_offset: list[int] = Field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] | None = None


class CompletionChoice(WireModel):
    """One of the `n` continuations of a prompt, or, in a stream, the next piece of it."""

    index: int
    text: str
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: CompletionLogprobs | None = None


class Completion(ReplyModel):
    """Continuations of a prompt, or, in a stream, the next pieces of them."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    system_fingerprint: str | None = None
