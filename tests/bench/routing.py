"""Compare the routing policies on simulated engines: how much of the prompts is found in prefix caches.

The policies are the real ones; the engines are models of vLLM: continuous batching with a budget of tokens a
step, prompts read in order of arrival, and a prefix cache of blocks that forgets what was used longest ago.

    python tests/bench/routing.py [--calls 4000]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from lmaas_gateway.replicas.engine_stats import EngineStats
from lmaas_gateway.replicas.pool import Pool
from lmaas_gateway.routing.balancing import Policies
from lmaas_gateway.settings import RoutingPolicy
from support.calls import make_call
from support.replicas import make_replica

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Replica

POLICIES: tuple[RoutingPolicy, ...] = get_args(RoutingPolicy)
_WORDS = [
    f"{first}{second}" for first in ("ba", "ke", "lo", "mi", "tu") for second in ("ra", "ni", "sol", "t", "x")
]


@dataclass(frozen=True)
class Traffic:
    """Chats of several turns that share system prompts, some sessions far longer than others.

    Attributes:
        sessions: How many chats are going on at each time.
        think_steps: Mean pause of a user between two turns.
        system_prompts: How many there are; the first is used most, by Zipf's law.
        system_words: Length of each, at least and at most.
        turns: Mean turns of a chat; one chat in ten has five times as many.
        engines: How many replicas.
        cache_tokens: Room in the cache of each.
        block_tokens: Of its blocks: 16 on a GPU, 128 on a CPU.
    """

    name: str
    calls: int = 4000
    sessions: int = 48
    think_steps: int = 60
    system_prompts: int = 6
    system_words: tuple[int, int] = (100, 500)
    turns: float = 6
    engines: int = 3
    cache_tokens: int = 60_000
    block_tokens: int = 16
    seed: int = 1


TRAFFICS = (
    Traffic("light, large caches", sessions=12, think_steps=120),
    Traffic("busy, large caches"),
    Traffic("busy, small caches", cache_tokens=12_000),
    Traffic("busy, blocks of 128", block_tokens=128),
    Traffic("overloaded", sessions=160, think_steps=20),
    Traffic("one system prompt", system_prompts=1, system_words=(800, 800)),
    Traffic("many short chats", system_prompts=40, turns=1.5, sessions=64),
)


@dataclass
class Session:
    """One chat: what was said, and when its user says the next thing."""

    name: bytes
    turns: int
    messages: list[dict[str, str]]
    due: float
    tokens: list[str] = field(default_factory=list)

    def say(self, role: str, words: Sequence[str]) -> None:
        self.messages.append({"role": role, "content": " ".join(words)})
        self.tokens += (f"<{role}>", *words)


@dataclass
class Job:
    """One call inside an engine."""

    session: Session
    call: Call
    replica: Replica
    answer: list[str]
    arrived: int
    tokens: list[str]
    to_read: int = 0
    generated: int = 0


class PrefixCache:
    """Blocks of tokens by the hash of all up to their end."""

    def __init__(self, block_tokens: int, capacity_tokens: float) -> None:
        self._size = block_tokens
        self._capacity = capacity_tokens / block_tokens
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def _hashes(self, tokens: Sequence[str]) -> list[int]:
        state = 0
        return [
            state := hash((state, *tokens[start : start + self._size]))
            for start in range(0, len(tokens) - self._size + 1, self._size)
        ]

    def count(self, tokens: Sequence[str]) -> int:
        """Count the tokens at the beginning that are held. The last one is always computed."""
        held = 0
        for state in self._hashes(tokens[:-1]):
            if state not in self._blocks:
                break
            held += self._size
        return held

    def add(self, tokens: Sequence[str]) -> None:
        for state in reversed(self._hashes(tokens)):
            self._blocks[state] = None
            self._blocks.move_to_end(state)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)


class Engine:
    """One replica's engine."""

    budget_tokens = 192
    max_running = 32

    def __init__(self, traffic: Traffic) -> None:
        self.cache = PrefixCache(traffic.block_tokens, traffic.cache_tokens)
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.cached_tokens = self.worked_tokens = 0

    def step(self) -> list[Job]:
        """Work for one step; give the jobs that are done."""
        while self.waiting and len(self.running) < self.max_running:
            job = self.waiting.popleft()
            cached = self.cache.count(job.tokens)
            self.cached_tokens += cached
            job.to_read = len(job.tokens) - cached
            self.running.append(job)
        budget = self.budget_tokens
        for job in self.running:
            if job.to_read == 0:
                job.generated += 1
                budget -= 1
        for job in self.running:
            read = min(max(budget, 0), job.to_read)
            if read:
                job.to_read -= read
                budget -= read
                if job.to_read == 0:
                    self.cache.add(job.tokens)
        self.worked_tokens += self.budget_tokens - budget
        done = [job for job in self.running if job.generated >= len(job.answer)]
        if done:
            self.running = [job for job in self.running if job not in done]
        return done


