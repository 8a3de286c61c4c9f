"""What a fake replica saw can be read after it was killed, and after it was started again."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from lmaas_gateway.testing import AttemptName, Journal, read_journal
from support.stub import raw_client, request_bytes

if TYPE_CHECKING:
    from pathlib import Path

CHAT = "/v1/chat/completions"
STREAM = {
    "model": "mock",
    "messages": [{"role": "user", "content": "x"}],
    "stream": True,
    "max_tokens": 500,
    "fake": {"token_gap_s": 0.01, "text": "word"},
}


async def test_killed_replica_has_written_every_token_that_it_sent(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lmaas_gateway.testing", "--journal", str(journal), "--keep-alive-s", "1"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int((await process.stdout.readline()).rpartition(b":")[2])
        async with raw_client(port) as client:
            client.send(request_bytes(CHAT, STREAM, "x-request-id: one"))
            await client.head()
            received = 0
            while received < 5:
                received += (await client.chunk()).count(b"word")
    finally:
        process.kill()
        await process.wait()
    (attempt,) = read_journal(journal)
    assert attempt.request_id == "one"
    assert attempt.tokens >= 5
    assert attempt.outcome in {None, "aborted"}


def test_restarted_replica_goes_on_in_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Journal(path)
    first.opened(0, AttemptName("a"), 1.0)
    first.generated(0, 3, 1.5)
    first.close()
    second = Journal(path)
    second.opened(0, AttemptName("b", 2, is_resent=True), 2.0)
    second.settled(0, "finished", 3.0)
    second.close()
    with path.open("ab") as file:
        file.write(b'{"call":1,"id":"torn')
    assert [(one.request_id, one.tokens, one.outcome) for one in read_journal(path)] == [
        ("a", 3, None),
        ("b", 0, "finished"),
    ]
    assert [one.sent_s for one in read_journal(path)] == [[1.5, 1.5, 1.5], []]
    assert [one.name for one in read_journal(path, current_only=True)] == [
        AttemptName("b", 2, is_resent=True)
    ]
