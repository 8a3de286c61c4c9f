"""Alerts come, are told once, are told again, and end; conditions are read off replicas."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from lmaas_gateway.replicas.engine_stats import EngineStats
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.settings import AlertSettings
from lmaas_gateway.watching.alerts import Alert, AlertBook, Silence
from lmaas_gateway.watching.burn import Counts, Objective
from lmaas_gateway.watching.conditions import Condition, Restarts, availability, burning, failing
from lmaas_gateway.wording import Said

RULES = AlertSettings()
ADDRESS = "unix:/run/chat-0.sock"
SEED = zlib.crc32(ADDRESS.encode())


def condition(**fields: Any) -> Condition:
    given: dict[str, Any] = {
        "name": "ReplicaDown",
        "model": "chat",
        "replica": "chat-0",
        "severity": "ticket",
        "said": Said("down"),
    }
    return Condition(**given | fields)


def due(book: AlertBook, at_s: float, **silences: Silence) -> list[tuple[str, str]]:
    return [(one.name, one.state) for one in book.due(silences, at_s=at_s, renotify_s=100)]


def test_condition_must_last_before_it_fires_and_is_then_told_once() -> None:
    book = AlertBook()
    for at_s, expected in ((0, []), (1, []), (2, [("ReplicaDown", "firing")]), (3, []), (50, [])):
        book.update([condition(for_s=2)], at_s)
        assert due(book, at_s) == expected, at_s
    assert [one.state for one in book.alerts()] == ["firing"]


def test_what_passes_before_it_fires_is_told_to_nobody() -> None:
    book = AlertBook()
    assert book.update([condition(for_s=5)], 0) == []
    assert book.update([], 1) == []
    assert due(book, 1) == []
    assert book.alerts() == []


def test_end_is_told_once_and_a_second_beginning_anew() -> None:
    book = AlertBook()
    told = []
    for at_s, conditions in ((0, [condition()]), (1, []), (2, []), (3, [condition()]), (4, [])):
        book.update(conditions, at_s)
        told += due(book, at_s)
    assert [state for _, state in told] == ["firing", "resolved", "firing", "resolved"]
    assert [one.resolved_at_s for one in book.alerts()] == [4, 1], "the latest first"


def test_alert_that_lasts_is_told_again_after_a_while() -> None:
    book = AlertBook()
    book.update([condition()], 0)
    assert [len(due(book, at_s)) for at_s in (0, 99, 100, 101, 200)] == [1, 0, 1, 0, 1]


def test_silenced_alert_is_not_told_until_the_silence_is_over() -> None:
    book = AlertBook()
    book.update([condition()], 0)
    silence = {condition().id: Silence(10)}
    assert due(book, 1, **silence) == []
    assert due(book, 10, **silence) == [("ReplicaDown", "firing")]


def test_end_of_what_was_told_is_told_even_in_a_silence() -> None:
    book = AlertBook()
    book.update([condition()], 0)
    assert due(book, 0)
    book.update([], 1)
    assert due(book, 1, **{condition().id: Silence(100)}) == [("ReplicaDown", "resolved")]


def test_end_of_what_was_never_told_is_not_told() -> None:
    book = AlertBook()
    book.update([condition()], 0)
    assert due(book, 0, **{condition().id: Silence(100)}) == []
    book.update([], 1)
    assert due(book, 1) == []


def test_alert_that_fired_before_a_restart_is_not_told_again_and_ends() -> None:
    before = AlertBook()
    before.update([condition()], 0)
    assert due(before, 0)
    after = AlertBook(before.alerts())
    after.update([condition(for_s=60)], 10)
    assert due(after, 10) == []
    after.update([], 11)
    assert due(after, 11) == [("ReplicaDown", "resolved")]


def test_ended_alerts_are_kept_for_a_while_and_not_without_bound() -> None:
    book = AlertBook()
    for number in range(300):
        book.update([condition(replica=str(number))], number)
        book.update([], number + 0.5)
    assert len(book.alerts()) == 100
    book.update([condition()], 8 * 86400)
    book.update([], 8 * 86400 + 1)
    assert len(book.alerts()) == 1


def test_same_trouble_has_the_same_name_and_another_has_another() -> None:
    assert condition().id == condition(said=Said("else"), value=3.0, for_s=9).id
    others = [
        condition(replica="x"),
        condition(model="x"),
        condition(severity="page"),
        condition(name="ReplicaEjected"),
    ]
    assert len({condition().id, *(one.id for one in others)}) == 5
    assert condition(replica="a", slo="b").id != condition(replica="ab", slo=None).id


def replica(name: str, **fields: Any) -> Replica:
    class NoClient:
        pass

    return Replica(name, NoClient(), **fields)  # type: ignore[arg-type]  # nothing is asked of it


def pool(*replicas: Replica, **fields: Any) -> Pool:
    return Pool("chat", "chat", replicas, created=0, **fields)


class Launched:
    def __init__(self) -> None:
        self.url, self.state, self.restarts = ADDRESS, "ready", 0
        self.last_error: str | None = None


def failures(*pools: Pool) -> list[tuple[str, str | None, float]]:
    return [(one.name, one.replica, one.for_s) for one in failing(pools, RULES)]


def test_replica_that_was_ready_and_is_down_is_one_and_its_model_if_none_is_left() -> None:
    lost = replica("chat-0", was_ready=True, problem="no connection")
    well = replica("chat-1", was_ready=True, is_ready=True)
    assert failures(pool(lost, well)) == [("ReplicaDown", "chat-0", 1.0)]
    assert failures(pool(lost)) == [("ModelUnavailable", None, 1.0), ("ReplicaDown", "chat-0", 1.0)]
    assert "no connection" in next(one for one in failing([pool(lost, well)], RULES)).summary


def test_replica_that_does_not_answer_is_suspect_while_it_serves_and_while_it_is_down_by_it() -> None:
    hung = replica("chat-0", was_ready=True, is_ready=True, is_silent=True)
    assert failures(pool(hung)) == [("ReplicaSuspect", "chat-0", 0.0)]
    hung.mark_failed("did not answer", is_silent=True)
    assert ("ReplicaSuspect", "chat-0", 0.0) in failures(pool(hung))
    hung.mark_failed("no connection")
    assert [name for name, *_ in failures(pool(hung))] == ["ModelUnavailable", "ReplicaDown"]
    leaving = replica("chat-0", was_ready=True, is_ready=True, is_silent=True, is_draining=True)
    well = replica("chat-1", was_ready=True, is_ready=True)
    assert failures(pool(leaving, well)) == []


def test_replica_that_starts_has_time_unless_it_was_given_up() -> None:
    failed = Launched()
    failed.state = "failed"
    assert failures(pool(replica("chat-0"))) == [("ReplicaDown", "chat-0", 900.0)]
    given_up = pool(replica("chat-0", seed=SEED), launches=lambda: (failed,))
    assert failures(given_up) == [("ModelUnavailable", None, 1.0), ("ReplicaDown", "chat-0", 1.0)]


def test_replica_that_drains_is_no_trouble_and_one_that_fails_calls_is() -> None:
    draining = replica("chat-0", was_ready=True, is_ready=True, is_draining=True)
    failed = replica("chat-1", was_ready=True, is_ready=True)
    failed.breaker.eject()
    assert failures(pool(draining, failed)) == [("ReplicaEjected", "chat-1", 0.0)]


def test_time_is_available_unless_no_replica_takes_calls() -> None:
    ready = replica("chat-0", was_ready=True, is_ready=True)
    assert availability(pool(ready), 2.0) == Counts(0, 2)
    assert availability(pool(replica("chat-0", was_ready=True)), 2.0) == Counts(2, 2)
    assert availability(pool(replica("chat-0")), 2.0) == Counts(), "it starts for the first time"


def test_engine_that_was_started_again_is_an_alert_for_a_while() -> None:
    launch = Launched()
    started = pool(replica("chat-0", seed=SEED), replica("chat-1"), launches=lambda: (launch,))
    restarts = Restarts()
    assert restarts.look([started], 0) == []
    launch.restarts = 1
    assert restarts.look([started], 1) == [("chat", "chat-0")]
    assert restarts.look([started], 2) == []
    (found,) = restarts.conditions(2, RULES)
    assert (found.name, found.replica, found.severity) == ("EngineRestarted", "chat-0", "ticket")
    assert list(restarts.conditions(1 + RULES.restart_s, RULES)) == []


def test_engine_elsewhere_tells_by_its_start_that_it_was_started_again() -> None:
    one = replica("chat-0", stats=EngineStats(0, 0, 0.0, started_at=100.0))
    restarts = Restarts()
    assert restarts.look([pool(one)], 0) == []
    one.stats = None
    assert restarts.look([pool(one)], 1) == [], "it tells nothing while it is away"
    one.stats = EngineStats(0, 0, 0.0, started_at=200.0)
    assert restarts.look([pool(one)], 2) == [("chat", "chat-0")]
    assert list(restarts.conditions(3, RULES))
    assert restarts.look([], 4) == []
    assert list(restarts.conditions(4, RULES)) == [], "the model is gone"


def test_launched_engine_is_counted_once_though_it_also_tells_when_it_began() -> None:
    launch = Launched()
    one = replica("chat-0", seed=SEED, stats=EngineStats(0, 0, 0.0, started_at=100.0))
    started = pool(one, launches=lambda: (launch,))
    restarts = Restarts()
    restarts.look([started], 0)
    launch.restarts = 1
    assert restarts.look([started], 1)
    one.stats = EngineStats(0, 0, 0.0, started_at=200.0)
    assert restarts.look([started], 2) == []


@pytest.mark.parametrize(("bad", "expected"), [(0, []), (2, ["ticket"]), (7, ["page"])])
def test_objective_that_burns_is_one_condition_that_says_how_fast(bad: int, expected: list[str]) -> None:
    objective = Objective("chat", "ttft", 0.999, 30 * 86400, threshold_s=0.8)
    found = list(burning(objective, lambda _: Counts(bad, 1000)))
    assert [one.severity for one in found] == expected
    if bad == 7:
        assert found[0].summary == (
            "chat: 0.007 of the last 6h were first tokens that came too late, where 0.001 may be; the budget "
            "of 30 days is used up 7 times too fast"
        )
        assert found[0].value == 7.0


def test_alert_keeps_the_latest_figures_of_its_condition() -> None:
    book = AlertBook()
    book.update([condition(value=1.0)], 0)
    book.update([condition(value=2.0, said=Said("worse"))], 1)
    (alert,) = book.alerts()
    assert isinstance(alert, Alert)
    assert (alert.value, alert.summary, alert.started_at_s) == (2.0, "worse", 0)
