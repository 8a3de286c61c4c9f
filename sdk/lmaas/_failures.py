"""Turns what a server says of a failure into the right exception of the tree."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from lmaas import errors
from lmaas._limits import context_numbers, is_context_overflow, limit_name

ErrorT = TypeVar("ErrorT", bound=errors.APIError)

MAX_SHOWN_CHARS: Final = 200
"""How much is shown of a reply that cannot be understood."""

_BOOLEANS: Final = {"true": True, "false": False}

_BY_CODE: Final[dict[str, type[errors.APIError]]] = {
    "invalid_body": errors.BadRequestError,
    "invalid_header": errors.BadRequestError,
    "unsupported_route": errors.BadRequestError,
    "invalid_configuration": errors.BadRequestError,
    "parameter_not_allowed": errors.BadRequestError,
    "media_not_accepted": errors.BadRequestError,
    "invalid_request": errors.BadRequestError,
    "context_length_exceeded": errors.ContextLengthExceededError,
    "invalid_api_key": errors.AuthenticationError,
    "key_revoked": errors.AuthenticationError,
    "key_expired": errors.AuthenticationError,
    "permission_denied": errors.PermissionDeniedError,
    "model_not_permitted": errors.PermissionDeniedError,
    "route_not_permitted": errors.PermissionDeniedError,
    "address_not_permitted": errors.PermissionDeniedError,
    "not_found": errors.NotFoundError,
    "model_not_found": errors.ModelNotFoundError,
    "invalid_idempotency_key": errors.BadRequestError,
    "idempotency_in_flight": errors.ConflictError,
    "idempotency_mismatch": errors.UnprocessableEntityError,
    "replica_not_found": errors.NotFoundError,
    "object_not_found": errors.NotFoundError,
    "conflict": errors.ConflictError,
    "method_not_allowed": errors.MethodNotAllowedError,
    "request_timeout": errors.RequestTimeoutError,
    "body_too_large": errors.ContentTooLargeError,
    "uri_too_long": errors.BadRequestError,
    "unsupported_encoding": errors.BadRequestError,
    "headers_too_large": errors.BadRequestError,
    "rate_limit_exceeded": errors.RateLimitError,
    "insufficient_quota": errors.RateLimitError,
    "queue_share_full": errors.RateLimitError,
    "internal_error": errors.InternalServerError,
    "bad_replica_reply": errors.BadGatewayError,
    "replica_error": errors.BadGatewayError,
    "stream_interrupted": errors.StreamInterruptedError,
    "model_not_ready": errors.ServiceUnavailableError,
    "replica_unavailable": errors.ServiceUnavailableError,
    "replica_busy": errors.ServiceUnavailableError,
    "model_failed": errors.ServiceUnavailableError,
    "model_stopped": errors.ServiceUnavailableError,
    "too_many_connections": errors.ServiceUnavailableError,
    "bodies_full": errors.ServiceUnavailableError,
    "queue_full": errors.ServiceUnavailableError,
    "queue_wait_too_long": errors.ServiceUnavailableError,
    "queue_timeout": errors.ServiceUnavailableError,
    "limits_full": errors.ServiceUnavailableError,
    "call_shed": errors.ServiceUnavailableError,
    "books_full": errors.ServiceUnavailableError,
    "authentication_busy": errors.ServiceUnavailableError,
    "server_shutting_down": errors.ServiceUnavailableError,
    "store_unavailable": errors.ServiceUnavailableError,
    "replica_timeout": errors.GatewayTimeoutError,
    "deadline_exceeded": errors.GatewayTimeoutError,
}


_BY_STATUS: Final = {
    cls.status: cls
    for cls in (
        errors.BadRequestError,
        errors.AuthenticationError,
        errors.PermissionDeniedError,
        errors.NotFoundError,
        errors.MethodNotAllowedError,
        errors.RequestTimeoutError,
        errors.ConflictError,
        errors.ContentTooLargeError,
        errors.UnprocessableEntityError,
        errors.RateLimitError,
        errors.BadGatewayError,
        errors.ServiceUnavailableError,
        errors.GatewayTimeoutError,
    )
}


class Call(Protocol):
    """What an error tells of a request."""

    @property
    def url(self) -> str:
        """Where it goes; its query is not shown."""
        ...

    @property
    def label(self) -> str:
        """The call in words that may be shown, such as "POST /v1/completions"."""
        ...

    @property
    def secret(self) -> str:
        """The key of the call, which must not be shown; "" for none."""
        ...


class Exchange(Protocol):
    """What a failure is read from: the parts of a reply that name it."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Header values by lower-case name."""
        ...

    @property
    def label(self) -> str:
        """The call in words that may be shown, such as "POST /v1/completions"."""
        ...

    @property
    def secret(self) -> str:
        """The key of the call, which must not be shown; "" for none."""
        ...


