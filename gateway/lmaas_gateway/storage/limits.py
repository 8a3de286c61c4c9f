"""The limits of organizations: on themselves, and on what is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, select, tuple_, update

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import Limit
from lmaas_gateway.storage.tables import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "The subject has a limit of this metric and period already; change that one."


async def create(connection: Connection, limit: Limit) -> None:
    """Add a limit.

    Raises:
        ConflictError: there is one of the same subject, models, metric and period.
        NotFoundError: there is no such organization.
    """
    await rows.add(connection, limits, limit, taken=_TAKEN)


async def find(connection: Connection, organization_id: str, limit_id: str) -> Limit | None:
    """Give a limit of an organization."""
    return await rows.find(
        connection, Limit, rows.select_as(Limit, limits).where(_own(organization_id, limit_id))
    )


async def list_of(
    connection: Connection,
    organization_id: str,
    *,
    subject_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page[Limit]:
    """List the limits of an organization, or of one subject in it, by their subjects.

    Raises:
        BadRequestError: `after` is none of them.
    """
    place = (limits.c.subject_kind, limits.c.subject_id, limits.c.id)
    own: ColumnElement[bool] = limits.c.organization_id == organization_id
    if subject_id is not None:
        own = and_(own, limits.c.subject_id == subject_id)
    statement = rows.select_as(Limit, limits).where(own).order_by(*place)
    if after is not None:
        cursor = select(*place).where(_own(organization_id, after))
        found = (await connection.execute(cursor)).one_or_none()
        statement = statement.where(tuple_(*place) > tuple_(*rows.cursor_values(found)))
    return await rows.cut(connection, Limit, statement, limit)


async def list_for(
    connection: Connection, organization_id: str, subjects: Iterable[tuple[str, str]]
) -> tuple[Limit, ...]:
    """Give all limits on the subjects of one call.

    Args:
        connection: Of any transaction.
        organization_id: Whose limits.
        subjects: Kind and id of each.
    """
    wanted = tuple_(limits.c.subject_kind, limits.c.subject_id).in_(list(subjects))
    own = limits.c.organization_id == organization_id
    statement = rows.select_as(Limit, limits).where(own, wanted).order_by(limits.c.id)
    return await rows.list_all(connection, Limit, statement)


async def change(connection: Connection, organization_id: str, limit_id: str, amount: int) -> bool:
    """Set another amount; tell whether there is such a limit."""
    statement = update(limits).where(_own(organization_id, limit_id)).values(amount=amount)
    return await rows.write(connection, statement) == 1


async def remove(connection: Connection, organization_id: str, limit_id: str) -> bool:
    """Take a limit away; tell whether it was there."""
    return await rows.write(connection, delete(limits).where(_own(organization_id, limit_id))) == 1


def _own(organization_id: str, limit_id: str) -> ColumnElement[bool]:
    return and_(limits.c.organization_id == organization_id, limits.c.id == limit_id)
