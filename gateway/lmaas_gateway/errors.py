"""Every error that a caller can get from the gateway, as one tree.

    GatewayError                      status  type                   code
      BadRequestError                 400     invalid_request_error  -
        InvalidBodyError              400     invalid_request_error  invalid_body
        InvalidHeaderError            400     invalid_request_error  invalid_header
        UnsupportedRouteError         400     invalid_request_error  unsupported_route
        ParameterNotAllowedError      400     invalid_request_error  parameter_not_allowed
        MediaError                    400     invalid_request_error  media_not_accepted
        InvalidIdempotencyKeyError    400     invalid_request_error  invalid_idempotency_key
        InvalidConfigurationError     400     invalid_request_error  invalid_configuration
      AuthenticationError             401     authentication_error   invalid_api_key
        KeyRevokedError               401     authentication_error   key_revoked
        KeyExpiredError               401     authentication_error   key_expired
      PermissionDeniedError           403     permission_error       permission_denied
        ModelNotPermittedError        403     permission_error       model_not_permitted
        RouteNotPermittedError        403     permission_error       route_not_permitted
        AddressNotPermittedError      403     permission_error       address_not_permitted
      NotFoundError                   404     invalid_request_error  not_found
        ModelNotFoundError            404     invalid_request_error  model_not_found
        ReplicaNotFoundError          404     invalid_request_error  replica_not_found
        ObjectNotFoundError           404     invalid_request_error  object_not_found
      MethodNotAllowedError           405     invalid_request_error  method_not_allowed
      RequestTimeoutError             408     invalid_request_error  request_timeout
      IdempotencyInFlightError        409     invalid_request_error  idempotency_in_flight
      ConflictError                   409     invalid_request_error  conflict
      BodyTooLargeError               413     invalid_request_error  body_too_large
      UriTooLongError                 414     invalid_request_error  uri_too_long
      UnsupportedEncodingError        415     invalid_request_error  unsupported_encoding
      IdempotencyMismatchError        422     invalid_request_error  idempotency_mismatch
      QueueShareFullError             429     rate_limit_error       queue_share_full
      RateLimitError                  429     rate_limit_error       rate_limit_exceeded
      QuotaExceededError              429     insufficient_quota     insufficient_quota
      HeadersTooLargeError            431     invalid_request_error  headers_too_large
      InternalError                   500     api_error              internal_error
      BadReplicaReplyError            502     api_error              bad_replica_reply
      StreamInterruptedError          502     api_error              stream_interrupted
      ReplicaRefusalError             4xx     invalid_request_error  invalid_request, context_length_exceeded
                                      502     api_error              replica_error
                                      503     api_error              replica_busy
      ModelNotReadyError              503     api_error              model_not_ready
      ReplicaUnavailableError         503     api_error              replica_unavailable
      ModelFailedError                503     api_error              model_failed
      ModelStoppedError               503     api_error              model_stopped
      TooManyConnectionsError         503     api_error              too_many_connections
      BodiesFullError                 503     api_error              bodies_full
      QueueFullError                  503     api_error              queue_full
      QueueWaitError                  503     api_error              queue_wait_too_long
      QueueTimeoutError               503     api_error              queue_timeout
      CallShedError                   503     api_error              call_shed
      BooksFullError                  503     api_error              books_full
      AuthenticationBusyError         503     api_error              authentication_busy
      LimitsFullError                 503     api_error              limits_full
      ServerShuttingDownError         503     api_error              server_shutting_down
      StoreUnavailableError           503     api_error              store_unavailable
      ReplicaTimeoutError             504     api_error              replica_timeout
        DeadlineExceededError         504     api_error              deadline_exceeded
    SettingsError                     (a setting that cannot work; never reaches a caller)
    VaultError                        (what is sealed cannot be opened; never reaches a caller)

Messages are for callers: they never hold a path, an address, a secret or a prompt.
"""

from __future__ import annotations

# Statuses that always come with a time after which to retry.
_OF_THE_MOMENT = frozenset({429, 503})