def status_error(reply: Exchange, content: bytes, now: datetime) -> errors.APIStatusError:
    """Make the error for a reply whose status is not 2xx. `now` serves where the reply has no Date."""
    fault = _fault(content)
    cls = _class_for_status(reply.status_code, None if fault is None else fault.get("code"))
    message = _message(fault) or _not_understood(reply)
    if cls is errors.BadRequestError and is_context_overflow(message):
        cls = errors.ContextLengthExceededError
    body = None if fault else _shown(content, reply.secret)
    error = cls(
        _redacted(_with_remedy(message, fault, cls), reply.secret),
        status_code=reply.status_code,
        request_id=reply.headers.get("x-request-id"),
        retry_after_s=retry_after_s(reply.headers, now),
        should_retry=_BOOLEANS.get(reply.headers.get("x-should-retry", "").lower()),
        body=body,
        type=_field(fault, "type"),
        param=_field(fault, "param"),
        code=_field(fault, "code"),
    )
    return _detailed(error, fault, reply.headers)


def event_error(reply: Exchange, data: str, *, is_error_event: bool = False) -> errors.APIError | None:
    """Make the error for an event, or a body, that carries one in any of the dialects; None if it has none.

    `is_error_event` says that the event's own type is "error": then its data is a fault, whatever its shape.
    """
    fault = _fault(data.encode("utf-8", "replace"))
    if fault is None:
        if not is_error_event:
            return None
        fault = {"message": data[:MAX_SHOWN_CHARS]}
    cls = _class_for_event(fault.get("code"))
    should_retry = fault.get("retryable")
    message = _message(fault) or "The server reported an error without saying which."
    if cls is errors.BadRequestError and is_context_overflow(message):
        cls = errors.ContextLengthExceededError
    error = cls(
        _redacted(message, reply.secret),
        status_code=cls.status if issubclass(cls, errors.APIStatusError) else None,
        request_id=reply.headers.get("x-request-id"),
        should_retry=should_retry if isinstance(should_retry, bool) else None,
        type=_field(fault, "type"),
        param=_field(fault, "param"),
        code=_field(fault, "code"),
    )
    return _detailed(error, fault, reply.headers)


def validation_error(reply: Exchange, content: bytes, expected: str) -> errors.APIResponseValidationError:
    """Make the error for a 2xx reply that is not `expected`."""
    kind = reply.headers.get("content-type", "no content type")
    return errors.APIResponseValidationError(
        f"The reply to {reply.label} is not {expected} ({kind}). Is base_url an OpenAI-compatible API?",
        status_code=reply.status_code,
        request_id=reply.headers.get("x-request-id"),
        body=_shown(content, reply.secret),
    )


def not_connected(request: Call, exc: Exception) -> errors.APIConnectionError:
    """Make the error for a connection that could not be made."""
    parts = urlsplit(request.url)
    address = f"{parts.scheme}://{parts.netloc}"
    return errors.APIConnectionError(f"No connection to {address}: {exc}. Is the server running there?")


