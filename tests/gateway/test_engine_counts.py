"""What replicas count themselves, added up over their restarts and seen by one worker."""

from __future__ import annotations

from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.metrics.engines import EngineCounts
from lmaas_gateway.metrics.process import ProcessUse
from lmaas_gateway.replicas.address import Address
from lmaas_gateway.replicas.client import ReplicaClient
from lmaas_gateway.replicas.engine_stats import EngineStats, read_stats
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.settings import TimeoutSettings
from lmaas_gateway.testing import FakeReplica
from support.serving import run_gateway, settings_for

VLLM = b"""
vllm:num_requests_running{engine="0",model_name="m"} 1.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.79e+09
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 750.0
vllm:num_preemptions_total{engine="0",model_name="m"} 2.0
vllm:num_preemptions_total{engine="1",model_name="m"} 1.0
"""


def said(queries: float, hits: float, *, started_at: float = 1.0) -> EngineStats:
    return EngineStats(0, 0, 0.0, queries, hits, 0.0, started_at=started_at)


def counted(*sayings: EngineStats | None) -> tuple[float, float]:
    """Count what a replica says, one look after another."""
    replica = Replica("m-0", ReplicaClient(Address("localhost", 9), timeouts=TimeoutSettings()))
    metrics = Metrics()
    counts = EngineCounts(metrics)
    for saying in sayings:
        replica.stats = saying
        counts.look([Pool("m", "chat", (replica,), 0)])
    counters = metrics.totals().counters
    return (
        counters[names.PREFIX_QUERIES.name]["m", "m-0"].value,
        counters[names.PREFIX_HITS.name]["m", "m-0"].value,
    )


def test_what_was_counted_before_the_first_look_is_not_ours() -> None:
    assert counted(said(100, 50), said(160, 80)) == (60, 30)


def test_engine_that_began_anew_is_counted_from_zero() -> None:
    assert counted(said(100, 50), said(5, 1)) == (5, 1)
    assert counted(said(100, 50), said(150, 60, started_at=2.0)) == (150, 60)


def test_replica_that_does_not_tell_for_a_while_is_gone_on_with() -> None:
    assert counted(said(100, 50), None, said(110, 55)) == (10, 5)


def test_counters_of_vllm_are_read_over_all_its_engines() -> None:
    stats = read_stats(VLLM)
    assert stats is not None
    assert (stats.prefix_queries, stats.prefix_hits, stats.preemptions) == (1000, 750, 3)


async def test_gateway_counts_what_its_replicas_count() -> None:
    async with FakeReplica() as replica:
        replica.counts = {"prefix_cache_queries": 10, "prefix_cache_hits": 4}
        async with run_gateway(settings_for(replica)) as running:
            await running.until(lambda: running.pool.replicas[0].stats is not None)
            counts = running.gateway._gauges._engines
            assert counts is not None
            counts.look(running.gateway.directory)
            replica.counts = {"prefix_cache_queries": 30, "prefix_cache_hits": 19}
            await running.until(lambda: getattr(running.pool.replicas[0].stats, "prefix_hits", 0) == 19)
            counts.look(running.gateway.directory)
            text = (await running.get("/metrics")).body.decode()
    place = 'model="mock",replica="mock-0"'
    assert f"lmaas_replica_prefix_cache_queries_total{{{place}}} 20.0" in text
    assert f"lmaas_replica_prefix_cache_hits_total{{{place}}} 15.0" in text
    assert "lmaas_workers 1.0" in text


def test_cpu_time_of_this_process_is_counted_once() -> None:
    metrics, readings = Metrics(), iter((2.0, 5.0))
    use = ProcessUse(metrics, lambda: next(readings))
    use.look()
    use.look()
    assert metrics.totals().counters[names.GATEWAY_CPU.name][()].value == 5.0
    assert metrics.gauge(names.WORKERS) == {(): 1.0}
    assert metrics.gauge(names.GATEWAY_MEMORY)[()] > 1_000_000
