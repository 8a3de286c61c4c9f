"""`classify`: which of some labels fits a text, with probabilities that come from the model itself.

The labels are not generated but scored: each label, written as the model would write it and ended as the
model would end it, has a log-probability after the prompt. The label is in the set by construction, and the
probabilities are the scores in proportion, not numbers that a model made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lmaas.tasks._answers import text_of
from lmaas.tasks._errors import TaskInputError, TaskOutputError
from lmaas.tasks._job import Job
from lmaas.tasks._labels import (
    Path,
    Question,
    corrected,
    label_logprobs,
    next_tokens,
    normalized,
    questions,
)
from lmaas.tasks._plan import Call, Plan, chats, completions, tokenized
from lmaas.tasks._result import Result
from lmaas.types import Completion

Labels: TypeAlias = Sequence[str] | Mapping[str, str]
"""Labels, or labels with what they mean."""

Method: TypeAlias = Literal["score", "choice"]
_Logprobs: TypeAlias = dict[tuple[Path, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(Result):
    """The label of a text.

    Attributes:
        label: The most probable label.
        probabilities: Of each label, adding up to 1; None with `method="choice"`, which scores nothing.
        logprobs: Natural log-probability of each label as the answer, over all answers there could be.
        prior: Probabilities of the labels without a text, which were divided out; None if not asked for.
    """

    label: str
    probabilities: Mapping[str, float] | None = None
    logprobs: Mapping[str, float] | None = None
    prior: Mapping[str, float] | None = None


def plan(
    job: Job, text: str, labels: Labels, *, calibrate: bool = False, method: Method = "score"
) -> Plan[Classification]:
    """Plan the classification of a text; see `Tasks.classify`."""
    names = check_labels(labels)
    values = {"text": text, "labels": _listed(labels)}
    if method == "choice":
        if calibrate:
            raise TaskInputError("calibrate needs probabilities; leave method='choice' out.")
        return (yield from _choose(job, values, names))
    return (yield from scored(job, values, dict(zip(names, names, strict=True)), calibrate=calibrate))


def check_labels(labels: Labels) -> list[str]:
    """Return the names of labels.

    Raises:
        TaskInputError: there are fewer than two, or one is empty or there twice.
    """
    names = [label.strip() for label in labels]
    if isinstance(labels, str) or len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise TaskInputError("labels: give two or more different ones, none of them empty.")
    return names


def scored(
    job: Job, values: Mapping[str, str], labels: Mapping[str, str], *, calibrate: bool
) -> Plan[Classification]:
    """Plan the scoring of labels, given with the words that the model would say for them."""
    paths = yield from _paths(job, labels)
    logprobs = yield from _score(job, values, paths)
    prior = None
    if calibrate:
        without_text = {**values, "text": job.prompt.words["content_free"]}
        prior = normalized((yield from _score(job, without_text, paths, is_constant=True)))
    probabilities = normalized(logprobs) if prior is None else corrected(logprobs, prior)
    label = max(probabilities, key=probabilities.__getitem__)
    return Classification(label=label, probabilities=probabilities, logprobs=logprobs, prior=prior)


def _choose(job: Job, values: Mapping[str, str], names: Sequence[str]) -> Plan[Classification]:
    (reply,) = yield from chats([job.chat(values, 64, structured_outputs={"choice": names})])
    said = text_of(reply)
    if said not in names:
        raise TaskOutputError("The model's answer is none of the labels; does the server enforce them?", said)
    return Classification(label=said)


def _listed(labels: Labels) -> str:
    if isinstance(labels, Mapping):
        return "\n".join(f"- {name.strip()}: {meaning}" for name, meaning in labels.items())
    return "\n".join(f"- {name.strip()}" for name in labels)


def _paths(job: Job, labels: Mapping[str, str]) -> Plan[dict[str, Path]]:
    """Return the tokens of each label, with the one that ends an answer.

    How an answer ends is read off a conversation that has one: the chat template is the model's own.
    """
    asked = {"role": "user", "content": "."}
    answered = {"role": "assistant", "content": next(iter(labels.values()))}
    calls = [
        job.tokens(is_constant=True, messages=[asked], add_generation_prompt=True),
        job.tokens(is_constant=True, messages=[asked, answered], add_generation_prompt=False),
        *(job.text_tokens(words, is_constant=True) for words in labels.values()),
    ]
    opening, whole, *words = [reply.tokens for reply in (yield from tokenized(calls))]
    begin = [*opening, *words[0]]
    end = whole[len(begin) : len(begin) + 1] if whole[: len(begin)] == begin else []
    paths = {label: (*tokens, *end) for label, tokens in zip(labels, words, strict=True)}
    _check_paths(paths)
    return paths


def _check_paths(paths: Mapping[str, Path]) -> None:
    for label, path in paths.items():
        for other, longer in paths.items():
            if other != label and longer[: len(path)] == path:
                message = (
                    f"label {label!r} is how {other!r} begins, and this model's chat template does not show "
                    "how an answer ends; choose labels that begin differently, or method='choice'."
                )
                raise TaskInputError(message)


def _score(
    job: Job, values: Mapping[str, str], paths: Mapping[str, Path], *, is_constant: bool = False
) -> Plan[dict[str, float]]:
    (prompt,) = yield from tokenized([job.prompt_tokens(values, is_constant=is_constant)])
    asked = questions(next_tokens(paths.values()))
    calls = [_call(job, prompt.tokens, question, is_constant=is_constant) for question in asked]
    logprobs: _Logprobs = {}
    for question, reply in zip(asked, (yield from completions(calls)), strict=True):
        logprobs |= _read(question, reply)
    try:
        return label_logprobs(paths, logprobs)
    except KeyError:
        raise _no_logprobs() from None


def _call(job: Job, prompt: Sequence[int], question: Question, *, is_constant: bool) -> Call:
    body = {
        "model": job.model,
        "prompt": [[*prompt, *path] for path in question.paths],
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": 1,
    }
    # vLLM's own: exactly these tokens are scored, over the whole vocabulary, whatever else is likelier.
    own = {"logprob_token_ids": question.tokens, "return_tokens_as_token_ids": True}
    return Call("completions", {**body, "extra_body": own}, job.options, is_constant)


def _read(question: Question, reply: Completion) -> _Logprobs:
    found: _Logprobs = {}
    if len(reply.choices) != len(question.paths):
        raise _no_logprobs()
    for choice in reply.choices:
        first = ((choice.logprobs and choice.logprobs.top_logprobs) or [None])[0] or {}
        for name, value in first.items():
            if name.startswith("token_id:"):
                found[question.paths[choice.index], int(name.removeprefix("token_id:"))] = value
    return found


def _no_logprobs() -> TaskOutputError:
    return TaskOutputError(
        "The server did not give the log-probabilities of the labels (vLLM's logprob_token_ids); "
        "method='choice' does without them."
    )
