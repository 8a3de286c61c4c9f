"""One call on its way among platforms: where it goes next, and when it is given up. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from lmaas._budget import RetryBudget
from lmaas._reply import ReplyHead
from lmaas._request import Request, may_hold_secret
from lmaas._retry import RetryPolicy
from lmaas.errors import (
    APIError,
    APITimeoutError,
    CircuitOpenError,
    ContextLengthExceededError,
    NoPlatformError,
)
from lmaas.routing._choice import Choice, View
from lmaas.routing._endpoint import Endpoint
from lmaas.routing._health import helps_elsewhere
from lmaas.routing._needs import Needs, needs_of
from lmaas.routing._router import Member, Router
from lmaas.routing._strategy import Route, Try
from lmaas.sse import EVENT_STREAM


class Journey:
    """One call on its way among platforms.

    Args:
        request: As it was built, for the client's own base URL.
        base_url: That base URL.
        router: The platforms.
        budget: Of retries, shared by all calls of the client.
        policy: When the same platform may be asked again, and after how long.
    """

    def __init__(
        self, request: Request, base_url: str, router: Router, budget: RetryBudget, policy: RetryPolicy
    ) -> None:
        self.request = request
        self._base_url = base_url
        self._router = router
        self._budget = budget
        self._policy = policy
        self._needs, self._body = needs_of(request, base_url)
        self.is_stream = request.headers.get("accept") == EVENT_STREAM
        self._tries: list[Try] = []
        self._tried: set[str] = set()
        self._reason = ""
        self._views: Sequence[View] = ()
        self._last: APIError | None = None
        self._member: Member | None = None
        self._sent_at = 0.0
        self.wait_s = 0.0

    @property
    def tries(self) -> int:
        """How many requests there were."""
        return len(self._tries)

    def next(self) -> Member:
        """Return where to send the call, after `wait_s` seconds.

        Raises:
            NoPlatformError: no platform can serve the call, or none may be asked in time.
            APIError: that of the last try, when there is to be no other.
        """
        self.wait_s = 0.0
        member = self._choose()
        if self._tries:
            self._pay()
        self._member = member
        return member

    def begins(self) -> Request:
        """Return what to send there now."""
        self._sent_at = self._router.clock()
        return self._retargeted(self._at.endpoint)

    def failed(self, error: APIError) -> None:
        """Take note of how a request failed.

        Raises:
            APIError: `error`, if neither another platform nor the same one may do better.
        """
        member = self._at
        if not isinstance(error, CircuitOpenError):  # nothing was sent
            self._tries.append(Try(member.endpoint.name, _named(error), self._elapsed_s()))
        model = member.endpoint.model_there(self._needs.model)
        member.health.failed(error, route=self._needs.route, model=model, is_stream=self.is_stream)
        if isinstance(error, ContextLengthExceededError):
            self._needs = self._needs.counted(error.requested_tokens)
        self._tried.add(member.endpoint.name)
        if self._last is None or not self._policy.may_help(self._last) or self._policy.may_help(error):
            self._last = error  # what may pass is not forgotten for what will not, such as a refused key
        if self.request.timer.is_over() or not (self._moves(error) or self._policy.may_help(error)):
            raise self._told(error)

    def lost(self, error: APIError) -> None:
        """Take note of a stream that broke off after its first event."""
        self._tries[-1] = replace(self._tries[-1], error=_named(error))
        self._at.health.broke(is_stream=True)

    def begin_anew(self, error: APIError) -> None:
        """Get ready to send the call again, whose stream was lost to `error`.

        Raises:
            APIError: `error`, if the call may not be sent again.
        """
        self._tried.add(self._at.endpoint.name)
        self._last = error
        self.request = replace(self.request, timer=self.request.timer.restarted())
        if self.request.timer.is_over() or not self._needs.is_movable:
            raise self._told(error)

    def succeeded(self, reply: ReplyHead) -> None:
        """Take note of a reply that has begun."""
        duration_s = self._elapsed_s()
        self._tries.append(Try(self._at.endpoint.name, None, duration_s))
        self._at.health.succeeded(duration_s, is_stream=self.is_stream)
        reply.tries = self.tries
        reply.timer.unbound(self.request.timer)

    @property
    def route(self) -> Route:
        """Why the call went where it went."""
        member = self._member
        answered = member is not None and bool(self._tries) and self._tries[-1].error is None
        name = member.endpoint.name if member is not None and answered else None
        return Route(
            platform=name,
            model=None if member is None or name is None else member.endpoint.model_there(self._needs.model),
            strategy=self._router.strategy.by,
            reason=self._reason,
            tries=tuple(self._tries),
            skipped={
                view.name: view.unfit or view.resting or ""
                for view in self._views
                if (view.unfit or view.resting) and view.name != name
            },
        )

    @property
    def _at(self) -> Member:
        assert self._member is not None  # noqa: S101 - after `next`
        return self._member

    def _elapsed_s(self) -> float:
        return self._router.clock() - self._sent_at

    def _moves(self, error: APIError) -> bool:
        return self._needs.is_movable and helps_elsewhere(error)

    def _choose(self) -> Member:
        members = self._router.members
        if not self._needs.is_movable:
            return self._stay()
        choice = self._look(self._needs) or self._look(self._needs.without_estimate()) or self._wait()
        self._reason = choice.reason
        return members[choice.index]

    def _stay(self) -> Member:
        """Return the first platform: the call is about what only that one has."""
        self._reason = "first in order: calls of this kind are about what one platform has"
        if self._last is not None:
            self.wait_s = self._policy.delay_s(self._last, self.tries)
        return self._router.members[0]

    def _look(self, needs: Needs, *, forgets: bool = False) -> Choice | None:
        tried = frozenset[str]() if forgets else self._tried
        now = self._router.clock()
        self._views = [
            member.view(
                needs,
                self._router.strategy,
                is_stream=self.is_stream,
                was_tried=member.endpoint.name in tried,
                now=now,
            )
            for member in self._router.members
        ]
        return self._router.choose(needs, self._views, is_stream=self.is_stream, is_first=not self._tried)

    def _wait(self) -> Choice:
        """Find a platform to ask again, or to wait for; the call has failed on all that are free."""
        views = [view for view in self._views if view.unfit is None]
        if self._last is not None and not self._policy.may_help(self._last):
            raise self._told(self._last)
        if not views:
            raise self._told(self._no_platform("no platform can serve this call", None))
        if (
            self._last is not None
            and (again := self._look(self._needs.without_estimate(), forgets=True)) is not None
        ):
            # Who asked for a wait rests, and is not the one that was found.
            self.wait_s = self._policy.delay_s(None, self.tries)
            return again
        soonest = min(views, key=lambda view: view.wait_s)
        if self._is_too_late(soonest.wait_s):
            error = self._last or self._no_platform("no platform may be asked now", soonest.wait_s)
            raise self._told(error)
        self.wait_s = soonest.wait_s
        index = next(i for i, view in enumerate(self._views) if view.name == soonest.name)
        return Choice(index, f"the first that may be asked again, after {soonest.wait_s:.1f} s")

    def _is_too_late(self, wait_s: float) -> bool:
        remaining_s = self.request.timer.remaining_s()
        return wait_s > self._policy.max_retry_after_s or (remaining_s is not None and wait_s >= remaining_s)

    def _pay(self) -> None:
        """Take one more request out of the call's tries, its time and the client's budget."""
        assert self._last is not None  # noqa: S101 - there was a try
        remaining_s = self.request.timer.remaining_s()
        is_late = remaining_s is not None and self.wait_s >= remaining_s
        if self.tries > self.request.max_retries or is_late or not self._budget.take():
            raise self._told(self._last)

    def _told(self, error: APIError) -> APIError:
        error.tries = max(1, self.tries)
        error.lmaas_metadata = self.route
        return error

    def _no_platform(self, what: str, wait_s: float | None) -> NoPlatformError:
        why = "; ".join(f"{view.name}: {view.unfit or view.resting}" for view in self._views)
        return NoPlatformError(f"Not sent: {what} ({why}).", retry_after_s=wait_s)

    def _retargeted(self, endpoint: Endpoint) -> Request:
        """Return the request for `endpoint`: its address, its key and no other, its name of the model."""
        sent = self.request.headers
        headers = {name: value for name, value in sent.items() if not may_hold_secret(name)}
        headers |= {name.lower(): value for name, value in endpoint.headers.items()}
        if endpoint.api_key is not None:
            headers["authorization"] = f"Bearer {endpoint.api_key}"
        if self._tries:
            headers["x-retry-count"] = str(self.tries)
        timer = self.request.timer
        if endpoint.first_byte_s is not None:
            timer = timer.bounded(endpoint.first_byte_s)
        return replace(
            self.request,
            url=self._url(endpoint),
            headers=headers,
            timer=timer,
            content=self._content(endpoint),
        )

    def _url(self, endpoint: Endpoint) -> str:
        path, _, query = self.request.url.removeprefix(self._base_url).partition("?")
        told = parse_qsl(query, keep_blank_values=True)
        kept = [pair for pair in told if pair[0] not in endpoint.query and not may_hold_secret(pair[0])]
        query = urlencode([*kept, *endpoint.query.items()], doseq=True)
        return f"{endpoint.base_url}{path}?{query}" if query else f"{endpoint.base_url}{path}"

    def _content(self, endpoint: Endpoint) -> bytes | None:
        there = endpoint.model_there(self._needs.model)
        if there is None or there == self._needs.model or self._body is None:
            return self.request.content
        return json.dumps({**self._body, "model": there}, ensure_ascii=False, separators=(",", ":")).encode()


def _named(error: APIError) -> str:
    detail = error.status_code or (error.deadline if isinstance(error, APITimeoutError) else None)
    return type(error).__name__ if detail is None else f"{type(error).__name__} ({detail})"
