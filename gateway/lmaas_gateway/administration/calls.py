"""Single calls, as far as the actor may see them: the last ones as a list, and each one explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.explanation import explain, show
from lmaas_gateway.records.record import CallRecord
from lmaas_gateway.records.records import Wanted

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.records.records import Place, Records
    from lmaas_gateway.storage.records import LedgerEntry
    from lmaas_gateway.wording import Language

_US = 10**6


class Calls:
    """The calls of the actor's organization, or, for an operator who names none, of all.

    Args:
        records: The last ones; None where none are kept.
        office: Has the store; None where there are no tenants.
    """

    def __init__(self, records: Records | None, office: Office | None = None) -> None:
        self._records = records
        self._office = office

    async def list(self, actor: Actor, wanted: requests.ListCalls) -> objects.Page[objects.Call]:
        """List the last calls that there are records of, the newest first."""
        actor.require("calls:read")
        if wanted.project is not None:
            actor.require_project(wanted.project)
        if self._records is None:
            return objects.Page(data=[])
        found = await self._records.list(
            Wanted(
                organization=_organization(actor, wanted.organization),
                project=wanted.project or actor.bound_to or None,
                model=wanted.model,
                failed=wanted.failed,
                slow_over_s=wanted.slow_over_s,
                since_us=(wanted.since or 0) * _US,
            ),
            after=None if wanted.after is None else _read_place(wanted.after),
            limit=wanted.limit,
        )
        return objects.Page(
            data=[show(record) for record in found.records],
            has_more=found.has_more,
            last_id=None if found.last is None else _write_place(found.last),
        )

    async def show(
        self, actor: Actor, id_: str, wanted: requests.ShowCall, *, language: Language = "en"
    ) -> objects.CallExplanation:
        """Explain one call, in a language.

        Raises:
            ObjectNotFoundError: neither a record nor the ledger knows it, or it is not the actor's to see.
        """
        actor.require("calls:read")
        organization = _organization(actor, wanted.organization)
        record = None
        if self._records is not None:
            record = await self._records.find(organization, id_, project=actor.bound_to or None)
        known_from: objects.KnownFrom = "record"
        if record is None:
            record, known_from = await self._in_ledger(organization, id_, actor.bound_to), "ledger"
        if record is None:
            raise no_such("call", id_)
        return explain(record, known_from, language)

    async def _in_ledger(self, organization: str | None, request_id: str, project: str) -> CallRecord | None:
        if self._office is None:
            return None
        from lmaas_gateway.storage import ledger  # noqa: PLC0415 - heavy, and there only with a store

        async with self._office.reading() as connection:
            entry = await ledger.find_request(connection, organization, request_id, project_id=project)
        return None if entry is None else _record_of(entry)


def _organization(actor: Actor, named: str | None) -> str | None:
    """Tell whose calls an actor means; None for everybody's."""
    return None if actor.is_operator and named is None else actor.tenant


def _write_place(place: Place) -> str:
    ended_us, ring, number = place
    return f"{ended_us:x}-{ring}-{number:x}"


def _read_place(text: str) -> Place:
    ended_us, ring, number = text.split("-")
    return int(ended_us, 16), ring, int(number, 16)


def _record_of(entry: LedgerEntry) -> CallRecord:
    return CallRecord(
        at_us=entry.at,
        request_id=entry.request_id,
        organization=entry.organization_id,
        project=entry.project_id,
        key=entry.key_id,
        member=entry.member_id,
        model=entry.model,
        replica=entry.replica,
        route=entry.route,
        is_stream=entry.is_stream,
        outcome=entry.outcome,
        status=entry.status,
        code=entry.code,
        source=entry.source,
        prompt_tokens=entry.prompt_tokens,
        cached_tokens=entry.cached_tokens,
        completion_tokens=entry.completion_tokens,
        reasoning_tokens=entry.reasoning_tokens,
        is_estimated=entry.is_estimated,
        queued_us=entry.queued_us,
        first_byte_us=entry.first_byte_us,
        duration_us=entry.duration_us,
        busy_ns=entry.busy_ns,
        price="" if entry.price == "{}" else entry.price,
        cost_nanos=entry.cost_nanos,
    )
