"""The section `prefix`: how much of multi-turn chats real replicas find in their prefix caches, by policy."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import msgspec

from bench import engines
from bench.configuration import KEY, write_config
from bench.conversations import Chat, TrafficSize, chats, messages, rounds
from bench.gateways import contestants, lmaas_command
from bench.processes import ServerError, free_port, serving, wait_until
from bench.running import answers
from bench.section import Say, Section, Verdict, spread, table

ONE_REPLICA = "one replica that saw every turn"
OURS = "lmaas, prefix_aware"
ROUND_ROBIN = "lmaas, round_robin"
CACHE_AWARE = "vllm-router, cache_aware"

_REPLICAS = 3
_REPEATS = 3
_PROMPT_TOKENS = "vllm:prompt_tokens_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass of all traffic through one variant; tokens as the replies' usage counts them.

    Attributes:
        busiest_share: Of all prompt tokens, those of the replica with the most.
        errors: Calls without a usable reply.
    """

    prompt_tokens: int
    cached_tokens: int
    seconds: float
    busiest_share: float
    errors: int


@dataclass(frozen=True, slots=True)
class Variant:
    """All passes of one variant."""

    name: str
    passes: tuple[Pass, ...]

    @property
    def cached_tokens(self) -> float:
        """Median of the passes' cached prompt tokens."""
        return median(one.cached_tokens for one in self.passes)

    @property
    def errors(self) -> int:
        """Calls without a usable reply, over all passes."""
        return sum(one.errors for one in self.passes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """Every variant that could be had, under the same traffic."""

    traffic: TrafficSize
    variants: tuple[Variant, ...]

    def cached_tokens(self, name: str) -> float | None:
        """Find a variant's cached prompt tokens, if it was measured and served every call."""
        found = (one for one in self.variants if one.name == name and not one.errors)
        return next((one.cached_tokens for one in found), None)


Stand = Callable[[], AbstractContextManager[str]]
"""Puts a variant before the replicas, and gives the address to call."""


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    prompt_tokens_details: _PromptDetails | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: tuple[_Choice, ...]
    usage: _Usage


@dataclass(slots=True)
class Player:
    """Plays the traffic against one address; the first pass records the answers that all feed back."""

    size: TrafficSize
    chats: Sequence[Chat]
    answers: dict[tuple[int, int], str] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    errors: int = 0

    async def play(self, address: str) -> None:
        """Send every call, a fixed number at once, each turn of all chats before the next."""
        self.prompt_tokens = self.cached_tokens = self.errors = 0
        limit = asyncio.Semaphore(self.size.in_flight)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            base_url=address, headers=headers, timeout=120, trust_env=False
        ) as client:
            for turn, order in enumerate(rounds(self.size)):
                async with asyncio.TaskGroup() as group:
                    for number in order:
                        group.create_task(self._call(client, limit, number, turn))

    async def _call(
        self, client: httpx.AsyncClient, limit: asyncio.Semaphore, number: int, turn: int
    ) -> None:
        told = [self.answers[number, earlier] for earlier in range(turn)]
        body = {
            "model": "mock",
            "messages": messages(self.chats[number], told),
            "max_tokens": self.size.answer_tokens,
            "min_tokens": self.size.answer_tokens,
            "ignore_eos": True,
            "temperature": 0,
        }
        async with limit:
            try:
                reply = await client.post("/v1/chat/completions", json=body)
                said = msgspec.json.decode(reply.raise_for_status().content, type=_Completion)
            except (httpx.HTTPError, msgspec.DecodeError):
                self.errors += 1
                self.answers.setdefault((number, turn), "")
                return
        details = said.usage.prompt_tokens_details
        self.prompt_tokens += said.usage.prompt_tokens
        self.cached_tokens += (details.cached_tokens or 0) if details else 0
        self.answers.setdefault((number, turn), said.choices[0].message.content or "")


def measure(is_quick: bool, say: Say) -> Variants:
    """Play the same traffic through every variant, before the same replicas with empty caches.

    Raises:
        ServerError: a replica or a gateway did not start.
    """
    size = TrafficSize(chats=8, turns=3, system_prompts=2) if is_quick else TrafficSize()
    # /tmp itself, because the path of a unix socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        folder = Path(name)
        model = engines.make_tiny_model(folder / "model")
        with engines.replicas(model, _REPLICAS, folder) as replicas:
            say(f"{_REPLICAS} replicas are ready")
            player, variants = Player(size, chats(size)), _variants(replicas, folder)
            done = _passes(player, variants, replicas, 1 if is_quick else _REPEATS, say)
    return Variants(
        traffic=size, variants=tuple(Variant(label, tuple(passes)) for label, passes in done.items())
    )


def _passes(
    player: Player, variants: dict[str, Stand], replicas: Sequence[str], repeats: int, say: Say
) -> dict[str, list[Pass]]:
    """Play through the variants in turns; the other router is left out where it does not start."""
    done: dict[str, list[Pass]] = {}
    for repeat in range(repeats):
        for label, stand in tuple(variants.items()):
            try:
                one = _pass(player, replicas, stand)
            except ServerError as error:
                if label != CACHE_AWARE:
                    raise
                say(str(error))
                del variants[label]
                continue
            done.setdefault(label, []).append(one)
            say(f"pass {repeat + 1}: {label}: {one.cached_tokens:,} of {one.prompt_tokens:,} cached")
    return done