class GatewayError(Exception):
    """An answer other than 2xx: OpenAI's error object and its HTTP status.

    Attributes:
        message: What was wrong, where, and what to do.
        param: The request field at fault, if one is.
        retry_after_s: Seconds after which a retry makes sense, if it does.
        should_retry: Whether the client should try again, where status and code do not say enough.
    """

    status: int = 500
    type: str = "api_error"
    code: str | None = None
    should_retry: bool | None = None

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may go well later."""
        return self.status >= 500 or self.status == 429 if self.should_retry is None else self.should_retry

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if retry_after_s is None and self.status in _OF_THE_MOMENT:
            retry_after_s = 1
        self.retry_after_s = retry_after_s


class BadRequestError(GatewayError):
    """The request cannot be served as it is."""

    status = 400
    type = "invalid_request_error"


class InvalidBodyError(BadRequestError):
    """The body is not the JSON object that the route takes."""

    code = "invalid_body"


class InvalidHeaderError(BadRequestError):
    """A header that the gateway acts on has a value that cannot be used."""

    code = "invalid_header"


class UnsupportedRouteError(BadRequestError):
    """The model exists, but not for this kind of call."""

    code = "unsupported_route"


class InvalidIdempotencyKeyError(BadRequestError):
    """The `Idempotency-Key` header is not 1 to 255 visible characters."""

    code = "invalid_idempotency_key"


class InvalidConfigurationError(BadRequestError):
    """An operator asked for a configuration that cannot work; the old one goes on serving."""

    code = "invalid_configuration"


class ParameterNotAllowedError(BadRequestError):
    """A field that the operator does not let callers set."""

    code = "parameter_not_allowed"


class MediaError(BadRequestError):
    """Media that is not fetched here, cannot be had, or is not what it should be."""

    code = "media_not_accepted"


class AuthenticationError(GatewayError):
    """No key, or not the right one."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class KeyRevokedError(AuthenticationError):
    """The key was valid once; ends running streams too, if `identity.running_streams` says so."""

    code = "key_revoked"


class KeyExpiredError(AuthenticationError):
    """The key's, or the token's, time is over; ends running streams as a revocation does."""

    code = "key_expired"


class PermissionDeniedError(GatewayError):
    """Who asks is known, and may not do this."""

    status = 403
    type = "permission_error"
    code = "permission_denied"


class ModelNotPermittedError(PermissionDeniedError):
    """The key's scopes do not hold the model, whether or not there is one of that name."""

    code = "model_not_permitted"


class RouteNotPermittedError(PermissionDeniedError):
    """The key's scopes do not hold the route."""

    code = "route_not_permitted"


class AddressNotPermittedError(PermissionDeniedError):
    """The key's scopes do not hold the address that the call comes from."""

    code = "address_not_permitted"


class NotFoundError(GatewayError):
    """No such route."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    """No model of that name is served here."""

    code = "model_not_found"


class ReplicaNotFoundError(NotFoundError):
    """No replica has that name."""

    code = "replica_not_found"


class ObjectNotFoundError(NotFoundError):
    """The caller's organization has no object of that id."""

    code = "object_not_found"


class MethodNotAllowedError(GatewayError):
    """The route exists, but not with this HTTP method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeoutError(GatewayError):
    """The client did not send its request in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class IdempotencyInFlightError(GatewayError):
    """A call with the same `Idempotency-Key` and body is still under way."""

    status = 409
    type = "invalid_request_error"
    code = "idempotency_in_flight"


class ConflictError(GatewayError):
    """What is to be made is there already, or is not in a state for it."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class IdempotencyMismatchError(GatewayError):
    """The `Idempotency-Key` was used with another body."""

    status = 422
    type = "invalid_request_error"
    code = "idempotency_mismatch"


class BodyTooLargeError(GatewayError):
    """The body is longer than `max_body_bytes`."""

    status = 413
    type = "invalid_request_error"
    code = "body_too_large"


class UriTooLongError(GatewayError):
    """The request target is longer than any route here."""

    status = 414
    type = "invalid_request_error"
    code = "uri_too_long"


class UnsupportedEncodingError(GatewayError):
    """The body is compressed: it could unpack to any size, so it is not unpacked."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_encoding"


class HeadersTooLargeError(GatewayError):
    """The request's head is too long, or has too many headers."""

    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"


