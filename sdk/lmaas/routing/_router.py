"""The platforms of one client, with what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from lmaas._circuit import Circuit
from lmaas._cost import TokenCounts
from lmaas._timer import Clock
from lmaas.routing._choice import MIN_SAMPLES, Choice, Present, View, choose
from lmaas.routing._endpoint import Endpoint
from lmaas.routing._health import Health
from lmaas.routing._needs import Needs
from lmaas.routing._strategy import Strategy

_PROBE_S: Final = 1.0
_REMEMBERED: Final = 256
_AT_FIRST: Final = 3


class Member:
    """One platform of a client.

    Attributes:
        endpoint: Where it is.
        circuit: Opens when it keeps failing.
        health: What was seen of it.
    """

    def __init__(self, endpoint: Endpoint, circuit: Circuit, clock: Clock) -> None:
        self.endpoint = endpoint
        self.circuit = circuit
        self.health = Health(clock)

    def view(self, needs: Needs, strategy: Strategy, *, is_stream: bool, was_tried: bool, now: float) -> View:
        """Return what is known of it for one call."""
        latency_s, failures, samples = self.health.figures(
            strategy.percentile, MIN_SAMPLES, is_stream=is_stream
        )
        resting, wait_s = self._resting(needs, now)
        return View(
            name=self.endpoint.name,
            unfit=self._unfit(needs),
            resting=resting,
            wait_s=wait_s,
            was_tried=was_tried,
            usd=self._usd(needs),
            latency_s=latency_s,
            failures=failures,
            samples=samples,
        )

    def _unfit(self, needs: Needs) -> str | None:
        one = self.endpoint
        there = one.model_there(needs.model)
        if there is None and needs.model is not None:
            return f"does not offer {needs.model}"
        if missing := sorted(needs.features & one.lacks):
            return f"has no {', '.join(missing)}"
        if one.routes is not None and needs.route not in one.routes:
            return f"has no {needs.route}"
        context = self.health.context_tokens(there) or one.context_tokens
        if context is not None and needs.total_tokens > context:
            return f"a context of {context} tokens is short of about {needs.total_tokens}"
        return None

    def _resting(self, needs: Needs, now: float) -> tuple[str | None, float]:
        rest = self.health.rest(needs.route, self.endpoint.model_there(needs.model))
        if rest is not None:
            return f"{rest.reason}; {rest.until - now:.1f} s to go", rest.until - now
        if self.circuit.state == "open":
            return "it failed again and again", max(self.circuit.wait_s, _PROBE_S)
        return None, 0.0

    def _usd(self, needs: Needs) -> float | None:
        price = self.endpoint.price
        if price is None or price.currency != "USD":
            return None
        tokens = TokenCounts(needs.prompt_tokens, output_tokens=needs.answer_tokens)
        return float(price.of(tokens).amount)


class Router:
    """All platforms of a client, and which of them has the calls. Safe to share between threads."""

    def __init__(self, members: Sequence[Member], strategy: Strategy, clock: Clock) -> None:
        self.members = members
        self.strategy = strategy
        self.clock = clock
        self._lock = Lock()
        self._calls = 0
        self._present: dict[tuple[str, str | None, bool], tuple[str, float]] = {}

    def choose(
        self, needs: Needs, views: Sequence[View], *, is_stream: bool, is_first: bool
    ) -> Choice | None:
        """Return where a call goes next; None if nowhere now."""
        key = needs.route, needs.model, is_stream
        now = self.clock()
        with self._lock:
            explores = is_first and self._is_to_explore(views)
            name, since = self._present.get(key, (None, now))
            choice = choose(views, self.strategy, Present(name, now - since), explores=explores)
            if choice is not None and not explores and views[choice.index].name != name:
                self._present[key] = views[choice.index].name, now
            while len(self._present) > _REMEMBERED:
                self._present.pop(next(iter(self._present)))
        return choice

    def _is_to_explore(self, views: Sequence[View]) -> bool:
        self._calls += 1
        every = self.strategy.explore_every
        if any(view.is_free and view.samples < MIN_SAMPLES for view in views):
            every = min(every, _AT_FIRST)  # what is not known yet is found out soon
        return every > 0 and self._calls % every == 0
