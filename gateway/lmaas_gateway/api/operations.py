"""Routes for those who run the gateway: is it alive, is it ready, what does it count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from lmaas_gateway.api.callers import identify, require_sight
from lmaas_gateway.errors import GatewayError
from lmaas_gateway.metrics.exposition import CONTENT_TYPE, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from lmaas_gateway.identity.authenticator import Authenticator
    from lmaas_gateway.metrics import Metrics
    from lmaas_gateway.replicas.directory import Directory
    from lmaas_gateway.replicas.pool import Pool

_WELL = frozenset({"ready", "degraded", "stopped"})


class OperationRoutes:
    """Liveness, readiness and metrics.

    Args:
        authenticator: Knows the callers: metrics and details are for those with the key.
        directory: Knows the models.
        metrics: Knows the counts.
        is_stopping: Tells whether the gateway is about to stop.
        stores: Tells of each store whether it is asked (`closed`) or left alone since it fails (`open`). A
            gateway without its stores goes on serving, so it is ready all the same.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        directory: Directory,
        metrics: Metrics,
        *,
        is_stopping: Callable[[], bool],
        stores: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._is_stopping = is_stopping
        self._stores = stores
        self._authenticator = authenticator
        self._directory = directory
        self._metrics = metrics

    async def livez(self, request: Request) -> Response:
        """Answer while the process can answer at all; it depends on nothing else."""
        del request
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """Answer 200 while new calls are welcome and every model has a ready replica, else 503; say why.

        A model that an operator has stopped is as it should be.
        """
        is_stopping = self._is_stopping()
        is_ready = not is_stopping and all(pool.state in _WELL for pool in self._directory)
        status = "ready" if is_ready else "shutting down" if is_stopping else "not ready"
        body: dict[str, object] = {"status": status}
        if await self._may_see_details(request):
            body["models"] = {pool.name: describe(pool) for pool in self._directory}
            if stores := self._stores():
                body["stores"] = dict(stores)
        headers = {} if is_ready else {"retry-after": "5"}
        return JSONResponse(body, status_code=200 if is_ready else 503, headers=headers)

    async def metrics(self, request: Request) -> Response:
        """Answer in Prometheus' text format."""
        require_sight(await identify(self._authenticator, request))
        return Response(render(self._metrics), media_type=CONTENT_TYPE)

    async def _may_see_details(self, request: Request) -> bool:
        try:
            require_sight(await identify(self._authenticator, request))
        except GatewayError:
            # Also where the store that knows the key does not answer.
            return False
        return True


def describe(pool: Pool) -> dict[str, object]:
    """Write a pool's state, replica by replica."""
    body: dict[str, object] = {
        "state": pool.state,
        "replicas": [
            {
                "name": replica.name,
                "ready": replica.is_ready,
                "state": replica.state,
                "consecutive_failures": replica.breaker.consecutive_failures,
                "in_flight": replica.load()[1],
                "problem": replica.problem,
            }
            for replica in pool.replicas
        ],
    }
    launches = pool.launches()
    if launches:
        body["launches"] = [
            {"state": launch.state, "restarts": launch.restarts, "last_error": launch.last_error}
            for launch in launches
        ]
    return body
