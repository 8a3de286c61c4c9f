"""What one run of a task knows: model, prompt, language, and how the answer is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from lmaas.tasks._errors import TaskInputError
from lmaas.tasks._plan import Call
from lmaas.tasks._prompts import PLACEHOLDERS, Prompt, packaged_prompt
from lmaas.tasks._text import Language, language_of

if TYPE_CHECKING:
    from lmaas import Timeout

EMBEDDING_TASKS: Final = frozenset({"similarity", "search"})
_SAMPLING: Final = ("temperature", "seed", "top_p", "stop")


class TaskOptions(TypedDict, total=False):
    """What every task takes beside its own parameters.

    `language` is that of the prompt, left out: of the text. `prompt` replaces the package's. `max_tokens` is
    the longest answer of one call; `temperature` is 0 unless given, so that a task repeats itself.
    `timeout` is that of one call.
    """

    model: str
    language: Language
    prompt: Prompt
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: str | list[str]
    timeout: float | Timeout | None


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a task."""

    task: str
    model: str
    language: Language
    prompt: Prompt
    max_tokens: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def chat(self, values: Mapping[str, str], max_tokens: int, **params: object) -> Call:
        """Return the call that asks the filled-in prompt; the caller's `max_tokens` goes before this one."""
        body = {
            "model": self.model,
            "messages": self.prompt.messages(values),
            "max_tokens": self.max_tokens or max_tokens,
            **self.sampling,
            **params,
        }
        return Call("chat", body, self.options)

    def schema_chat(self, values: Mapping[str, str], max_tokens: int, schema: Mapping[str, Any]) -> Call:
        """Return the same for an answer that is JSON after `schema`, which the engine enforces."""
        return self.chat(values, max_tokens, structured_outputs={"json": schema})

    def prompt_tokens(self, values: Mapping[str, str], *, is_constant: bool = False) -> Call:
        """Return the call that turns the filled-in prompt into tokens, up to where the answer begins."""
        messages = self.prompt.messages(values)
        return self.tokens(is_constant=is_constant, messages=messages, add_generation_prompt=True)

    def text_tokens(self, text: str, *, is_constant: bool = False) -> Call:
        """Return the call that turns a text into tokens, without those that begin or end a prompt."""
        return self.tokens(is_constant=is_constant, prompt=text, add_special_tokens=False)

    def tokens(self, *, is_constant: bool = False, **body: object) -> Call:
        """Return a call of the tokenizer."""
        return Call("tokenize", {"model": self.model, **body}, self.options, is_constant)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What all runs of one `Tasks` have in common.

    Attributes:
        prompts: Prompts that replace the package's, by task.
    """

    model: str | None = None
    embedding_model: str | None = None
    language: Language | None = None
    prompts: Mapping[str, Prompt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse prompts that could not be filled in."""
        for task, prompt in self.prompts.items():
            if task not in PLACEHOLDERS:
                message = f"there is no prompt of {task!r}; there are {', '.join(sorted(PLACEHOLDERS))}."
                raise TaskInputError(message)
            prompt.check(task)

    def job(self, task: str, text: str, options: TaskOptions) -> Job:
        """Put together what one run needs.

        Raises:
            TaskInputError: no model is named, or the prompt cannot be filled in.
            TypeError: an option is unknown.
        """
        _check_names(options)
        language = options.get("language") or self.language or language_of(text)
        return Job(
            task=task,
            model=self._model(task, options),
            language=language,
            prompt=self._prompt(task, language, options),
            max_tokens=options.get("max_tokens"),
            sampling={"temperature": 0.0, **{n: options[n] for n in _SAMPLING if n in options}},
            options={"timeout": options["timeout"]} if "timeout" in options else {},
        )

    def _model(self, task: str, options: TaskOptions) -> str:
        name = "embedding_model" if task in EMBEDDING_TASKS else "model"
        model = options.get("model") or (self.embedding_model if task in EMBEDDING_TASKS else self.model)
        if not model:
            message = f"{task} needs a model: give {name}= to Tasks, or model= to the call."
            raise TaskInputError(message)
        return model

    def _prompt(self, task: str, language: Language, options: TaskOptions) -> Prompt:
        if task not in PLACEHOLDERS:
            return Prompt("$text")
        packaged = packaged_prompt(task, language)
        given = options.get("prompt") or self.prompts.get(task)
        if given is None:
            return packaged
        given.check(task)
        return replace(given, words={**packaged.words, **given.words})


def _check_names(options: TaskOptions) -> None:
    if unknown := sorted(options.keys() - TaskOptions.__annotations__.keys()):
        message = f"unknown parameter {unknown[0]!r}; there are {', '.join(TaskOptions.__annotations__)}."
        raise TypeError(message)
