"""What an example of each task is: one line of a file, as a closed schema.

Offsets count code points. Where a thing stands may be left out if the text has it exactly once.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lmaas.tasks._spans import Locator
from lmaas.tasks.sentiment import Feeling

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


class Example(BaseModel):
    """One line: no field more than these, each of its own type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LabeledText(Example):
    """Of `classification`: a text and its label."""

    text: Text
    label: Text


class FeltText(Example):
    """Of `sentiment`: a text and how it feels."""

    text: Text
    label: Feeling


class Place(Example):
    """A quote of a text: `text == source[start:end]`."""

    text: str = ""
    start: int = Field(-1, ge=0)
    end: int = Field(-1, ge=1)

    def placed(self, source: str) -> tuple[int, int]:
        """Return where the quote stands in `source`.

        Raises:
            ValueError: it does not stand there, or in several places.
        """
        if self.start < 0 and self.end < 0:
            return _only_place(self.text, source)
        if not 0 <= self.start < self.end <= len(source):
            message = f"[{self.start}:{self.end}] is no piece of a text of {len(source)} characters"
            raise ValueError(message)
        if self.text and self.text != source[self.start : self.end]:
            message = f"the text does not have the quote at [{self.start}:{self.end}]"
            raise ValueError(message)
        return self.start, self.end


def _only_place(quote: str, source: str) -> tuple[int, int]:
    places = [span for span in Locator(source).all(quote) if span.is_exact]
    if len(places) == 1:
        return places[0].start, places[0].end
    found = "does not stand in the text" if not places else f"stands in the text {len(places)} times"
    message = f"a quote {found}; give its start and end"
    raise ValueError(message)


class GoldEntity(Place):
    """An entity: a quote and its type."""

    type: Text


class EntityText(Example):
    """Of `entities`: a text and all that it names."""

    text: Text
    entities: list[GoldEntity]

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        for entity in self.entities:
            entity.placed(self.text)
        return self

    def spans(self) -> list[tuple[int, int, str]]:
        """Return start, end and type of each entity."""
        return [(*entity.placed(self.text), entity.type) for entity in self.entities]


class GoldArgument(Place):
    """An argument: a quote and its role."""

    role: Text


class GoldPredicate(Place):
    """A predicate and its arguments."""

    arguments: list[GoldArgument]


class RoleText(Example):
    """Of `semantic_roles`: a text and its predicates."""

    text: Text
    predicates: list[GoldPredicate]

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        self.arguments()
        return self

    def arguments(self) -> list[tuple[int, int, str, int, int]]:
        """Return predicate start and end, role, argument start and end of each argument."""
        return [
            (*predicate.placed(self.text), argument.role, *argument.placed(self.text))
            for predicate in self.predicates
            for argument in predicate.arguments
        ]

    def places(self) -> list[tuple[int, int]]:
        """Return start and end of each predicate."""
        return [predicate.placed(self.text) for predicate in self.predicates]


class SummarizedText(Example):
    """Of `summarization`: a text, a summary of it, and how long one may be."""

    text: Text
    summary: Text
    max_sentences: int = Field(1, ge=1)


class TranslatedText(Example):
    """Of `translation`: a text, its translation, and the language of that: "en", "zh" or a name."""

    text: Text
    translation: Text
    target: Text


class Query(Example):
    """Of `retrieval`: a query, the documents searched, and how relevant some of them are.

    Lines with the same `documents` share one search; `relevant` maps an index to a grade above 0, or lists
    indexes, each of grade 1.
    """

    query: Text
    documents: list[Text] = Field(min_length=2)
    relevant: list[int] | dict[str, int] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_indexes(self) -> Self:
        for index, grade in self.grades().items():
            if not 0 <= index < len(self.documents) or grade < 1:
                message = f"relevant: document {index} with grade {grade} is not one of {len(self.documents)}"
                raise ValueError(message)
        return self

    def grades(self) -> dict[int, int]:
        """Return the grade of each relevant document, by its index."""
        if isinstance(self.relevant, list):
            return dict.fromkeys(self.relevant, 1)
        return {int(index): grade for index, grade in self.relevant.items()}


class Completed(Example):
    """Of `completion`: how a text begins, and how it goes on."""

    prompt: Text
    completion: Text
