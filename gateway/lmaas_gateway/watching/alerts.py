"""Alerts as they come and go: pending, firing, resolved; who must be told of what, and of each only once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from lmaas_gateway.settings import Severity
from lmaas_gateway.watching.conditions import AlertName
from lmaas_gateway.wording import Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmaas_gateway.watching.conditions import Condition

State = Literal["pending", "firing", "resolved"]

_SHOWN_RESOLVED = 100
_SHOWN_RESOLVED_S = 7 * 86400


class Silence(msgspec.Struct, frozen=True):
    """That nobody is told of an alert for a while.

    Attributes:
        until_s: Its end, in Unix seconds.
        comment: Why, for people.
    """

    until_s: float
    comment: str = ""


class Alert(msgspec.Struct):
    """One thing that is or was wrong, from its beginning to its end.

    Attributes:
        id: The same whenever this is wrong with this.
        started_at_s: When it was seen first; all times in Unix seconds.
        summary: What is wrong, in English.
        told_at_s: When it was last handed to webhooks.
        said: The same, to be put into other words; None of one that an older release kept.
    """

    id: str
    name: AlertName
    model: str
    replica: str | None
    slo: str | None
    severity: Severity
    state: State
    summary: str
    value: float
    started_at_s: float
    fired_at_s: float | None = None
    resolved_at_s: float | None = None
    told_at_s: float | None = None
    said: Said | None = None

    @classmethod
    def of(cls, condition: Condition, at_s: float) -> Alert:
        """Begin one."""
        return cls(
            id=condition.id,
            name=condition.name,
            model=condition.model,
            replica=condition.replica,
            slo=condition.slo,
            severity=condition.severity,
            state="pending",
            summary=condition.summary,
            said=condition.said,
            value=condition.value,
            started_at_s=at_s,
        )


class AlertBook:
    """All alerts that are, and those that were lately.

    Args:
        alerts: What an earlier process kept.
    """

    def __init__(self, alerts: Iterable[Alert] = ()) -> None:
        alerts = tuple(alerts)
        self._active = {alert.id: alert for alert in alerts if alert.state != "resolved"}
        self._resolved = [alert for alert in alerts if alert.state == "resolved"]

    def alerts(self) -> list[Alert]:
        """List them: what fires first, then what is pending, then what has ended, the latest first."""
        active = sorted(self._active.values(), key=lambda one: (one.state, -one.started_at_s))
        return [*active, *reversed(self._resolved)]

    def update(self, conditions: Iterable[Condition], at_s: float) -> list[Alert]:
        """Take note of all that is wrong now; give those alerts that began or ended to fire by it."""
        changed = []
        seen = set()
        for condition in conditions:
            seen.add(condition.id)
            alert = self._active.setdefault(condition.id, Alert.of(condition, at_s))
            alert.said, alert.summary, alert.value = condition.said, condition.summary, condition.value
            if alert.state == "pending" and at_s - alert.started_at_s >= condition.for_s:
                alert.state, alert.fired_at_s = "firing", at_s
                changed.append(alert)
        for id_ in sorted(self._active.keys() - seen):
            changed += self._end(self._active.pop(id_), at_s)
        return changed

    def due(self, silences: Mapping[str, Silence], *, at_s: float, renotify_s: float) -> list[Alert]:
        """Give the alerts that somebody must be told of now, and take note that it is done.

        Those that fire, again after `renotify_s`, unless they are silenced; and the end of those whose
        beginning was told, silenced or not: who has an incident open must hear that it is over.
        """
        found = [alert for alert in self._active.values() if _is_due(alert, silences, at_s, renotify_s)]
        found += [
            alert
            for alert in self._resolved
            if alert.told_at_s is not None and alert.told_at_s < (alert.resolved_at_s or 0)
        ]
        for alert in found:
            alert.told_at_s = at_s
        return found

    def _end(self, alert: Alert, at_s: float) -> list[Alert]:
        if alert.state == "pending":
            return []
        alert.state, alert.resolved_at_s = "resolved", at_s
        self._resolved = [
            one for one in self._resolved if at_s - (one.resolved_at_s or 0) < _SHOWN_RESOLVED_S
        ][-_SHOWN_RESOLVED + 1 :]
        self._resolved.append(alert)
        return [alert]


def _is_due(alert: Alert, silences: Mapping[str, Silence], at_s: float, renotify_s: float) -> bool:
    if alert.state != "firing" or is_silenced(alert.id, silences, at_s):
        return False
    return alert.told_at_s is None or at_s - alert.told_at_s >= renotify_s


def is_silenced(id_: str, silences: Mapping[str, Silence], at_s: float) -> bool:
    """Tell whether nobody is to be told of an alert."""
    silence = silences.get(id_)
    return silence is not None and silence.until_s > at_s
