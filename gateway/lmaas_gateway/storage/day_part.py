"""Which part of what is kept by day, model and tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import and_

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table


class DayPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a table with a day, a model, an organization and a project in each row.

    Attributes:
        first_day: Its number since 1970, in UTC.
        last_day: The same; it is included.
        organization_id: Whose; None for all, which is for operators alone.
        project_id: Only of this project.
        model: Only of this model.
    """

    first_day: int
    last_day: int
    organization_id: str | None
    project_id: str | None = None
    model: str | None = None

    def of(self, table: Table) -> ColumnElement[bool]:
        """Give the condition of its rows."""
        where: ColumnElement[bool] = table.c.day.between(self.first_day, self.last_day)
        for name in ("organization_id", "project_id", "model"):
            value = getattr(self, name)
            if value is not None:
                where = and_(where, table.c[name] == value)
        return where
