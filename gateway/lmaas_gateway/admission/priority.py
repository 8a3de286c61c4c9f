"""Which of the waiting calls are more urgent: what the key allows, lowered by what the client asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway import envelope

if TYPE_CHECKING:
    from lmaas_gateway.call import Call, Principal
    from lmaas_gateway.replicas.pool import Pool

# vLLM takes no priority on these.
_ROUTES_WITHOUT = frozenset({"/v1/messages", "/v1/tokenize", "/v1/detokenize"})


def priority_of(call: Call, principal: Principal) -> int:
    """Give a call's priority, lower is earlier: a client may step back behind its key's, never before it."""
    wanted = call.priority
    return principal.priority if wanted is None or wanted < principal.priority else wanted


def with_engine_priority(call: Call, principal: Principal, pool: Pool) -> Call:
    """Make the body say to the engines of `pool` what they can use of the call's priority.

    A client's own number never reaches an engine unchecked: one that schedules by priority would obey it, one
    that does not refuses any but 0.
    """
    priority = priority_of(call, principal)
    if not pool.has_priorities or call.route.path in _ROUTES_WITHOUT:
        priority = 0
    return msgspec.structs.replace(call, body=envelope.with_priority(call.body, priority))
