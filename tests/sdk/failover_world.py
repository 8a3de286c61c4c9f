"""The failover with a clock and lanes that a test holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lmaas import (
    APIError,
    ServiceUnavailableError,
)
from lmaas._budget import RetryBudget
from lmaas._circuit import Circuit, CircuitTransport
from lmaas._options import ClientOptions
from lmaas._reply import Reply
from lmaas._request import Operation, Request, RequestBuilder
from lmaas._retry import RetryPolicy
from lmaas.routing import Endpoint, Route, Strategy
from lmaas.routing._failover import FailoverTransport
from lmaas.routing._reply import BeginningTransport, RoutedReply
from lmaas.routing._router import Member, Router
from lmaas.types import ChatCompletionParams

CHAT = Operation.post("/chat/completions", ChatCompletionParams)


Answer: TypeAlias = "Callable[[Request], object] | Exception | None"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class WholeReply(Reply):
    """A reply with this content."""

    def __init__(self, request: Request, content: bytes, error: APIError | None = None) -> None:
        super().__init__(request, 200, {"content-type": "application/json"})
        self._content: bytes | None = content
        self._error = error

    def _receive(self) -> bytes | None:
        if self._error is not None:
            raise self._error
        content, self._content = self._content, None
        return content

    def _release(self) -> None:
        pass


@dataclass
class Lane:
    """One platform: answers as its test says, after so many seconds."""

    clock: Clock
    answer: Answer = None
    takes_s: float = 0.1
    requests: list[Request] = field(default_factory=list)

    def send(self, request: Request) -> Reply:
        self.requests.append(request)
        self.clock.now += self.takes_s
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            self.answer(request)
        return WholeReply(request, b"{}")


class World:
    """Platforms, and the failover over them."""

    def __init__(
        self, *endpoints: Endpoint, retries: int = 2, budget: RetryBudget | None = None, **strategy: Any
    ) -> None:
        self.clock = Clock()
        self.told: list[Route] = []
        self.strategy = Strategy(**{"explore_every": 0, "on_route": self.told.append, **strategy})
        self.lanes = {one.name: Lane(self.clock) for one in endpoints}
        self.members = members = [
            Member(one, Circuit(one.base_url, self.strategy.circuit_breaker, clock=self.clock), self.clock)
            for one in endpoints
        ]
        self.options = ClientOptions(base_url=endpoints[0].base_url, max_retries=retries)
        self.failover = FailoverTransport(
            self.options.base_url,
            Router(members, self.strategy, self.clock),
            {
                one.endpoint.name: CircuitTransport(
                    BeginningTransport(self.lanes[one.endpoint.name]), one.circuit
                )
                for one in members
            },
            budget or RetryBudget(clock=self.clock),
            policy=RetryPolicy(jitter=lambda: 1.0),
            sleep=self.clock.sleep,
        )

    def call(
        self, operation: Operation = CHAT, params: Mapping[str, Any] | None = None, **body: Any
    ) -> Route:
        builder = RequestBuilder(self.options, self.clock)
        reply = self.failover.send(builder.build(operation, params or {}, {"model": "m", **body}))
        assert isinstance(reply, RoutedReply)
        assert reply.journey.route == self.told[-1]
        return reply.journey.route

    def asked(self, name: str) -> int:
        return len(self.lanes[name].requests)


def endpoint(platform: str, **fields: Any) -> Endpoint:
    known = {"name": platform, "base_url": f"http://{platform}.test", "api_key": f"key-of-{platform}"}
    return Endpoint(**{**known, **fields})


def overload(retry_after_s: float | None = None) -> ServiceUnavailableError:
    return ServiceUnavailableError("busy", status_code=503, retry_after_s=retry_after_s)
