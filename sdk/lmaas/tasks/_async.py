"""`AsyncTasks`: the tasks over an asynchronous client. `Tasks` says what each does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Unpack

from lmaas.tasks import (
    answer,
    classify,
    complete,
    entities,
    keywords,
    search,
    semantic_roles,
    sentiment,
    similarity,
    summarize,
    translate,
)
from lmaas.tasks._job import Defaults, TaskOptions
from lmaas.tasks._journal import fingerprint
from lmaas.tasks._map import Item, ProgressOption, map_items_async
from lmaas.tasks._prompts import Prompt
from lmaas.tasks._result import Result
from lmaas.tasks._runner import CONCURRENCY, AsyncRunner
from lmaas.tasks._text import Language
from lmaas.tasks.answer import Answer
from lmaas.tasks.classify import Classification, Labels, Method
from lmaas.tasks.complete import Continuation
from lmaas.tasks.entities import Entities, Types
from lmaas.tasks.keywords import Keywords
from lmaas.tasks.search import SearchResult
from lmaas.tasks.semantic_roles import ROLES, SemanticRoles
from lmaas.tasks.sentiment import Sentiment
from lmaas.tasks.similarity import Similarity
from lmaas.tasks.summarize import Limit, Summary
from lmaas.tasks.translate import CHUNK_TOKENS, Translation

if TYPE_CHECKING:
    from lmaas import AsyncLMaaS

ResultT = TypeVar("ResultT", bound=Result)


class AsyncTasks:
    """The asynchronous twin of `Tasks`; it takes the same options. Use it in one event loop."""

    def __init__(
        self,
        client: AsyncLMaaS,
        *,
        model: str | None = None,
        embedding_model: str | None = None,
        language: Language | None = None,
        prompts: Mapping[str, Prompt] | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._defaults = Defaults(model, embedding_model, language, prompts or {})
        self._runner = AsyncRunner(client, concurrency=concurrency)

    async def classify(
        self,
        text: str,
        labels: Labels,
        *,
        calibrate: bool = False,
        method: Method = "score",
        **options: Unpack[TaskOptions],
    ) -> Classification:
        """Find the label that fits a text best, with probabilities from the model's own log-probabilities.

        Args:
            text: What is classified.
            labels: Two or more; a mapping says what each means.
            calibrate: Divide out how much the model likes each label without any text.
            method: "score" scores all labels and needs vLLM; "choice" has the engine pick one in one call,
                without probabilities.
            **options: See `TaskOptions`.

        Raises:
            TaskInputError: the labels cannot work.
            TaskOutputError: the server does not score labels, or does not enforce them.
            APIError: a call failed.
        """
        job = self._defaults.job("classify", text, options)
        return await self._runner.run(classify.plan(job, text, labels, calibrate=calibrate, method=method))

    async def sentiment(
        self, text: str, *, calibrate: bool = False, **options: Unpack[TaskOptions]
    ) -> Sentiment:
        """Judge whether a text is positive, neutral or negative; see `classify` for how."""
        job = self._defaults.job("sentiment", text, options)
        return await self._runner.run(sentiment.plan(job, text, calibrate=calibrate))

    async def entities(self, text: str, types: Types, **options: Unpack[TaskOptions]) -> Entities:
        """Find the things of some types that a text names, and where they stand. See `Tasks.entities`."""
        job = self._defaults.job("entities", text, options)
        return await self._runner.run(entities.plan(job, text, types))

    async def semantic_roles(
        self, text: str, roles: Types = ROLES, **options: Unpack[TaskOptions]
    ) -> SemanticRoles:
        """Find who did what to whom: the predicates of each sentence, and their roles. See `Tasks`."""
        job = self._defaults.job("semantic_roles", text, options)
        return await self._runner.run(semantic_roles.plan(job, text, roles))

    async def summarize(
        self,
        text: str,
        *,
        max_sentences: int | None = None,
        max_words: int | None = None,
        max_characters: int | None = None,
        max_chunk_tokens: int | None = None,
        **options: Unpack[TaskOptions],
    ) -> Summary:
        """Write a summary that is no longer than asked for. See `Tasks.summarize`."""
        job = self._defaults.job("summarize", text, options)
        limit = Limit.of(max_sentences, max_words, max_characters)
        return await self._runner.run(summarize.plan(job, text, limit, max_chunk_tokens=max_chunk_tokens))

    async def translate(
        self,
        text: str,
        target: str,
        glossary: Mapping[str, str] | None = None,
        *,
        max_chunk_tokens: int = CHUNK_TOKENS,
        **options: Unpack[TaskOptions],
    ) -> Translation:
        """Translate a text, piece by piece and in order. See `Tasks.translate`."""
        job = self._defaults.job("translate", text, options)
        plan = translate.plan(job, text, target, glossary, max_chunk_tokens=max_chunk_tokens)
        return await self._runner.run(plan)

    async def complete(self, text: str, **options: Unpack[TaskOptions]) -> Continuation:
        """Continue a text. See `Tasks.complete`."""
        job = self._defaults.job("complete", text, options)
        return await self._runner.run(complete.plan(job, text))

    async def answer(self, text: str, question: str, **options: Unpack[TaskOptions]) -> Answer:
        """Answer a question from a text alone, with the sentence that says so. See `Tasks.answer`."""
        job = self._defaults.job("answer", text, options)
        return await self._runner.run(answer.plan(job, text, question))

    async def keywords(self, text: str, top_k: int = 5, **options: Unpack[TaskOptions]) -> Keywords:
        """Find the words and phrases that a text is about; all of them stand in it. See `Tasks.keywords`."""
        job = self._defaults.job("keywords", text, options)
        return await self._runner.run(keywords.plan(job, text, top_k))

    async def similarity(
        self, text: str, others: str | Sequence[str], **options: Unpack[TaskOptions]
    ) -> Similarity:
        """Tell how close one text, or several, are to a text in meaning. See `Tasks.similarity`."""
        job = self._defaults.job("similarity", text, options)
        return await self._runner.run(
            similarity.plan(job, text, [others] if isinstance(others, str) else others)
        )

    async def search(
        self, query: str, documents: Sequence[str], top_k: int = 10, **options: Unpack[TaskOptions]
    ) -> SearchResult:
        """Find the documents that are closest to a query in meaning. See `Tasks.search`."""
        job = self._defaults.job("search", query, options)
        return await self._runner.run(search.plan(job, query, documents, top_k))

    async def map(
        self,
        task: Callable[[str], Awaitable[ResultT]],
        texts: Iterable[str],
        *,
        concurrency: int = CONCURRENCY,
        journal: str | Path | None = None,
        progress: ProgressOption = None,
    ) -> list[Item[ResultT]]:
        """Run a task over many texts. What fails, fails alone. See `Tasks.map`."""
        key = fingerprint(task, self._defaults) if journal is not None else None
        return await map_items_async(
            task, texts, concurrency=concurrency, journal=journal, key=key, progress=progress
        )
