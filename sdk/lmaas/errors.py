"""Every error that this package raises, as one tree.

    LMaaSError
      ConfigurationError              the client cannot work as it was set up
      APIError                        a call failed
        APIConnectionError            no reply, or it broke off
          APITimeoutError             a deadline passed: `deadline` says which
        APIResponseValidationError    a reply that is not what the API defines
        StreamError                   a stream failed after its first byte; `partial_text` is what it had said
          StreamInterruptedError      it broke: an error event, or the connection
          StreamTruncatedError        it ended too early, as if it were whole
        APIStatusError                a status other than 2xx
          BadRequestError             400
          AuthenticationError         401
          PermissionDeniedError       403
          NotFoundError               404
            ModelNotFoundError        404  code "model_not_found"
          MethodNotAllowedError       405
          RequestTimeoutError         408
          ConflictError               409
          ContentTooLargeError        413
          UnprocessableEntityError    422
          RateLimitError              429
          InternalServerError         5xx
            BadGatewayError           502
            ServiceUnavailableError   503
            GatewayTimeoutError       504

All can be pickled, and none holds a key, a header or a prompt.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

Deadline: TypeAlias = Literal["total", "connect", "pool", "first_token", "inter_token"]
"""The timers of a call, by the names of the fields of `Timeout`; "pool" is the wait for a free connection."""


class LMaaSError(Exception):
    """The base of all of them."""


class ConfigurationError(LMaaSError, ValueError):
    """An option of the client that cannot work; the message says which and what to do."""


class APIError(LMaaSError):
    """A call failed.

    Attributes:
        message: What was wrong and, where known, what to do.
        status_code: The HTTP status; None when there was none, or when it was a 200 that told nothing.
        type: OpenAI's class of error, as the server named it.
        param: The parameter at fault, if the server named one.
        code: The server's name for the exact fault; what programs should compare.
        request_id: The `x-request-id` of the reply: quote it when asking the operator.
        retry_after_s: Seconds that the server asks to wait before a next try.
        should_retry: What the server said of retrying (`x-should-retry`); None if nothing.
        body: The beginning of a reply that could not be understood.
        partial_text: What the first choice of a stream had said when it failed; None outside streams.
    """

    default_is_retryable: ClassVar[bool] = False

    def __init__(  # one plain value a field, so that pickling needs no code  # noqa: PLR0913
        self,
        message: str,
        *,
        status_code: int | None = None,
        type: str | None = None,  # noqa: A002 - the wire's name
        param: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        body: str | None = None,
        partial_text: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.type = type
        self.param = param
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.body = body
        self.partial_text = partial_text

    @property
    def is_retryable(self) -> bool:
        """Whether the same call, sent again, may succeed: the server's word, else the kind of error."""
        return self.default_is_retryable if self.should_retry is None else self.should_retry

    def __str__(self) -> str:
        return f"{self.message} (request id {self.request_id})" if self.request_id else self.message

    def __repr__(self) -> str:
        shown = ("status_code", "code", "request_id", "retry_after_s")
        facts = [f"{name}={value!r}" for name in shown if (value := getattr(self, name)) is not None]
        return f"{type(self).__name__}({', '.join([repr(self.message), *facts])})"


class APIConnectionError(APIError):
    """The server could not be reached, or hung up before its reply was complete."""

    default_is_retryable = True


class APITimeoutError(APIConnectionError):
    """A deadline passed.

    Attributes:
        deadline: Which one, by its name in `Timeout`.
    """

    deadline: Deadline = "total"


class APIResponseValidationError(APIError):
    """The server's reply is not what the API defines: HTML, broken JSON, or an object without its fields."""


class StreamError(APIError):
    """A stream failed after its first byte. The client never repeats such a call on its own."""


class StreamInterruptedError(StreamError):
    """A stream broke: the server sent an error in place of the rest, or the connection was lost."""

    default_is_retryable = True


class StreamTruncatedError(StreamError):
    """A stream ended without `[DONE]`, or without the finish reason of a choice: the answer is not whole."""

    default_is_retryable = True


class APIStatusError(APIError):
    """The server answered with a status other than 2xx."""

    status: ClassVar[int] = 0


class BadRequestError(APIStatusError):
    """The request cannot be served as it is."""

    status = 400


class AuthenticationError(APIStatusError):
    """No key, or not the right one."""

    status = 401


class PermissionDeniedError(APIStatusError):
    """The key is good, but not for this."""

    status = 403


class NotFoundError(APIStatusError):
    """No such route or object."""

    status = 404


class ModelNotFoundError(NotFoundError):
    """The server serves no model of that name."""


class MethodNotAllowedError(APIStatusError):
    """The route exists, but not with this HTTP method."""

    status = 405


class RequestTimeoutError(APIStatusError):
    """The server waited too long for the request."""

    status = 408
    default_is_retryable = True


class ConflictError(APIStatusError):
    """The call collides with another one, such as its own twin that is still running."""

    status = 409
    default_is_retryable = True


class ContentTooLargeError(APIStatusError):
    """The request body is longer than the server takes."""

    status = 413


class UnprocessableEntityError(APIStatusError):
    """The request is well formed, but its values do not fit together."""

    status = 422


class RateLimitError(APIStatusError):
    """Too many requests or tokens; `retry_after_s` says for how long, if the server did."""

    status = 429
    default_is_retryable = True


class InternalServerError(APIStatusError):
    """The server failed."""

    status = 500
    default_is_retryable = True


class BadGatewayError(InternalServerError):
    """A replica behind the server answered with something that is no reply."""

    status = 502


class ServiceUnavailableError(InternalServerError):
    """The server, or the model's replicas, cannot take calls now."""

    status = 503


class GatewayTimeoutError(InternalServerError):
    """A replica behind the server did not answer in time."""

    status = 504
