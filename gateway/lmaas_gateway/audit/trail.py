"""The trail in the database: a row is appended in the transaction of what it tells of, and never changed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, text

from lmaas_gateway.audit.chain import GENESIS, Entry, Row, seal
from lmaas_gateway.audit.checkpoints import Checkpoint, sign
from lmaas_gateway.storage.tables import audit, audit_checkpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sqlalchemy import ColumnElement

    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.loan import Connection
    from lmaas_gateway.vault.vault import Vault

# Of PostgreSQL's advisory lock; any number that nothing else here uses.
_LOCK = 0x6C6D61617361
_PAGE_ROWS = 1000


class Trail:
    """Appends to the trail, and reads it.

    Args:
        vault: Has the keys that seal and sign.
        clock: Unix seconds.
    """

    def __init__(self, vault: Vault, *, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._clock = clock

    async def append(
        self,
        connection: Connection,
        *,
        actor: str,
        action: str,
        object_kind: str,
        object_id: str,
        organization_id: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Row:
        """Append a row; it is there once the caller's transaction is, and not if that is undone.

        Writers follow one another from here to the end of their transactions. So this comes last in each:
        whoever waited for another lock after it could hold up, or deadlock with, all the others.

        Args:
            connection: In a transaction that writes.
            actor: Who did it: the id of a member or of a key, or a name of the operator's.
            action: As in `keys.create`.
            object_kind: As in `key`.
            object_id: Of what it was done to.
            organization_id: Whose that is; None if it concerns the whole gateway.
            detail: What else is to be known; never a secret or a content.
        """
        await _lock(connection)
        entry = Entry(
            at=self._now_us(),
            organization_id=organization_id,
            actor=actor,
            action=action,
            object_kind=object_kind,
            object_id=object_id,
            detail=json.dumps(detail or {}, separators=(",", ":"), sort_keys=True),
        )
        last = await self.last(connection)
        seq, previous_mac = (1, GENESIS) if last is None else (last[0] + 1, last[1])
        row = seal(entry, seq, previous_mac, self._vault)
        await connection.execute(insert(audit), {name: getattr(row, name) for name in Row.__struct_fields__})
        return row

    async def last(self, connection: Connection) -> tuple[int, bytes] | None:
        """Give the number and the seal of the last row; None if there is none."""
        statement = select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)
        found = (await connection.execute(statement)).first()
        return None if found is None else (found.seq, bytes(found.mac))

    async def rows(
        self, connection: Connection, *where: ColumnElement[bool], after: int = 0, limit: int = _PAGE_ROWS
    ) -> list[Row]:
        """Give rows in their order.

        Args:
            connection: In a transaction.
            where: Which ones.
            after: The `seq` before the first.
            limit: How many at most.
        """
        statement = select(audit).where(audit.c.seq > after, *where).order_by(audit.c.seq).limit(limit)
        return [_row(found) for found in (await connection.execute(statement)).mappings()]

    async def find(
        self,
        connection: Connection,
        organization_id: str | None,
        *,
        after: int = 0,
        limit: int = 100,
        **wanted: str | int | None,
    ) -> list[Row]:
        """Give an organization's rows, oldest first.

        Args:
            connection: In a transaction.
            organization_id: Whose; None gives all, which is for operators of the whole gateway.
            after: The `seq` before the first.
            limit: How many at most.
            wanted: `action`, `actor`, `start` (from then) and `end` (before then), both in microseconds since
                1970; None for any.
        """
        where = [] if organization_id is None else [audit.c.organization_id == organization_id]
        tests: dict[str, Callable[[Any], ColumnElement[bool]]] = {
            "action": lambda action: audit.c.action == action,
            "actor": lambda actor: audit.c.actor == actor,
            "start": lambda start: audit.c.at >= start,
            "end": lambda end: audit.c.at < end,
        }
        where += [tests[name](value) for name, value in wanted.items() if value is not None]
        return await self.rows(connection, *where, after=after, limit=limit)

    async def all_rows(self, database: Database) -> AsyncIterator[Row]:
        """Give every row, a page a transaction, however many they are."""
        after = 0
        while True:
            async with database.reading(deadline_s=database.admin_deadline_s) as connection:
                page = await self.rows(connection, after=after)
            for row in page:
                yield row
            if len(page) < _PAGE_ROWS:
                return
            after = page[-1].seq

    async def checkpoints(self, connection: Connection, *, after: int = 0) -> list[Checkpoint]:
        """Give the checkpoints with a greater number than `after`, in their order."""
        table = audit_checkpoints
        statement = select(table).where(table.c.seq > after).order_by(table.c.seq)
        return [_checkpoint(found) for found in (await connection.execute(statement)).mappings()]

    async def last_checkpoint(self, connection: Connection) -> Checkpoint | None:
        """Give the newest checkpoint; None if there is none."""
        statement = select(audit_checkpoints).order_by(audit_checkpoints.c.seq.desc()).limit(1)
        found = (await connection.execute(statement)).mappings().first()
        return None if found is None else _checkpoint(found)

    async def sign(self, connection: Connection) -> Checkpoint | None:
        """Sign the trail as it is, if it has grown since the newest checkpoint.

        Args:
            connection: In a transaction that writes.
        """
        await _lock(connection)
        head, newest = await self.last(connection), await self.last_checkpoint(connection)
        if head is None or (newest is not None and newest.size >= head[0]):
            return None
        number = 1 if newest is None else newest.seq + 1
        made = sign(Checkpoint(seq=number, at=self._now_us(), size=head[0], head=head[1]), self._vault)
        values = {name: getattr(made, name) for name in Checkpoint.__struct_fields__}
        await connection.execute(insert(audit_checkpoints), values)
        return made

    def _now_us(self) -> int:
        return int(self._clock() * 1e6)


async def _lock(connection: Connection) -> None:
    """Let no other writer of any process append until this transaction is over."""
    if connection.dialect == "postgresql":
        # SQLite has one writer at a time from the beginning of its transaction.
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def _row(found: Mapping[Any, Any]) -> Row:
    fields = {name: found[name] for name in Row.__struct_fields__}
    return Row(**{**fields, "previous_mac": bytes(found["previous_mac"]), "mac": bytes(found["mac"])})


def _checkpoint(found: Mapping[Any, Any]) -> Checkpoint:
    fields = {name: found[name] for name in Checkpoint.__struct_fields__}
    return Checkpoint(**{**fields, "head": bytes(found["head"]), "signature": bytes(found["signature"])})
