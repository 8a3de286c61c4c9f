from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from e2e.live_gateway import CHAT, EMBEDDING, LiveGateway, lmaas, lmaas_command

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


class Terminal:
    """A person at a terminal."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)
        self._seen = 0
        self.screen = ""

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def read_until(self, text: str, timeout_s: float = 60) -> str:
        """Wait until `text` appears after what was read before; return all up to its end."""
        deadline = time.monotonic() + timeout_s
        while (found := self.screen.find(text, self._seen)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"no {text!r} in {self.screen!r}"
            if select.select([self._master], [], [], left)[0]:
                self.screen += os.read(self._master, 4096).decode(errors="replace")
        began, self._seen = self._seen, found + len(text)
        return self.screen[began : self._seen]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def chatting(gateway: LiveGateway) -> Iterator[Terminal]:
    environ = {**os.environ, "LMAAS_BASE_URL": gateway.url, "TERM": "dumb"}
    terminal = Terminal([lmaas_command(), "chat", "--temperature", "0"], environ)
    yield terminal
    terminal.close()


def test_piped_question_is_answered_once(gateway: LiveGateway) -> None:
    done = lmaas(gateway, "chat", CHAT, "--temperature", "0", stdin="What is the capital of France?\n")
    assert done.returncode == 0
    assert "Paris" in done.stdout
    assert done.stderr == ""


def test_message_option_needs_no_model_and_no_input(gateway: LiveGateway) -> None:
    done = lmaas(
        gateway, "chat", "-m", "What is the capital of France?", "--temperature", "0", "--max-tokens", "16"
    )
    assert "Paris" in done.stdout


def test_conversation_is_kept_stopped_and_left(chatting: Terminal) -> None:
    chatting.read_until("> ")
    chatting.type("What is the capital of France?")
    assert "Paris" in chatting.read_until("\n> ")
    chatting.type("Write a very long story about a river.")
    chatting.read_until(" the ")
    chatting.interrupt()
    chatting.read_until("(stopped)")
    chatting.read_until("> ")
    chatting.type("/reset")
    chatting.read_until("forgotten")
    chatting.type("/exit")
    assert chatting.process.wait(10) == 0


def test_embed_prints_vectors_of_384_numbers(gateway: LiveGateway) -> None:
    done = lmaas(gateway, "embed", "--jsonl", stdin="a cat\na dog\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["a cat", "a dog"]
    assert [len(row["embedding"]) for row in rows] == [384, 384]
    assert "384 dimensions" in lmaas(gateway, "embed", EMBEDDING, "a cat").stdout


def test_models_list_tells_both(gateway: LiveGateway) -> None:
    rows = [line.split() for line in lmaas(gateway, "models", "list").stdout.splitlines()]
    assert rows[1:] == [[CHAT, "chat", "8192", "ready"], [EMBEDDING, "embedding", "256", "ready"]]
    listed = json.loads(lmaas(gateway, "models", "list", "--json").stdout)
    assert [model["id"] for model in listed["data"]] == [CHAT, EMBEDDING]


def test_models_pull_finds_what_is_prepared(gateway: LiveGateway) -> None:
    done = lmaas(gateway, "models", "pull", EMBEDDING)
    assert done.returncode == 0
    assert os.path.isdir(done.stdout.strip())  # noqa: PTH112 - text from another process


def test_refused_call_is_one_line_and_exit_code_1(gateway: LiveGateway) -> None:
    done = lmaas(gateway, "chat", EMBEDDING, "-m", "hi")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("lmaas: ")
    assert done.stderr.count("\n") == 1
