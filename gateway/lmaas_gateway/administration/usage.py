"""The books, as far as the actor may see them: sums, and the ledger's rows as a file."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.files import FORMATS, File
from lmaas_gateway.errors import BadRequestError
from lmaas_gateway.prices import Price, capacity_of
from lmaas_gateway.storage import ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.fields import Grouping
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.settings import ModelSettings, Settings
    from lmaas_gateway.storage import records
    from lmaas_gateway.storage.loan import Connection

_DAY_S = 86_400
_MAX_GROUPS = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: dict[Grouping, ledger.Grouping] = {
    "organization": "organization_id",
    "project": "project_id",
    "key": "key_id",
    "model": "model",
    "day": "day",
}


class Usage:
    """Adds up and exports the ledger.

    Args:
        office: Has the store.
        settings: The configuration that serves.
    """

    def __init__(self, office: Office, settings: Settings) -> None:
        self._office = office
        self._settings = settings

    async def list(self, actor: Actor, wanted: requests.UsageQuery) -> objects.Page[objects.Usage]:
        """Add the books up, so many groups at a time; an operator who names no organization sees all."""
        actor.require("usage:read")
        groups = _groups(wanted)
        columns = [_COLUMNS[group] for group in groups]
        part = ledger.Part(_after(wanted, columns), _MAX_GROUPS + 1)
        first_day, last_day = self._days(wanted.start, wanted.end)
        async with self._office.reading() as connection:
            is_narrowed = wanted.project or wanted.key or wanted.model
            if actor.is_operator and not actor.organization and not is_narrowed:
                columns = columns or ["organization_id"]
                sums = await ledger.usage_of_all(
                    connection, first_day=first_day, last_day=last_day, by=columns, part=part
                )
                if groups == ("model",):
                    return await self._by_model(connection, sums, first_day, last_day)
            else:
                sums = await ledger.usage(
                    connection,
                    actor.tenant,
                    first_day=first_day,
                    last_day=last_day,
                    by=columns,
                    project_id=_project(actor, wanted.project),
                    key_id=wanted.key,
                    model=wanted.model,
                    part=part,
                )
        return _page(sums, columns)

    async def _by_model(
        self, connection: Connection, sums: Sequence[records.Usage], first_day: int, last_day: int
    ) -> objects.Page[objects.Usage]:
        """Show models with what their replicas cost, from the first day on that they were called."""
        by_day = await ledger.usage_of_all(
            connection, first_day=first_day, last_day=last_day, by=["model", "day"]
        )
        first_days: dict[str | None, int] = {}
        for one in by_day:
            first_days.setdefault(one.model, one.day or 0)
        now_s = int(self._office.clock())
        until_s = min((last_day + 1) * _DAY_S, now_s)
        models = {model.name: model for model in self._settings.models}
        data = []
        for one in sums:
            seconds = max(0, until_s - first_days.get(one.model, last_day) * _DAY_S)
            data.append(_with_capacity(_show(one), models.get(one.model or ""), one.busy_ns, seconds))
        return objects.Page(data=data)

    async def export(self, actor: Actor, wanted: requests.ExportQuery) -> File:
        """Give the ledger's rows, the oldest first, as they are read."""
        actor.require("usage:export")
        until_s = self._office.clock() if wanted.end is None else wanted.end
        rows = self._rows(
            actor.tenant, wanted.start * 10**6, int(until_s * 10**6), _project(actor, wanted.project)
        )
        async with self._office.changing() as connection:
            await self._office.note(
                connection,
                actor,
                "usage.export",
                ("ledger", actor.tenant),
                start=wanted.start,
                end=int(until_s),
                project=wanted.project,
                format=wanted.format,
            )
        file_format = FORMATS[wanted.format]
        return File(f"usage.{wanted.format}", file_format.media_type, file_format.write(rows))

    async def _rows(
        self, organization: str, since: int, until: int, project: str | None
    ) -> AsyncIterator[Sequence[records.LedgerEntry]]:
        after: tuple[int, str] | None = None
        while True:
            # A transaction a part: an export that takes long holds nobody up.
            async with self._office.reading() as connection:
                page = await ledger.list_of(
                    connection, organization, since=since, until=until, project_id=project, after=after
                )
            if page.items:
                yield page.items
                after = (page.items[-1].at, page.items[-1].id)
            if not page.has_more:
                return

    def _days(self, start: int, end: int | None) -> tuple[int, int]:
        last_s = int(self._office.clock()) if end is None else end - 1
        return start // _DAY_S, last_s // _DAY_S


def _with_capacity(
    shown: objects.Usage, model: ModelSettings | None, busy_ns: int, seconds: int
) -> objects.Usage:
    if model is None or model.price is None or not model.price.gpu_second:
        return shown
    replicas = model.replicas if isinstance(model.replicas, int) else len(model.replicas)
    found = capacity_of(Price.of(model.price), replicas=replicas, seconds=seconds, busy_ns=busy_ns)
    return replace(shown, utilization=round(found.utilization, 6), machine_cost_nanos=found.cost_nanos)


def _groups(wanted: requests.UsageQuery) -> tuple[Grouping, ...]:
    try:
        return wanted.groups()
    except msgspec.ValidationError:
        raise BadRequestError(
            f"`group_by` takes {', '.join(_COLUMNS)}, with commas between them.", param="group_by"
        ) from None


def _page(sums: Sequence[records.Usage], columns: Sequence[ledger.Grouping]) -> objects.Page[objects.Usage]:
    shown = sums[:_MAX_GROUPS]
    last_id = None
    if shown and columns:
        last = msgspec.json.encode([getattr(shown[-1], column) for column in columns])
        last_id = base64.urlsafe_b64encode(last).decode().rstrip("=")
    return objects.Page(data=[_show(one) for one in shown], has_more=len(sums) > _MAX_GROUPS, last_id=last_id)


def _after(wanted: requests.UsageQuery, columns: Sequence[ledger.Grouping]) -> list[str | int]:
    """Read the group that a part comes after, out of the `last_id` of the one before."""
    if wanted.after is None:
        return []
    kinds = [int if column == "day" else str for column in columns or ["organization_id"]]
    try:
        text = base64.urlsafe_b64decode(wanted.after + "=" * (-len(wanted.after) % 4))
        values = msgspec.json.decode(text, type=list[str | int])
    except (ValueError, msgspec.DecodeError):
        values = []
    if [type(value) for value in values] != kinds:
        raise BadRequestError(
            "`after` must be the `last_id` of a part with the same `group_by`.", param="after"
        )
    return values


def _project(actor: Actor, wanted: str | None) -> str | None:
    if wanted is not None:
        actor.require_project(wanted)
    return wanted or actor.bound_to or None


def _show(record: records.Usage) -> objects.Usage:
    return objects.Usage(
        organization=record.organization_id,
        project=record.project_id,
        key=record.key_id,
        model=record.model,
        day=None if record.day is None else f"{_EPOCH + timedelta(days=record.day):%Y-%m-%d}",
        calls=record.calls,
        failed_calls=record.failed_calls,
        prompt_tokens=record.prompt_tokens,
        cached_tokens=record.cached_tokens,
        completion_tokens=record.completion_tokens,
        reasoning_tokens=record.reasoning_tokens,
        busy_seconds=record.busy_ns / 1e9,
        cost_nanos=record.cost_nanos,
    )
