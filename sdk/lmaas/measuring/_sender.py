"""One call, sent and timed."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from lmaas._cost import TokenCounts
from lmaas._request import Operation
from lmaas.errors import APIError, RateLimitError
from lmaas.measuring._rows import Outcome, Row
from lmaas.measuring._timing_reader import TimingReader

if TYPE_CHECKING:
    from lmaas import AsyncLMaaS
    from lmaas._reply import AsyncReply
    from lmaas.measuring._prompts import Prompt

_CHAT: Final = Operation("POST", "/chat/completions")
_COMPLETIONS: Final = Operation("POST", "/completions")
_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How calls to a platform are made.

    Attributes:
        model: The model that is called.
        wants_usage: Whether to ask for the usage at the end of a stream.
        max_tokens_name: What the platform calls the limit of an answer.
        has_exact_lengths: Whether to ask for answers of exactly the length, which vLLM can.
        extra_body: Sent with each call.
    """

    model: str
    wants_usage: bool = True
    max_tokens_name: str = "max_tokens"
    has_exact_lengths: bool = False
    extra_body: dict[str, Any] = field(default_factory=dict)

    def body_of(self, prompt: Prompt) -> dict[str, Any]:
        """Return the body of a call."""
        body: dict[str, Any] = {**prompt.body, "model": self.model, "stream": True}
        if self.wants_usage:
            body["stream_options"] = {"include_usage": True}
        if prompt.output_tokens is not None:
            for name in ("max_tokens", "max_completion_tokens"):
                body.pop(name, None)
            body[self.max_tokens_name] = prompt.output_tokens
            if self.has_exact_lengths:
                body |= {"min_tokens": prompt.output_tokens, "ignore_eos": True}
        return body | self.extra_body


class Sender:
    """Sends calls to one platform.

    Args:
        client: Of the platform; it should not try again by itself, which would hide what is measured.
        habits: How calls are made.
        clock: Seconds that only grow.
        timeout_s: How long a call may take, all of it.
    """

    def __init__(
        self,
        client: AsyncLMaaS,
        habits: Habits,
        clock: Callable[[], float] = time.perf_counter,
        *,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._caller = client._caller  # noqa: SLF001 - streams of bytes are no public API
        self._habits = habits
        self._clock = clock
        self._timeout_s = timeout_s

    async def send(self, prompt: Prompt, *, index: int, due_s: float, begun_s: float) -> Row:
        """Send a call and read its answer to the end; never raises an error of the API.

        Args:
            prompt: What to send.
            index: Its place in the leg.
            due_s: When it was due, from the beginning of the leg.
            begun_s: When the leg began, by the clock.
        """
        due_at, now_s = begun_s + due_s, self._clock()
        late_s = max(now_s - due_at, 0.0)
        due_at = min(due_at, now_s)  # a call that is sent a moment early is not quicker for that
        readers: list[TimingReader] = []

        def reader_for(reply: AsyncReply) -> TimingReader:
            readers.append(TimingReader(reply, self._clock))
            return readers[0]

        operation = _CHAT if prompt.is_chat else _COMPLETIONS
        outcome: Outcome = "answered"
        reason = ""
        try:
            async with asyncio.timeout(self._timeout_s):
                stream = await self._caller.stream(reader_for, operation, {}, **self._habits.body_of(prompt))
                async with stream:
                    async for _ in stream:
                        pass
        except TimeoutError:
            outcome, reason = "failed", f"more than {self._timeout_s:g} s"
        except APIError as error:
            outcome = "rate_limited" if isinstance(error, RateLimitError) else "failed"
            reason = error.kind
        row = Row(
            index=index,
            due_s=due_s,
            late_s=late_s,
            outcome=outcome,
            e2e_s=self._clock() - due_at,
            reason=reason,
        )
        return _with_times(row, readers[0], due_at) if readers else row


def _with_times(row: Row, reader: TimingReader, due_at: float) -> Row:
    times = reader.times_s
    tokens = TokenCounts() if not reader.usage else _tokens(reader.usage)
    return replace(
        row,
        e2e_s=row.e2e_s if reader.done_s is None else reader.done_s - due_at,
        ttft_s=times[0] - due_at if times else None,
        gaps_s=tuple(later - earlier for earlier, later in pairwise(times)),
        prompt_tokens=tokens.input_tokens or None,
        cached_tokens=tokens.cached_tokens,
        output_tokens=tokens.output_tokens or len(times) or None,
    )


def _tokens(usage: dict[str, Any]) -> TokenCounts:
    details = usage.get("prompt_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
    return TokenCounts(_count(usage, "prompt_tokens"), cached, _count(usage, "completion_tokens"))


def _count(holder: dict[str, Any], name: str) -> int:
    """Return a count that a server told; 0 where it told none, or what is none."""
    value = holder.get(name)
    return value if type(value) is int and value > 0 else 0


def max_tokens_name(base_url: str) -> str:
    """Return what a platform calls the limit of an answer: OpenAI's own takes the old name no more."""
    return "max_completion_tokens" if _host(base_url).endswith("openai.com") else "max_tokens"


@functools.cache
def _host(base_url: str) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415 - once a platform

    return urlsplit(base_url).hostname or ""
