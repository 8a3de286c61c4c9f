"""What a webhook is sent: the alert as JSON, and the headers by which its receiver knows that it is ours.

Source: Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
`webhook-signature`, an HMAC-SHA256 of `id.timestamp.body` for each secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.watching.alerts import Alert


class Message(msgspec.Struct, frozen=True):
    """What is to be told.

    Attributes:
        id: The same for each attempt, so that its receiver takes it once.
        body: JSON.
        at_s: When it was written, in Unix seconds.
    """

    id: str
    body: bytes
    at_s: float


def write(alert: Alert, gateway: str, at_s: float) -> Message:
    """Write what is told of an alert as it is now.

    Args:
        alert: It fires, or has ended.
        gateway: Which one this is, for people.
        at_s: Now, in Unix seconds.
    """
    happened_at_s = alert.resolved_at_s if alert.state == "resolved" else alert.fired_at_s
    body = {
        "type": f"alert.{alert.state}",
        "timestamp": _iso(happened_at_s),
        "data": {
            "id": alert.id,
            "name": alert.name,
            "state": alert.state,
            "severity": alert.severity,
            "model": alert.model,
            "replica": alert.replica,
            "slo": alert.slo,
            "summary": alert.summary,
            "value": alert.value,
            "started_at": _iso(alert.started_at_s),
            "fired_at": _iso(alert.fired_at_s),
            "resolved_at": _iso(alert.resolved_at_s),
            "gateway": gateway,
        },
    }
    # No full stop may be in it, which parts what is signed.
    id_ = f"msg_{alert.id.removeprefix('alrt_')}_{alert.state}_{int((alert.told_at_s or at_s) * 1000)}"
    return Message(id_, msgspec.json.encode(body), at_s)


def sign(message: Message, secrets: Sequence[bytes], at_s: float) -> dict[str, str]:
    """Give the headers of an attempt at this moment, signed by each secret."""
    timestamp = str(int(at_s))
    signed = f"{message.id}.{timestamp}.".encode() + message.body
    signatures = (base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)) for secret in secrets)
    return {
        "content-type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature.decode('ascii')}" for signature in signatures),
    }


def _iso(at_s: float | None) -> str | None:
    if at_s is None:
        return None
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
