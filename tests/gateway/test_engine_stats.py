"""What is read of vLLM's metrics, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_gateway.replicas.engine_stats import EngineStats, read_stats
from lmaas_gateway.replicas.pool import NEVER
from support.replicas import make_replica

# As vLLM 0.32 writes them, cut to what matters and what could be mistaken for it.
TEXT = b"""\
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.76370000012e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/model {7b}"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="org/model {7b}"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/model {7b}"} 0.25
vllm:cache_config_info{block_size="16",kv_cache_size_tokens="10576",num_gpu_blocks="661"} 1.0
vllm:num_requests_running_created{engine="0"} 1.7e+09
"""


def test_numbers_are_read_out_of_vllms_text() -> None:
    assert read_stats(TEXT) == EngineStats(3, 2, 0.25, kv_cache_tokens=10576, started_at=1.76370000012e09)


def test_several_engines_behind_one_address_are_added_up() -> None:
    text = TEXT + TEXT.replace(b'engine="0"', b'engine="1"').replace(b"0.25", b"0.75")
    stats = read_stats(text)
    assert stats is not None
    assert (stats.running, stats.waiting, stats.kv_cache_usage, stats.kv_cache_tokens) == (6, 4, 0.75, 21152)


@pytest.mark.parametrize(
    ("info", "tokens"),
    [
        (b'{block_size="16",num_gpu_blocks="100"}', 1600),
        (b'{block_size="16",kv_cache_size_tokens="None",num_gpu_blocks="100"}', 1600),
        (b'{block_size="16",num_gpu_blocks="None"}', None),
        (b"{}", None),
    ],
)
def test_size_of_the_cache_is_taken_as_it_is_told(info: bytes, tokens: int | None) -> None:
    stats = read_stats(b"vllm:num_requests_running 0\nvllm:cache_config_info" + info + b" 1.0\n")
    assert stats == EngineStats(0, 0, 0.0, kv_cache_tokens=tokens)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"other:metric 1\n",
        b"vllm:num_requests_running NaN\n",
        b"vllm:num_requests_running{} ",
    ],
)
def test_what_is_not_vllms_tells_nothing(text: bytes) -> None:
    assert read_stats(text) is None


@given(st.binary(max_size=200), st.integers(0, len(TEXT)))
def test_no_text_is_a_crash(noise: bytes, at: int) -> None:
    read_stats(TEXT[:at] + noise + TEXT[at:])


class TestReplica:
    def test_calls_that_others_sent_are_those_beyond_ours(self) -> None:
        replica = make_replica(calls=2)
        replica.note_stats(EngineStats(running=4, waiting=1, kv_cache_usage=0))
        assert replica.foreign_calls == 3
        replica.note_stats(EngineStats(running=1, waiting=0, kv_cache_usage=0))
        assert replica.foreign_calls == 0
        assert replica.queues_above == NEVER

    def test_calls_wait_until_as_many_have_ended(self) -> None:
        replica = make_replica(calls=5)
        replica.note_stats(EngineStats(running=3, waiting=2, kv_cache_usage=0))
        assert replica.queues_above == 3
        replica.note_stats(None)
        assert (replica.queues_above, replica.foreign_calls, replica.stats) == (NEVER, 0, None)

    def test_size_of_the_cache_bounds_what_it_is_thought_to_hold(self) -> None:
        replica = make_replica()
        replica.note_stats(EngineStats(0, 0, 0, kv_cache_tokens=1000))
        assert 4000 <= replica.prefixes.capacity_bytes <= 8000
