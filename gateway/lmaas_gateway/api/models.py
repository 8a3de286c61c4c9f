"""`/v1/models`: what is served here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from lmaas_gateway.api.callers import identify
from lmaas_gateway.replicas.directory import paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.identity.authenticator import Authenticator
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.replicas.pool import Pool


class ModelRoutes:
    """The two model routes of OpenAI's API.

    Args:
        authenticator: Knows the callers.
        directory: Knows the models.
    """

    def __init__(self, authenticator: Authenticator, directory: Directory) -> None:
        self._authenticator = authenticator
        self._directory = directory

    def routes(self) -> Iterator[Route]:
        """List them for Starlette."""
        yield Route("/v1/models", self.list_models)
        yield Route("/v1/models/{model:path}", self.retrieve_model)

    async def list_models(self, request: Request) -> Response:
        """Answer `GET /v1/models`: what the caller's key may call."""
        principal = await identify(self._authenticator, request)
        data = [describe(name, pool) for name, pool in self._directory.permitted(principal.scopes).items()]
        return JSONResponse({"object": "list", "data": data})

    async def retrieve_model(self, request: Request) -> Response:
        """Answer `GET /v1/models/{id}`."""
        principal = await identify(self._authenticator, request)
        name = request.path_params["model"]
        return JSONResponse(describe(name, self._directory.find(name, scopes=principal.scopes)))


def describe(name: str, pool: Pool) -> dict[str, object]:
    """Write a model as OpenAI's model object, with vLLM's `max_model_len` and what else a client must know.

    Args:
        name: One of the model's names; `root` tells, as vLLM does, the one that stands behind it.
        pool: Serves it.
    """
    return {
        "id": name,
        "root": pool.name,
        "object": "model",
        "created": pool.created,
        "owned_by": pool.owned_by,
        "max_model_len": pool.max_model_len,
        "kind": pool.kind,
        "routes": list(paths_of(pool.kind)),
        "state": pool.state,
    }
