"""The audit trail, as far as the actor may see it; it is written by everything else here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.office import seconds
from lmaas_gateway.errors import BadRequestError

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.audit.chain import Row
    from lmaas_gateway.audit.notary import Notary


class Audit:
    """Reads and checks the trail.

    Args:
        office: Has the store.
        notary: Checks.
    """

    def __init__(self, office: Office, notary: Notary) -> None:
        self._office = office
        self._notary = notary

    async def list(self, actor: Actor, wanted: requests.AuditQuery) -> objects.Page[objects.AuditEntry]:
        """List entries, oldest first: the organization's; for an operator who names none, all."""
        actor.require("audit:read")
        actor.require_unbound()
        whose = wanted.organization if actor.is_operator else actor.tenant
        async with self._office.reading() as connection:
            rows = await self._office.trail.find(
                connection,
                whose,
                after=_read_cursor(wanted.after),
                limit=wanted.limit + 1,
                action=wanted.action,
                actor=wanted.actor,
                start=None if wanted.start is None else wanted.start * 10**6,
                end=None if wanted.end is None else wanted.end * 10**6,
            )
        shown = [_show(row) for row in rows[: wanted.limit]]
        return objects.Page(
            data=shown, has_more=len(rows) > wanted.limit, last_id=shown[-1].id if shown else None
        )

    async def verify(self, actor: Actor) -> objects.AuditVerdict:
        """Check every row of every organization."""
        actor.require("audit:read")
        actor.require_unbound()
        verdict = await self._notary.verify()
        problems = "; ".join(finding.message for finding in verdict.findings[:3])
        return objects.AuditVerdict(
            is_intact=verdict.is_intact,
            rows=verdict.rows,
            checkpoints=verdict.checkpoints,
            problem=problems or None,
        )


def _read_cursor(after: str | None) -> int:
    if after is None:
        return 0
    if not after.isdecimal() or len(after) > 18:
        raise BadRequestError("`after` names no entry; begin anew without it.", param="after")
    return int(after)


def _show(row: Row) -> objects.AuditEntry:
    return objects.AuditEntry(
        id=str(row.seq),
        at=seconds(row.at),
        organization=row.organization_id,
        actor=row.actor,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        detail=json.loads(row.detail),
        mac=row.mac.hex(),
    )
