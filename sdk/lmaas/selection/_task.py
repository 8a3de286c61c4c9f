"""What the model is to do, and how well at least."""

from __future__ import annotations

from dataclasses import dataclass

from lmaas.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What the model is to do.

    Attributes:
        kind: The task, such as `chat`, `classify` or `translate`.
        minimum_quality: The lowest `quality` that will do, 0 to 1; None where any will.
        metric: What `quality` is for this task, such as `macro_f1`; shown, not computed with.
    """

    kind: str = "chat"
    minimum_quality: float | None = None
    metric: str = ""

    def __post_init__(self) -> None:
        if self.minimum_quality is not None and not 0 <= self.minimum_quality <= 1:
            raise ConfigurationError(
                f"task: minimum_quality is {self.minimum_quality:g}; give a share from 0 to 1"
            )
