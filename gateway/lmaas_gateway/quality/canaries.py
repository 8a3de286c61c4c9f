"""Canary prompts: sent now and then through queue and router, as callers' calls are, and billed to nobody."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec

from lmaas_gateway import envelope
from lmaas_gateway.call import ROUTES, Call
from lmaas_gateway.errors import GatewayError, ModelNotReadyError
from lmaas_gateway.meter import Meter
from lmaas_gateway.metrics.names import CANARY_OK, CANARY_RUNS
from lmaas_gateway.quality.expecting import problem_of
from lmaas_gateway.quality.reading import read_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from lmaas_gateway.call import Exits
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.reply import Reply
    from lmaas_gateway.settings import CanaryPrompt

    Ask = Callable[[Call, Meter, Exits], Awaitable[Reply]]

_LOG = logging.getLogger("lmaas.gateway")
_CHAT = ROUTES[0]
_LOOK_INTERVAL_S = 1.0
_FIRST_AFTER_S = 5.0
_MAX_REPLY_BYTES = 2**20


class CanaryState(msgspec.Struct, frozen=True):
    """How a canary prompt fared last.

    Attributes:
        outcome: `unexpected` is a reply that is not as it should be, `failed` is none.
        problem: What was wrong, without a word of the reply; empty if nothing was.
        at_s: Unix seconds.
        first_token_s: Until its reply began; 0 if it did not.
        since_s: Since when it has been so, in Unix seconds.
    """

    name: str
    model: str
    outcome: Literal["ok", "unexpected", "failed"]
    problem: str
    at_s: float
    first_token_s: float
    since_s: float

    @property
    def is_ok(self) -> bool:
        """Whether all was as expected."""
        return self.outcome == "ok"


class Canaries:
    """Sends canary prompts, in one process of a gateway.

    Args:
        prompts: Gives those of the configuration of the moment.
        ask: Serves a call.
        metrics: Where it is counted.
        clock: Unix seconds.
        ticks: Monotonic seconds.
    """

    def __init__(
        self,
        prompts: Callable[[], Sequence[CanaryPrompt]],
        ask: Ask,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._prompts = prompts
        self._ask = ask
        self._metrics = metrics
        self._clock = clock
        self._ticks = ticks
        self._states: dict[str, CanaryState] = {}
        self._due_s: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        metrics.watch(CANARY_OK, self._gauge)

    def state(self) -> tuple[CanaryState, ...]:
        """Tell how each fared last; those that were not sent yet are left out."""
        names = {prompt.name for prompt in self._prompts()}
        return tuple(state for name, state in self._states.items() if name in names)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Send what is due, until cancelled."""
        try:
            while True:
                self.send_due()
                await sleep(_LOOK_INTERVAL_S)
        finally:
            for task in self._running.values():
                task.cancel()

    def send_due(self) -> None:
        """Begin to send what is due, those apart that are still on their way."""
        now_s = self._ticks()
        for prompt in self._prompts():
            # Not all at once, and none before models have had a moment to come up.
            first_s = now_s + _FIRST_AFTER_S * random.random()  # noqa: S311 - nothing secret
            if prompt.name in self._running or now_s < self._due_s.setdefault(prompt.name, first_s):
                continue
            self._due_s[prompt.name] = now_s + prompt.every_s
            task = self._running[prompt.name] = asyncio.create_task(self.send(prompt))
            task.add_done_callback(partial(self._forget, prompt.name))

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        del task
        self._running.pop(name, None)

    async def send(self, prompt: CanaryPrompt) -> None:
        """Send one, and take note of what came of it; a model that is starting says nothing of itself."""
        meter = Meter(f"canary_{prompt.name}", _CHAT.path, self._ticks)
        try:
            async with asyncio.timeout(prompt.timeout_s):
                body = await self._receive(_call_of(prompt, meter), meter)
        except ModelNotReadyError:
            return
        except TimeoutError:
            self._note(prompt, "failed", f"no whole reply within {prompt.timeout_s:g} s", 0.0)
        except GatewayError as error:
            self._note(prompt, "failed", f"{error.status} {error.code}", 0.0)
        except Exception as error:  # whatever it is, the model did not answer
            self._note(prompt, "failed", type(error).__name__, 0.0)
        else:
            self._judge(prompt, body, meter.first_byte_s())

    async def _receive(self, call: Call, meter: Meter) -> bytes:
        exits: Exits = []
        parts: list[bytes] = []
        try:
            reply = await self._ask(call, meter, exits)
            data = reply.begin()
            while True:
                if data and not parts:
                    meter.see_first_byte()
                parts.append(data)
                if reply.is_over or sum(map(len, parts)) > _MAX_REPLY_BYTES:
                    return b"".join(parts)
                data = await reply.read()
        finally:
            while exits:
                exits.pop()()

    def _judge(self, prompt: CanaryPrompt, body: bytes, first_token_s: float) -> None:
        try:
            answer = read_answer(body, _CHAT.dialect, is_stream=True)
        except ValueError:
            self._note(prompt, "failed", "the reply cannot be read", first_token_s)
            return
        problem = problem_of(answer, first_token_s, prompt.expect)
        self._note(prompt, "unexpected" if problem else "ok", problem, first_token_s)

    def _note(
        self,
        prompt: CanaryPrompt,
        outcome: Literal["ok", "unexpected", "failed"],
        problem: str,
        first_token_s: float,
    ) -> None:
        now_s = self._clock()
        before = self._states.get(prompt.name)
        is_same = before is not None and before.is_ok == (outcome == "ok")
        since_s = before.since_s if before is not None and is_same else now_s
        self._states[prompt.name] = CanaryState(
            prompt.name, prompt.model, outcome, problem, now_s, first_token_s, since_s
        )
        self._metrics.count(CANARY_RUNS, (prompt.name, outcome))
        if outcome != "ok":
            _LOG.warning(
                "a canary prompt was not answered as expected",
                extra={"canary": prompt.name, "model": prompt.model, "problem": problem},
            )
        elif before is not None and not is_same:
            _LOG.warning(
                "a canary prompt is answered as expected again",
                extra={"canary": prompt.name, "model": prompt.model},
            )

    def _gauge(self) -> list[tuple[tuple[str, str], float]]:
        return [((state.name, state.model), float(state.is_ok)) for state in self.state()]


def _call_of(prompt: CanaryPrompt, meter: Meter) -> Call:
    fields = {"temperature": 0, "max_tokens": 64, **prompt.params}
    body = msgspec.json.encode(
        {
            "model": prompt.model,
            "messages": prompt.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **fields,
        }
    )
    wanted = envelope.read(body)
    max_tokens = envelope.max_tokens_of(wanted)
    return Call(
        id=meter.request_id,
        route=_CHAT,
        model=prompt.model,
        body=body,
        is_stream=True,
        wants_usage=True,
        choices=1,
        tokens=envelope.estimate_tokens(wanted, body, 1, max_tokens),
        prompt=envelope.prompt_of(wanted),
        headers=b"x-request-id: %b\r\n" % meter.request_id.encode(),
        wanted=wanted,
        preamble=envelope.preamble_of(wanted, b""),
        deadline_s=asyncio.get_running_loop().time() + prompt.timeout_s,
        max_tokens=max_tokens,
    )
