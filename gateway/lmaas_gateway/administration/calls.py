"""Single calls, as far as the actor may see them: the last ones as a list, and each one explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.administration import objects
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.explanation import explain, show
from lmaas_gateway.records.records import Wanted

if TYPE_CHECKING:
    from lmaas_gateway.administration import requests
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.records.record import CallRecord
    from lmaas_gateway.records.records import Place, Records
    from lmaas_gateway.wording import Language

_US = 10**6


class Ledger(Protocol):
    """Knows all calls that were ever billed."""

    async def find(self, organization: str | None, request_id: str, project: str) -> CallRecord | None:
        """Give the last call that had this request id, without what only its record told.

        Args:
            organization: Whose; None for anybody's.
            request_id: As its reply had it.
            project: Only of this one; empty for all.
        """
        ...


class Calls:
    """The calls of the actor's organization, or, for an operator who names none, of all.

    Args:
        records: The last ones; None where none are kept.
        ledger: Knows those of which there is no record any more; None where nothing is stored.
    """

    def __init__(self, records: Records | None, ledger: Ledger | None = None) -> None:
        self._records = records
        self._ledger = ledger

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
        if record is None and self._ledger is not None:
            record, known_from = await self._ledger.find(organization, id_, actor.bound_to), "ledger"
        if record is None:
            raise no_such("call", id_)
        return explain(record, known_from, language)


def _organization(actor: Actor, named: str | None) -> str | None:
    """Tell whose calls an actor means; None for everybody's."""
    return None if actor.is_operator and named is None else actor.tenant


def _write_place(place: Place) -> str:
    ended_us, ring, number = place
    return f"{ended_us:x}-{ring}-{number:x}"


def _read_place(text: str) -> Place:
    ended_us, ring, number = text.split("-")
    return int(ended_us, 16), ring, int(number, 16)
