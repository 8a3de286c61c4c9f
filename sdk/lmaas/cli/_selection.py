"""Which model a command calls when it was not told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas.cli._errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmaas.types import Model


def first_of_kind(models: Iterable[Model], kind: str) -> str:
    """Return the name of the first model of `kind`.

    A server that tells no kinds, such as a bare vLLM, gives its first model.

    Raises:
        CommandError: the server has none.
    """
    models = list(models)
    kinds = {model.id: kind_of(model) for model in models}
    for name, its_kind in kinds.items():
        if its_kind in {kind, None}:
            return name
    served = ", ".join(f"{name} ({its_kind})" for name, its_kind in kinds.items()) or "no model"
    raise CommandError(f"the server has no {kind} model; it serves {served}")


def kind_of(model: Model) -> str | None:
    """Return which calls `model` answers, if the server tells: lmaas does, others may not."""
    kind = getattr(model, "kind", None)
    return kind if isinstance(kind, str) else None
