"""A whole run: the ladder of arrival rates, each on every platform in turn, in several repetitions."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from lmaas.errors import APIError, ConfigurationError
from lmaas.measuring._budget import Budget, cost_of
from lmaas.measuring._errors import MeasurementError
from lmaas.measuring._generator import Generator, LegPlan
from lmaas.measuring._prompts import ESTIMATED_TOKENS, Prompt, Prompts, Tokens, made_up_text
from lmaas.measuring._rows import Leg, Row
from lmaas.measuring._sender import Sender

if TYPE_CHECKING:
    from lmaas import AsyncLMaaS
    from lmaas.measuring._journal import Journal
    from lmaas.measuring._targets import Target
    from lmaas.measuring._workload import Workload

_PROBE_WORDS: Final = (20, 220)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What is measured, and how much of it.

    Attributes:
        targets: What is compared.
        workload: What is asked of them.
        rates: Arrival rates in calls a second, the ladder.
        blocks: How often all of it is repeated: the platforms take turns, so that what changes over time
            meets all of them.
        warmup_s: At the beginning of each leg, not counted.
        measured_s: Of each leg, counted.
        max_usd: The most that it may cost; None for no cap.
        seed: Another one gives other texts and other arrivals.
        has_exact_lengths: Whether self-hosted platforms are to make answers of exactly the length (vLLM's
            `ignore_eos`).

    Raises:
        ConfigurationError: a figure cannot be, or labels are not different.
    """

    targets: tuple[Target, ...]
    workload: Workload
    rates: tuple[float, ...]
    blocks: int = 3
    warmup_s: float = 5.0
    measured_s: float = 30.0
    max_usd: float | None = None
    seed: int = 0
    has_exact_lengths: bool = False

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ConfigurationError(problem)
        object.__setattr__(self, "rates", tuple(sorted(set(self.rates))))

    def _problem(self) -> str | None:
        labels = [target.label for target in self.targets]
        if not labels or len(set(labels)) < len(labels):
            return f"targets need labels of their own, such as fast=http://…; these are {', '.join(labels)}."
        if not self.rates or not all(0 < rate < inf for rate in self.rates):
            return f"arrival rates are calls a second above 0; these are {self.rates}."
        if self.blocks < 1 or not 0 <= self.warmup_s < inf or not 0 < self.measured_s < inf:
            return "a run needs at least 1 block, a warm-up of 0 s or more and measured seconds above 0."
        if self.max_usd is not None and not 0 < self.max_usd < inf:
            return f"a spending cap is US dollars above 0; it is {self.max_usd}."
        return None

    def legs(self) -> Iterator[LegPlan]:
        """Yield every leg in its order; platforms take turns at being first."""
        for block in range(self.blocks):
            for step, rate in enumerate(self.rates):
                turn = (block + step) % len(self.targets)
                for target in (*self.targets[turn:], *self.targets[:turn]):
                    yield LegPlan(
                        platform=target.label,
                        calls_per_s=rate,
                        block=block,
                        warmup_s=self.warmup_s,
                        measured_s=self.measured_s,
                        burstiness=self.workload.burstiness,
                        seed=self.seed,
                    )

    def fingerprint(self) -> dict[str, Any]:
        """Return what a run that is resumed must have in common with how it began."""
        return {
            "targets": [[one.label, one.base_url, one.model] for one in self.targets],
            "workload": self.workload.name,
            "calls": len(self.workload.calls),
            "lengths": [repr(self.workload.prompt_tokens)[:200], repr(self.workload.output_tokens)[:200]],
            "warmup_s": self.warmup_s,
            "measured_s": self.measured_s,
            "seed": self.seed,
            "has_exact_lengths": self.has_exact_lengths,
        }


