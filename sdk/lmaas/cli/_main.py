"""`lmaas`: parse the command line, run the command, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from lmaas._version import __version__
from lmaas.cli import (
    _alerts,
    _answer,
    _audit,
    _bench,
    _chat,
    _choose,
    _classify,
    _complete,
    _contents,
    _embed,
    _entities,
    _evaluate,
    _explain,
    _import_litellm,
    _keys,
    _keywords,
    _limits,
    _logs,
    _members,
    _models,
    _organizations,
    _platforms,
    _projects,
    _sentiment,
    _serve,
    _similarity,
    _size,
    _summarize,
    _top,
    _translate,
    _usage,
    _vault,
)
from lmaas.cli._errors import CommandError
from lmaas.cli._terminal import note
from lmaas.errors import ConfigurationError, LMaaSError

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (
    _serve,
    _chat,
    _complete,
    _classify,
    _sentiment,
    _entities,
    _summarize,
    _translate,
    _answer,
    _keywords,
    _embed,
    _similarity,
    _evaluate,
    _models,
    _top,
    _size,
    _choose,
    _platforms,
    _bench,
    _organizations,
    _projects,
    _members,
    _keys,
    _limits,
    _usage,
    _audit,
    _contents,
    _explain,
    _alerts,
    _logs,
    _vault,
    _import_litellm,
)
_EPILOG = """examples:
  lmaas serve smollm2-135m-instruct all-minilm-l6-v2
  lmaas chat
  echo "Name three rivers." | lmaas chat
  lmaas classify "The match ended 2:1." --labels sports,politics
  lmaas embed "good morning"
  lmaas models list
  lmaas size Qwen/Qwen3-8B --gpu L4
  lmaas keys create laptop --project web

LMAAS_BASE_URL and LMAAS_API_KEY say which server the commands call, and with which key; commands of
administrators, such as `lmaas keys`, call it with LMAAS_ADMIN_KEY.
Exit codes: 0 done, 1 the service refused or failed, 2 the command cannot work as given, 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 1 the service refused or failed, 2 the command cannot work as given, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (CommandError, ConfigurationError) as error:
        note(f"lmaas: {error}")
        return 2
    except LMaaSError as error:
        note(f"lmaas: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _silence_output()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lmaas",
        description="Large models as a service.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lmaas {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def _silence_output() -> None:
    """Let Python flush what nobody reads any more: `lmaas … | head` is no error of ours to explain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
