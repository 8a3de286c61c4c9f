"""What a command refuses before it has asked any server."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot work as given; the message says why and what to do instead."""


def gateway_missing(error: ModuleNotFoundError) -> CommandError:
    """Say what to install for a command that needs more than the SDK."""
    return CommandError(f"{error.name} is missing; install the gateway: pip install 'lmaas[gateway]'")
