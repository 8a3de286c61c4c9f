"""Entities and semantic roles: places in a text, exactly right or not."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from lmaas.evaluation._errors import DatasetError
from lmaas.evaluation._examples import EntityText, Example, RoleText
from lmaas.evaluation._kind import Baseline, Kind, Names, Unit, check_names
from lmaas.evaluation._metric import Metric, Prediction
from lmaas.evaluation._span_metrics import set_metrics
from lmaas.tasks import Entities, SemanticRoles, entities, semantic_roles
from lmaas.tasks._job import Defaults, TaskOptions
from lmaas.tasks._plan import Plan
from lmaas.tasks._spans import Locator

_CAPITALS: Final = re.compile(r"[A-Z]\w+(?: [A-Z]\w+)*")


class EntitiesKind(Kind[EntityText]):
    """What a text names. A prediction is a list of `[start, end, type]`."""

    name = "entities"
    example: ClassVar[type[Example]] = EntityText
    has_names = True

    def __init__(self, examples: Sequence[EntityText], names: Names | None = None) -> None:
        super().__init__(examples, names)
        self._types = check_names(names, [one.type for example in examples for one in example.entities])
        if not self._types:
            raise DatasetError("no example has an entity, and no types were given.")

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[Entities]:
        """Plan the search in one text."""
        text = self.examples[unit[0]].text
        return entities.plan(defaults.job("entities", text, options), text, self._types, **settings)

    def predictions(self, result: Entities, unit: Unit) -> Sequence[Prediction]:
        """Return the places and types that were found."""
        del unit
        found = [[one.start, one.end, one.type] for one in result.entities]
        return [Prediction(found, is_whole=result.is_complete)]

    def baseline(self) -> Baseline:
        """Find what the other examples name, and runs of capitalised words as the commonest type."""
        known = [
            [(example.text[start:end], kind) for start, end, kind in example.spans()]
            for example in self.examples
        ]
        guesses = [self._guess(index, known) for index in range(len(self.examples))]
        return Baseline("known names and capital letters", tuple(guesses))

    def _guess(self, index: int, known: Sequence[Sequence[tuple[str, str]]]) -> Prediction:
        text, others = self.examples[index].text, list(_others(known, index))
        found = _known_in(text, others)
        taken = {at for start, end, _ in found for at in range(start, end)}
        commonest = Counter(kind for _, kind in others).most_common(1)
        for match in _CAPITALS.finditer(text) if commonest else ():
            if taken.isdisjoint(range(*match.span())):
                found.append((*match.span(), commonest[0][0]))
        return Prediction([list(one) for one in found])

    def metrics(self) -> tuple[Metric, ...]:
        """Return strict F1, precision and recall of spans."""
        return set_metrics(
            "span",
            "start, end and type must be right (the strict mode of seqeval and nervaluate)",
            [frozenset(example.spans()) for example in self.examples],
            _tuples,
        )


class SemanticRolesKind(Kind[RoleText]):
    """Who did what to whom.

    A prediction has `predicates`, a list of `[start, end]`, and `arguments`, a list of predicate start and
    end, role, argument start and end.
    """

    name = "semantic_roles"
    example: ClassVar[type[Example]] = RoleText
    has_names = True

    def __init__(self, examples: Sequence[RoleText], names: Names | None = None) -> None:
        super().__init__(examples, names)
        self._roles = check_names(names, [one[2] for example in examples for one in example.arguments()])
        if not self._roles:
            raise DatasetError("no example has an argument, and no roles were given.")

    def plan(
        self, defaults: Defaults, unit: Unit, settings: Mapping[str, Any], options: TaskOptions
    ) -> Plan[SemanticRoles]:
        """Plan the analysis of one text."""
        text = self.examples[unit[0]].text
        return semantic_roles.plan(
            defaults.job("semantic_roles", text, options), text, self._roles, **settings
        )

    def predictions(self, result: SemanticRoles, unit: Unit) -> Sequence[Prediction]:
        """Return the places of predicates and arguments that were found."""
        del unit
        found = {
            "predicates": [[one.start, one.end] for one in result.predicates],
            "arguments": [
                [predicate.start, predicate.end, one.role, one.start, one.end]
                for predicate in result.predicates
                for one in predicate.arguments
            ],
        }
        return [Prediction(found, is_whole=result.is_complete)]

    def baseline(self) -> Baseline:
        """Take what follows the first predicate known from other examples as its commonest role.

        What stands before it is taken as the role that is commonest before predicates.
        """
        return Baseline("words around a known predicate", tuple(map(self._guess, range(len(self.examples)))))

    def metrics(self) -> tuple[Metric, ...]:
        """Return F1, precision and recall of arguments, then of predicates."""
        arguments = set_metrics(
            "argument",
            "predicate, role and both ends must be right",
            [frozenset(example.arguments()) for example in self.examples],
            lambda made: _tuples(Prediction((made.value or {}).get("arguments"))),
        )
        predicates = set_metrics(
            "predicate",
            "both ends must be right",
            [frozenset(example.places()) for example in self.examples],
            lambda made: _tuples(Prediction((made.value or {}).get("predicates"))),
        )
        return (*arguments, predicates[0])

    def _guess(self, index: int) -> Prediction:
        others = [example for at, example in enumerate(self.examples) if at != index]
        known = [[(one.text[start:end], "predicate") for start, end in one.places()] for one in others]
        text = self.examples[index].text
        found = _known_in(text, (pair for pairs in known for pair in pairs))[:1]
        if not found:
            return Prediction({"predicates": [], "arguments": []})
        start, end, _ = found[0]
        sides = [(0, start, _side_role(others, -1)), (end, len(text), _side_role(others, 1))]
        arguments = [
            [start, end, role, *place]
            for first, last, role in sides
            if role and (place := _trimmed(text, first, last))
        ]
        return Prediction({"predicates": [[start, end]], "arguments": arguments})


def _tuples(prediction: Prediction) -> frozenset[tuple[Any, ...]]:
    return frozenset(map(tuple, prediction.value or ()))


def _others(known: Sequence[Sequence[tuple[str, str]]], index: int) -> Iterable[tuple[str, str]]:
    return (pair for at, pairs in enumerate(known) if at != index for pair in pairs)


def _known_in(text: str, known: Iterable[tuple[str, str]]) -> list[tuple[int, int, str]]:
    """Return where known quotes stand in a text, the longest first where they overlap."""
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for quote, kind in known:
        kinds[quote][kind] += 1
    taken = [False] * len(text)
    locator = Locator(text)
    found = []
    for quote in sorted(kinds, key=len, reverse=True):
        for span in locator.all(quote):
            if span.is_exact and not any(taken[span.start : span.end]):
                taken[span.start : span.end] = [True] * (span.end - span.start)
                found.append((span.start, span.end, kinds[quote].most_common(1)[0][0]))
    return sorted(found)


def _side_role(examples: Sequence[RoleText], side: int) -> str | None:
    """Return the commonest role before (-1) or after (1) predicates."""
    roles = Counter(
        role
        for example in examples
        for begin, _, role, start, _ in example.arguments()
        if (start > begin) == (side > 0)
    )
    return roles.most_common(1)[0][0] if roles else None


_EDGES = " \t\n.,;:!?。，；：！？、"


def _trimmed(text: str, first: int, last: int) -> tuple[int, int] | None:
    piece = text[first:last]
    start = first + len(piece) - len(piece.lstrip(_EDGES))
    end = first + len(piece.rstrip(_EDGES))
    return (start, end) if start < end else None
