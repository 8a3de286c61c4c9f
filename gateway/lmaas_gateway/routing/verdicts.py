"""What a caller is told when no replica answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.errors import (
    BadReplicaReplyError,
    GatewayError,
    ModelFailedError,
    ModelNotReadyError,
    ReplicaTimeoutError,
    ReplicaUnavailableError,
)
from lmaas_gateway.replicas.client import ReplicaDeadlineError, ReplicaError, ReplicaProtocolError

if TYPE_CHECKING:
    from lmaas_gateway.replicas.pool import Pool


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
