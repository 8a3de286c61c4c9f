"""`Tasks`: the tasks over a synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from lmaas.tasks._map import Item, ProgressOption, map_items
from lmaas.tasks._prompts import Prompt
from lmaas.tasks._result import Result
from lmaas.tasks._runner import CONCURRENCY, Runner
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
    from lmaas import LMaaS

ResultT = TypeVar("ResultT", bound=Result)


class Tasks:
    """Tasks of language processing, for texts in English and Chinese.

    Safe to share between threads. It remembers the tokens and the priors of labels, so keep it.

    Args:
        client: Makes the calls; it stays yours to close.
        model: Which model the tasks call, unless told otherwise.
        embedding_model: Which one `similarity` and `search` call.
        language: Language of the prompts; left out, that of each text.
        prompts: Prompts that replace the package's, by task.
        concurrency: Most calls of one task under way at once.

    Raises:
        TaskInputError: a prompt cannot be filled in.
    """

    def __init__(
        self,
        client: LMaaS,
        *,
        model: str | None = None,
        embedding_model: str | None = None,
        language: Language | None = None,
        prompts: Mapping[str, Prompt] | None = None,
        concurrency: int = CONCURRENCY,
    ) -> None:
        self._defaults = Defaults(model, embedding_model, language, prompts or {})
        self._runner = Runner(client, concurrency=concurrency)

    def classify(
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
        return self._runner.run(classify.plan(job, text, labels, calibrate=calibrate, method=method))

    def sentiment(self, text: str, *, calibrate: bool = False, **options: Unpack[TaskOptions]) -> Sentiment:
        """Judge whether a text is positive, neutral or negative; see `classify` for how.

        Raises:
            TaskOutputError: the server does not score labels.
            APIError: a call failed.
        """
        job = self._defaults.job("sentiment", text, options)
        return self._runner.run(sentiment.plan(job, text, calibrate=calibrate))

    def entities(self, text: str, types: Types, **options: Unpack[TaskOptions]) -> Entities:
        """Find the things of some types that a text names, and where they stand.

        Args:
            text: Where they are looked for; a text longer than the context is read in pieces.
            types: Such as ["person", "city"]; a mapping says what each means.
            **options: See `TaskOptions`.

        Raises:
            TaskInputError: there is no type.
            TaskOutputError: the server does not enforce schemas.
            APIError: a call failed.
        """
        job = self._defaults.job("entities", text, options)
        return self._runner.run(entities.plan(job, text, types))

    def semantic_roles(
        self, text: str, roles: Types = ROLES, **options: Unpack[TaskOptions]
    ) -> SemanticRoles:
        """Find who did what to whom: the predicates of each sentence, and the words that play their roles.

        Raises:
            TaskInputError: there is no role.
            TaskOutputError: the server does not enforce schemas.
            APIError: a call failed.
        """
        job = self._defaults.job("semantic_roles", text, options)
        return self._runner.run(semantic_roles.plan(job, text, roles))

    def summarize(
        self,
        text: str,
        *,
        max_sentences: int | None = None,
        max_words: int | None = None,
        max_characters: int | None = None,
        max_chunk_tokens: int | None = None,
        **options: Unpack[TaskOptions],
    ) -> Summary:
        """Write a summary that is no longer than asked for.

        A text longer than the context is cut at sentences, each piece summarised, and the summaries again.

        Args:
            text: What is summarised.
            max_sentences: Longest summary; give one of the three.
            max_words: The same in words; a Han character counts as one.
            max_characters: The same in code points.
            max_chunk_tokens: Cut pieces so long although the context has room for more.
            **options: See `TaskOptions`.

        Raises:
            TaskInputError: there is no text, or a limit cannot work.
            APIError: a call failed.
        """
        job = self._defaults.job("summarize", text, options)
        limit = Limit.of(max_sentences, max_words, max_characters)
        return self._runner.run(summarize.plan(job, text, limit, max_chunk_tokens=max_chunk_tokens))

    def translate(
        self,
        text: str,
        target: str,
        glossary: Mapping[str, str] | None = None,
        *,
        max_chunk_tokens: int = CHUNK_TOKENS,
        **options: Unpack[TaskOptions],
    ) -> Translation:
        """Translate a text, piece by piece and in order.

        Args:
            text: What is translated.
            target: The language: "en", "zh", or a name such as "French".
            glossary: Words of the text with their translations. A piece that lacks one is translated once
                more, held to it by the engine; what is still missing is told.
            max_chunk_tokens: Longest piece, cut at sentences.
            **options: See `TaskOptions`.

        Raises:
            TaskInputError: there is no language, or a word of the glossary is empty.
            APIError: a call failed.
        """
        job = self._defaults.job("translate", text, options)
        plan = translate.plan(job, text, target, glossary, max_chunk_tokens=max_chunk_tokens)
        return self._runner.run(plan)

    def complete(self, text: str, **options: Unpack[TaskOptions]) -> Continuation:
        """Continue a text.

        Raises:
            APIError: the call failed.
        """
        job = self._defaults.job("complete", text, options)
        return self._runner.run(complete.plan(job, text))

    def answer(self, text: str, question: str, **options: Unpack[TaskOptions]) -> Answer:
        """Answer a question from a text alone, with the sentence that says so.

        Raises:
            TaskInputError: there is no question.
            TaskOutputError: the answer was cut, or the server does not enforce schemas.
            APIError: a call failed.
        """
        job = self._defaults.job("answer", text, options)
        return self._runner.run(answer.plan(job, text, question))

    def keywords(self, text: str, top_k: int = 5, **options: Unpack[TaskOptions]) -> Keywords:
        """Find the words and phrases that a text is about; all of them stand in it.

        Raises:
            TaskInputError: `top_k` is out of range.
            TaskOutputError: the server does not enforce schemas.
            APIError: a call failed.
        """
        job = self._defaults.job("keywords", text, options)
        return self._runner.run(keywords.plan(job, text, top_k))

    def similarity(
        self, text: str, others: str | Sequence[str], **options: Unpack[TaskOptions]
    ) -> Similarity:
        """Tell how close one text, or several, are to a text in meaning.

        Raises:
            TaskInputError: a text is empty.
            APIError: a call failed.
        """
        job = self._defaults.job("similarity", text, options)
        return self._runner.run(similarity.plan(job, text, [others] if isinstance(others, str) else others))

    def search(
        self, query: str, documents: Sequence[str], top_k: int = 10, **options: Unpack[TaskOptions]
    ) -> SearchResult:
        """Find the documents that are closest to a query in meaning.

        Raises:
            TaskInputError: a text is empty, or `top_k` is below 1.
            APIError: a call failed.
        """
        job = self._defaults.job("search", query, options)
        return self._runner.run(search.plan(job, query, documents, top_k))

    def map(
        self,
        task: Callable[[str], ResultT],
        texts: Iterable[str],
        *,
        concurrency: int = CONCURRENCY,
        journal: str | Path | None = None,
        progress: ProgressOption = None,
    ) -> list[Item[ResultT]]:
        """Run a task over many texts. What fails, fails alone, and everything stays in order.

        Args:
            task: A method of this object, or `functools.partial` of one with its parameters.
            texts: What it is run over.
            concurrency: Texts under way at once.
            journal: A file of JSON lines with the results so far. A run that was stopped goes on where it
                was: what has a result of the same task, parameters, model and prompts is not run again.
            progress: True shows a bar on standard error if that is a terminal; a function is told instead.

        Raises:
            TypeError: with a journal, `task` is nothing that a journal could name.
            AuthenticationError: the key is refused, so that no text would fare better; likewise
                PermissionDeniedError and ModelNotFoundError.
        """
        key = fingerprint(task, self._defaults) if journal is not None else None
        return map_items(task, texts, concurrency=concurrency, journal=journal, key=key, progress=progress)