def connection_broke(request: Call, exc: Exception) -> errors.APIConnectionError:
    """Make the error for a connection that was lost, or that brought something other than HTTP."""
    what = _redacted(str(exc) or type(exc).__name__, request.secret)
    return errors.APIConnectionError(f"The connection broke during {request.label}: {what}.")


def not_understood(request: Call, exc: Exception) -> errors.APIConnectionError:
    """Make the error for a request that cannot be sent, or a body that cannot be read, now or later."""
    what = _redacted(str(exc) or type(exc).__name__, request.secret)
    return errors.APIConnectionError(f"{request.label} failed: {what}.", should_retry=False)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read how long to wait: `retry-after-ms`, or `Retry-After` as seconds or date; None if unreadable.

    A date counts from the reply's own Date, so that clocks that differ do no harm. Fewer than no seconds, and
    anything else that is not of these forms, is as if nothing had been said.

    Source: RFC 9110 §10.2.3.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    until = _date(value)
    return None if until is None else max(0.0, (until - (_date(headers.get("date")) or now)).total_seconds())


def _detailed(error: ErrorT, fault: Mapping[str, Any] | None, headers: Mapping[str, str]) -> ErrorT:
    """Fill in what only some classes have."""
    if isinstance(error, errors.RateLimitError):
        error.limit = limit_name(fault or {}, headers)
    if isinstance(error, errors.ContextLengthExceededError):
        error.max_model_len, error.requested_tokens = context_numbers(error.message)
    return error


def _with_remedy(message: str, fault: Mapping[str, Any] | None, cls: type[errors.APIStatusError]) -> str:
    # A server that classes its faults words them too; a bare "Unauthorized" says too little.
    is_worded = fault is not None and bool(fault.get("code") or fault.get("type"))
    return message if is_worded or not cls.remedy else f"{message.rstrip('.')}. {cls.remedy}"


def _class_for_status(status: int, code: object) -> type[errors.APIStatusError]:
    general = errors.InternalServerError if status >= 500 else errors.APIStatusError
    by_status = _BY_STATUS.get(status, general)
    by_code = _BY_CODE.get(code) if isinstance(code, str) else None
    return by_code if by_code is not None and issubclass(by_code, by_status) else by_status


def _class_for_event(code: object) -> type[errors.APIError]:
    # The status has gone out as 200: the code decides, and vLLM gives the status there as a number.
    if isinstance(code, int) and code >= 400:
        return _class_for_status(code, None)
    by_code = _BY_CODE.get(code) if isinstance(code, str) else None
    return by_code or errors.StreamInterruptedError


def _fault(content: bytes) -> dict[str, Any] | None:
    """Find the error object in a body, whatever its dialect."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {**body, "message": error}
    if body.get("object") == "error":
        return body
    return {"message": body["detail"]} if isinstance(body.get("detail"), str) else None


def _message(fault: Mapping[str, Any] | None) -> str | None:
    message = None if fault is None else fault.get("message")
    return message if isinstance(message, str) and message else None


def _field(fault: Mapping[str, Any] | None, name: str) -> str | None:
    value = None if fault is None else fault.get(name)
    return None if value is None else str(value)


def _not_understood(reply: Exchange) -> str:
    try:
        phrase = HTTPStatus(reply.status_code).phrase
    except ValueError:
        phrase = "no known status"
    return f"{reply.label} was answered with {reply.status_code} ({phrase}) and no error object."


def _redacted(text: str, secret: str) -> str:
    return text.replace(secret, "***") if secret else text


def _shown(content: bytes, secret: str) -> str:
    return _redacted(content.decode("utf-8", "replace"), secret)[:MAX_SHOWN_CHARS]


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    # Python reads "1_0" as ten; no server means that.
    return number if math.isfinite(number) and number >= 0 and "_" not in (text or "") else None


def _date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
