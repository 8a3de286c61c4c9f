"""Choose a replica for a call, and another one if it fails before the first byte."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lmaas_gateway.metrics import names
from lmaas_gateway.notes import NO_RETRY, Failure
from lmaas_gateway.replicas.faults import (
    ReplicaBusyError,
    ReplicaClosedError,
    ReplicaConnectError,
    ReplicaDeadlineError,
    ReplicaError,
    ReplicaProtocolError,
)
from lmaas_gateway.routing.attempt import attempt
from lmaas_gateway.routing.balancing import Policies
from lmaas_gateway.routing.failures import (
    ReplicaReplyError,
    ReplicaStatusError,
    ReplicaStreamError,
    words_of,
)
from lmaas_gateway.routing.offenders import Offenders
from lmaas_gateway.routing.verdicts import explain, explain_bad_call

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.errors import GatewayError
    from lmaas_gateway.meter import Meter
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.forwarded import Forwarded
    from lmaas_gateway.replicas.pool import Pool, Replica

_LOG = logging.getLogger("lmaas.gateway")

_REASONS: dict[type[ReplicaError], str] = {
    ReplicaConnectError: "connect",
    ReplicaBusyError: "busy",
    ReplicaClosedError: "closed",
    ReplicaDeadlineError: "deadline",
    ReplicaProtocolError: "protocol",
    ReplicaReplyError: "reply",
    ReplicaStreamError: "reply",
    ReplicaStatusError: "status",
}


class Router:
    """Sends calls to the replicas of a pool.

    Args:
        metrics: Where failures are counted.
        policies: Choose between replicas.
        max_extra_attempts: How many further replicas a call may try after its first.
        offenders: Remember whose calls made replicas fail.
    """

    def __init__(
        self,
        metrics: Metrics,
        policies: Policies | None = None,
        *,
        max_extra_attempts: int = 2,
        offenders: Offenders | None = None,
    ) -> None:
        self._metrics = metrics
        self._policies = policies or Policies()
        self._max_extra_attempts = max_extra_attempts
        self._offenders = offenders or Offenders()
        # Made once: to make a bound method costs each call as much as to use it.
        self._report = self._note_broken

    async def forward(self, call: Call, pool: Pool, meter: Meter) -> Forwarded:
        """Send `call` to a replica; return once its reply has begun well, or is a refusal of the request.

        Tries each replica at most once, and only while no byte has reached the client.

        Raises:
            ModelNotReadyError: no replica has started yet.
            ModelFailedError: none could be started.
            ModelStoppedError: it is to have none.
            ReplicaUnavailableError: none could take the call.
            ReplicaTimeoutError: the last one tried did not begin to answer in time.
            DeadlineExceededError: the call's deadline has passed.
            BadReplicaReplyError: the last one tried did not answer with a reply.
            ReplicaRefusalError: the last one tried failed, or is busy.

        Source: RFC 9110 §9.2.2, on replaying a POST.
        """
        tried: list[Replica] = []
        failure: ReplicaError | None = None
        # Replicas that said that they failed on this call, and how: it may be the call that is at fault.
        doubtful: dict[Replica, str] = {}
        while (replica := self._next(call, pool, tried, failure, meter)) is not None:
            tried.append(replica)
            meter.attempts += 1
            try:
                forwarded = await attempt(call, pool, replica, self._report, meter)
            except ReplicaError as error:
                failure = error
                words = self._note_failure(pool, replica, error, meter)
                if words is not None:
                    if words in doubtful.values():
                        raise self._blame_call(pool, meter) from None
                    doubtful[replica] = words
            else:
                if doubtful:
                    self._blame_replicas(pool, doubtful, meter)
                return forwarded
        verdict = explain(call, pool, failure)
        if len(tried) > 1:
            # One loop of retries is enough: the client's would multiply ours.
            verdict.should_retry = False
        raise verdict

    def _next(
        self, call: Call, pool: Pool, tried: list[Replica], failure: ReplicaError | None, meter: Meter
    ) -> Replica | None:
        candidates = pool.candidates(tried)
        if failure is not None:
            if words_of(failure) is not None and self._offenders.is_marked(pool.name, _tenant_of(meter)):
                self._deny_retry(pool, meter)
                return None
            candidates = self._worth_a_retry(call, pool, candidates, tried, failure, meter)
        if not candidates:
            return None
        meter.choice = None
        if len(candidates) == 1 == len(pool.replicas):
            return candidates[0]
        choice = meter.choice = self._policies.of(pool).choose(call, candidates)
        return choice.replica

    def _worth_a_retry(
        self,
        call: Call,
        pool: Pool,
        candidates: list[Replica],
        tried: list[Replica],
        failure: ReplicaError,
        meter: Meter,
    ) -> list[Replica]:
        """Leave those replicas that may do better, if the call may be tried again at all.

        One that failed its latest calls too is only kept in service because there is no better: in an outage
        a retry there is nothing but more load.
        """
        candidates = [replica for replica in candidates if not replica.breaker.is_suspect]
        is_late = call.is_over() or (isinstance(failure, ReplicaDeadlineError) and failure.is_of_call)
        if is_late or not candidates or len(tried) > self._max_extra_attempts:
            return []
        # Where nothing was sent, no replica has had any work with the call.
        is_free = isinstance(failure, ReplicaConnectError | ReplicaBusyError) and not failure.was_sent_before
        if not is_free and not pool.retries.take():
            self._deny_retry(pool, meter)
            return []
        self._metrics.count(names.RETRIES, (pool.name, "made"))
        return candidates

    def _deny_retry(self, pool: Pool, meter: Meter) -> None:
        meter.applied |= NO_RETRY
        self._metrics.count(names.RETRIES, (pool.name, "denied"))

    def _note_failure(self, pool: Pool, replica: Replica, error: ReplicaError, meter: Meter) -> str | None:
        """Take note of a failed attempt; give the replica's words if it may not have been its fault."""
        reason = _REASONS.get(type(error), "other")
        self._metrics.count_failure(pool.name, replica.name, reason)
        status = error.status if isinstance(error, ReplicaStatusError) else 0
        took_us = int((meter.duration_s() - meter.sent_s) * 1e6)
        failure = Failure(pool.name, replica.name, reason, status, took_us)
        meter.failures = [*(meter.failures or ()), failure]
        if isinstance(error, ReplicaStatusError) and error.is_pause:
            if error.retry_after_s:
                replica.breaker.cool(error.retry_after_s)
            return None
        if isinstance(error, ReplicaBusyError):
            return None
        if isinstance(error, ReplicaDeadlineError) and error.is_of_call:
            return None
        words = words_of(error)
        if words is not None and replica.breaker.is_trusted:
            pool.note_doubt(replica)
            return words
        is_unreachable = isinstance(error, ReplicaDeadlineError) and error.deadline == "connect"
        if is_unreachable or isinstance(error, ReplicaConnectError):
            replica.mark_failed(str(error))
        self._count_against(pool, replica, str(error))
        return None

    def _blame_call(self, pool: Pool, meter: Meter) -> GatewayError:
        """Hold it against the caller that two replicas failed in the same way, each of which may be well."""
        self._offenders.mark(pool.name, _tenant_of(meter))
        pool.retries.give_back()
        return explain_bad_call(pool)

    def _blame_replicas(self, pool: Pool, doubtful: dict[Replica, str], meter: Meter) -> None:
        """Hold it against those replicas that failed: another one has answered."""
        self._offenders.clear(pool.name, _tenant_of(meter))
        for replica, words in doubtful.items():
            replica.breaker.dispel_doubt()
            self._count_against(pool, replica, words)

    def _note_broken(self, pool: Pool, replica: Replica, is_told: bool) -> None:  # noqa: FBT001  # a callback
        self._metrics.count_failure(pool.name, replica.name, "interrupted")
        if is_told and replica.breaker.is_trusted:
            pool.note_doubt(replica)
        else:
            self._count_against(pool, replica, "its reply broke off")

    def _count_against(self, pool: Pool, replica: Replica, problem: str) -> None:
        if pool.note_failure(replica):
            self._metrics.count(names.EJECTIONS, (pool.name, replica.name))
            _LOG.warning("replica %s is ejected: its calls fail, the last one so: %s", replica.name, problem)


def _tenant_of(meter: Meter) -> str:
    return "" if meter.caller is None else meter.caller.tenant
