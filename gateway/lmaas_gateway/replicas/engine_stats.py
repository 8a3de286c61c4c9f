"""What a replica says of itself on vLLM's `/metrics`: a scan for a few lines instead of parsing them all."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineStats:
    """One look at a replica.

    Attributes:
        running: Requests that it works on, from whoever they come.
        waiting: Requests that wait for room in its batch.
        kv_cache_usage: How much of its KV cache is in use, from 0 to 1.
        prefix_queries: Prompt tokens looked up in its prefix cache since it began.
        prefix_hits: Those of them that were found.
        preemptions: Requests put aside since it began because the KV cache was full.
        kv_cache_tokens: What fits into it; None where it does not tell.
        started_at: When its process began, in Unix seconds; None where it does not tell.
    """

    running: int
    waiting: int
    kv_cache_usage: float
    prefix_queries: float = 0.0
    prefix_hits: float = 0.0
    preemptions: float = 0.0
    kv_cache_tokens: int | None = None
    started_at: float | None = None


def read_stats(text: bytes) -> EngineStats | None:
    """Read the text of `/metrics`; None if it is not that of a vLLM.

    Where several engines serve behind one address, their numbers are added up, and the fullest cache counts.
    """
    running = _values(text, b"vllm:num_requests_running")
    if not running:
        return None
    return EngineStats(
        running=int(sum(running)),
        waiting=int(sum(_values(text, b"vllm:num_requests_waiting"))),
        kv_cache_usage=max(_values(text, b"vllm:kv_cache_usage_perc"), default=0.0),
        prefix_queries=sum(_values(text, b"vllm:prefix_cache_queries_total")),
        prefix_hits=sum(_values(text, b"vllm:prefix_cache_hits_total")),
        preemptions=sum(_values(text, b"vllm:num_preemptions_total")),
        kv_cache_tokens=sum(map(_cache_tokens, _lines(text, b"vllm:cache_config_info"))) or None,
        started_at=next(iter(_values(text, b"process_start_time_seconds")), None),
    )


def _lines(text: bytes, name: bytes) -> list[bytes]:
    """Find the samples of a metric, without its name."""
    found = []
    start = 0
    while (start := text.find(name, start)) >= 0:
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        begins_line = start == 0 or text[start - 1 : start] == b"\n"
        start += len(name)
        # Other metrics' names may begin with this one.
        if begins_line and text[start : start + 1] in {b"{", b" "}:
            found.append(text[start:end])
        start = end
    return found


def _values(text: bytes, name: bytes) -> list[float]:
    values = []
    for line in _lines(text, name):
        try:
            # A timestamp may follow the value, labels go before it.
            value = float(line.rpartition(b"}")[2].split()[0])
        except (ValueError, IndexError):
            continue
        if math.isfinite(value) and value >= 0:
            values.append(value)
    return values


def _cache_tokens(line: bytes) -> int:
    tokens = _label(line, b"kv_cache_size_tokens")
    return tokens or _label(line, b"num_gpu_blocks") * _label(line, b"block_size")


def _label(line: bytes, name: bytes) -> int:
    for opening in (b"{", b","):
        _, found, rest = line.partition(opening + name + b'="')
        if found:
            text = rest.partition(b'"')[0]
            return int(text) if text.isdigit() and len(text) < 16 else 0
    return 0
