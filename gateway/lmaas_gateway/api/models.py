"""`/v1/models`: what is served here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from lmaas_gateway.replicas.directory import paths_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from lmaas_gateway.auth import Authenticator
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

    async def list_models(self, request: Request) -> Response:
        """Answer `GET /v1/models`."""
        self._authenticator.identify(request.scope["headers"])
        return JSONResponse({"object": "list", "data": [describe(pool) for pool in self._directory]})

    async def retrieve_model(self, request: Request) -> Response:
        """Answer `GET /v1/models/{id}`."""
        self._authenticator.identify(request.scope["headers"])
        return JSONResponse(describe(self._directory.find(request.path_params["model"])))


def describe(pool: Pool) -> dict[str, object]:
    """Write a pool as OpenAI's model object, with vLLM's `max_model_len` and what else a client must know."""
    return {
        "id": pool.name,
        "object": "model",
        "created": pool.created,
        "owned_by": pool.owned_by,
        "max_model_len": pool.max_model_len,
        "kind": pool.kind,
        "routes": list(paths_of(pool.kind)),
        "state": pool.state,
    }
