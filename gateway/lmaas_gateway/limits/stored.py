"""The limits of tenants, which stand in the database and change while the gateway runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import func, select

from lmaas_gateway.limits.rules import Limit
from lmaas_gateway.storage.tables import audit, limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.storage.database import Database

_ORGANIZATIONS_AT_ONCE = 500


class StoredLimits:
    """Reads limits from the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        """Give a number that changes with every change of an administrator, to a limit or anything else.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        async with self._database.reading() as connection:
            last = (await connection.execute(select(func.max(audit.c.seq)))).scalar()
        return int(last or 0)

    async def load(self, organizations: Sequence[str]) -> list[Limit]:
        """Give all limits of some organizations.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        found: list[Limit] = []
        for begin in range(0, len(organizations), _ORGANIZATIONS_AT_ONCE):
            some = organizations[begin : begin + _ORGANIZATIONS_AT_ONCE]
            columns = (
                limits.c.organization_id,
                limits.c.subject_kind,
                limits.c.subject_id,
                limits.c.model_glob,
                limits.c.metric,
                limits.c.period,
                limits.c.amount,
            )
            statement = select(*columns).where(limits.c.organization_id.in_(some))
            async with self._database.reading() as connection:
                rows = cast("Sequence[tuple[Any, ...]]", (await connection.execute(statement)).all())
            found += (
                Limit(kind, subject, metric, amount, period, models=models, organization=organization)
                for organization, kind, subject, models, metric, period, amount in rows
            )
        return found
