"""A streamed chat answer, put together chunk by chunk without I/O.

Pieces are kept in lists and joined when somebody asks, so that adding a chunk costs the same at the end of a
long answer as at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lmaas.types import ParsedChatCompletion
from lmaas.types import stream_event as events

if TYPE_CHECKING:
    from lmaas._output import OutputType
    from lmaas.types import ChatCompletionChunk, ChoiceDelta, ChunkChoice, ToolCallDelta, Usage
    from lmaas.types.chat import ChoiceLogprobs

T = TypeVar("T")


class ChatAccumulator(Generic[T]):
    """Takes the chunks of one answer; says what each of them changed and what the answer is so far.

    Args:
        output: The type that each choice is read into once it is finished.
    """

    def __init__(self, output: OutputType[T] | None = None) -> None:
        self._output = output
        self._forget()

    def _forget(self) -> None:
        """Begin anew, as a stream does that goes on from another platform."""
        self._head: dict[str, Any] = {"id": "", "created": 0, "model": ""}
        self._usage: Usage | None = None
        self._choices: dict[int, _ChoiceSoFar] = {}
        self._parsed: dict[int, T | None] = {}

    @property
    def text(self) -> str:
        """What the first choice has said so far."""
        return "".join(self._choices[0].content) if 0 in self._choices else ""

    def add(self, chunk: ChatCompletionChunk) -> Iterator[events.ChatStreamEvent[T]]:
        """Take a chunk and yield its events. The iterator has to be used up.

        Raises:
            AnswerError: a choice is finished, and is not what was asked for.
        """
        if not chunk.choices and getattr(chunk, "lmaas_restart", None) is not None:
            self._forget()
            yield events.ChunkEvent(chunk)
            return
        if not self._head["id"]:
            self._head = _head_of(chunk)
        self._usage = chunk.usage or self._usage
        made: list[events.ChatStreamEvent[T]] = [events.ChunkEvent(chunk)]
        for choice in chunk.choices:
            so_far = self._choices.get(choice.index)
            if so_far is None:
                so_far = self._choices[choice.index] = _ChoiceSoFar(choice.index)
            made.extend(so_far.add(choice))
        yield from made
        for choice in chunk.choices:
            if choice.finish_reason is not None:
                yield from self._finish(self._choices[choice.index])

    def snapshot(self) -> ParsedChatCompletion[T]:
        """Return the answer so far, in time that grows with its length."""
        choices = [self._choices[index].snapshot() for index in sorted(self._choices)]
        fields = {**self._head, "object": "chat.completion", "choices": choices}
        if self._usage is not None:
            fields["usage"] = self._usage
        completion: ParsedChatCompletion[T] = ParsedChatCompletion.model_validate(fields)
        for choice in completion.choices:
            choice.message.parsed = self._parsed.get(choice.index)
        return completion

    def _finish(self, so_far: _ChoiceSoFar) -> Iterator[events.ChatStreamEvent[T]]:
        if self._output is not None:
            completion = self.snapshot()
            choice = next(one for one in completion.choices if one.index == so_far.index)
            self._parsed[so_far.index] = self._output.read(choice, completion)
        yield from so_far.done_events(self._parsed.get(so_far.index))


class _ToolCallSoFar:
    def __init__(self, delta: ToolCallDelta) -> None:
        self.index = delta.index
        self.id = ""
        self.type = "function"
        self.name = ""
        self.arguments: list[str] = []

    def add(self, delta: ToolCallDelta) -> str:
        """Take a piece and return what it adds to the arguments."""
        self.id = delta.id or self.id
        self.type = delta.type or self.type
        if delta.function is None:
            return ""
        # Some servers repeat the name, none sends it in pieces.
        self.name = delta.function.name or self.name
        if delta.function.arguments:
            self.arguments.append(delta.function.arguments)
        return delta.function.arguments or ""

    def snapshot(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": self.type, "function": function}


class _ChoiceSoFar:
    """One of the `n` answers."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.content: list[str] = []
        self._refusal: list[str] = []
        self._reasoning: dict[str, list[str]] = {}
        self._tool_calls: dict[int, _ToolCallSoFar] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._message: dict[str, Any] = {"role": "assistant"}
        self._extra: dict[str, Any] = {"finish_reason": None}

    def add(self, choice: ChunkChoice) -> Iterator[events.ChatStreamEvent[Any]]:
        delta = choice.delta
        if delta.role:
            self._message["role"] = delta.role
        yield from self._add_reasoning(delta)
        if delta.content:
            yield events.ContentDeltaEvent(*self._piece(self.content, delta.content))
        if delta.refusal:
            yield events.RefusalDeltaEvent(*self._piece(self._refusal, delta.refusal))
        for call in delta.tool_calls or ():
            yield from self._add_tool_call(call)
        if choice.logprobs is not None:
            yield from self._add_logprobs(choice.logprobs)
        if delta.model_extra:
            _merge(self._message, delta.model_extra)
        self._add_end(choice)

    def _piece(self, pieces: list[str], piece: str) -> tuple[str, int, events.TextSoFar]:
        pieces.append(piece)
        return piece, self.index, events.TextSoFar(pieces, len(pieces))

    def _add_reasoning(self, delta: ChoiceDelta) -> Iterator[events.ReasoningDeltaEvent]:
        # Servers that moved from one name to the other send both with the same text.
        for name in ("reasoning", "reasoning_content"):
            if piece := getattr(delta, name):
                event = events.ReasoningDeltaEvent(*self._piece(self._reasoning.setdefault(name, []), piece))
                if name == "reasoning" or not delta.reasoning:
                    yield event

    def _add_tool_call(self, delta: ToolCallDelta) -> Iterator[events.FunctionToolCallArgumentsDeltaEvent]:
        call = self._tool_calls.get(delta.index)
        if call is None:
            call = self._tool_calls[delta.index] = _ToolCallSoFar(delta)
        if piece := call.add(delta):
            text = events.TextSoFar(call.arguments, len(call.arguments))
            yield events.FunctionToolCallArgumentsDeltaEvent(call.name, call.index, piece, self.index, text)

    def _add_logprobs(self, logprobs: ChoiceLogprobs) -> Iterator[events.LogprobsContentDeltaEvent]:
        if logprobs.refusal:
            self._logprobs.setdefault("refusal", []).extend(logprobs.refusal)
        if logprobs.content:
            self._logprobs.setdefault("content", []).extend(logprobs.content)
            yield events.LogprobsContentDeltaEvent(logprobs.content, self.index)

    def _add_end(self, choice: ChunkChoice) -> None:
        if choice.finish_reason is not None:
            self._extra["finish_reason"] = choice.finish_reason
        if choice.stop_reason is not None:
            self._extra["stop_reason"] = choice.stop_reason
        if choice.model_extra:
            _merge(self._extra, choice.model_extra)

    def done_events(self, parsed: T | None) -> Iterator[events.ChatStreamEvent[T]]:
        for pieces in list(self._reasoning.values())[:1]:
            yield events.ReasoningDoneEvent("".join(pieces), self.index)
        if self.content:
            yield events.ContentDoneEvent("".join(self.content), self.index, parsed)
        if self._refusal:
            yield events.RefusalDoneEvent("".join(self._refusal), self.index)
        for call in self._tool_calls.values():
            arguments = "".join(call.arguments)
            yield events.FunctionToolCallArgumentsDoneEvent(call.name, call.index, arguments, self.index)

    def snapshot(self) -> dict[str, Any]:
        message = {**_copied(self._message), "content": "".join(self.content) if self.content else None}
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        for name, pieces in self._reasoning.items():
            message[name] = "".join(pieces)
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[n].snapshot() for n in sorted(self._tool_calls)]
        choice = {"index": self.index, "message": message, **_copied(self._extra)}
        if self._logprobs:
            choice["logprobs"] = self._logprobs
        return choice


def _head_of(chunk: ChatCompletionChunk) -> dict[str, Any]:
    head = chunk.model_dump(exclude={"choices", "usage", "object"}, exclude_unset=True)
    return {name: value for name, value in head.items() if value is not None}


def _merge(fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Add fields that this release does not know: lists grow, everything else is replaced."""
    for name, value in more.items():
        if not isinstance(value, list):
            fields[name] = value if value is not None else fields.get(name)
        elif isinstance(grown := fields.get(name), list):
            grown.extend(value)
        else:
            fields[name] = list(value)


def _copied(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value for name, value in fields.items()}
