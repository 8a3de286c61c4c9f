"""Calls for tests of single stages."""

from __future__ import annotations

from typing import Any

import msgspec

from lmaas_gateway import envelope
from lmaas_gateway.call import ROUTES, Call

CHAT_ROUTE = ROUTES[0]
BODY = b'{"model":"mock","messages":[{"role":"user","content":"one two three"}]}'


def make_call(body: bytes = BODY, **fields: Any) -> Call:
    """A chat call with this body; `fields` replace what would be read of it."""
    wanted = envelope.read(body)
    choices = envelope.count_choices(wanted)
    call = Call(
        id="req_test",
        route=CHAT_ROUTE,
        model=wanted.model,
        body=body,
        is_stream=bool(wanted.stream),
        wants_usage=True,
        choices=choices,
        tokens=envelope.estimate_tokens(wanted, body, choices, envelope.max_tokens_of(wanted)),
        prompt=envelope.prompt_of(wanted),
        headers=b"",
        wanted=wanted,
        preamble=envelope.preamble_of(wanted),
        session=envelope.session_of(wanted, None),
        priority=envelope.priority_of(wanted, None),
    )
    return msgspec.structs.replace(call, **fields)
