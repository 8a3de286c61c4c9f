"""The kinds of evaluation that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from lmaas.evaluation._errors import EvaluationError
from lmaas.evaluation._kind import Kind
from lmaas.evaluation._label_kinds import ClassificationKind, SentimentKind
from lmaas.evaluation._retrieval_kind import RetrievalKind
from lmaas.evaluation._span_kinds import EntitiesKind, SemanticRolesKind
from lmaas.evaluation._text_kinds import CompletionKind, SummarizationKind, TranslationKind

TaskName: TypeAlias = Literal[
    "classification",
    "sentiment",
    "entities",
    "semantic_roles",
    "summarization",
    "translation",
    "retrieval",
    "completion",
]

KINDS: Final[Mapping[str, type[Kind[Any]]]] = {
    kind.name: kind
    for kind in (
        ClassificationKind,
        SentimentKind,
        EntitiesKind,
        SemanticRolesKind,
        SummarizationKind,
        TranslationKind,
        RetrievalKind,
        CompletionKind,
    )
}


def kind_of(task: str) -> type[Kind[Any]]:
    """Return the kind called `task`.

    Raises:
        EvaluationError: there is none.
    """
    if task not in KINDS:
        message = f"there is no task {task!r}; there are {', '.join(KINDS)}."
        raise EvaluationError(message)
    return KINDS[task]
