"""What must hold after every scenario, whatever it was: plain functions over the histories of all sides.

I1  each call has exactly one end, which its client can tell, before its deadline
I2  the books say what the replica says: tokens of each call, none billed twice
I3  after the first byte that a client had, no replica was asked again; a stopped one may read late what was
    sent to it before, and given up
I4  no replica works a second after the last client left
I5  descriptors and tasks are back where they were, and memory nearly
I6  an outage is not made worse by retries
I8  no prompt and no key stands in a log or a metric
I10 the gateway answers `/livez` all the while
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from faults.clients import KEY, PROMPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from faults.clients import Told
    from faults.gateways import Vitals
    from lmaas_gateway.testing import Attempt, AttemptName

MAX_GROWTH_BYTES = 48 * 2**20
"""What a short scenario may add to the memory: buffers and code used for the first time. A soak says more."""


def check_ends(calls: Iterable[Told], *, deadline_s: float) -> None:
    """I1, as the clients saw it."""
    for told in calls:
        assert told.ended_s is not None, f"{told.request_id} has not ended"
        assert told.outcome not in {"lost", "truncated"}, f"{told.request_id} was {told.outcome}: {told}"
        assert told.took_s <= deadline_s + 1, f"{told.request_id} took {told.took_s:.1f} s"
        if told.outcome in {"error", "interrupted"}:
            assert told.code or told.error.get("type"), f"{told.request_id} has an error without a name"
            assert not told.is_done, f"{told.request_id} ended in an error and in [DONE]"


def check_one_line_each(calls: Iterable[Told], log: Iterable[Mapping[str, Any]]) -> None:
    """I1, as the access log has it; who left before the gateway had read the request has no line."""
    lines = defaultdict(list)
    for line in log:
        lines[line["request_id"]].append(line)
    for told in calls:
        found = lines[told.request_id]
        assert len(found) == 1 or (told.has_left and not found), f"{told.request_id} has lines {found}"


def check_books(calls: Iterable[Told], log: Iterable[Mapping[str, Any]], attempts: Iterable[Attempt]) -> None:
    """I2: what was billed is what the replica that answered has sent."""
    by_id = attempts_by_id(attempts)
    lines = {line["request_id"]: line for line in log}
    for told in calls:
        line, tries = lines.get(told.request_id), by_id[told.request_id]
        if line is None or not tries:
            continue
        answered = max(tries, key=_order)
        billed, sent = line["completion_tokens"], _sent(answered)
        if told.outcome == "ok" and not is_replayed(told):
            assert billed >= answered.tokens, f"{told.request_id}: billed {billed}, the replica sent {sent}"
        if told.outcome == "interrupted":
            assert told.tokens <= billed, f"{told.request_id}: billed {billed}, the client had {told.tokens}"
        assert billed <= sent, f"{told.request_id}: billed {billed} of {sent}"


def check_single_commit(
    calls: Iterable[Told], log: Iterable[Mapping[str, Any]], attempts: Iterable[Attempt]
) -> None:
    """I3: the last attempt of a call is the one that answered, and each was sent once.

    An attempt's name tells when it was sent, relative to the others of its call. Those before the last one
    had been given up, and may be read at any time: a stopped replica finds them when it goes on.
    """
    by_id, made = attempts_by_id(attempts), {line["request_id"]: line["attempts"] for line in log}
    for told in calls:
        tries = sorted(by_id[told.request_id], key=_order)
        history = f"attempts: {tries}; the client's: {told}"
        assert len({one.name for one in tries}) == len(tries), f"one was sent twice: {history}"
        if not tries or not told.has_reply or told.first_byte_s is None or is_replayed(told):
            continue
        assert tries[-1].at_s <= told.first_byte_s, f"sent again after the first byte: {history}"
        assert tries[-1].name.number == made.get(told.request_id, tries[-1].name.number), (
            f"the log tells of {made[told.request_id]} attempts: {history}"
        )


def read_late(calls: Iterable[Told], attempts: Iterable[Attempt]) -> list[Attempt]:
    """Those that had been given up, and were read after the client had another replica's first byte."""
    began_s = {told.request_id: told.first_byte_s for told in calls if told.has_reply and told.first_byte_s}
    return [one for one in attempts if one.at_s > began_s.get(one.request_id, float("inf"))]


def check_vitals(before: Vitals, after: Vitals) -> None:
    """I5."""
    assert after.descriptors <= before.descriptors, f"descriptors: {before} became {after}"
    assert after.tasks <= before.tasks, f"tasks: {before} became {after}"
    growth = after.rss_bytes - before.rss_bytes
    assert growth <= MAX_GROWTH_BYTES, f"memory grew by {growth / 2**20:.0f} MiB"


def check_amplification(calls: Sequence[Told], attempts: Sequence[Attempt], *, at_most: float = 1.1) -> None:
    """I6."""
    ratio = len(attempts) / len(calls)
    assert ratio <= at_most, f"{len(attempts)} attempts for {len(calls)} calls"


def check_no_secrets(written: str) -> None:
    """I8."""
    assert KEY not in written, "the key stands in what the gateway wrote"
    assert PROMPT not in written, "a prompt stands in what the gateway wrote"


def _order(attempt: Attempt) -> AttemptName:
    return attempt.name


def _sent(attempt: Attempt) -> int:
    """The tokens that a replica sent at most: one that is killed may not come to write down its last one."""
    return attempt.tokens + (attempt.outcome is None)


def attempts_by_id(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Sort attempts by the call that they belong to."""
    by_id: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_id[attempt.request_id].append(attempt)
    return by_id


def is_replayed(told: Told) -> bool:
    """Whether the reply is one that was given before: no replica was asked for this call."""
    is_cached = told.headers.get("x-lmaas-cache", "miss") != "miss"
    return is_cached or "idempotent-replayed" in told.headers
