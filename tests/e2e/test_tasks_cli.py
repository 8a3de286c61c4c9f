from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.at_once import AtOnce
from e2e.live_gateway import LiveGateway, lmaas

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

TEXT = "The tower was built in 1889. It stands in Paris. Ada Smith visited it."


COMMANDS = (
    ("complete", "--max-tokens", "8"),
    ("classify", "--labels", "travel,cooking"),
    ("classify", "--labels", "travel,cooking", "--fast"),
    ("sentiment",),
    ("summarize", "--sentences", "1", "--max-tokens", "48"),
    ("translate", "--to", "French", "--max-tokens", "48"),
    ("entities", "--types", "person,city", "--max-tokens", "128"),
    ("answer", "-q", "When was the tower built?"),
    ("keywords", "-k", "2"),
    ("similarity", "--to", "a building"),
)


@pytest.fixture(scope="module")
def ran(gateway: LiveGateway) -> Iterator[AtOnce[tuple[str, ...], subprocess.CompletedProcess[str]]]:
    """Each command with the text on its standard input, for people and as JSON."""
    lines = [(*command, *form) for command in COMMANDS for form in ((), ("--json",))]
    with AtOnce(lambda line: lmaas(gateway, *line, stdin=TEXT), lines, width=6) as done:
        yield done


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_command_reads_a_pipe_and_answers(
    ran: AtOnce[tuple[str, ...], subprocess.CompletedProcess[str]], command: tuple[str, ...]
) -> None:
    done = ran[command]
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n")
    assert "Traceback" not in done.stderr
    result = json.loads(ran[(*command, "--json")].stdout)
    assert result["usage"]["prompt_tokens"] > 0
    assert result["latency_s"] > 0


def test_lines_come_out_in_order_and_a_second_run_asks_nothing(
    gateway: LiveGateway, tmp_path: os.PathLike[str]
) -> None:
    texts = ["I love it.", "I hate it.", "It is a table."]
    arguments = ("sentiment", "--lines", "--json", "--journal", os.path.join(tmp_path, "j"))  # noqa: PTH118 - text
    first = lmaas(gateway, *arguments, stdin="\n".join(texts))
    rows = [json.loads(line) for line in first.stdout.splitlines()]
    assert [row["text"] for row in rows] == texts
    second = lmaas(gateway, *arguments, stdin="\n".join(texts))
    assert second.stdout == first.stdout  # ids and latencies too: these are the replies of the first run


def test_refused_call_is_one_line_and_exit_code_1(gateway: LiveGateway) -> None:
    done = lmaas(gateway, "summarize", "x", "--model", "none-such")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("lmaas: ")
    assert done.stderr.count("\n") == 1
