"""Examples: read from JSON lines, a caller's own rows, or the small sets that come with the package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from lmaas.evaluation._errors import DatasetError
from lmaas.evaluation._examples import Example
from lmaas.evaluation._kind import Names
from lmaas.evaluation._kinds import KINDS, TaskName, kind_of

_SHOWN: Final = 5
"""How many faults are told at once."""

BUNDLED_LANGUAGES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(KINDS, ("en", "zh")),
    "translation": ("en-zh", "zh-en"),
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """The examples of one evaluation.

    Attributes:
        task: What they are examples of.
        name: Where they are from, for reports.
        examples: All of them, checked.
        names: Labels, types or roles to ask for; None: those that the examples have.
        is_synthetic: Whether they were written to try things out: too few and too easy to rest a choice on.
        sha256: Of the examples' content: the same examples have the same one.
    """

    task: TaskName
    name: str
    examples: Sequence[Example] = field(repr=False)
    names: Names | None = None
    is_synthetic: bool = False
    sha256: str = ""

    @classmethod
    def load(cls, task: TaskName, path: str | Path, *, names: Names | None = None) -> Dataset:
        """Read a file of JSON lines; docs/evaluating.md has the fields of each task.

        Raises:
            DatasetError: the file cannot be read, or lines of it are no examples; says which and why.
        """
        kind_of(task)
        path = Path(path)
        try:
            text = path.read_text("utf-8-sig")
        except OSError as error:
            message = f"cannot read {path}: {error.strerror}."
            raise DatasetError(message) from None
        except UnicodeDecodeError:
            message = f"{path} is not UTF-8 text."
            raise DatasetError(message) from None
        return cls._checked(task, path.name, _lines(text), names)

    @classmethod
    def of(
        cls,
        task: TaskName,
        rows: Iterable[Mapping[str, Any]],
        *,
        name: str = "rows",
        names: Names | None = None,
    ) -> Dataset:
        """Take rows with the fields of a file's lines.

        Raises:
            DatasetError: rows are no examples; says which and why, counted from 1.
        """
        return cls._checked(task, name, enumerate(rows, 1), names)

    @classmethod
    def bundled(cls, task: TaskName, language: str = "en") -> Dataset:
        """Return the package's own examples of a task, 20 in English ("en") or Chinese ("zh").

        For translation it is "en-zh" or "zh-en". They were written for lmaas, are under its licence
        (Apache-2.0), and are marked as synthetic: they show that a thing works, not how good it is.

        Raises:
            DatasetError: there are none.
        """
        kind_of(task)
        languages = BUNDLED_LANGUAGES[task]
        if language not in languages:
            message = f"there are no examples of {task} in {language!r}; there are {', '.join(languages)}."
            raise DatasetError(message)
        name = f"{task}.{language}.jsonl"
        text = files("lmaas.evaluation").joinpath("data", name).read_text("utf-8")
        return cls._checked(task, f"bundled {name}", _lines(text), None, is_synthetic=True)

    @classmethod
    def _checked(
        cls,
        task: TaskName,
        name: str,
        rows: Iterable[tuple[int, Any]],
        names: Names | None,
        *,
        is_synthetic: bool = False,
    ) -> Dataset:
        kind = kind_of(task)
        examples, faults = _examples(kind.example, rows)
        if faults:
            more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
            message = f"{name}: {'; '.join(faults[:_SHOWN])}{more}."
            raise DatasetError(message)
        if not examples:
            message = f"{name} has no examples."
            raise DatasetError(message)
        try:
            kind(examples, names)
        except DatasetError as error:
            message = f"{name}: {error}"
            raise DatasetError(message) from None
        return cls(task, name, tuple(examples), names, is_synthetic, _digest(examples))


def _lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, error


def _examples(model: type[Example], rows: Iterable[tuple[int, Any]]) -> tuple[list[Example], list[str]]:
    examples: list[Example] = []
    faults: list[str] = []
    for number, row in rows:
        if isinstance(row, json.JSONDecodeError):
            faults.append(f"line {number} is no JSON: {row.msg} at column {row.colno}")
        elif not isinstance(row, Mapping):
            faults.append(f"line {number} is no JSON object")
        else:
            try:
                examples.append(model.model_validate(dict(row)))
            except ValidationError as error:
                faults.append(f"line {number}: {_told(error, model)}")
    return examples, faults


def _told(error: ValidationError, model: type[Example]) -> str:
    """Say the first thing that is wrong, without the text that it is wrong in."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        why = f"no such field; there are {', '.join(model.model_fields)}"
    return f"{where}: {why}" if where else why


def _digest(examples: Sequence[Example]) -> str:
    digest = sha256()
    for example in examples:
        digest.update(example.model_dump_json().encode() + b"\n")
    return digest.hexdigest()