@dataclass(frozen=True, slots=True)
class Watching:
    """Who hears how a run goes on."""

    leg_begins: Callable[[LegPlan, int, int], None] = lambda _plan, _number, _count: None
    call_ended: Callable[[Row], None] = lambda _row: None
    spent: Callable[[float], None] = lambda _usd: None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What was measured.

    Attributes:
        legs: All of them, in the order of measuring, earlier parts of the run too.
        models: The model of each target, by its label.
        spent_usd: What all calls came to, where prices are known.
        stopped: Why it ended early; "" if it did not.
    """

    legs: tuple[Leg, ...]
    models: Mapping[str, str]
    spent_usd: float
    stopped: str = ""


class Bench:
    """Measures.

    Args:
        plan: What.
        journal: Where legs that have ended are written; None for nowhere.
        done: Legs of an earlier part of the run.
        models: The model of each target, by its label, as that part found them.
        watching: Who hears how it goes on.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        plan: BenchPlan,
        *,
        journal: Journal | None = None,
        done: Sequence[Leg] = (),
        models: Mapping[str, str] | None = None,
        watching: Watching | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._done = list(done)
        self._models = dict(models or {})
        self._watching = watching or Watching()
        self._clock = clock
        prices = {target.label: target.price for target in plan.targets}
        spent = sum(float(cost_of(row, prices.get(leg.platform)) or 0) for leg in done for row in leg.rows)
        self._budget = Budget(plan.max_usd, prices, spent_usd=spent)

    async def run(self) -> RunResult:
        """Run every leg that is not done yet.

        Raises:
            MeasurementError: a platform does not answer a first call.
        """
        stopped = await self._measure() if self._missing() else ""
        spent = self._budget.spent_usd
        return RunResult(legs=tuple(self._done), models=self._models, spent_usd=spent, stopped=stopped)

    def _missing(self) -> list[tuple[int, LegPlan]]:
        known = {leg.key for leg in self._done}
        return [(number, plan) for number, plan in enumerate(self._plan.legs(), 1) if plan.key not in known]

    async def _measure(self) -> str:
        async with AsyncExitStack() as stack:
            senders = {}
            for target in self._plan.targets:
                client = await stack.enter_async_context(target.client())
                model = self._models.get(target.label) or target.model or await _first_model(target, client)
                self._models[target.label] = model
                senders[target.label] = self._sender(target, client, model)
            tokens = await self._probe(senders)
            if self._journal is not None:
                self._journal.note_models(self._models)
            return await self._run_legs(senders, tokens)

    def _sender(self, target: Target, client: AsyncLMaaS, model: str) -> Sender:
        exact = self._plan.has_exact_lengths and target.is_self_hosted
        return Sender(client, target.habits(model, has_exact_lengths=exact), self._clock)

    async def _probe(self, senders: Mapping[str, Sender]) -> Tokens:
        """Call each platform once or twice: it must answer, and the first one tells how long words are."""
        measured: list[Tokens] = []
        for label, sender in senders.items():
            counts = [await self._probe_call(label, sender, words) for words in _PROBE_WORDS]
            measured += filter(None, [_tokens_of(counts)])
        return measured[0] if measured else ESTIMATED_TOKENS

    async def _probe_call(self, label: str, sender: Sender, words: int) -> int | None:
        source = random.Random(words)  # noqa: S311 - the same text again
        text = made_up_text(source, words, self._plan.workload.main_language)
        prompt = Prompt({"messages": [{"role": "user", "content": text}], "temperature": 0}, 2)
        if not self._budget.reserve(label, prompt):
            raise MeasurementError("The spending cap leaves no room for a single call.")
        row = await sender.send(prompt, index=0, due_s=0, begun_s=self._clock())
        self._budget.settle(label, prompt, row)
        if not row.is_answered:
            raise MeasurementError(f"{label} did not answer a first call: {row.reason}.")
        return row.prompt_tokens

    async def _run_legs(self, senders: Mapping[str, Sender], tokens: Tokens) -> str:
        prompts = Prompts(self._plan.workload, seed=self._plan.seed, tokens=tokens)
        generator = Generator(prompts.at, self._budget, clock=self._clock, on_row=self._watching.call_ended)
        count = sum(1 for _ in self._plan.legs())
        for number, plan in self._missing():
            self._watching.leg_begins(plan, number, count)
            with _without_collections():
                leg = await generator.run(plan, senders[plan.platform])
            self._watching.spent(self._budget.spent_usd)
            self._done.append(leg)
            if leg.stopped:
                return leg.stopped
            if self._journal is not None:
                self._journal.append(leg)
        return ""


async def _first_model(target: Target, client: AsyncLMaaS) -> str:
    try:
        listed = (await client.models.list()).data
    except APIError as error:
        raise MeasurementError(f"{target.label} does not list its models: {error}") from error
    for model in listed:
        if getattr(model, "kind", "chat") == "chat":
            return str(model.id)
    raise MeasurementError(f"{target.label} lists no chat model; name one with --model.")


def _tokens_of(counts: Sequence[int | None]) -> Tokens | None:
    """Return how many tokens words are; None where a server does not count, or counts nonsense."""
    few, many = (float(count or 0) for count in counts)
    a_word = (many - few) / (_PROBE_WORDS[1] - _PROBE_WORDS[0])
    if not few or not 0.2 < a_word < 10:
        return None
    return Tokens(overhead=few - a_word * _PROBE_WORDS[0], a_word=a_word)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the garbage collector from stopping everything for milliseconds in the midst of a leg."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def run_in_own_loop(bench: Bench) -> RunResult:
    """Run `bench` in an event loop of its own, uvloop's where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.run(bench.run())
    return uvloop.run(bench.run())
