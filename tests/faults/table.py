"""The faults, row by row: what goes wrong, what must happen, how it is produced; and the table of results."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from pathlib import Path

BEGIN = "<!-- table: made by `make faults`, not by hand -->"
END = "<!-- end of table -->"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault.

    Attributes:
        id: As in the tests' marker.
        fault: What goes wrong.
        must: What must happen.
        how: How it is produced.
        waits_for: Why it has no test yet; empty if it has.
    """

    id: str
    fault: str
    must: str
    how: str
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What one test gave."""

    rows: tuple[str, ...]
    test: str
    outcome: str
    seconds: float


ROWS = (
    Row(
        "F1",
        "A replica is killed before the first byte",
        "Its calls move to another replica; no client sees an error",
        "SIGKILL of one of three replica processes that holds its share of 200 calls before their headers; and "
        "of one of two real vLLM engines",
    ),
    Row(
        "F2",
        "A replica is killed in mid-stream",
        "Within 1 s an error event `stream_interrupted`, never `[DONE]`; what was sent is billed; streams of "
        "other replicas go on; the SDK raises with the partial text and does not repeat",
        "SIGKILL of one of two replica processes after a random number of tokens; and of one of two real vLLM "
        "engines under 16 streams",
    ),
    Row(
        "F3",
        "All replicas are down",
        "503 with Retry-After, quickly once known; `/readyz` 503, `/livez` 200; no storm of retries; recovery "
        "without a restart",
        "SIGKILL of all replica processes, 60 calls, restart of the processes",
    ),
    Row(
        "F4",
        "A replica accepts calls and never answers",
        "The first-byte deadline moves the call to another replica, or ends it with 504; its slot is free again",
        "SIGSTOP of a replica process; a script that hangs before the headers; SIGSTOP of a real vLLM engine",
    ),
    Row(
        "F5",
        "A stream stalls between two tokens",
        "Comments keep the client's connection alive; after the idle deadline an error event; the SDK's timers "
        "count events, not comments",
        "A script that hangs after five events",
    ),
    Row(
        "F6",
        "A connection goes silent: half-open TCP",
        "The deadline, or TCP_USER_TIMEOUT, ends it like any other loss",
        "A replica in a network namespace of its own whose link goes down; the proxy's `timeout` toxic",
    ),
    Row(
        "F7",
        "Connecting fails: refused, no answer, no such name",
        "Another replica within the connect deadline; no body is sent twice; the SDK retries",
        "A closed port; a full backlog that nobody accepts from; a name that does not resolve",
    ),
    Row(
        "F8",
        "A replica answers 500, 502, 503 or 504",
        "Another replica; else the status mapped, without the replica's own words",
        "Scripted statuses",
    ),
    Row(
        "F9",
        "429 or 503 with a Retry-After of any kind",
        "That replica is left alone for a while, others are tried; the caller is told to wait; the SDK waits "
        "up to its bound, else raises at once",
        "Scripted headers: seconds, a date, 0, 1e9, garbage",
    ),
    Row(
        "F10",
        "A stream is cut off: end of file without its terminal event, half an event",
        "As F2, and the end is never made up; the SDK raises",
        "Scripted endings, a break inside an event, the proxy's `limit_data`",
    ),
    Row(
        "F11",
        "Errors inside a stream, in every dialect; only `[DONE]`; `[DONE]` without a finish reason",
        "One dialect towards the client; before the first byte another replica or an HTTP status",
        "Scripted events",
    ),
    Row(
        "F12",
        "Bytes in any slices, odd line ends, comments, text cut inside a character, bytes that are no UTF-8",
        "The client gets the same bytes; never a crash",
        "The proxy's `slicer`, one byte at a time, and scripted events drawn by hypothesis",
    ),
    Row(
        "F13",
        "200 with HTML, a wrong content type, or a body that is not JSON",
        "502 `bad_replica_reply` where a stream was asked for; the SDK raises a typed error otherwise",
        "Scripted bodies and raw bytes",
    ),
    Row(
        "F14",
        "An endless stream, or an event of 50 MiB",
        "Caps end it with an error event, the replica is told to stop",
        "Scripted streams",
    ),
    Row(
        "F15",
        "A kept connection closes as a call is written to it",
        "The call is sent again on a fresh connection, once",
        "Replicas that close idle connections after 50 ms",
    ),
    Row(
        "F16",
        "The client leaves: before the reply, before the first token, in mid-stream, by FIN or RST",
        "The replica is free within 1 s; 499 in the log; no failure is held against the replica",
        "Raw sockets that close or reset; the same on a real vLLM engine",
    ),
    Row(
        "F17",
        "A client reads slowly, or not at all",
        "The replica is held back, memory stays bounded, others do not notice",
        "A client with a small receive buffer in front of 64 MiB, beside twenty that read",
    ),
    Row(
        "F18",
        "Slow-loris: idle connections, slow headers, slow bodies",
        "They are closed by deadlines; honest clients do not notice 500 of them",
        "Raw sockets",
    ),
    Row(
        "F19",
        "A giant body",
        "413 before it is held in memory, with and without a declared length",
        "1 GiB announced; 64 MiB chunked; a gzip bomb",
    ),
    Row(
        "F20",
        "Hostile JSON: deep nesting, double keys, NaN, huge numbers, lone surrogates, NUL",
        "400 and never 500",
        "A corpus, and bodies drawn by hypothesis",
    ),
    Row(
        "F21",
        "Smuggling: two lengths, length and chunked, folded headers, bare LF, hop-by-hop headers",
        "400 or taken out; the replica never sees a second request, nor a client's own headers",
        "Raw sockets",
    ),
    Row(
        "F22",
        "Twenty times the capacity",
        "What is admitted is served as fast as ever, the rest is told early to wait; recovery at once",
        "An open loop of clients in front of a replica with fixed capacity (the long run is in `make bench`)",
    ),
    Row(
        "F23",
        "A thousand equal calls at once",
        "One of them asks the replica, where the operator turned that on",
        "1,000 equal temperature-0 calls, cold cache",
    ),
    Row(
        "F24",
        "A noisy tenant",
        "A quiet tenant's calls pass the noisy one's queue",
        "A hundred calls of one tenant beside single ones of another",
    ),
    Row(
        "F25",
        "Limits across workers",
        "What workers must share is shared: a bound holds for all of them together, and a limit lets exactly as many calls through as it says. What a killed worker held is free again",
        "Four workers, 1,000 calls at once; SIGKILL of both of two workers",
    ),
    Row(
        "F26",
        "The database is down at the start, dies, hangs, or its network goes silent",
        "The gateway starts and serves; no call waits for it, no thread or task piles up; once it is back, the "
        "ledger has every call once, with the tokens that its client got",
        "A real PostgreSQL that is started late, killed, stopped (SIGSTOP), or behind a proxy that drops "
        "everything, under load",
    ),
    Row(
        "F27",
        "Valkey or Redis is down, slow or empty",
        "No call waits longer than 50 ms for it, and none at all once it is known to be away: each process lets a part of every limit through, and counts there what was used once it is back",
        "A real Valkey: SIGSTOP, FLUSHALL, SIGKILL and a new start; a proxy that lets its answers come after 20 s",
    ),
    Row(
        "F28",
        "The disk is full or read-only: under the database, the journal or the logs",
        "Calls are served on; after there is room again the database is sound, the ledger has every call, and "
        "lines of the log are whole",
        "Access log and log on a tmpfs of 256 KiB, the database on one of 4 MiB, in a mount namespace of its "
        "own; a database in a folder that is mounted read-only",
    ),
    Row(
        "F29",
        "The clock jumps by an hour, both ways",
        "No deadline, duration or health moves",
        "A wall clock that is given to the gateway process and jumps under load",
    ),
    Row(
        "F30",
        "Reload with a broken, half-written or unreadable file, and fifty reloads a second",
        "The old configuration serves, the error names the setting; no call fails",
        "Truncated files drawn by hypothesis and SIGHUP under load",
    ),
    Row(
        "F31",
        "A key is revoked while it streams",
        "Within 5 s its streams end with the error event `key_revoked`, billed for what was made, and it opens "
        "nothing any more; streams of other keys go on",
        "Two keys of one project, each in a stream of `lmaas serve` with a store; one is revoked",
    ),
    Row(
        "F32",
        "SIGTERM under load, a second SIGTERM, a killed worker",
        "Calls that end within the grace end whole, the others with a retryable error; exit code 0; a killed "
        "worker is replaced",
        "500 streams on a gateway process; SIGKILL of one of two workers",
    ),
    Row(
        "F33",
        "A call is sent again with its Idempotency-Key",
        "Twin in flight 409, another body 422, finished replayed; the replica works once",
        "Twins over sockets, and the SDK's own retry after a lost reply",
    ),
    Row(
        "F34",
        "Descriptors run out; the event loop stalls for 2 s",
        "Refusals, no crash, recovery; the stall shows in a metric and no stream is lost by it",
        "RLIMIT_NOFILE of 64 and 200 connections; SIGSTOP of the gateway for 2 s",
    ),
    Row("F35", "An adapter is missing on one replica", "", "", "adapters, which no replica has loaded yet"),
    Row(
        "M1",
        "Anything of the above, in any order",
        "Every invariant, after every step",
        "A hypothesis state machine: start, kill, stop, go on, slow, heal, reload, call, stream, leave",
    ),
    Row(
        "S1",
        "Mixed faults for a long time",
        "Memory, descriptors and tasks are flat",
        "`make soak`: replica processes killed, stopped, slowed and healed under load",
    ),
)


def marked_tests(folder: Path) -> set[tuple[str, str]]:
    """Row and name of every test function with the marker `fault`."""
    found: set[tuple[str, str]] = set()
    for path in folder.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                        found |= {(ast.literal_eval(row), node.name) for row in mark.args}
    return found


def merge(old: Iterable[Result], new: Sequence[Result], functions: Container[str]) -> list[Result]:
    """Put new results in the place of old ones of the same functions; forget functions that are gone."""
    fresh = {function_of(result.test) for result in new}
    kept = [one for one in old if function_of(one.test) in functions and function_of(one.test) not in fresh]
    return sorted([*kept, *new], key=lambda result: result.test)


def render(results: Sequence[Result], tests: Iterable[tuple[str, str]]) -> str:
    """Write the table in Markdown; a test without a result is said not to have been run."""
    by_row: dict[str, list[str]] = {row.id: [] for row in ROWS}
    for row_id, name in sorted(tests):
        by_row[row_id].append(name)
    lines = ["| id | fault | must | produced by | tests | result |", "|---|---|---|---|---|---|"]
    lines += [_line(row, by_row[row.id], results) for row in ROWS]
    return "\n".join(lines)


def _line(row: Row, names: Sequence[str], results: Sequence[Result]) -> str:
    if row.waits_for:
        return f"| {row.id} | {row.fault} | | | | not yet: {row.waits_for} |"
    tests = "<br>".join(f"`{name}`" for name in names)
    return f"| {row.id} | {row.fault} | {row.must} | {row.how} | {tests} | {_verdict(names, results)} |"


def _verdict(names: Sequence[str], results: Sequence[Result]) -> str:
    own = [result for result in results if function_of(result.test) in names]
    missing = sorted(set(names) - {function_of(result.test) for result in own})
    failed = sum(result.outcome != "passed" for result in own)
    parts = []
    if failed:
        parts.append(f"{failed} of {len(own)} FAILED")
    elif own:
        parts.append(f"passed: {len(own)} in {sum(result.seconds for result in own):.1f} s")
    if missing or not own:
        parts.append("not run: " + (", ".join(missing) or "no test"))
    return "; ".join(parts)


def function_of(test: str) -> str:
    """The name of a test's function, without its folder and parameters."""
    return test.partition("[")[0].rpartition("::")[2]


def replace_table(page: str, table: str) -> str:
    """Put the table into the page, between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def check_rows(rows: Iterable[str], known: Mapping[str, Row]) -> None:
    """Refuse a test of a row that does not exist, or is said to wait."""
    for row_id in rows:
        assert row_id in known, f"there is no row {row_id} in faults/table.py"
        assert not known[row_id].waits_for, f"row {row_id} is said to wait for {known[row_id].waits_for}"
