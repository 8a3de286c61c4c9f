"""Summaries, translations and completions: texts held against a reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lmaas.evaluation._examples import Completed, Example, SummarizedText, TranslatedText
from lmaas.evaluation._kind import Baseline, Kind, Unit
from lmaas.evaluation._metric import Metric, Prediction, mean_of
from lmaas.evaluation._rouge import rouge_metrics
from lmaas.evaluation._translation_metrics import translation_metrics
from lmaas.tasks import Continuation, Summary, Translation, complete, summarize, translate
from lmaas.tasks._job import Defaults, TaskOptions
from lmaas.tasks._plan import Plan
from lmaas.tasks._text import cut
from lmaas.tasks.summarize import Limit


class SummarizationKind(Kind[SummarizedText]):
    """Summaries of at most so many sentences."""

    name = "summarization"
    example: ClassVar[type[Example]] = SummarizedText

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Summary]:
        """Plan the summary of one text."""
        one = self.examples[unit[0]]
        limit = Limit.of(one.max_sentences, None, None)
        return summarize.plan(defaults.job("summarize", one.text, options), one.text, limit, **settings)

    def predictions(self, result: Summary, unit: Unit) -> Sequence[Prediction]:
        """Return the summary."""
        del unit
        return [Prediction(result.text)]

    def baseline(self) -> Baseline:
        """Copy the first sentences, as many as a summary may have: hard to beat for news."""
        copies = [cut(one.text, one.max_sentences, "sentences") for one in self.examples]
        return Baseline("first sentences", tuple(map(Prediction, copies)))

    def metrics(self) -> tuple[Metric, ...]:
        """Return ROUGE."""
        return rouge_metrics([example.summary for example in self.examples])


class TranslationKind(Kind[TranslatedText]):
    """Translations into the language that each example names."""

    name = "translation"
    example: ClassVar[type[Example]] = TranslatedText

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Translation]:
        """Plan the translation of one text."""
        one = self.examples[unit[0]]
        return translate.plan(
            defaults.job("translate", one.text, options), one.text, one.target, None, **settings
        )

    def predictions(self, result: Translation, unit: Unit) -> Sequence[Prediction]:
        """Return the translation."""
        del unit
        return [Prediction(result.text, is_whole=not result.is_cut)]

    def baseline(self) -> Baseline:
        """Copy the source: what numbers and names alone are worth."""
        return Baseline("copy of the source", tuple(Prediction(one.text) for one in self.examples))

    def metrics(self) -> tuple[Metric, ...]:
        """Return chrF and BLEU."""
        return translation_metrics(
            [example.translation for example in self.examples], [example.target for example in self.examples]
        )


class CompletionKind(Kind[Completed]):
    """Continuations that must begin with the expected words."""

    name = "completion"
    example: ClassVar[type[Example]] = Completed

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Continuation]:
        """Plan the continuation of one text."""
        prompt = self.examples[unit[0]].prompt
        return complete.plan(
            defaults.job("complete", prompt, {"max_tokens": 16, **options}), prompt, **settings
        )

    def predictions(self, result: Continuation, unit: Unit) -> Sequence[Prediction]:
        """Return the continuation as it is."""
        del unit
        return [Prediction(result.text)]

    def baseline(self) -> Baseline:
        """Say the commonest continuation each time."""
        ((text, _),) = Counter(example.completion for example in self.examples).most_common(1)
        return Baseline("majority", (Prediction(text),) * len(self.examples))

    def metrics(self) -> tuple[Metric, ...]:
        """Return the share of continuations that begin as expected."""
        wanted = [_plain(example.completion) for example in self.examples]
        return (
            mean_of(
                "exact_match",
                "share of continuations that begin with the expected words, whatever case and blanks",
                lambda made: [float(_begins(one, want)) for one, want in zip(made, wanted, strict=True)],
            ),
        )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _begins(made: Prediction, wanted: str) -> bool:
    said = _plain(made.value or "")
    rest = said[len(wanted) : len(wanted) + 1]
    # "Paris" is not begun by "Par"; Han characters are words of their own.
    joins = rest.isascii() and rest.isalnum() and wanted[-1:].isascii() and wanted[-1:].isalnum()
    return said.startswith(wanted) and not joins
