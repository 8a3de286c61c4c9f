"""Tasks of language processing, made of calls: `Tasks(client).classify(text, labels)` and ten others.

Each task is a file with its result and its plan; `_plan.py` says what a plan is.
"""

from __future__ import annotations

from lmaas.tasks._async import AsyncTasks
from lmaas.tasks._errors import TaskError, TaskInputError, TaskOutputError
from lmaas.tasks._job import TaskOptions
from lmaas.tasks._map import Item
from lmaas.tasks._progress import Progress, ProgressBar
from lmaas.tasks._prompts import Prompt
from lmaas.tasks._result import Result, Span, TaskUsage
from lmaas.tasks._sync import Tasks
from lmaas.tasks.answer import Answer, Outcome
from lmaas.tasks.classify import Classification
from lmaas.tasks.complete import Continuation
from lmaas.tasks.entities import Dropped, Entities, Entity
from lmaas.tasks.keywords import Keyword, Keywords
from lmaas.tasks.search import Hit, SearchResult
from lmaas.tasks.semantic_roles import Argument, Predicate, SemanticRoles
from lmaas.tasks.sentiment import Sentiment
from lmaas.tasks.similarity import Similarity
from lmaas.tasks.summarize import Part, Summary
from lmaas.tasks.translate import Piece, Translation

__all__ = [
    "Answer",
    "Argument",
    "AsyncTasks",
    "Classification",
    "Continuation",
    "Dropped",
    "Entities",
    "Entity",
    "Hit",
    "Item",
    "Keyword",
    "Keywords",
    "Outcome",
    "Part",
    "Piece",
    "Predicate",
    "Progress",
    "ProgressBar",
    "Prompt",
    "Result",
    "SearchResult",
    "SemanticRoles",
    "Sentiment",
    "Similarity",
    "Span",
    "Summary",
    "TaskError",
    "TaskInputError",
    "TaskOptions",
    "TaskOutputError",
    "TaskUsage",
    "Tasks",
    "Translation",
]
