"""Limits: how much an organization and what is in it may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.members import find_member
from lmaas_gateway.administration.office import page_of
from lmaas_gateway.administration.projects import find_project
from lmaas_gateway.errors import BadRequestError
from lmaas_gateway.storage import keys, limits
from lmaas_gateway.storage.records import Limit

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.fields import Metric, Period, SubjectKind
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage.loan import Connection

_PERIODS: dict[Metric, frozenset[Period]] = {
    "requests": frozenset({"minute", "day"}),
    "tokens": frozenset({"minute", "day"}),
    "calls_in_flight": frozenset({"none"}),
    "tokens_in_flight": frozenset({"none"}),
    "money": frozenset({"day", "month"}),
}


class Limits:
    """The limits of the actor's organization.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def list(self, actor: Actor, wanted: requests.ListLimits) -> objects.Page[objects.Limit]:
        """List limits, by their subjects."""
        actor.require("limits:read")
        subject = wanted.subject
        if actor.bound_to:
            actor.require_project(subject or actor.bound_to)
            subject = actor.bound_to
        async with self._office.reading() as connection:
            found = await limits.list_of(
                connection, actor.tenant, subject_id=subject, after=wanted.after, limit=wanted.limit
            )
        return page_of(found, _show, lambda limit: limit.id)

    async def set(self, actor: Actor, wanted: requests.SetLimit) -> objects.Limit:
        """Set a limit, in the place of one on the same."""
        actor.require("limits:write")
        _check_period(wanted.metric, wanted.period)
        async with self._office.changing() as connection:
            made = Limit(
                id=self._office.new_id("lim_", actor),
                organization_id=actor.tenant,
                subject_kind=wanted.subject_kind,
                subject_id=await _subject(connection, actor, wanted),
                model_glob=wanted.model,
                metric=wanted.metric,
                period=wanted.period,
                amount=wanted.amount,
            )
            old = await _find_equal(connection, made)
            if old is None:
                await limits.create(connection, made)
            else:
                made = replace(made, id=old.id)
                await limits.change(connection, actor.tenant, old.id, made.amount)
            await self._office.note(
                connection,
                actor,
                "limits.set",
                ("limit", made.id),
                subject_kind=made.subject_kind,
                subject=made.subject_id,
                model=made.model_glob,
                limit=f"{made.metric}/{made.period}",
                amount=made.amount,
                old_amount=None if old is None else old.amount,
            )
        await self._office.announce()
        return _show(made)

    async def remove(self, actor: Actor, id_: str) -> objects.Removed:
        """Lift a limit."""
        actor.require("limits:write")
        async with self._office.changing() as connection:
            found = await limits.find(connection, actor.tenant, id_)
            if found is None or actor.bound_to not in {"", found.subject_id}:
                raise no_such("limit", id_)
            await limits.remove(connection, actor.tenant, id_)
            await self._office.note(
                connection,
                actor,
                "limits.remove",
                ("limit", id_),
                subject_kind=found.subject_kind,
                subject=found.subject_id,
                limit=f"{found.metric}/{found.period}",
                amount=found.amount,
            )
        await self._office.announce()
        return objects.Removed(id=id_, object="limit")


def _check_period(metric: Metric, period: Period) -> None:
    if period not in _PERIODS[metric]:
        allowed = " or ".join(sorted(_PERIODS[metric]))
        raise BadRequestError(f"The period of a limit on {metric} is {allowed}.", param="period")


async def _subject(connection: Connection, actor: Actor, wanted: requests.SetLimit) -> str:
    """Give the id of what is limited, if it is the organization's and the actor may limit it."""
    id_ = wanted.subject
    if wanted.subject_kind == "organization":
        actor.require_unbound()
        if id_ not in {None, actor.tenant}:
            raise no_such("organization", str(id_))
        return actor.tenant
    if id_ is None:
        raise BadRequestError(f"Name the {wanted.subject_kind} in `subject`.", param="subject")
    if wanted.subject_kind == "project":
        await find_project(connection, actor, id_)
    elif wanted.subject_kind == "member":
        await find_member(connection, actor, id_)
    elif wanted.subject_kind == "key":
        key = await keys.find(connection, actor.tenant, id_)
        if key is None or actor.bound_to not in {"", key.project_id}:
            raise no_such("key", id_)
    else:
        actor.require_unbound()
    return id_


async def _find_equal(connection: Connection, wanted: Limit) -> Limit | None:
    """Give the limit on the same subject, models, metric and period."""
    subjects = [(wanted.subject_kind, wanted.subject_id)]
    same = ("model_glob", "metric", "period")
    for limit in await limits.list_for(connection, wanted.organization_id, subjects):
        if all(getattr(limit, name) == getattr(wanted, name) for name in same):
            return limit
    return None


def _show(record: Limit) -> objects.Limit:
    return objects.Limit(
        id=record.id,
        organization=record.organization_id,
        subject_kind=cast("SubjectKind", record.subject_kind),
        subject=record.subject_id,
        model=record.model_glob,
        metric=cast("Metric", record.metric),
        period=cast("Period", record.period),
        amount=record.amount,
    )
