"""Choose a replica for a call, and another one if it fails before the first byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway import envelope
from lmaas_gateway.errors import (
    BadReplicaReplyError,
    GatewayError,
    ModelFailedError,
    ModelNotReadyError,
    ReplicaTimeoutError,
    ReplicaUnavailableError,
)
from lmaas_gateway.replicas.client import (
    ReplicaBusyError,
    ReplicaClosedError,
    ReplicaConnectError,
    ReplicaDeadlineError,
    ReplicaError,
    ReplicaProtocolError,
)
from lmaas_gateway.replicas.forwarded import Forwarded

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """Sends calls to the replicas of a pool."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

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
        while (replica := choose(pool.replicas, tried)) is not None:
            tried.add(replica)
            try:
                forwarded = await _attempt(call, replica)
            except ReplicaError as error:
                failure = error
                self._note_failure(pool, replica, error)
                continue
            if forwarded.exchange.status < 500 or choose(pool.replicas, tried) is None:
                return forwarded
            self._metrics.count_failure(pool.name, replica.name, "status")
            forwarded.close()
        raise explain(pool, failure)

    def _note_failure(self, pool: Pool, replica: Replica, error: ReplicaError) -> None:
        self._metrics.count_failure(pool.name, replica.name, _REASONS.get(type(error), "other"))
        is_unreachable = isinstance(error, ReplicaDeadlineError) and error.deadline == "connect"
        if is_unreachable or isinstance(error, ReplicaConnectError):
            replica.mark_failed(str(error))


def choose(replicas: Iterable[Replica], tried: set[Replica]) -> Replica | None:
    """Pick the ready replica with the fewest calls in flight that has not been tried."""
    best = None
    for replica in replicas:
        if replica.is_ready and replica not in tried and (best is None or replica.in_flight < best.in_flight):
            best = replica
    return best


def explain(pool: Pool, failure: ReplicaError | None) -> GatewayError:
    """Turn the last failure, or the lack of any replica to try, into what the caller is told."""
    model = repr(pool.name)
    if pool.state == "failed":
        return ModelFailedError(f"The model {model} could not be started; its operator must look at its log.")
    if failure is None and pool.state == "starting":
        return ModelNotReadyError(f"The model {model} is still starting; retry shortly.", retry_after_s=5)
    if isinstance(failure, ReplicaDeadlineError) and failure.deadline != "connect":
        return ReplicaTimeoutError(
            f"The model {model} did not begin to answer in time; retry, or ask for less."
        )
    if isinstance(failure, ReplicaProtocolError):
        return BadReplicaReplyError(
            f"A replica of {model} did not answer in HTTP; its operator must look at it."
        )
    return ReplicaUnavailableError(
        f"No replica of {model} can take the call now; retry shortly.", retry_after_s=2
    )


async def _attempt(call: Call, replica: Replica) -> Forwarded:
    body = call.body
    name = replica.served_model_name
    if name is not None and name != call.model:
        body = envelope.with_model(body, name)
    replica.in_flight += 1
    exchange = None
    try:
        exchange = await replica.client.post(call.route.replica_path, body, call.headers)
        first = exchange.take() or await exchange.read()
        if call.is_stream and exchange.status == 200 and (not first or first.startswith(_ERROR_EVENT)):
            raise ReplicaClosedError("the stream failed before its first event")
    except BaseException:
        replica.in_flight -= 1
        if exchange is not None:
            exchange.close()
        raise
    return Forwarded(replica, exchange, first)
