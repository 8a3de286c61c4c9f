"""Replies of `/v1/tokenize` and `/v1/detokenize`, which are vLLM's."""

from __future__ import annotations

from lmaas.types._base import ReplyModel


class TokenizeResponse(ReplyModel):
    """A text as the model reads it. `max_model_len` is the model's context length in tokens."""

    count: int
    max_model_len: int | None = None
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeResponse(ReplyModel):
    """The text of tokens."""

    prompt: str