class QueueShareFullError(GatewayError):
    """The caller's own waiting calls fill its share of the model's queue."""

    status = 429
    type = "rate_limit_error"
    code = "queue_share_full"


class RateLimitError(GatewayError):
    """A limit of the caller's key, person, project or organization, or of the model, leaves no room."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class QuotaExceededError(GatewayError):
    """A limit on money leaves no room until its day or month is over."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class InternalError(GatewayError):
    """A fault of the gateway itself."""

    code = "internal_error"


class BadReplicaReplyError(GatewayError):
    """A replica answered with something that is not a reply."""

    status = 502
    code = "bad_replica_reply"


class ReplicaRefusalError(GatewayError):
    """A replica answered with an error; its status is kept where it is about the request."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.status = status
        # Of the 5xx only 501 is about the request: to ask again is of no use.
        is_about_request = status < 500 or status == 501
        self.type = "invalid_request_error" if is_about_request else "api_error"
        if status == 501:
            self.should_retry = False
        if is_about_request:
            self.code = (
                "context_length_exceeded" if "maximum context length" in message else "invalid_request"
            )
        else:
            self.code = "replica_busy" if status == 503 else "replica_error"


class StreamInterruptedError(GatewayError):
    """A stream broke after its first byte; sent as an error event, since the status has gone out."""

    status = 502
    code = "stream_interrupted"
    should_retry = True


class ModelNotReadyError(GatewayError):
    """The model's replicas are still starting."""

    status = 503
    code = "model_not_ready"


class ReplicaUnavailableError(GatewayError):
    """No replica of the model could take the call."""

    status = 503
    code = "replica_unavailable"


class ModelFailedError(GatewayError):
    """The model's replicas could not be started, and are no longer tried."""

    status = 503
    code = "model_failed"
    should_retry = False


class ModelStoppedError(GatewayError):
    """An operator has stopped the model."""

    status = 503
    code = "model_stopped"
    should_retry = False


class TooManyConnectionsError(GatewayError):
    """This address, or all together, hold as many connections as they may."""

    status = 503
    code = "too_many_connections"


class BodiesFullError(GatewayError):
    """Too many long bodies are held for calls that are under way (`connections.max_bodies_bytes`)."""

    status = 503
    code = "bodies_full"


class QueueFullError(GatewayError):
    """The model's queue is full."""

    status = 503
    code = "queue_full"


class QueueWaitError(GatewayError):
    """At the pace of the model the call would wait for longer than `queue.timeout_s`."""

    status = 503
    code = "queue_wait_too_long"


class QueueTimeoutError(GatewayError):
    """The call waited for `queue.timeout_s`, and its turn did not come."""

    status = 503
    code = "queue_timeout"


class CallShedError(GatewayError):
    """The call waited and made way for one of a higher priority, since the queue was full."""

    status = 503
    code = "call_shed"


class BooksFullError(GatewayError):
    """What the call would cost could not be written down, and the operator wants no call that is not."""

    status = 503
    code = "books_full"


class AuthenticationBusyError(GatewayError):
    """So many unknown keys are tried that the store is not asked for this one."""

    status = 503
    code = "authentication_busy"


class LimitsFullError(GatewayError):
    """A limit cannot be kept, for want of counters (`limits.max_counters`)."""

    status = 503
    code = "limits_full"


class ServerShuttingDownError(GatewayError):
    """The gateway is stopping and cannot wait for this call any longer."""

    status = 503
    code = "server_shutting_down"
    should_retry = True


class StoreUnavailableError(GatewayError):
    """The database, or Valkey, is down, too slow, or refuses the work."""

    status = 503
    code = "store_unavailable"


class ReplicaTimeoutError(GatewayError):
    """A replica did not answer within its deadline."""

    status = 504
    code = "replica_timeout"


class DeadlineExceededError(ReplicaTimeoutError):
    """The call's deadline, which its client or `timeouts.total_s` set, has passed."""

    code = "deadline_exceeded"
    should_retry = False


class SettingsError(Exception):
    """A setting that cannot work; the message says which and what to do."""


class VaultError(Exception):
    """A key is not here, or what was sealed with it is not what it was; the message is for operators."""
