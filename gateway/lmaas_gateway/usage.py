"""Read token usage out of reply bytes, without decoding the rest of them."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from lmaas_gateway.call import Usage

# Every quote inside a JSON string is escaped, so text that a model or a client wrote can never match.
_NAME = b'"usage":'
_USAGE = re.compile(rb'"usage":\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
# Of objects in it there are two at most: details of the prompt, and of the completion.
_MOST_OBJECTS = 3


# No call has more; a column of the ledger must hold it, and its price.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None


class _WireUsage(msgspec.Struct):
    """OpenAI's two spellings and Anthropic's."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: _Count | None = None
    completion_tokens_details: _OutputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


_DECODER = msgspec.json.Decoder(_WireUsage)

_METRICS_NAME = b'"metrics":{'
_METRICS = re.compile(rb'"metrics":(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')
# vLLM writes them last.
_METRICS_BYTES = 4096
_Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class _WireMetrics(msgspec.Struct):
    """What vLLM 0.32 tells of one call with `--enable-per-request-metrics`, of calls with one choice."""

    queue_time_ms: _Milliseconds | None = None
    time_to_first_token_ms: _Milliseconds | None = None
    generation_time_ms: _Milliseconds | None = None


_METRICS_DECODER = msgspec.json.Decoder(_WireMetrics)


def find(data: bytes) -> Usage | None:
    """Find the last usage object in `data`."""
    end = len(data)
    while (start := data.rfind(_NAME, 0, end)) >= 0:
        # As vLLM writes it, it is cut out several times faster than it is matched.
        cut = _cut(data, start + len(_NAME))
        if cut is not None:
            return _read(cut)
        match = _USAGE.match(data, start)
        if match is not None:
            return _read(match[1])
        end = start
    return None


def _cut(data: bytes, begin: int) -> bytes | None:
    """Give the object that begins there, by its braces: no text is in it. None if it must be matched."""
    if not data.startswith(b"{", begin):
        return None
    end = begin
    for closed in range(1, _MOST_OBJECTS + 1):
        end = data.find(b"}", end) + 1
        if not end:
            return None
        if data.count(b"{", begin, end) == closed:
            return data[begin:end]
    return None


def find_times_us(data: bytes) -> tuple[int, int, int] | None:
    """Find how long the engine itself says that it let a call wait, read its prompt and wrote its reply.

    The second runs from when the call was scheduled to its first token, the third from there to its last.
    In microseconds; None where the engine does not tell, or tells only a part.
    """
    start = data.rfind(_METRICS_NAME, -_METRICS_BYTES)
    if start < 0:
        return None
    match = _METRICS.match(data, start)
    try:
        wire = _WireMetrics() if match is None else _METRICS_DECODER.decode(match[1])
    except msgspec.DecodeError:
        return None
    queue_ms, prefill_ms, decode_ms = wire.queue_time_ms, wire.time_to_first_token_ms, wire.generation_time_ms
    if queue_ms is None or prefill_ms is None or decode_ms is None:
        return None
    return int(queue_ms * 1000), int(prefill_ms * 1000), int(decode_ms * 1000)


def find_first(data: bytes) -> Usage | None:
    """Find the first usage object in `data`."""
    match = _USAGE.search(data)
    return None if match is None else _read(match[1])


def _read(data: bytes) -> Usage | None:
    try:
        wire = _DECODER.decode(data)
    except msgspec.DecodeError:
        return None
    details = wire.prompt_tokens_details or wire.input_tokens_details
    cached = details.cached_tokens if details else wire.cache_read_input_tokens
    output = wire.completion_tokens_details or wire.output_tokens_details
    return Usage(
        prompt_tokens=wire.prompt_tokens or wire.input_tokens or 0,
        completion_tokens=wire.completion_tokens or wire.output_tokens or 0,
        cached_tokens=cached or 0,
        reasoning_tokens=(output.reasoning_tokens or 0) if output else 0,
    )


def estimate(told: Usage | None, *, prompt_tokens: int, completion_tokens: int) -> Usage:
    """Fill in what a stream that broke off has not told: its replica counts at the end of a stream only."""
    told = told or Usage()
    if told.completion_tokens >= completion_tokens and told.prompt_tokens:
        return told
    return Usage(
        prompt_tokens=told.prompt_tokens or prompt_tokens,
        completion_tokens=max(told.completion_tokens, completion_tokens),
        cached_tokens=told.cached_tokens,
        is_estimated=True,
        reasoning_tokens=told.reasoning_tokens,
    )


def merge(first: Usage | None, last: Usage | None) -> Usage | None:
    """Join the usage of a stream's start and end: counts only grow, and each may stand in one of them."""
    if first is None or last is None:
        return last or first
    return Usage(
        prompt_tokens=max(first.prompt_tokens, last.prompt_tokens),
        completion_tokens=max(first.completion_tokens, last.completion_tokens),
        cached_tokens=max(first.cached_tokens, last.cached_tokens),
        reasoning_tokens=max(first.reasoning_tokens, last.reasoning_tokens),
    )
