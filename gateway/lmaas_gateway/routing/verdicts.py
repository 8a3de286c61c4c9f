"""What a caller is told when no replica answered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lmaas_gateway.errors import (
    BadReplicaReplyError,
    DeadlineExceededError,
    GatewayError,
    ModelFailedError,
    ModelNotReadyError,
    ModelStoppedError,
    ReplicaRefusalError,
    ReplicaTimeoutError,
    ReplicaUnavailableError,
)
from lmaas_gateway.replicas.faults import (
    ReplicaBusyError,
    ReplicaDeadlineError,
    ReplicaError,
    ReplicaProtocolError,
)
from lmaas_gateway.routing.failures import ReplicaReplyError, ReplicaStatusError

if TYPE_CHECKING:
    from lmaas_gateway.call import Call
    from lmaas_gateway.replicas.pool import Pool

_BUSY_AFTER_S = 1.0
_UNAVAILABLE_AFTER_S = 2.0


def explain(call: Call, pool: Pool, failure: ReplicaError | None) -> GatewayError:
    """Turn the last failure, or the lack of any replica to try, into what the caller is told."""
    model = repr(pool.name)
    if call.is_over() or (isinstance(failure, ReplicaDeadlineError) and failure.is_of_call):
        return DeadlineExceededError(
            f"The call's deadline passed before {model} answered; allow it more time, or ask for less."
        )
    return _explain_lack(pool, model) if failure is None else _explain_failure(pool, model, failure)


def explain_bad_call(pool: Pool) -> GatewayError:
    """Word what a caller is told whose call has failed two replicas in the same way."""
    verdict = ReplicaRefusalError(
        502,
        f"Two replicas of {pool.name!r} failed on this call alike: it may ask for what they cannot do. "
        "Change it, or tell their operator.",
    )
    verdict.should_retry = False
    return verdict


def _explain_lack(pool: Pool, model: str) -> GatewayError:
    if pool.state == "stopped":
        return ModelStoppedError(
            f"The model {model} is stopped; its operator can start it again.", retry_after_s=60
        )
    if pool.state == "failed":
        return ModelFailedError(
            f"The model {model} could not be started; its operator must look at its log.", retry_after_s=60
        )
    if pool.state == "starting":
        return ModelNotReadyError(f"The model {model} is still starting; retry shortly.", retry_after_s=5)
    pause_s = pool.retry_after_s()
    if pause_s and any(replica.breaker.is_cooling() for replica in pool.replicas):
        return _busy(f"Every replica of {model} has asked for a pause", pause_s)
    return _unavailable(model, pause_s)


def _explain_failure(pool: Pool, model: str, failure: ReplicaError) -> GatewayError:
    if isinstance(failure, ReplicaDeadlineError) and failure.deadline != "connect":
        return ReplicaTimeoutError(
            f"The model {model} did not begin to answer in time; retry, or ask for less."
        )
    if isinstance(failure, ReplicaProtocolError | ReplicaReplyError):
        return BadReplicaReplyError(
            f"A replica of {model} answered with something that is no reply; its operator must look at it."
        )
    if isinstance(failure, ReplicaStatusError):
        if failure.is_pause:
            return _busy(f"The model {model} is busy", _bounded(pool, failure.retry_after_s))
        return ReplicaRefusalError(
            502, f"The replica of {model} failed on this call; retry, or tell its operator."
        )
    if isinstance(failure, ReplicaBusyError):
        return _busy(f"All connections to the replicas of {model} are in use", None)
    return _unavailable(model, pool.retry_after_s())


def _busy(problem: str, pause_s: float | None) -> GatewayError:
    after_s = _whole(_BUSY_AFTER_S if pause_s is None else pause_s)
    return ReplicaRefusalError(503, f"{problem}; retry after {after_s} s.", retry_after_s=after_s)


def _unavailable(model: str, pause_s: float) -> GatewayError:
    return ReplicaUnavailableError(
        f"No replica of {model} can take the call now; retry shortly.",
        retry_after_s=_whole(pause_s or _UNAVAILABLE_AFTER_S),
    )


def _bounded(pool: Pool, pause_s: float | None) -> float | None:
    """Tell callers of no longer a pause than the replica is given."""
    return None if pause_s is None else min(pause_s, pool.ejection.max_cooling_s)


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))
