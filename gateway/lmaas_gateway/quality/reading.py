"""Read what was asked and answered out of bytes: the last thing that the user said, and the first choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmaas_gateway.call import Dialect

Json = dict[str, Any]


class Answer(msgspec.Struct):
    """The first choice of a reply.

    Attributes:
        text: What it says to the user.
        arguments: Those of the functions that it calls, as JSON, by the function's name.
        end: Why it ended; empty if it did not come to its end.
        is_declined: Whether the model itself marks it as a refusal.
    """

    text: str = ""
    arguments: list[tuple[str, str]] = msgspec.field(default_factory=list)
    end: str = ""
    is_declined: bool = False

    @property
    def is_truncated(self) -> bool:
        """Whether its tokens ran out."""
        return self.end in {"length", "max_tokens", "max_output_tokens"}


class Question(msgspec.Struct):
    """What is to be known of a request.

    Attributes:
        text: The last thing that the user said.
        instructions: What the system said.
        wants_json: Whether the reply must be JSON.
        schema: What that must be; None for any.
        functions: The schemas of functions that the model must keep to, by name.
    """

    text: str = ""
    instructions: str = ""
    wants_json: bool = False
    schema: object = None
    functions: dict[str, object] = msgspec.field(default_factory=dict)


def read_question(body: bytes) -> Question:
    """Read a request of any dialect.

    Raises:
        ValueError: it is none.
    """
    fields = _object(msgspec.json.decode(body))
    question = Question(instructions=_text(fields.get("system") or fields.get("instructions")))
    asked = fields.get("messages", fields.get("input", fields.get("prompt")))
    if isinstance(asked, str):
        question.text = asked
    for message in map(_object, asked if isinstance(asked, list) else ()):
        if message.get("role") == "user":
            question.text = _text(message.get("content"))
        elif message.get("role") in {"system", "developer"}:
            question.instructions += "\n" + _text(message.get("content"))
    _read_format(fields, question)
    for tool in map(_object, _list(fields.get("tools"))):
        function = _object(tool.get("function") or tool)
        if function.get("strict") and isinstance(function.get("name"), str):
            question.functions[function["name"]] = function.get("parameters")
    return question


def _read_format(fields: Json, question: Question) -> None:
    wanted = _object(fields.get("response_format") or _object(fields.get("text")).get("format"))
    structured = _object(fields.get("structured_outputs"))
    if wanted.get("type") == "json_object" or structured.get("json_object"):
        question.wants_json = True
    elif wanted.get("type") == "json_schema":
        question.wants_json = True
        question.schema = _object(wanted.get("json_schema") or wanted).get("schema")
    elif "json" in structured:
        question.wants_json = True
        question.schema = structured["json"]


def read_answer(body: bytes, dialect: Dialect, *, is_stream: bool) -> Answer:
    """Read a reply.

    Raises:
        ValueError: it is none.
    """
    answer = Answer()
    if not is_stream:
        _PLAIN[dialect](_object(msgspec.json.decode(body)), answer)
        return answer
    take = _STREAMED[dialect]
    for event in _events(body):
        take(event, answer)
    return answer


def _events(body: bytes) -> Iterator[Json]:
    for line in body.split(b"\n"):
        if line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
            yield _object(msgspec.json.decode(data))


def _take_chat(reply: Json, answer: Answer) -> None:
    for choice in map(_object, _list(reply.get("choices"))):
        if choice.get("index", 0) == 0:
            _take_message(_object(choice.get("message")), answer)
            answer.text = answer.text or _text(choice.get("text"))
            answer.end = choice.get("finish_reason") or ""


def _take_message(message: Json, answer: Answer) -> None:
    answer.text = _text(message.get("content"))
    answer.is_declined = bool(message.get("refusal"))
    for call in map(_object, _list(message.get("tool_calls"))):
        function = _object(call.get("function"))
        answer.arguments.append((_text(function.get("name")), _text(function.get("arguments"))))


def _take_chunk(event: Json, answer: Answer) -> None:
    for choice in map(_object, _list(event.get("choices"))):
        if choice.get("index", 0) != 0:
            continue
        delta = _object(choice.get("delta"))
        answer.text += _text(delta.get("content")) + _text(choice.get("text"))
        answer.is_declined = answer.is_declined or bool(delta.get("refusal"))
        answer.end = choice.get("finish_reason") or answer.end
        for call in map(_object, _list(delta.get("tool_calls"))):
            _extend_call(call, answer)


def _extend_call(call: Json, answer: Answer) -> None:
    function = _object(call.get("function"))
    index = call.get("index")
    if isinstance(index, int) and 0 <= index < len(answer.arguments):
        name, so_far = answer.arguments[index]
        answer.arguments[index] = (name, so_far + _text(function.get("arguments")))
    else:
        answer.arguments.append((_text(function.get("name")), _text(function.get("arguments"))))


def _take_response(reply: Json, answer: Answer) -> None:
    reason = _object(reply.get("incomplete_details")).get("reason")
    answer.end = reason if isinstance(reason, str) else _text(reply.get("status"))
    for item in map(_object, _list(reply.get("output"))):
        if item.get("type") == "function_call":
            answer.arguments.append((_text(item.get("name")), _text(item.get("arguments"))))
        elif item.get("type") == "message":
            for part in map(_object, _list(item.get("content"))):
                answer.text += _text(part.get("text"))
                answer.is_declined = answer.is_declined or part.get("type") == "refusal"


def _take_response_event(event: Json, answer: Answer) -> None:
    if event.get("type") in {"response.completed", "response.incomplete"}:
        _take_response(_object(event.get("response")), answer)


def _take_anthropic(reply: Json, answer: Answer) -> None:
    answer.end = _text(reply.get("stop_reason"))
    answer.is_declined = answer.end == "refusal"
    for part in map(_object, _list(reply.get("content"))):
        if part.get("type") == "text":
            answer.text += _text(part.get("text"))
        elif part.get("type") == "tool_use":
            arguments = msgspec.json.encode(part.get("input")).decode()
            answer.arguments.append((_text(part.get("name")), arguments))


def _take_anthropic_event(event: Json, answer: Answer) -> None:
    delta = _object(event.get("delta"))
    if event.get("type") == "content_block_delta":
        answer.text += _text(delta.get("text"))
        if answer.arguments:
            name, so_far = answer.arguments[-1]
            answer.arguments[-1] = (name, so_far + _text(delta.get("partial_json")))
    elif event.get("type") == "content_block_start":
        block = _object(event.get("content_block"))
        if block.get("type") == "tool_use":
            answer.arguments.append((_text(block.get("name")), ""))
    elif event.get("type") == "message_delta":
        answer.end = _text(delta.get("stop_reason")) or answer.end
        answer.is_declined = answer.end == "refusal"


_PLAIN = {"chat": _take_chat, "responses": _take_response, "messages": _take_anthropic}
_STREAMED = {"chat": _take_chunk, "responses": _take_response_event, "messages": _take_anthropic_event}


def _text(value: object) -> str:
    """Give a text, or those of a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(part["text"] for part in value if isinstance(_object(part).get("text"), str))
    return ""


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
