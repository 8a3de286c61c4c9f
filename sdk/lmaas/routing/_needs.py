"""What a call needs of the platform that it is sent to, read off its body without any I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lmaas._hedging import is_pure
from lmaas._request import Request

ANSWER_TOKENS: Final = 256
"""How long an answer is taken to be that has no limit."""

_VLLM_ONLY: Final = (
    "structured_outputs",
    "logprob_token_ids",
    "guided_json",
    "guided_regex",
    "guided_choice",
)
_PARTS: Final = {"image_url": "images", "input_image": "images", "input_audio": "audio"}
_STATE: Final = ("previous_response_id", "conversation")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call needs.

    Attributes:
        route: Its path below the base URL.
        model: As the program names it; None where a call has none.
        features: Which of `Feature` it uses.
        prompt_tokens: An estimate, from the number of characters.
        answer_tokens: Its own limit, else `ANSWER_TOKENS`.
        has_limit: Whether the limit is its own.
        is_counted: Whether a platform has counted the tokens; an estimate keeps a call from no platform that
            is the only one left.
        is_movable: Whether any platform may serve it. Files, batches and stored responses live where they
            were made, and lists are lists of one platform.
    """

    route: str
    model: str | None = None
    features: frozenset[str] = frozenset()
    prompt_tokens: int = 0
    answer_tokens: int = ANSWER_TOKENS
    has_limit: bool = False
    is_counted: bool = False
    is_movable: bool = True

    @property
    def total_tokens(self) -> int:
        """The context that it takes at least, as far as an estimate can tell."""
        return self.prompt_tokens + (self.answer_tokens if self.has_limit else 1)

    def counted(self, total_tokens: int | None) -> Needs:
        """Return the same with the tokens that a platform has counted, if it told them."""
        if total_tokens is None:
            return self
        prompt = max(0, total_tokens - (self.answer_tokens if self.has_limit else 1))
        return replace(self, prompt_tokens=prompt, is_counted=True)

    def without_estimate(self) -> Needs:
        """Return the same for any length, where that is no more than an estimate."""
        return self if self.is_counted else replace(self, prompt_tokens=0, has_limit=False)


def needs_of(request: Request, base_url: str) -> tuple[Needs, dict[str, Any] | None]:
    """Return what a request needs, and its body if that is a JSON object."""
    route = request.url.removeprefix(base_url).partition("?")[0]
    body = _body_of(request)
    is_movable = request.method == "POST" and (is_pure(request) or route == "/responses")
    if body is None or not is_movable or any(body.get(name) for name in _STATE):
        return Needs(route, model=_model(body), is_movable=False), body
    limit = _limit(body)
    needs = Needs(
        route=route,
        model=_model(body),
        features=frozenset(_features(body)),
        prompt_tokens=sum(map(estimated_tokens, _texts(body))),
        answer_tokens=ANSWER_TOKENS if limit is None else limit,
        has_limit=limit is not None,
    )
    return needs, body


def estimated_tokens(text: str) -> int:
    """Estimate the tokens of a text: four ASCII characters, or one other character and a half, are one.

    Tokenizers differ by a third both ways; an estimate decides where to ask first, never whether to ask.
    """
    ascii_characters = len(text.encode("ascii", "ignore"))
    return -(-ascii_characters // 4) + -(-2 * (len(text) - ascii_characters) // 3)


def _body_of(request: Request) -> dict[str, Any] | None:
    if request.content is None or not request.headers.get("content-type", "").startswith("application/json"):
        return None
    body = json.loads(request.content)
    return body if isinstance(body, dict) else None


def _model(body: Mapping[str, Any] | None) -> str | None:
    model = (body or {}).get("model")
    return model if isinstance(model, str) else None


def _limit(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        if isinstance(body.get(name), int):
            return int(body[name])
    return None


def _features(body: Mapping[str, Any]) -> Iterator[str]:
    if body.get("tools") or body.get("functions"):
        yield "tools"
    text = body.get("text")  # of a response
    forms = (body.get("response_format"), text.get("format") if isinstance(text, Mapping) else None)
    if any(isinstance(form, Mapping) and form.get("type") == "json_schema" for form in forms):
        yield "json_schema"
    if body.get("logprobs") or body.get("top_logprobs") or body.get("prompt_logprobs"):
        yield "logprobs"
    if any(body.get(name) is not None for name in _VLLM_ONLY):
        yield "vllm"
    yield from (_PARTS[part["type"]] for part in _parts(body) if part.get("type") in _PARTS)


def _messages(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("messages", "input"):
        found = body.get(name)
        if isinstance(found, list):
            yield from (one for one in found if isinstance(one, Mapping))


def _parts(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in _messages(body):
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, Mapping))


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    yield from (message["content"] for message in _messages(body) if isinstance(message.get("content"), str))
    yield from (part["text"] for part in _parts(body) if isinstance(part.get("text"), str))
    yield from _strings(body.get("prompt"))
    # Each text of an embedding call has the context for itself; the longest one decides.
    inputs = list(_strings(body.get("input")))
    yield from sorted(inputs, key=len)[-1:]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, Mapping):
        yield from (one for one in value if isinstance(one, str))
