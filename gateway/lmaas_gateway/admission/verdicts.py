"""What a caller is told whose call is not taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lmaas_gateway.errors import (
    CallShedError,
    DeadlineExceededError,
    GatewayError,
    QueueFullError,
    QueueShareFullError,
    QueueTimeoutError,
    QueueWaitError,
)

if TYPE_CHECKING:
    from lmaas_gateway.admission.line import Refusal, Rules

_MIN_RETRY_S = 1
_MAX_RETRY_S = 60


def explain(refusal: Refusal, model: str, rules: Rules) -> GatewayError:
    """Turn a refusal into the error that names the limit and says when to come again."""
    retry_after_s = _retry_after_s(refusal)
    place = f"would be number {refusal.position} of those that wait"
    if refusal.wait_s is not None:
        place += f", for about {refusal.wait_s:.1f} s"
    if refusal.reason == "share_full":
        return QueueShareFullError(
            f"Your calls fill your share of the queue of {model!r}: this one {place}; send fewer at once.",
            retry_after_s=retry_after_s,
        )
    if refusal.reason == "wait_too_long":
        return QueueWaitError(
            f"The model {model!r} is overloaded: the call {place}, which is longer than it may "
            f"(queue.timeout_s is {rules.timeout_s:g} s); retry later.",
            retry_after_s=retry_after_s,
        )
    if refusal.reason == "shed":
        return CallShedError(
            f"The model {model!r} is overloaded: the call made way for one of higher priority; retry later.",
            retry_after_s=retry_after_s,
        )
    if refusal.reason == "deadline":
        return DeadlineExceededError(
            f"The call's deadline passed while it waited for its turn at {model!r}; allow it more time."
        )
    if refusal.reason == "timeout":
        return QueueTimeoutError(
            f"The model {model!r} is overloaded: the call waited for {rules.timeout_s:g} s "
            "(queue.timeout_s) without its turn coming; retry later.",
            retry_after_s=retry_after_s,
        )
    return QueueFullError(
        f"The model {model!r} is overloaded: its queue is full, {rules.max_queued} calls wait "
        "(queue.max_queued); retry later.",
        retry_after_s=retry_after_s,
    )


def _retry_after_s(refusal: Refusal) -> int:
    """Seconds in which the pool will have got through what waits now: who comes earlier only adds to it."""
    if refusal.wait_s is None:
        return _MIN_RETRY_S
    return min(_MAX_RETRY_S, max(_MIN_RETRY_S, math.ceil(refusal.wait_s)))
