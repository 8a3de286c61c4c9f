"""What a call may cost at most, in tokens, as its body says: no work that takes time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.envelope import ABSENT

if TYPE_CHECKING:
    from lmaas_gateway.call import Call

# Beside the caller's own text: what chat templates say by themselves, such as a system prompt of the model's
# or the way to call tools. What they put around each message is less than its JSON does.
_TEMPLATE_TOKENS = 512
# A text is opened and closed by a few tokens.
_AROUND_TOKENS = 4
# An image or a sound of any size; the engine's own bound is mostly lower.
_MEDIA_TOKENS = 4096
_MEDIA_SIGNS = (b'_url"', b'"input_', b'"image')
# vLLM's, of a completion that says nothing.
_COMPLETION_TOKENS = 16
_FREE_ROUTES = frozenset({"/v1/tokenize", "/v1/detokenize"})


class Ranking(msgspec.Struct):
    """The fields of a ranking."""

    query: msgspec.Raw = msgspec.Raw(b"")
    text_1: msgspec.Raw = msgspec.Raw(b"")
    documents: list[msgspec.Raw] = []


_RANKINGS = msgspec.json.Decoder(Ranking)


def bound_prompt(call: Call) -> int:
    """Tell how many tokens the prompt has at most: one for each byte of its JSON, and what is put around it.

    Vocabularies are made of bytes, characters or word pieces; none of their tokens stands for less than a
    byte, but for those of a few ligatures that a normalizer takes apart.
    """
    raw, route, body = call.prompt, call.route, call.body
    if route.dialect != "plain" and route.path != "/v1/completions":
        bound = len(raw) + len(call.preamble) + _TEMPLATE_TOKENS
        # Parts of a content, media among them, say of which type they are.
        if b'"type"' in body:
            bound += _MEDIA_TOKENS * sum(map(body.count, _MEDIA_SIGNS))
        return bound
    if route.path in _FREE_ROUTES:
        return 0
    if route.dialect == "plain" and raw is ABSENT:
        return _bound_ranking(body)
    return len(raw) + _AROUND_TOKENS * (1 + body.count(b","))


def bound_completion(call: Call) -> int | None:
    """Tell how many tokens each choice has at most; None where only the model's context bounds them."""
    wanted, route = call.wanted, call.route
    if route.path == "/v1/chat/completions":
        # As vLLM chooses between the two.
        return wanted.max_tokens if wanted.max_completion_tokens is None else wanted.max_completion_tokens
    if route.dialect == "plain":
        return 0
    if route.path == "/v1/completions":
        if wanted.max_tokens is None and b'"max_tokens"' not in call.body:
            return _COMPLETION_TOKENS
        return wanted.max_tokens
    return wanted.max_output_tokens if route.dialect == "responses" else wanted.max_tokens


def bound_field(call: Call) -> str:
    """Name the field that bounds the completion on the call's route."""
    if call.route.dialect == "responses":
        return "max_output_tokens"
    return "max_completion_tokens" if call.route.path == "/v1/chat/completions" else "max_tokens"


def _bound_ranking(body: bytes) -> int:
    """A cross encoder reads the query again with each document."""
    try:
        ranking = _RANKINGS.decode(body)
    except msgspec.DecodeError:
        return len(body)
    repeated = len(ranking.query) + len(ranking.text_1) + _AROUND_TOKENS
    return len(body) + repeated * max(len(ranking.documents), body.count(b'","'))
