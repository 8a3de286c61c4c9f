"""The command line: `lmaas serve`, `lmaas chat`, `lmaas classify` and the others; one module a command."""

from lmaas.cli._main import main

__all__ = ["main"]
