"""Replies of `/v1/rerank`, `/v1/score` and `/v1/classify`, which are vLLM's."""

from __future__ import annotations

from lmaas.types._base import ReplyModel, Usage, WireModel


class RerankDocument(WireModel):
    """A document as it was given; `text` is None when it was not text."""

    text: str | None = None


class RerankResult(WireModel):
    """A document's place: `index` is its place in what was given, a higher score is more relevant."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankResponse(ReplyModel):
    """Documents in the order of their relevance, the best first."""

    id: str | None = None
    model: str
    results: list[RerankResult]
    usage: Usage | None = None


class Score(WireModel):
    """The score of the pair at `index`: a likeness, or what a cross-encoder says of the pair."""

    index: int
    object: str = "score"
    score: float


class ScoreResponse(ReplyModel):
    """Scores, in the order of the pairs."""

    id: str | None = None
    object: str = "list"
    created: int = 0
    model: str
    data: list[Score]
    usage: Usage | None = None


class Classification(WireModel):
    """The class of the input at `index`: the most probable label and the probability of each class."""

    index: int
    label: str | None = None
    probs: list[float]
    num_classes: int


class ClassifyResponse(ReplyModel):
    """Classes, in the order of the inputs."""

    id: str | None = None
    object: str = "list"
    created: int = 0
    model: str
    data: list[Classification]
    usage: Usage | None = None
