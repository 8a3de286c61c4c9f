"""Token usage out of reply bytes, in every spelling."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway import usage
from lmaas_gateway.call import Usage

COUNTS = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2}, Usage(3, 2, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, Usage(3, 0, 2)),
        ({"prompt_tokens": 3, "prompt_tokens_details": None}, Usage(3, 0, 0)),
        (
            {
                "completion_tokens_details": {"reasoning_tokens": 1},
                "prompt_tokens_details": {"cached_tokens": 2, "multimodal_tokens": None},
                "prompt_tokens": 3,
                "completion_tokens": 4,
            },
            Usage(3, 4, 2, reasoning_tokens=1),
        ),
        ({"a": {}, "b": {}, "c": {}, "d": {}, "prompt_tokens": 3}, Usage(3, 0, 0)),
        ({"prompt_tokens": 3, "completion_tokens_details": {"x": 1}, "completion_tokens": 1}, Usage(3, 1, 0)),
        (
            {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 1}, "output_tokens": 4},
            Usage(3, 4, 1),
        ),
        ({"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 2}, Usage(3, 4, 2)),
        (
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(0, 9, 0, reasoning_tokens=7),
        ),
        (
            {"output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 7}},
            Usage(0, 9, 0, reasoning_tokens=7),
        ),
        ({}, Usage(0, 0, 0)),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_every_spelling_is_read(wire: dict[str, object], expected: Usage, indent: int | None) -> None:
    data = json.dumps({"id": "x", "usage": wire, "kv_transfer_params": None}, indent=indent).encode()
    assert usage.find(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"usage":null}',
        b'{"usage":{"prompt_tokens":',
        b'{"usage":{"prompt_tokens_details":{"cached_tokens":2}',
        b'{"usage":{"prompt_tokens":"three"}}',
        b'{"usage":{"prompt_tokens":1.5}}',
        b'{"usage":{"prompt_tokens":-5}}',
        b'{"usage":{"prompt_tokens":99999999999}}',
        b'{"text":"\\"usage\\":{\\"prompt_tokens\\":5}"}',
    ],
)
def test_what_is_no_usage_gives_none(data: bytes) -> None:
    assert usage.find(data) is None


def test_last_usage_counts() -> None:
    assert usage.find(b'{"usage":{"prompt_tokens":1}}{"usage":{"prompt_tokens":2}}') == Usage(2, 0, 0)


def test_null_after_the_usage_does_not_hide_it() -> None:
    data = b'{"usage":{"prompt_tokens":1}}{"usage":null}'
    assert usage.find(data) == usage.find_first(data) == Usage(1, 0, 0)


def test_first_usage() -> None:
    data = b'{"usage":null}{"usage":{"prompt_tokens":1}}{"usage":{"prompt_tokens":2}}'
    assert usage.find_first(data) == Usage(1, 0, 0)
    assert usage.find_first(b"{}") is None


@given(prompt=COUNTS, completion=COUNTS, cached=COUNTS, text=st.text())
def test_usage_is_found_beside_any_text(prompt: int, completion: int, cached: int, text: str) -> None:
    wire = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    data = json.dumps({"before": text, "usage": wire, "after": text}).encode()
    assert usage.find(data) == Usage(prompt, completion, cached)


def test_merge_takes_the_greater_counts_and_what_there_is() -> None:
    first, last = Usage(5, 0, 2), Usage(0, 4, 0)
    assert usage.merge(first, last) == Usage(5, 4, 2)
    assert usage.merge(first, None) == usage.merge(None, first) == first
    assert usage.merge(None, None) is None


@pytest.mark.parametrize(
    ("metrics", "times"),
    [
        (
            b'{"time_to_first_token_ms":12.5,"generation_time_ms":40.25,"queue_time_ms":0.125,'
            b'"mean_itl_ms":1.0,"tokens_per_second":60.0}',
            (125, 12_500, 40_250),
        ),
        (
            b'{"time_to_first_token_ms":1,"generation_time_ms":2,"queue_time_ms":3,'
            b'"speculative_decoding":{"acceptance_histogram":[1]}}',
            (3000, 1000, 2000),
        ),
        (b'{"time_to_first_token_ms":null,"generation_time_ms":2,"queue_time_ms":3}', None),
        (b'{"time_to_first_token_ms":1,"queue_time_ms":3}', None),
        (b'{"time_to_first_token_ms":"1","generation_time_ms":2,"queue_time_ms":3}', None),
        (b'{"time_to_first_token_ms":-1,"generation_time_ms":2,"queue_time_ms":3}', None),
        (b'{"time_to_first_token_ms":1', None),
        (b"null", None),
    ],
)
def test_times_are_those_that_the_engine_tells(metrics: bytes, times: tuple[int, int, int] | None) -> None:
    body = b'{"choices":[],"usage":{"prompt_tokens":1},"metrics":%b}' % metrics
    assert usage.find_times_us(body) == times
    assert usage.find_times_us(b"x" * 10_000 + body) == times
