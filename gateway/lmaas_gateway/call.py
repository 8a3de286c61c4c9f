"""The values that travel through a request's life. Each is made once and never changed."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Literal

import msgspec

from lmaas_gateway.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.settings import ModelKind

Role = Literal["owner", "admin", "developer", "viewer"]
"""What a member is in its organization; `identity/roles.py` says what each may do."""

Dialect = Literal["chat", "responses", "messages", "plain"]
"""How a route streams and reports usage; `plain` routes do neither in parts."""

Exits = list["Callable[[], object]"]
"""What the stages of one call have opened, to be closed when it ends, the last one first.

None of them waits, and none raises."""


@dataclass(frozen=True, slots=True)
class Route:
    """One public inference route.

    Attributes:
        path: The public path.
        replica_path: The path of vLLM that does the work.
        kinds: The kinds of model that have this route.
        dialect: The wire format of its stream, usage and errors.
        is_salted: Whether its engine may keep what it reads, so that tenants must be kept apart.
    """

    path: str
    replica_path: str
    kinds: frozenset[ModelKind]
    dialect: Dialect = "plain"
    is_salted: bool = True


_GENERATE: frozenset[ModelKind] = frozenset({"chat", "completion"})
_CHAT: frozenset[ModelKind] = frozenset({"chat"})
_EMBED: frozenset[ModelKind] = frozenset({"embedding"})
_RANK: frozenset[ModelKind] = frozenset({"embedding", "rerank"})
_CLASSIFY: frozenset[ModelKind] = frozenset({"classify"})
_ALL = _GENERATE | _RANK | _CLASSIFY

ROUTES = (
    Route("/v1/chat/completions", "/v1/chat/completions", _CHAT, "chat"),
    Route("/v1/embeddings", "/v1/embeddings", _EMBED),
    Route("/v1/completions", "/v1/completions", _GENERATE, "chat"),
    Route("/v1/responses", "/v1/responses", _CHAT, "responses"),
    Route("/v1/messages", "/v1/messages", _CHAT, "messages"),
    Route("/v1/rerank", "/v1/rerank", _RANK),
    Route("/v1/score", "/v1/score", _RANK),
    Route("/v1/classify", "/classify", _CLASSIFY),
    Route("/v1/tokenize", "/tokenize", _ALL, is_salted=False),
    Route("/v1/detokenize", "/detokenize", _ALL, is_salted=False),
)


class Scopes(msgspec.Struct, frozen=True):
    """What a key may be used for. Of each kind, none named means all.

    Attributes:
        models: Globs of model names; a call needs both the name that it asks for and the one that serves.
        routes: Globs of public paths.
        addresses: Networks that calls may come from, as CIDR.
        admin: The role that it has on `/admin/v1/`, as far as its member's goes; none opens none of it.
    """

    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    admin: Role | None = None

    def permits_model(self, name: str) -> bool:
        """Tell whether a model of this name may be called."""
        return not self.models or _matches(self.models, name)

    def permits_route(self, path: str) -> bool:
        """Tell whether this public path may be called."""
        return not self.routes or _matches(self.routes, path)

    def permits_address(self, address: str) -> bool:
        """Tell whether calls may come from here; from an address that is none, only if from anywhere."""
        return not self.addresses or _lies_in(self.addresses, address)


# What is asked again and again; a stranger's inventions drive out what costs some microseconds to find anew.
@lru_cache(maxsize=4096)
def _matches(globs: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


@lru_cache(maxsize=4096)
def _lies_in(networks: tuple[str, ...], address: str) -> bool:
    try:
        at = ip_address(address)
    except ValueError:
        return False
    at = getattr(at, "ipv4_mapped", None) or at
    return any(at in ip_network(network) for network in networks)


UNBOUND = Scopes()
"""The scopes of who may everything that callers may."""


class Principal(msgspec.Struct, frozen=True):
    """Who calls. Ids are empty where there is none: keys of the configuration belong to no organization.

    Attributes:
        id: Its name in logs and queues.
        weight: Its part of a pool, relative to others', when calls wait.
        priority: The best that its calls may have, as vLLM counts: lower is earlier.
        is_shared: Whether many callers may go by it, so that it says nothing of who is the same.
        organization: Whose tenant it is.
        project: Where its calls are booked.
        member: The person or service account that it acts for.
        key: The id of the key that it came with.
        role: What it is on `/admin/v1/`; none may do nothing there.
        scopes: What the key may be used for.
        limits: What the limiter needs to know of it; nobody else looks.
        stores_content: Whether its project has prompts and replies kept, encrypted.
        salt: Keeps its prompts apart from other tenants' in the engines' prefix caches.
    """

    id: str
    weight: float = 1.0
    priority: int = 0
    is_shared: bool = False
    organization: str = ""
    project: str = ""
    member: str = ""
    key: str = ""
    role: Role | None = None
    scopes: Scopes = UNBOUND
    limits: object = None
    salt: bytes = b""
    stores_content: bool = False

    @property
    def tenant(self) -> str:
        """What it shares with its like, and with nobody else: its project, or itself where it has none.

        Queues, stored replies, sessions and media places go by it, not by keys: those a tenant has many of.
        """
        return self.project or "=" + self.id


NOBODY = Principal("")
"""Whoever is not known yet."""


class Idempotency(msgspec.Struct, frozen=True):
    """What tells that a call is the same as an earlier one.

    Attributes:
        key: The client's `Idempotency-Key`.
        fingerprint: SHA-256 of the body, as the client sent it.
    """

    key: bytes
    fingerprint: bytes


class Call(msgspec.Struct, frozen=True):
    """What a client asked.

    Attributes:
        id: The request id, given by the client or made here.
        model: The public model name.
        body: The JSON body, ready for a replica that serves the model under its public name.
        is_stream: Whether the reply comes as server-sent events.
        wants_usage: Whether the client asked for the stream's usage event.
        choices: How many choices a stream must finish.
        sequences: How many sequences it makes an engine work on: one a choice, or one a text to be read.
        tokens: What it may cost a replica at most, estimated: prompt and completion of all choices.
        max_tokens: How many tokens each choice may have; 0 if the call does not bound them.
        prompt: The raw JSON of `messages`, `prompt` or `input`; `null` where the route has none.
        preamble: The raw JSON of what else decides the prompt: cache salt, tools, system text.
        priority: What the client asks for, as vLLM counts: lower is earlier; None if nothing was said.
        session: Names the conversation or the user that the call belongs to; empty if nothing does.
        headers: Header lines for the replica, each ended by CRLF.
        wanted: What was read of the body.
        idempotency: Given if the call must not run twice.
        cache_control: The client's `Cache-Control` header.
        deadline_s: When it ends at the latest, by the event loop's clock.
        is_deadline_given: Whether that is the client's own wish, which the replica is told too.
    """

    id: str
    route: Route
    model: str
    body: bytes
    is_stream: bool
    wants_usage: bool
    choices: int
    tokens: int
    prompt: msgspec.Raw
    headers: bytes
    wanted: Envelope
    idempotency: Idempotency | None = None
    cache_control: bytes = b""
    preamble: bytes = b""
    session: bytes = b""
    deadline_s: float = math.inf
    is_deadline_given: bool = False
    max_tokens: int = 0
    priority: int | None = None
    sequences: int = 1

    def is_over(self) -> bool:
        """Tell whether its deadline has passed."""
        return self.deadline_s != math.inf and asyncio.get_running_loop().time() >= self.deadline_s


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call, as its replica counted them, or as we did if it could not tell any more.

    Attributes:
        cached_tokens: Those of the prompt that its replica had read before.
        reasoning_tokens: Those of the completion that nobody sees.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    is_estimated: bool = False
    reasoning_tokens: int = 0
