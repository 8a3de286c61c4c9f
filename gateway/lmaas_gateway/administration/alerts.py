"""The alerts of the gateway: shown, and silenced while somebody works on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import msgspec

from lmaas_gateway.errors import ObjectNotFoundError, StoreUnavailableError
from lmaas_gateway.wording import sentences_of

if TYPE_CHECKING:
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.deeds import Deeds
    from lmaas_gateway.watching import alerts as watched
    from lmaas_gateway.wording import Language, Words


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
        name: `SloBurnRate`, `ModelUnavailable`, `ReplicaDown`, `ReplicaSuspect`, `ReplicaEjected`,
            `EngineRestarted` or `CanaryFailing`.
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
        deeds: Write down who silences what.
    """

    def __init__(self, desk: Desk, deeds: Deeds) -> None:
        self._desk = desk
        self._deeds = deeds

    def list(self, language: Language = "en") -> AlertList:
        """List all alerts, in a language."""
        say = sentences_of(language)
        return AlertList(data=[_show(alert, silence, say) for alert, silence in self._desk.alerts()])

    async def silence(self, actor: Actor, id_: str, wanted: SilenceAlert) -> Alert:
        """Have nobody told of an alert for a while.

        Raises:
            ObjectNotFoundError: there is no such alert.
            StoreUnavailableError: it cannot be written down.
        """
        alert = self._find(id_)
        which = {"name": alert.name, "model": alert.model, "replica": alert.replica}
        silence = msgspec.structs.asdict(wanted)
        async with self._deeds.doing(actor, "alerts.silence", ("alert", id_), **which, **silence):
            try:
                is_known = self._desk.silence(id_, wanted.duration_s, wanted.comment)
            except OSError:
                raise StoreUnavailableError("The silence could not be written down; try again.") from None
            if not is_known:
                raise _no_alert(id_)
        return self._find(id_)

    def _find(self, id_: str) -> Alert:
        found = next((one for one in self.list().data if one.id == id_), None)
        if found is None:
            raise _no_alert(id_)
        return found


def _no_alert(id_: str) -> ObjectNotFoundError:
    return ObjectNotFoundError(f"There is no alert {id_[:64]!r} here.")


def _show(alert: watched.Alert, silence: watched.Silence | None, say: Words) -> Alert:
    return Alert(
        id=alert.id,
        name=alert.name,
        state=alert.state,
        severity=alert.severity,
        model=alert.model,
        replica=alert.replica,
        slo=alert.slo,
        summary=say.tell(alert.said) if alert.said is not None else alert.summary,
        value=alert.value,
        started_at=int(alert.started_at_s),
        fired_at=_seconds(alert.fired_at_s),
        resolved_at=_seconds(alert.resolved_at_s),
        silenced_until=None if silence is None else int(silence.until_s),
        silence_comment=silence.comment or None if silence is not None else None,
    )


def _seconds(at_s: float | None) -> int | None:
    return None if at_s is None else int(at_s)
