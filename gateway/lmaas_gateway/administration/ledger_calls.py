"""Single calls as the ledger knows them: what was billed, long after their records are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_gateway.records.record import CallRecord
from lmaas_gateway.storage import ledger

if TYPE_CHECKING:
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.storage.records import LedgerEntry


class LedgerCalls:
    """Finds calls in the ledger.

    Args:
        office: Has the store.
    """

    def __init__(self, office: Office) -> None:
        self._office = office

    async def find(self, organization: str | None, request_id: str, project: str) -> CallRecord | None:
        """Give the last call that had this request id; see `Ledger.find`."""
        async with self._office.reading() as connection:
            entry = await ledger.find_request(connection, organization, request_id, project_id=project)
        return None if entry is None else _record_of(entry)


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
