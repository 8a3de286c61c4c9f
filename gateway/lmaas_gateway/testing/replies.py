"""The plain JSON bodies of vLLM 0.32's generating routes, recorded from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmaas_gateway.testing.model import CREATED, FakeModel, Generation

Json = dict[str, Any]

FINGERPRINT = "vllm-0.32.0-fake"

ENGINE_DEAD: Json = {
    "error": {
        "message": "EngineCore encountered an issue. See stack trace (above) for the root cause.",
        "type": "InternalServerError",
        "param": None,
        "code": 500,
    }
}

BUSY: Json = {
    "error": {
        "message": "The engine is currently busy and cannot accept new requests. "
        "Please try again later or on a different instance.",
        "type": "Service Unavailable",
        "code": 503,
    }
}
"""What vLLM answers beyond `--max-num-queued-reqs`."""


def error(message: str, *, status: int, kind: str = "BadRequestError", param: str | None = None) -> Json:
    """Shape an error as OpenAI's object; vLLM's `code` is the HTTP status."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def finish_reason(generation: Generation) -> str:
    """Name OpenAI's reason for the end of a choice."""
    return "length" if generation.is_cut else "stop"


def usage(generation: Generation, completion_tokens: int) -> Json:
    """Count a call that has generated `completion_tokens` so far, in the order that vLLM writes."""
    return {
        "prompt_tokens": generation.prompt_tokens,
        "total_tokens": generation.prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "completion_tokens_details": None,
    }


def chat(generation: Generation) -> Json:
    """Build a `chat.completion`."""
    message = {"role": "assistant", "content": generation.text, "refusal": None, "annotations": None}
    unset = {"audio": None, "function_call": None, "reasoning": None}
    return _completion(generation, "chatcmpl", "chat.completion", {"message": {**message, **unset}})


def completion(generation: Generation) -> Json:
    """Build a `text_completion`."""
    return _completion(generation, "cmpl", "text_completion", {"text": generation.text})


def _completion(generation: Generation, prefix: str, kind: str, content: Json) -> Json:
    end = {
        "logprobs": None,
        "finish_reason": finish_reason(generation),
        "stop_reason": None,
        "token_ids": None,
    }
    details = {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": None}
    counted = usage(generation, generation.completion_tokens)
    return {
        "id": f"{prefix}-{generation.request_id}",
        "object": kind,
        "created": CREATED,
        "model": generation.model,
        "choices": [{"index": index, **content, **end} for index in range(generation.choices)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": {**counted, "prompt_tokens_details": details},
        "kv_transfer_params": None,
        "metrics": None,
    }


def response_item(generation: Generation, *, status: str) -> Json:
    """Build the one message that a response puts out; while in progress it is empty."""
    part: Json = {"annotations": [], "text": generation.text, "type": "output_text", "logprobs": None}
    return {
        "id": f"msg_{generation.request_id}",
        "content": [part] if status == "completed" else [],
        "role": "assistant",
        "status": status,
        "type": "message",
        "phase": None,
    }


def response(generation: Generation, fields: Mapping[str, Any], *, status: str) -> Json:
    """Build a `response`; one that was cut is incomplete, as in vLLM."""
    is_over = status == "completed"
    is_cut = is_over and generation.is_cut
    return {
        "id": f"resp_{generation.request_id}",
        "created_at": CREATED,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": fields.get("instructions"),
        "metadata": fields.get("metadata"),
        "model": generation.model,
        "object": "response",
        "output": [response_item(generation, status=status)] if is_over else [],
        "parallel_tool_calls": True,
        "temperature": fields.get("temperature", 1.0),
        "tool_choice": "none",
        "tools": [],
        "top_p": 1.0,
        "background": False,
        "max_output_tokens": fields.get("max_output_tokens"),
        "previous_response_id": None,
        "reasoning": None,
        "service_tier": "auto",
        "status": "incomplete" if is_cut else status,
        "text": None,
        "truncation": "disabled",
        "usage": _response_usage(generation) if is_over else None,
        "user": None,
    }


def _response_usage(generation: Generation) -> Json:
    return {
        "input_tokens": generation.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": generation.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0, "tool_output_tokens": 0},
        "total_tokens": generation.prompt_tokens + generation.completion_tokens,
    }


def message_start(generation: Generation) -> Json:
    """Build Anthropic's message as a stream opens with it: no content, no output yet."""
    return {
        "id": f"chatcmpl-{generation.request_id}",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": generation.model,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": generation.prompt_tokens, "output_tokens": 0},
    }


def message(generation: Generation) -> Json:
    """Build Anthropic's whole message."""
    whole = message_start(generation)
    del whole["stop_sequence"]
    cache = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {
        **whole,
        "content": [{"type": "text", "text": generation.text}],
        "stop_reason": "max_tokens" if generation.is_cut else "end_turn",
        "usage": {**whole["usage"], "output_tokens": generation.completion_tokens, **cache},
    }


def models(model: FakeModel) -> Json:
    """List the one model, as `/v1/models` does."""
    card = {"id": model.name, "object": "model", "created": CREATED, "owned_by": "vllm", "root": model.name}
    return {"object": "list", "data": [{**card, "parent": None, "max_model_len": model.max_model_len}]}
