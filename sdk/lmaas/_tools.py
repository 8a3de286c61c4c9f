"""Conversations in which the model calls functions: what to ask next, decided without I/O.

`ToolLoop` knows the conversation; whoever drives it makes the calls, of the model and of the functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from lmaas import errors
from lmaas._output import check_is_whole, problems_in
from lmaas._schema import function_adapter, function_definition, schema_name

if TYPE_CHECKING:
    from lmaas.types import MessageParam, ParsedChatCompletion, ToolCall

ToolFunction: TypeAlias = Callable[..., Any]
"""A typed function that a model may call; its signature and docstring are what the model is told."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A call that the model asked for, and what it was given.

    Attributes:
        call_id: The model's own name for the call.
        name: The function.
        arguments: The JSON text that the model gave.
        content: What the model was handed: a text as it is, anything else as JSON, or what went wrong.
        value: What the function returned; None when it failed.
        is_error: Whether it failed, or was not called.
    """

    call_id: str
    name: str
    arguments: str
    content: str
    value: Any = None
    is_error: bool = False

    def as_message(self) -> dict[str, Any]:
        """Return the message that hands it to the model."""
        return {"role": "tool", "tool_call_id": self.call_id, "content": self.content}


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A conversation that came to its end.

    Attributes:
        completion: The last answer, which calls no tools.
        messages: The whole conversation, the last answer included; it can be sent on as it is.
        completions: Every answer, in order, each with its usage.
        results: Every call of a tool, in order.
    """

    completion: ParsedChatCompletion[Any]
    messages: Sequence[MessageParam] = field(repr=False)
    completions: Sequence[ParsedChatCompletion[Any]] = field(repr=False)
    results: Sequence[ToolResult]

    @property
    def text(self) -> str:
        """What the model said last; "" if nothing."""
        return self.completion.choices[0].message.content or ""


class Toolbox:
    """Functions under the names by which a model calls them.

    Raises:
        TypeError: a function cannot be described to a model.
        ValueError: two have one name.
    """

    def __init__(self, functions: Iterable[ToolFunction]) -> None:
        self._functions: dict[str, tuple[ToolFunction, TypeAdapter[Any]]] = {}
        self.definitions: list[dict[str, Any]] = []
        for function in functions:
            name = schema_name(function)
            if name in self._functions:
                message = f"two tools are named {name!r}; a model could not tell them apart."
                raise ValueError(message)
            adapter = function_adapter(function)
            self.definitions.append({"type": "function", "function": function_definition(function, adapter)})
            self._functions[name] = function, adapter

    def call(self, call: ToolCall) -> ToolResult:
        """Call a function as the model asked; what goes wrong becomes the result."""
        try:
            value = self._bound(call)()
        except Exception as exc:  # whatever a function raises, the model is told
            return _failed(call, exc)
        return _done(call, value)

    async def call_async(self, call: ToolCall, in_thread: Callable[..., Awaitable[Any]]) -> ToolResult:
        """Call a function that may be asynchronous; a plain one goes through `in_thread`."""
        try:
            bound = self._bound(call)
            is_async = inspect.iscoroutinefunction(self._functions[call.function.name][0])
            value = bound() if is_async else await in_thread(bound)
            value = await value if inspect.isawaitable(value) else value
        except Exception as exc:  # whatever a function raises, the model is told
            return _failed(call, exc)
        return _done(call, value)

    def _bound(self, call: ToolCall) -> Callable[[], Any]:
        if call.function.name not in self._functions:
            message = f"no such tool; there are: {', '.join(self._functions)}"
            raise LookupError(message)
        adapter = self._functions[call.function.name][1]
        return partial(adapter.validate_json, call.function.arguments or "{}")


class ToolLoop:
    """The conversation of one `run_tools`.

    Args:
        messages: How it begins.
        toolbox: What the model may call.
        max_rounds: How often the model may be asked.
        params: Further parameters of each call; `tool_choice` holds for the first, later ones are free.
    """

    def __init__(
        self, messages: Iterable[MessageParam], toolbox: Toolbox, max_rounds: int, params: Mapping[str, Any]
    ) -> None:
        if max_rounds < 1:
            message = f"max_rounds is {max_rounds}; the model has to be asked at least once."
            raise ValueError(message)
        self._toolbox = toolbox
        self._max_rounds = max_rounds
        self._params = params
        self._messages: list[MessageParam] = list(messages)
        self._completions: list[ParsedChatCompletion[Any]] = []
        self._results: list[ToolResult] = []

    @property
    def params(self) -> Mapping[str, Any]:
        """Further parameters of the next call of the model."""
        if not self._completions or self._params.get("tool_choice") == "none":
            return self._params
        # A choice that is forced each time would never let the model answer.
        return {name: value for name, value in self._params.items() if name != "tool_choice"}

    @property
    def body(self) -> dict[str, Any]:
        """What the next call of the model is about."""
        tools = {"tools": self._toolbox.definitions} if self._toolbox.definitions else {}
        return {"messages": list(self._messages), **tools}

    def take(self, completion: ParsedChatCompletion[Any]) -> Sequence[ToolCall]:
        """Take an answer and return the calls that it asks for; none of them ends the conversation.

        Raises:
            AnswerError: it was cut off or held back, or asks for calls in the last round.
        """
        choice = completion.choices[0]
        self._completions.append(completion)
        self._messages.append(choice.message)
        calls = choice.message.tool_calls or ()
        if calls:
            check_is_whole(choice, completion)
            if len(self._completions) >= self._max_rounds:
                raise self._too_many_rounds(completion)
        return calls

    def answer(self, results: Iterable[ToolResult]) -> None:
        """Hand the results of all calls of the last answer to the model, in the order of the calls."""
        for result in results:
            self._results.append(result)
            self._messages.append(result.as_message())

    def finished(self) -> ToolRun:
        """Return the conversation."""
        last = self._completions[-1]
        return ToolRun(last, tuple(self._messages), tuple(self._completions), tuple(self._results))

    def _too_many_rounds(self, completion: ParsedChatCompletion[Any]) -> errors.ToolRoundsError:
        message = f"The model still calls tools after {self._max_rounds} rounds (max_rounds)."
        error = errors.ToolRoundsError(message, completion=completion)
        error.messages = tuple(self._messages)
        return error


def _done(call: ToolCall, value: Any) -> ToolResult:
    try:
        content = value if isinstance(value, str) else _json(value)
    except ValueError as exc:
        return _failed(call, exc)
    return ToolResult(call.id, call.function.name, call.function.arguments, content, value)


def _failed(call: ToolCall, exc: Exception) -> ToolResult:
    reason = "; ".join(problems_in(exc)) if isinstance(exc, ValidationError) else str(exc)
    content = f"Error: {type(exc).__name__}: {reason}" if reason else f"Error: {type(exc).__name__}"
    name, arguments = call.function.name, call.function.arguments
    return ToolResult(call.id, name, arguments, content, is_error=True)


def _json(value: Any) -> str:
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return to_json(value).decode()
