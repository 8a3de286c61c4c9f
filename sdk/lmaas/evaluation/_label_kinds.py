"""Classification and sentiment: one of some labels for each text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lmaas.evaluation._errors import DatasetError
from lmaas.evaluation._examples import Example, FeltText, LabeledText
from lmaas.evaluation._kind import Baseline, Kind, Names, Unit, check_names
from lmaas.evaluation._label_metrics import label_metrics
from lmaas.evaluation._metric import Metric, Prediction
from lmaas.tasks import Classification, Sentiment, classify, sentiment
from lmaas.tasks._job import Defaults, TaskOptions
from lmaas.tasks._plan import Plan
from lmaas.tasks.sentiment import FEELINGS


class ClassificationKind(Kind[LabeledText]):
    """Which of some labels fits a text. Settings: `calibrate` and `method` of `Tasks.classify`."""

    name = "classification"
    example: ClassVar[type[Example]] = LabeledText
    has_names = True
    settings = frozenset({"calibrate", "method"})

    def __init__(self, examples: Sequence[LabeledText], names: Names | None = None) -> None:
        super().__init__(examples, names)
        self._labels = check_names(names, [example.label for example in examples])
        if len(self._labels) < 2:
            raise DatasetError("all examples have the same label; there must be two or more.")

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Classification]:
        """Plan the classification of one text."""
        text = self.examples[unit[0]].text
        return classify.plan(defaults.job("classify", text, options), text, self._labels, **settings)

    def predictions(self, result: Classification, unit: Unit) -> Sequence[Prediction]:
        """Return the label, with its probability if it has one."""
        del unit
        return [Prediction(result.label, (result.probabilities or {}).get(result.label))]

    def baseline(self) -> Baseline:
        """Say the commonest label each time."""
        return _majority([example.label for example in self.examples])

    def metrics(self) -> tuple[Metric, ...]:
        """Return those of labels."""
        return label_metrics([example.label for example in self.examples], list(self._labels))


class SentimentKind(Kind[FeltText]):
    """Whether a text is positive, neutral or negative. Settings: `calibrate` of `Tasks.sentiment`."""

    name = "sentiment"
    example: ClassVar[type[Example]] = FeltText
    settings = frozenset({"calibrate"})

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Sentiment]:
        """Plan the judgement of one text."""
        text = self.examples[unit[0]].text
        return sentiment.plan(defaults.job("sentiment", text, options), text, **settings)

    def predictions(self, result: Sentiment, unit: Unit) -> Sequence[Prediction]:
        """Return the feeling with its probability."""
        del unit
        return [Prediction(result.label, result.probabilities[result.label])]

    def baseline(self) -> Baseline:
        """Say the commonest feeling each time."""
        return _majority([example.label for example in self.examples])

    def metrics(self) -> tuple[Metric, ...]:
        """Return those of labels."""
        return label_metrics([example.label for example in self.examples], FEELINGS)


def _majority(labels: Sequence[str]) -> Baseline:
    ((label, count),) = Counter(labels).most_common(1)
    return Baseline("majority", (Prediction(label, count / len(labels)),) * len(labels))
