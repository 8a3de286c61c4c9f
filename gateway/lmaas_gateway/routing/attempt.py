"""One call to one replica, up to the first bytes that may be forwarded."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lmaas_gateway import envelope
from lmaas_gateway.replicas.forwarded import Forwarded
from lmaas_gateway.replicas.pauses import retry_after_s
from lmaas_gateway.routing import opening
from lmaas_gateway.routing.failures import ReplicaStatusError, is_about_replica

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.replicas.client import Exchange
    from lmaas_gateway.replicas.forwarded import Report
    from lmaas_gateway.replicas.pool import Pool, Replica


async def attempt(call: Call, pool: Pool, replica: Replica, report: Report, meter: Meter) -> Forwarded:
    """Send `call` to `replica`; give what it began to answer.

    That is a reply that has begun well, or a refusal that is about the request.

    Args:
        call: What the client asked.
        pool: That of the replica.
        replica: Who is asked.
        report: Told if the reply breaks after it was given.
        meter: Knows which of the call's attempts this is; the replica is told of any but the first.

    Raises:
        ReplicaError: it failed, and nothing of it was shown to the client.
    """
    body = call.body
    name = replica.served_model_name
    if name is not None and name != call.model:
        body = envelope.with_model(body, name)
    if not pool.has_salts:
        body = envelope.without_salt(body)
    meter.see_sent(replica.in_flight)
    entered_ns = replica.enter(call.tokens)
    meter.stay = (replica, entered_ns)
    exchange = None
    try:
        headers = _with_deadline(call) if call.is_deadline_given else call.headers
        if meter.attempts > 1:
            headers += b"x-lmaas-attempt: %d\r\n" % meter.attempts
        exchange = await replica.client.post(call.route.replica_path, body, headers, call.deadline_s)
        first = None if call.is_stream else opening.take_whole(exchange)
        if first is None:
            first = await _read_first(call, exchange)
    except BaseException:
        replica.leave(call.tokens)
        meter.stay = None
        if exchange is not None:
            exchange.close()
        raise
    return Forwarded(pool, replica, call.tokens, entered_ns, exchange=exchange, first=first, report=report)


async def _read_first(call: Call, exchange: Exchange) -> bytes:
    status = exchange.status
    if is_about_replica(status):
        raise ReplicaStatusError(status, retry_after_s(exchange.headers, datetime.now(UTC)))
    if status >= 300:
        return exchange.take()
    return await (opening.read_stream if call.is_stream else opening.read_plain)(exchange)


def _with_deadline(call: Call) -> bytes:
    """Tell the replica how much time is left, as the client told us."""
    left_ms = max(0.0, call.deadline_s - asyncio.get_running_loop().time()) * 1e3
    return call.headers + b"x-request-deadline-ms: %d\r\n" % left_ms
