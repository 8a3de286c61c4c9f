"""The loop of `lmaas chat` in a terminal: a line in, an answer out."""

from __future__ import annotations

import importlib
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from lmaas.cli._terminal import note, write
from lmaas.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas.cli._conversation import Conversation

_PROMPT = "> "
_HELP = """/system TEXT   tell the model how to behave; without TEXT: forget that
/reset         forget the conversation
/help          show this
/exit          leave; Ctrl-D does too
Ctrl-C         stop the answer"""


class Repl:
    """Talks with a person until they leave.

    Args:
        conversation: Gives the answers.
        ask: Shows a prompt and returns the line that was typed, or raises EOFError.
    """

    def __init__(self, conversation: Conversation, *, ask: Callable[[str], str] = input) -> None:
        self._conversation = conversation
        self._ask = ask
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: note(_HELP),
            "/reset": self._reset,
            "/system": self._set_system,
        }

    def run(self) -> None:
        """Take lines until the person leaves. Failed calls are told, and do not end the conversation."""
        with suppress(ImportError):
            importlib.import_module("readline")  # input() then edits lines and recalls earlier ones
        note(f"Talking with {self._conversation.model}. /help lists commands, /exit leaves.")
        while (line := self._read()) not in {None, "/exit", "/quit"}:
            self._take(line or "")

    def _read(self) -> str | None:
        try:
            return self._ask(_PROMPT).strip()
        except EOFError:
            write("\n")
            return None
        except KeyboardInterrupt:
            note("\n/exit or Ctrl-D leaves.")
            return ""

    def _take(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if command := self._commands.get(name):
            command(rest.strip())
        elif name.startswith("/"):
            note(f"There is no command {name}; /help lists them.")
        elif line:
            self._answer(line)

    def _answer(self, line: str) -> None:
        try:
            print_answer(self._conversation, line)
        except KeyboardInterrupt:
            note("\n(stopped)")
        except APIError as error:
            hint = "; /reset begins anew" if error.code == "context_length_exceeded" else ""
            note(f"lmaas: {error}{hint}")

    def _reset(self, _: str) -> None:
        self._conversation.reset()
        note("The conversation is forgotten.")

    def _set_system(self, text: str) -> None:
        self._conversation.system = text or None
        note("The system message is set." if text else "The system message is forgotten.")


def print_answer(conversation: Conversation, text: str) -> None:
    """Write the answer to `text` as it comes. An interrupt ends the call, not only the printing.

    Raises:
        APIError: the call failed.
    """
    with closing(conversation.answer(text)) as answer:
        for piece in answer:
            write(piece)
    write("\n")
