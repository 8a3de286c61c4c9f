"""`/admin/v1/`: organizations, projects, members, keys, limits, books and the audit trail.

The routes are those of `administration/operations.py`; what each does stands in the service that it names.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import StreamingResponse
from starlette.routing import Route

from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.files import File
from lmaas_gateway.administration.operations import OPERATIONS
from lmaas_gateway.api.answering import NO_STORE, answer
from lmaas_gateway.api.reading import read_body, read_query
from lmaas_gateway.errors import InvalidIdempotencyKeyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.administration.open_services import Served
    from lmaas_gateway.administration.operations import Operation
    from lmaas_gateway.administration.requests import InOrganization
    from lmaas_gateway.api.actors import ActorReader

PREFIX = "/admin/v1"

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class TenantRoutes:
    """The routes of administrators.

    Args:
        services: Do what is asked for.
        actors: Finds out who asks.
        operations: Those that the services do.
    """

    def __init__(
        self,
        services: Served,
        actors: ActorReader,
        operations: Sequence[Operation] = OPERATIONS,
    ) -> None:
        self._services = services
        self._actors = actors
        self._operations = operations

    def routes(self) -> Iterator[Route]:
        """List them for Starlette."""
        for operation in self._operations:
            endpoint = functools.partial(self._serve, operation)
            yield Route(PREFIX + operation.path, endpoint, methods=[operation.method])

    async def _serve(self, operation: Operation, request: Request) -> Response:
        caller = await self._actors.identify(request)
        query = cast("InOrganization", read_query(request, operation.query))
        actor = await self._actors.admit(caller, query.organization, _read_idempotency_key(request))
        # Each service asks again, for what it knows better.
        actor.require_any(operation.needs)
        arguments: list[Any] = []
        if operation.has_id:
            arguments.append(_read_id(operation, request))
        if operation.has_query:
            arguments.append(query)
        if operation.body is not None:
            arguments.append(await read_body(request, operation.body))
        done = await self._services.method(operation)(actor, *arguments)
        if isinstance(done, File):
            return await _send(done)
        return answer(done, operation.status)


async def _send(file: File) -> Response:
    # With the first piece it is known that there will be a file, and a status can say so.
    first = await anext(file.pieces, b"")
    headers = {**NO_STORE, "content-disposition": f'attachment; filename="{file.name}"'}
    return StreamingResponse(_from(first, file), media_type=file.media_type, headers=headers)


async def _from(first: bytes, file: File) -> AsyncIterator[bytes]:
    yield first
    async for piece in file.pieces:
        yield piece


def _read_id(operation: Operation, request: Request) -> str:
    id_: str = request.path_params["id"]
    if _ID.fullmatch(id_) is None:
        raise no_such(operation.path.split("/")[1].removesuffix("s"), id_[:128])
    return id_


def _read_idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if key and _IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise InvalidIdempotencyKeyError(
            "`Idempotency-Key` must be 1 to 255 printable characters of ASCII without blanks.",
            param="Idempotency-Key",
        )
    return key
