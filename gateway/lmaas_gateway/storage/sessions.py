"""Browsers that are signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete

from lmaas_gateway.storage import rows
from lmaas_gateway.storage.records import Session
from lmaas_gateway.storage.tables import sessions

if TYPE_CHECKING:
    from lmaas_gateway.storage.loan import Connection


async def create(connection: Connection, session: Session) -> None:
    """Add a session."""
    await rows.add(connection, sessions, session, taken="Another session has this id.")


async def find(connection: Connection, session_id: str) -> Session | None:
    """Give a session, one that is over too."""
    statement = rows.select_as(Session, sessions).where(sessions.c.id == session_id)
    return await rows.find(connection, Session, statement)


async def remove(connection: Connection, session_id: str) -> None:
    """End a session."""
    await rows.write(connection, delete(sessions).where(sessions.c.id == session_id))


async def remove_ended(connection: Connection, at: int, limit: int = rows.MAX_PAGE) -> int:
    """Drop sessions that are over at this time; count them."""
    return await rows.remove_some(connection, sessions, sessions.c.expires_at <= at, limit)
