"""Choose a replica for a call, and another one if it fails before the first byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway import envelope
from lmaas_gateway.replicas.client import (
    ReplicaBusyError,
    ReplicaClosedError,
    ReplicaConnectError,
    ReplicaDeadlineError,
    ReplicaError,
    ReplicaProtocolError,
)
from lmaas_gateway.replicas.forwarded import Forwarded
from lmaas_gateway.routing.balancing import Policies
from lmaas_gateway.routing.verdicts import explain

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.pool import Pool, Replica

_ERROR_EVENT = b'data: {"error"'

_REASONS: dict[type[ReplicaError], str] = {
    ReplicaConnectError: "connect",
    ReplicaBusyError: "busy",
    ReplicaClosedError: "closed",
    ReplicaDeadlineError: "deadline",
    ReplicaProtocolError: "protocol",
}


class Router:
    """Sends calls to the replicas of a pool.

    Args:
        metrics: Counts failures.
        policies: Choose between replicas.
    """

    def __init__(self, metrics: Metrics, policies: Policies | None = None) -> None:
        self._metrics = metrics
        self._policies = policies or Policies()

    async def forward(self, call: Call, pool: Pool) -> Forwarded:
        """Send `call` to a replica; return once the first bytes of its reply are in.

        Tries each replica at most once, and only while no byte has reached the client.

        Raises:
            ModelNotReadyError: no replica has started yet.
            ModelFailedError: none could be started.
            ReplicaUnavailableError: none could take the call.
            ReplicaTimeoutError: the last one tried did not begin to answer in time.
            BadReplicaReplyError: the last one tried did not answer in HTTP.

        Source: RFC 9110 §9.2.2, on replaying a POST.
        """
        tried: set[Replica] = set()
        failure: ReplicaError | None = None
        while candidates := pool.candidates(tried):
            is_alone = len(candidates) == 1 == len(pool.replicas)
            replica = candidates[0] if is_alone else self._policies.of(pool).choose(call, candidates)
            tried.add(replica)
            try:
                forwarded = await _attempt(call, replica)
            except ReplicaError as error:
                failure = error
                self._note_failure(pool, replica, error)
                continue
            if forwarded.exchange.status < 500 or not pool.candidates(tried):
                return forwarded
            self._metrics.count_failure(pool.name, replica.name, "status")
            forwarded.close()
        raise explain(pool, failure)

    def _note_failure(self, pool: Pool, replica: Replica, error: ReplicaError) -> None:
        self._metrics.count_failure(pool.name, replica.name, _REASONS.get(type(error), "other"))
        is_unreachable = isinstance(error, ReplicaDeadlineError) and error.deadline == "connect"
        if is_unreachable or isinstance(error, ReplicaConnectError):
            replica.mark_failed(str(error))


async def _attempt(call: Call, replica: Replica) -> Forwarded:
    body = call.body
    name = replica.served_model_name
    if name is not None and name != call.model:
        body = envelope.with_model(body, name)
    replica.enter(call.tokens)
    exchange = None
    try:
        exchange = await replica.client.post(call.route.replica_path, body, call.headers)
        first = exchange.take() or await exchange.read()
        if call.is_stream and exchange.status == 200 and (not first or first.startswith(_ERROR_EVENT)):
            raise ReplicaClosedError("the stream failed before its first event")
    except BaseException:
        replica.leave(call.tokens)
        if exchange is not None:
            exchange.close()
        raise
    return Forwarded(replica, call.tokens, exchange, first)
