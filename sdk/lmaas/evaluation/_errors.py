"""What goes wrong in an evaluation beside its calls."""

from __future__ import annotations

from lmaas.errors import ConfigurationError, LMaaSError


class EvaluationError(LMaaSError, ValueError):
    """An evaluation cannot be done as it was asked for; the message says what to change."""


class DatasetError(EvaluationError):
    """The examples cannot be used; the message names the lines."""


def needs(package: str) -> ConfigurationError:
    """Return the error for a package that is not installed."""
    return ConfigurationError(f"Evaluating needs {package}: pip install 'lmaas[choose]'.")
