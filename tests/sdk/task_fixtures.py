"""Tasks over the fake engine, synchronous and asynchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmaas import AsyncLMaaS, LMaaS
from lmaas.tasks import AsyncTasks, Tasks
from sdk.fake_vllm import BASE, FakeEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    import respx


@pytest.fixture
def engine(respx_mock: respx.MockRouter) -> FakeEngine:
    respx_mock._assert_all_called = False  # most tests need only some of the routes
    return FakeEngine(respx_mock)


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[LMaaS]:
    with LMaaS(base_url=BASE, api_key=None, max_retries=0) as one:
        yield one


@pytest.fixture
def tasks(client: LMaaS) -> Tasks:
    return Tasks(client, model="m", embedding_model="e")


@pytest.fixture
def async_tasks(engine: FakeEngine) -> AsyncTasks:
    return AsyncTasks(AsyncLMaaS(base_url=BASE, api_key=None, max_retries=0), model="m", embedding_model="e")
