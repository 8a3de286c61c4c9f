"""A task as a plan: a generator that yields calls, is sent their replies, and returns a result.

Plans do no I/O, so one plan serves the synchronous and the asynchronous client, and tests send it replies
by hand. The calls of one `yield` do not depend on each other: they may be made at once, and their replies
come back in the order of the calls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from lmaas.types import ChatCompletion, Completion, CreateEmbeddingResponse, ReplyModel, TokenizeResponse

R = TypeVar("R")
ReplyT = TypeVar("ReplyT", bound=ReplyModel)
Route: TypeAlias = Literal["chat", "completions", "embeddings", "tokenize"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a plan asks for. Its body stays out of `repr`: it holds the text.

    Attributes:
        body: The parameters of the call.
        options: What every call takes beside them, such as `timeout`.
        is_constant: Whether the reply is the same each time, so that it may be remembered.
    """

    route: Route
    body: Mapping[str, Any] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    is_constant: bool = False

    @property
    def key(self) -> str:
        """What names this call and no other."""
        return json.dumps([self.route, self.body], sort_keys=True, default=str)


Plan: TypeAlias = Generator[tuple[Call, ...], Sequence[ReplyModel], R]


def replies_of(kind: type[ReplyT], calls: Sequence[Call]) -> Plan[list[ReplyT]]:
    """Ask for `calls` at once and return their replies, in order. None asked, none made."""
    if not calls:
        return []
    replies = yield tuple(calls)
    return [_as(kind, reply) for reply in replies]


def chats(calls: Sequence[Call]) -> Plan[list[ChatCompletion]]:
    """Ask for chat completions."""
    return (yield from replies_of(ChatCompletion, calls))


def completions(calls: Sequence[Call]) -> Plan[list[Completion]]:
    """Ask for text completions."""
    return (yield from replies_of(Completion, calls))


def tokenized(calls: Sequence[Call]) -> Plan[list[TokenizeResponse]]:
    """Ask for tokens."""
    return (yield from replies_of(TokenizeResponse, calls))


def embedded(calls: Sequence[Call]) -> Plan[list[CreateEmbeddingResponse]]:
    """Ask for vectors."""
    return (yield from replies_of(CreateEmbeddingResponse, calls))


def context_tokens(reply: TokenizeResponse) -> int:
    """Return the context length that the tokenizer tells; a server that tells none is taken at any length."""
    return reply.max_model_len or sys.maxsize


def _as(kind: type[ReplyT], reply: ReplyModel) -> ReplyT:
    if not isinstance(reply, kind):
        message = f"a plan that asked for a {kind.__name__} was sent a {type(reply).__name__}"
        raise TypeError(message)
    return reply
