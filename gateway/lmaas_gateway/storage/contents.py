"""What was asked and answered, encrypted, where a project keeps that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import Content
from lmaas_gateway.storage.tables import contents

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.storage.records import Page

_TAKEN = "The content of this call is kept already."


async def add(connection: Connection, content: Content) -> None:
    """Keep the content of a call.

    Raises:
        ConflictError: it is kept already.
    """
    await rows.add(connection, contents, content, taken=_TAKEN)


async def find(connection: Connection, organization_id: str, ledger_id: str) -> Content | None:
    """Give the content of a call of an organization."""
    statement = rows.select_as(Content, contents).where(_own(organization_id, ledger_id))
    return await rows.find(connection, Content, statement)


async def list_of(
    connection: Connection,
    organization_id: str,
    *,
    project_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page[Content]:
    """List the contents of an organization, the newest first.

    Raises:
        BadRequestError: `after` is none of them.
    """
    where: ColumnElement[bool] = contents.c.organization_id == organization_id
    if project_id is not None:
        where = and_(where, contents.c.project_id == project_id)
    place = (contents.c.at, contents.c.ledger_id)
    return await rows.newest_first(
        connection, Content, contents, where, after=after, limit=limit, place=place
    )


async def drop_before(connection: Connection, at: int, limit: int = rows.MAX_PAGE) -> int:
    """Delete up to `limit` contents of any organization from before a time; count them."""
    return await rows.remove_some(connection, contents, contents.c.at < at, limit)


def _own(organization_id: str, ledger_id: str) -> ColumnElement[bool]:
    return and_(contents.c.organization_id == organization_id, contents.c.ledger_id == ledger_id)
