"""What goes wrong in a task beside its calls."""

from __future__ import annotations

from lmaas.errors import LMaaSError


class TaskError(LMaaSError):
    """A task could not be done, though its calls may have succeeded."""


class TaskInputError(TaskError, ValueError):
    """What the task was given cannot work; the message says which argument and what to do."""


class TaskOutputError(TaskError):
    """The model's answer cannot be used.

    Attributes:
        answer: What the model said. It stays out of the message, which may end up in a log.
    """

    def __init__(self, message: str, answer: str = "") -> None:
        super().__init__(message, answer)
        self.message = message
        self.answer = answer

    def __str__(self) -> str:
        return self.message