@dataclass(frozen=True)
class Result:
    """What came of one policy on one traffic.

    Attributes:
        cached_share: Cached prompt tokens, of those in one endless cache that saw every turn.
        imbalance: The work of the busiest engine over the mean.
        mean_steps: From a call's arrival to the end of its answer.
        p99_steps: The same, of the slowest in a hundred.
    """

    cached_share: float
    imbalance: float
    mean_steps: float
    p99_steps: float


class Simulation:
    """The traffic at the engines, step by step."""

    def __init__(self, traffic: Traffic, routing: RoutingPolicy) -> None:
        self._traffic = traffic
        self._random = random.Random(traffic.seed)
        self._engines = [Engine(traffic) for _ in range(traffic.engines)]
        self._replicas = [make_replica(f"mock-{index}") for index in range(traffic.engines)]
        pool = Pool("mock", "chat", tuple(self._replicas), 0, routing=routing)
        self._policy = Policies(random.Random(traffic.seed)).of(pool)
        low, high = traffic.system_words
        self._systems = [self._words(self._random.randint(low, high)) for _ in range(traffic.system_prompts)]
        self._weights = [1 / rank for rank in range(1, traffic.system_prompts + 1)]
        self._endless = PrefixCache(traffic.block_tokens, float("inf"))
        self._best_tokens = 0
        self._names = self._begun = 0
        self._steps: list[int] = []

    def run(self) -> Result:
        sessions = [self._begin(0) for _ in range(self._traffic.sessions)]
        now = 0
        while len(self._steps) < self._traffic.calls:
            if now % 50 == 0:
                self._probe()
            for session in sessions:
                if session.due <= now:
                    session.due = float("inf")
                    self._ask(session, now)
            for engine in self._engines:
                for job in engine.step():
                    sessions.remove(job.session)
                    sessions.append(self._finish(job, engine, now))
            now += 1
        worked = [engine.worked_tokens for engine in self._engines]
        return Result(
            sum(engine.cached_tokens for engine in self._engines) / self._best_tokens,
            max(worked) / statistics.mean(worked),
            statistics.mean(self._steps),
            sorted(self._steps)[len(self._steps) * 99 // 100],
        )

    def _words(self, count: int) -> list[str]:
        return self._random.choices(_WORDS, k=count)

    def _pause(self, now: int) -> float:
        return now + self._random.expovariate(1 / self._traffic.think_steps)

    def _begin(self, now: int) -> Session:
        self._names += 1
        turns = 1 + int(self._random.expovariate(1 / max(self._traffic.turns - 1, 0.1)))
        turns *= 5 if self._random.random() < 0.1 else 1
        session = Session(b"session-%d" % self._names, turns, [], self._pause(now))
        session.say("system", self._random.choices(self._systems, self._weights)[0])
        return session

    def _ask(self, session: Session, now: int) -> None:
        session.say("user", self._words(self._random.randint(5, 60)))
        fields = {"model": "mock", "messages": session.messages, "max_tokens": 128}
        call = make_call(json.dumps(fields, separators=(",", ":")).encode(), session=session.name)
        replica = self._policy.choose(call, self._replicas).replica
        replica.enter(call.tokens)
        self._best_tokens += self._endless.count(session.tokens)
        self._endless.add(session.tokens)
        answer = self._words(self._random.randint(10, 120))
        job = Job(session, call, replica, answer, now, list(session.tokens))
        self._engines[self._replicas.index(replica)].waiting.append(job)

    def _finish(self, job: Job, engine: Engine, now: int) -> Session:
        session = job.session
        job.replica.leave(job.call.tokens)
        session.say("assistant", job.answer)
        engine.cache.add(session.tokens)
        self._endless.add(session.tokens)
        self._steps.append(now - job.arrived)
        session.turns -= 1
        session.due = self._pause(now)
        return session if session.turns > 0 else self._begin(now)

    def _probe(self) -> None:
        """Say what `/metrics` would."""
        for replica, engine in zip(self._replicas, self._engines, strict=True):
            running, waiting = len(engine.running), len(engine.waiting)
            replica.note_stats(EngineStats(running, waiting, 0, self._traffic.cache_tokens, 1.0))


def rows(calls: int, policies: Sequence[RoutingPolicy] = POLICIES) -> Iterator[tuple[str, str, Result]]:
    """Run all traffics with each policy."""
    for traffic in TRAFFICS:
        for routing in policies:
            fields = {**traffic.__dict__, "calls": calls}
            yield traffic.name, routing, Simulation(Traffic(**fields), routing).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--policies", nargs="*", default=POLICIES)
    options = parser.parse_args()
    sys.stdout.write(
        "| traffic | policy | cached of the best possible | busiest / mean | steps, mean | p99 |\n"
    )
    sys.stdout.write("| --- | --- | --- | --- | --- | --- |\n")
    for name, routing, result in rows(options.calls, options.policies):
        sys.stdout.write(
            f"| {name} | {routing} | {result.cached_share:.1%} | {result.imbalance:.2f} | "
            f"{result.mean_steps:.0f} | {result.p99_steps:.0f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
