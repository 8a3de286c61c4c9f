"""The alerts of the gateway: shown, and silenced while somebody works on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

from lmaas_gateway.errors import ObjectNotFoundError, StoreUnavailableError

if TYPE_CHECKING:
    from lmaas_gateway.watching import alerts as watched


class SilenceAlert(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """For how long nobody is told of an alert.

    Attributes:
        duration_s: In seconds, up to 30 days; 0 ends a silence.
        comment: Why, for people.
    """

    duration_s: Annotated[int, msgspec.Meta(ge=0, le=2_592_000)]
    comment: Annotated[str, msgspec.Meta(max_length=500)] = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is or was wrong.

    Attributes:
        id: The same whenever this is wrong with this.
        name: `SloBurnRate`, `ModelUnavailable`, `ReplicaDown`, `ReplicaEjected`, `EngineRestarted`
            or `CanaryFailing`.
        state: `pending` (it does not last long enough yet), `firing`, or `resolved` (it was, lately).
        severity: `page` is for now, `ticket` for the next working day.
        slo: Which objective is missed: `ttft`, `inter_token`, `error_rate` or `availability`.
        value: The figure that it is about: of an objective, how many times too fast its budget is used up.
        started_at: When it was seen first.
        silenced_until: Until when nobody is told of it.
        silence_comment: Why.
    """

    id: str
    object: Literal["alert"] = "alert"
    name: str
    state: Literal["pending", "firing", "resolved"]
    severity: Literal["page", "ticket"]
    model: str
    replica: str | None = None
    slo: str | None = None
    summary: str
    value: float
    started_at: int
    fired_at: int | None = None
    resolved_at: int | None = None
    silenced_until: int | None = None
    silence_comment: str | None = None


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """All alerts: what fires first, then what is pending, then the latest that ended."""

    object: Literal["list"] = "list"
    data: list[Alert]


class Desk(Protocol):
    """Knows the alerts."""

    def alerts(self) -> list[tuple[watched.Alert, watched.Silence | None]]:
        """List them, with the silence that each is under."""
        ...

    def silence(self, id_: str, duration_s: float, comment: str = "") -> bool:
        """Silence one; tell whether there is such an alert."""
        ...


class Alerts:
    """Shows and silences alerts. It asks nobody who may: whoever calls it does, before.

    Args:
        desk: Knows them.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def list(self) -> AlertList:
        """List all alerts."""
        return AlertList(data=[_show(alert, silence) for alert, silence in self._desk.alerts()])

    def silence(self, id_: str, wanted: SilenceAlert) -> Alert:
        """Have nobody told of an alert for a while.

        Raises:
            ObjectNotFoundError: there is no such alert.
            StoreUnavailableError: it cannot be written down.
        """
        try:
            is_known = self._desk.silence(id_, wanted.duration_s, wanted.comment)
        except OSError:
            raise StoreUnavailableError("The silence could not be written down; try again.") from None
        found = next((one for one in self.list().data if one.id == id_), None)
        if not is_known or found is None:
            raise ObjectNotFoundError(f"There is no alert {id_[:64]!r} here.")
        return found


def _show(alert: watched.Alert, silence: watched.Silence | None) -> Alert:
    return Alert(
        id=alert.id,
        name=alert.name,
        state=alert.state,
        severity=alert.severity,
        model=alert.model,
        replica=alert.replica,
        slo=alert.slo,
        summary=alert.summary,
        value=alert.value,
        started_at=int(alert.started_at_s),
        fired_at=_seconds(alert.fired_at_s),
        resolved_at=_seconds(alert.resolved_at_s),
        silenced_until=None if silence is None else int(silence.until_s),
        silence_comment=silence.comment or None if silence is not None else None,
    )


def _seconds(at_s: float | None) -> int | None:
    return None if at_s is None else int(at_s)
