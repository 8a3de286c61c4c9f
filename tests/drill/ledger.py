"""The ledger as an auditor reads it: by SQL, past the gateway, beside what the replicas counted."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from faults.clients import Told
    from lmaas_gateway.testing import Attempt
    from support.store_servers import PostgresServer

DATABASE = "drill"
SHIPPED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """One call in the books."""

    request_id: str
    completion_tokens: int
    status: int
    outcome: str
    replica: str


class Ledger:
    """The table, read from outside."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres

    def rows(self) -> dict[str, list[Row]]:
        """Every row, by call."""
        columns = ", ".join(Row.__slots__)
        text = self._postgres.run(f"SELECT row_to_json(r) FROM (SELECT {columns} FROM ledger) r", DATABASE)
        found: dict[str, list[Row]] = defaultdict(list)
        for line in text.splitlines():
            row = Row(**json.loads(line))
            found[row.request_id].append(row)
        return found

    async def until_has(self, calls: Iterable[str], *, within_s: float = SHIPPED_WITHIN_S) -> None:
        """Wait until these calls are in the books."""
        wanted = set(calls)
        async with asyncio.timeout(within_s):
            while wanted - set(await asyncio.to_thread(self.rows)):
                await asyncio.sleep(0.2)


@dataclass(slots=True)
class Comparison:
    """The books beside the replicas' own count.

    Attributes:
        calls: Those that a replica worked on.
        billed_tokens: Of all of them together.
        made_tokens: The same, by the replicas.
        cut: Calls whose gateway died while they ran.
        on_the_way_tokens: Tokens that a replica had sent to a gateway that died before it read them.
        on_the_way_s: How long before the client lost its connection the oldest of them was sent.
        problems: What must not be, in words.
    """

    calls: int = 0
    billed_tokens: int = 0
    made_tokens: int = 0
    cut: int = 0
    on_the_way_tokens: int = 0
    on_the_way_s: float = 0.0
    problems: tuple[str, ...] = ()


def compare(
    rows: Mapping[str, Sequence[Row]],
    attempts: Mapping[str, Sequence[Attempt]],
    told: Iterable[Told],
) -> Comparison:
    """Hold every call that a replica worked on against the books.

    A call that ended, whatever its end, is billed to the token. One whose gateway was killed is billed what
    the client had, and no more than the replica sent: only what was on the way between the two may differ.
    """
    found, problems, clients = Comparison(), [], {one.request_id: one for one in told}
    for request_id, tries in attempts.items():
        client = clients.get(request_id)
        if client is None:
            continue
        made, entries = sum(attempt.tokens for attempt in tries), rows.get(request_id, ())
        billed = sum(entry.completion_tokens for entry in entries)
        found.calls += 1
        found.billed_tokens += billed
        found.made_tokens += made
        if len(entries) != 1:
            problems.append(f"{request_id} stands {len(entries)} times in the books")
        elif client.outcome == "lost":
            found.cut += 1
            found.on_the_way_tokens += made - billed
            for sent_s in sorted(moment_s for attempt in tries for moment_s in attempt.sent_s)[billed:]:
                found.on_the_way_s = max(found.on_the_way_s, (client.ended_s or sent_s) - sent_s)
            if not client.tokens <= billed <= made:
                problems.append(f"{request_id}: {client.tokens} had, {billed} billed, {made} made")
        elif billed != made:
            problems.append(f"{request_id} ({client.outcome}): {billed} billed, {made} made")
    found.problems = tuple(problems)
    return found