def _pass(player: Player, replicas: Sequence[str], stand: Stand) -> Pass:
    for address in replicas:
        engines.reset_prefix_cache(address)
    before = [engines.counter(address, _PROMPT_TOKENS) for address in replicas]
    with stand() as address:
        begun_s = time.monotonic()
        asyncio.run(player.play(address))
        seconds = time.monotonic() - begun_s
    after = [engines.counter(address, _PROMPT_TOKENS) for address in replicas]
    read = [later - earlier for later, earlier in zip(after, before, strict=True)]
    return Pass(
        prompt_tokens=player.prompt_tokens,
        cached_tokens=player.cached_tokens,
        seconds=seconds,
        busiest_share=max(read) / max(sum(read), 1),
        errors=player.errors,
    )


def _variants(replicas: Sequence[str], folder: Path) -> dict[str, Stand]:
    """Give every variant that can be had; the one that sees every turn comes first, and records answers."""
    (router,) = contestants(os.environ, names=["vllm-router"])
    stands: dict[str, Stand] = {
        ONE_REPLICA: lambda: nullcontext(replicas[0]),
        OURS: partial(_lmaas, replicas, folder, "prefix_aware"),
        ROUND_ROBIN: partial(_lmaas, replicas, folder, "round_robin"),
    }
    if router.python is not None:
        program = str(router.python.parent / router.package)
        stands[CACHE_AWARE] = partial(_router, program, replicas)
    return stands


@contextmanager
def _lmaas(replicas: Sequence[str], folder: Path, policy: str) -> Iterator[str]:
    config, port = folder / f"{policy}.yaml", free_port()
    write_config(config, replicas, model={"routing": policy})
    command = lmaas_command(str(Path(sys.executable).with_name("lmaas")), port, config)
    with _serving(f"lmaas-{policy}", command, port, path="/readyz") as address:
        yield address


@contextmanager
def _router(program: str, replicas: Sequence[str]) -> Iterator[str]:
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    command = [program, *where, "--policy", "cache_aware", "--worker-urls", *replicas, "--log-level", "error"]
    with _serving("vllm-router", command, port, path="/readiness") as address:
        yield address


@contextmanager
def _serving(name: str, command: Sequence[str], port: int, *, path: str) -> Iterator[str]:
    address = f"http://127.0.0.1:{port}"
    # Not pinned: the replicas need all cores.
    with serving(name, command) as process:
        wait_until(lambda: answers(f"{address}{path}"), process, within_s=60)
        yield address


def judge(result: Variants | None) -> Sequence[Verdict]:
    """Hold the cached tokens of lmaas against the other variants'."""
    ours, best, turns, theirs = (
        None if result is None else result.cached_tokens(name)
        for name in (OURS, ONE_REPLICA, ROUND_ROBIN, CACHE_AWARE)
    )
    share = ours / best if ours is not None and best else None
    over_turns = ours - turns if ours is not None and turns is not None else None
    over_theirs = ours - theirs if ours is not None and theirs is not None else None
    what = "cached prompt tokens of multi-turn chats on 3 replicas"
    return [
        Verdict(f"{what}: ≥ 0.95 of one replica's that saw every turn", share, 0.95, is_floor=True),
        Verdict(f"{what}: more than round robin's, by", over_turns, 1, is_floor=True),
        Verdict(f"{what}: more than those of vllm-router's cache_aware, by", over_theirs, 1, is_floor=True),
    ]


def describe(result: Variants) -> str:
    """Tell how it was measured, and every figure."""
    size = result.traffic
    passes = max((len(one.passes) for one in result.variants), default=0)
    method = (
        f"{_REPLICAS} replicas of real vLLM with a random tiny model, automatic prefix caching on in blocks "
        f"of 128 tokens, caches empty before each pass. The traffic: {size.chats} chats of {size.turns} "
        f"turns with {size.system_prompts} system prompts shared among them, what users write of log-normal "
        f"length (mostly short, now and then a pasted page), every chat's next turn in shuffled order, "
        f"{size.in_flight} calls in flight. Answers of {size.answer_tokens} tokens were recorded in the "
        "first pass and are fed back in all, so every variant is sent the same prompts. Cached tokens "
        f"are those of the replies' `usage.prompt_tokens_details`; medians of {passes} passes in turns, the "
        "range in brackets. vllm-router runs with its defaults."
    )
    best = result.cached_tokens(ONE_REPLICA)
    rows = [_shown(one, best) for one in result.variants]
    header = (
        "through",
        "prompt tokens",
        "cached",
        "of one replica's",
        "busiest replica's share of what was computed",
        "seconds",
        "failed calls",
    )
    return f"{method}\n\n{table(header, rows)}"


def _shown(one: Variant, best: float | None) -> list[str]:
    share = f"{one.cached_tokens / best:.3f}" if best else "-"
    return [
        one.name,
        f"{median(each.prompt_tokens for each in one.passes):,.0f}",
        spread([each.cached_tokens for each in one.passes], 0),
        share,
        f"{median(each.busiest_share for each in one.passes):.0%}",
        f"{median(each.seconds for each in one.passes):.1f}",
        str(one.errors),
    ]


SECTION = Section(
    name="prefix",
    title="Prefix-aware routing on real replicas",
    result=Variants,
    measure=measure,
    judge=judge,
    describe=describe,
)
