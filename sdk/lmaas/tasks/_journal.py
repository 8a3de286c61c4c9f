"""Results on disk, so that a long run that was stopped goes on where it was.

Each line is JSON: `{"key": …, "type": …, "result": …}`. The key is a hash of the text, the task, its
parameters, its model and its prompt; a line of another task or prompt is of no use to this one, and stays.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from lmaas.tasks._prompts import PLACEHOLDERS, packaged_prompt
from lmaas.tasks._result import Result

if TYPE_CHECKING:
    from lmaas.tasks._job import Defaults

ResultT = TypeVar("ResultT", bound=Result)


def fingerprint(task: Callable[..., object], defaults: Defaults) -> str:
    """Return what tells runs of a task with other parameters, models or prompts from this one.

    Raises:
        TypeError: `task` is no method, or a `functools.partial` of one, with parameters of plain values.
    """
    positional, named, method = _taken_apart(task)
    name = getattr(method, "__name__", "")
    if not hasattr(method, "__self__") or positional:
        raise TypeError(
            "a journal needs a task that it can name: give a method of Tasks, or functools.partial(method, "
            "name=value, …) with its parameters by name."
        )
    packaged = (
        [asdict(packaged_prompt(name, language)) for language in ("en", "zh")] if name in PLACEHOLDERS else []
    )
    facts = {"task": name, "parameters": named, "defaults": asdict(defaults), "packaged": packaged}
    return json.dumps(facts, sort_keys=True, default=_plain)


def _taken_apart(
    task: Callable[..., object],
) -> tuple[tuple[Any, ...], dict[str, Any], Callable[..., object]]:
    named: dict[str, Any] = {}
    positional: tuple[Any, ...] = ()
    while isinstance(task, functools.partial):
        named = {**task.keywords, **named}
        positional += task.args
        task = task.func
    return positional, named, task


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    message = f"a journal cannot name a parameter of type {type(value).__name__}"
    raise TypeError(message)


class Journal(Generic[ResultT]):
    """A file of results; safe to share between threads of one process.

    Args:
        path: The file; it is made if it is not there.
        key: What the fingerprint of the task is.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        self._path = Path(path)
        self._key = key
        self._lock = Lock()
        self._known = _read(self._path)

    def get(self, text: str) -> ResultT | None:
        """Return the result of a text, None if there is none, or none that this release can read."""
        line = self._known.get(self._name(text))
        if line is None:
            return None
        cls = _result_types().get(line["type"])
        if cls is None:
            return None
        try:
            return cast("ResultT", TypeAdapter(cls).validate_python(line["result"]))
        except ValidationError:
            return None

    def keep(self, text: str, result: Result) -> None:
        """Write a result down, whole, before returning."""
        line = {
            "key": self._name(text),
            "type": type(result).__name__,
            "result": TypeAdapter(type(result)).dump_python(result, mode="json"),
        }
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        # One write to a file opened for appending: a run that is killed leaves at most its last line broken.
        with self._lock, self._path.open("ab", buffering=0) as file:
            if _lacks_end(self._path):
                data = b"\n" + data
            file.write(data)
            self._known[line["key"]] = line

    def _name(self, text: str) -> str:
        return hashlib.sha256(f"{self._key}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return known
    for row in path.read_bytes().splitlines():
        try:
            line = json.loads(row)
        except ValueError:
            continue
        if isinstance(line, dict) and {"key", "type", "result"} <= line.keys():
            known[line["key"]] = line
    return known


def _lacks_end(path: Path) -> bool:
    """Tell whether the last line was broken off."""
    size = path.stat().st_size
    if not size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


@functools.cache
def _result_types() -> dict[str, type[Result]]:
    return {cls.__name__: cls for cls in Result.__subclasses__()}
