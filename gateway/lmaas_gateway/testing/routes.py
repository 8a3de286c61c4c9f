"""Which answer a request gets: vLLM's routes by kind of model, its refusals, and a script's wishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lmaas_gateway.testing import pooling, replies, streams
from lmaas_gateway.testing.model import FakeModel, Generation, generation
from lmaas_gateway.testing.script import Script
from lmaas_gateway.testing.wire import EVENT_STREAM, JSON, Answer, Frame, Request, json_answer, json_bytes

Json = dict[str, Any]
Fields = Mapping[str, Any]
Pooling = Callable[[FakeModel, Fields, str], Json]
Plain = Callable[[Generation, Fields], Json]
Events = Callable[[Generation, Fields], streams.Dialect]

_GENERATING: Mapping[str, tuple[Plain, Events]] = {
    "/v1/chat/completions": (lambda said, _: replies.chat(said), streams.ChatChunks),
    "/v1/completions": (lambda said, _: replies.completion(said), streams.CompletionChunks),
    "/v1/responses": (
        lambda said, fields: replies.response(said, fields, status="completed"),
        streams.ResponseEvents,
    ),
    "/v1/messages": (lambda said, _: replies.message(said), streams.MessageEvents),
}
_TOKENIZER: Mapping[str, Pooling] = {"/tokenize": pooling.tokenize, "/detokenize": pooling.detokenize}
_SCORING: Mapping[str, Pooling] = {
    "/v1/rerank": pooling.rerank,
    "/rerank": pooling.rerank,
    "/v1/score": pooling.score,
    "/score": pooling.score,
}
_POOLING: Mapping[str, Mapping[str, Pooling]] = {
    "chat": _TOKENIZER,
    "completion": _TOKENIZER,
    "embedding": {**_TOKENIZER, **_SCORING, "/v1/embeddings": pooling.embeddings},
    "rerank": {**_TOKENIZER, **_SCORING},
    "classify": {**_TOKENIZER, "/classify": pooling.classify},
}
_PROMPT_FIELDS: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "/v1/chat/completions": ("messages", list),
    "/v1/messages": ("messages", list),
    "/v1/responses": ("input", (str, list)),
    "/v1/embeddings": ("input", (str, list)),
}


def paths(kind: str) -> frozenset[str]:
    """Return the POST routes that vLLM has for a kind of model."""
    generating = _GENERATING if kind in {"chat", "completion"} else {}
    return frozenset({*_POOLING[kind], *generating})


def answer(request: Request, model: FakeModel, script: Script, request_id: str) -> Answer:
    """Answer one POST, the script's own body or status before everything else."""
    if (scripted := _scripted(script)) is not None:
        return scripted
    if request.path not in paths(model.kind):
        return not_found()
    if (refusal := _refusal(request, model)) is not None:
        return _in_dialect(request.path, refusal)
    if (route := _POOLING[model.kind].get(request.path)) is not None:
        return json_answer(route(model, request.fields, request_id))
    return _generated(request, generation(request.fields, model, script, request_id), script)


def probed(path: str, model: FakeModel, script: Script, metrics: Callable[[], str]) -> Answer:
    """Answer one GET, the script's own body or status before everything else."""
    if script.status != 200 or script.body is not None:
        return Answer(script.status, (Frame((script.body or "").encode()),))
    match path:
        case "/health" | "/ping":
            return Answer(200, (Frame(b""),))
        case "/version":
            return json_answer({"version": "0.32.0"})
        case "/v1/models":
            return json_answer(replies.models(model))
        case "/metrics":
            return Answer(200, (Frame(metrics().encode()),), "text/plain; version=1.0.0; charset=utf-8")
    return _method_not_allowed() if path in paths(model.kind) else not_found()


def _method_not_allowed() -> Answer:
    body = Frame(json_bytes({"detail": "Method Not Allowed"}))
    return Answer(405, (body,), headers=(("allow", "POST"),))


def not_found() -> Answer:
    """Answer as vLLM does where a route does not exist, or not for this kind of model."""
    return json_answer({"detail": "Not Found"}, 404)


def bad_script(problem: ValueError) -> Answer:
    """Tell the author of a test that the script which a call brought along is wrong."""
    return json_answer(replies.error(f"fake replica: {problem}", status=400, kind="BadScript"), 400)


def _generated(request: Request, said: Generation, script: Script) -> Answer:
    plain, events = _GENERATING[request.path]
    if request.fields.get("stream"):
        dialect = events(said, request.fields)
        return Answer(200, streams.frames(dialect, said, script.ending), EVENT_STREAM, is_stream=True)
    return json_answer(plain(said, request.fields), tokens=said.completion_tokens)


def _scripted(script: Script) -> Answer | None:
    if script.events is not None:
        return Answer(script.status, streams.raw_frames(script.events), EVENT_STREAM, is_stream=True)
    if script.body is not None:
        return Answer(script.status, (Frame(script.body.encode()),), JSON)
    if script.status != 200:
        body = replies.error("scripted failure", status=script.status, kind="InternalServerError")
        return json_answer(body, script.status)
    return None


def _refusal(request: Request, model: FakeModel) -> tuple[int, Json] | None:
    try:
        msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "1 validation error:\n  {'type': 'json_invalid', 'msg': 'JSON decode error'}"
        return 400, replies.error(message, status=400, kind="Bad Request", param="body")
    fields = request.fields
    asked = fields.get("model", model.name)
    if asked != model.name:
        message = f"The model `{asked}` does not exist. Valid aliases: {model.name}."
        return 404, replies.error(message, status=404, kind="NotFoundError", param="model")
    name, kinds = _PROMPT_FIELDS.get(request.path, ("", object))
    if name and not isinstance(fields.get(name), kinds):
        message = f"1 validation error:\n  {{'type': 'list_type', 'loc': 'body.{name}'}}"
        return 400, replies.error(message, status=400, kind="Bad Request", param=f"body.{name}")
    limit = fields.get("max_tokens")
    if isinstance(limit, int) and limit > model.max_model_len:
        message = f"max_tokens={limit} cannot be greater than max_model_len={model.max_model_len}."
        return 400, replies.error(message, status=400, param="max_tokens")
    return None


def _in_dialect(path: str, refusal: tuple[int, Json]) -> Answer:
    status, body = refusal
    if path == "/v1/messages":
        error = {"type": body["error"]["type"], "message": body["error"]["message"]}
        return json_answer({"type": "error", "error": error}, status)
    return json_answer(body, status)
