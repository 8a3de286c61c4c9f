"""`lmaas chat`: talk with a model."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from lmaas.cli._connection import add_connection_options, connect
from lmaas.cli._conversation import Conversation, Sampling
from lmaas.cli._errors import CommandError
from lmaas.cli._repl import Repl, print_answer
from lmaas.cli._selection import first_of_kind
from lmaas.cli._terminal import read_input

if TYPE_CHECKING:
    from lmaas import LMaaS

_EPILOG = """examples:
  lmaas chat
  lmaas chat smollm2-135m-instruct --system "Answer in one sentence."
  lmaas chat -m "What is the capital of France?"
  echo "What is the capital of France?" | lmaas chat

In a terminal it keeps the conversation; /help lists its commands, Ctrl-C stops an answer. With -m, or with
standard input that is not a terminal, it answers once and ends.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "chat",
        help="talk with a model",
        description="Talk with a chat model; answers appear as they are made.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="which one (default: the first that chats)")
    parser.add_argument("-m", "--message", metavar="TEXT", help="answer this and end")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="longest answer, in tokens")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 for the likeliest answer")
    add_connection_options(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    message = _only_message(options)
    with connect(options) as client:
        conversation = _begin(client, options)
        if message is None:
            Repl(conversation).run()
        else:
            print_answer(conversation, message)
    return 0


def _only_message(options: argparse.Namespace) -> str | None:
    """Return the one message to answer, None for a conversation."""
    if options.message is None and sys.stdin.isatty():
        return None
    message: str = read_input() if options.message is None else options.message
    if not message.strip():
        raise CommandError("there is no message; give one with -m or on standard input")
    return message.strip()


def _begin(client: LMaaS, options: argparse.Namespace) -> Conversation:
    model = options.model or first_of_kind(client.models.list(), "chat")
    sampling = Sampling(options.max_tokens, options.temperature)
    return Conversation(client, model, sampling, system=options.system)
