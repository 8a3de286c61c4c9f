"""What a command refuses before it has asked any server."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot work as given; the message says why and what to do instead."""
