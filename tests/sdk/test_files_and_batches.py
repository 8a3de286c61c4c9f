from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from lmaas import AsyncLMaaS, LMaaS

BASE = "http://lmaas.test/v1"
FILE = {"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a", "purpose": "batch"}
BATCH = {
    "id": "batch-1",
    "object": "batch",
    "endpoint": "/v1/completions",
    "completion_window": "24h",
    "input_file_id": "file-1",
    "status": "validating",
    "request_counts": {"total": 2, "completed": 0, "failed": 0},
    "errors": {"data": [{"code": "x", "line": 1}]},
}


@pytest.fixture
def client() -> LMaaS:
    return LMaaS(base_url=BASE, max_retries=0)


@pytest.fixture
def async_client() -> AsyncLMaaS:
    return AsyncLMaaS(base_url=BASE, max_retries=0)


def paged(item: dict[str, Any]) -> Callable[[httpx.Request], httpx.Response]:
    """Serve three items in pages of two."""

    def serve(request: httpx.Request) -> httpx.Response:
        ids = ["1", "2", "3"]
        after = request.url.params.get("after")
        left = ids[ids.index(after) + 1 :] if after else ids
        data = [{**item, "id": one} for one in left[:2]]
        body = {"object": "list", "data": data, "has_more": len(left) > 2}
        return httpx.Response(200, json=body, headers={"x-request-id": "r"})

    return serve


def test_file_goes_up_as_a_form_and_is_described(
    client: LMaaS, respx_mock: respx.MockRouter, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"custom_id": "1"}\n')
    route = respx_mock.post(f"{BASE}/files").mock(httpx.Response(200, json=FILE))
    file = client.files.create(file=path, purpose="batch", extra_body={"note": "n"})
    assert (file.id, file.bytes) == ("file-1", 3)
    request = route.calls.last.request
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert request.headers["idempotency-key"]
    assert b'filename="in.jsonl"' in request.content
    assert b'{"custom_id": "1"}\n' in request.content
    assert b'name="note"\r\n\r\nn' in request.content


def test_file_is_read_deleted_and_described(
    client: LMaaS, respx_mock: respx.MockRouter, tmp_path: Path
) -> None:
    respx_mock.get(f"{BASE}/files/file-1").mock(httpx.Response(200, json=FILE))
    content = httpx.Response(200, content="é".encode(), headers={"x-request-id": "r"})
    respx_mock.get(f"{BASE}/files/file-1/content").mock(content)
    gone = {"id": "file-1", "object": "file", "deleted": True}
    respx_mock.delete(f"{BASE}/files/file-1").mock(httpx.Response(200, json=gone))
    assert client.files.retrieve("file-1").filename == "a"
    said = client.files.content("file-1")
    said.write_to_file(tmp_path / "out")
    assert (said.text, said.read(), said.request_id) == ("é", "é".encode(), "r")
    assert (tmp_path / "out").read_bytes() == said.content
    assert client.files.delete("file-1").deleted


def test_iterating_a_listing_fetches_its_pages(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(url__startswith=f"{BASE}/files").mock(side_effect=paged(FILE))
    page = client.files.list(limit=2, purpose="batch", extra_query={"q": "1"})
    assert [file.id for file in page.data] == ["1", "2"]
    assert (page.has_more, page.request_id, route.call_count) == (True, "r", 1)
    assert [file.id for file in page] == ["1", "2", "3"]
    assert dict(route.calls.last.request.url.params) == {
        "limit": "2",
        "purpose": "batch",
        "after": "2",
        "q": "1",
    }
    last = page.get_next_page()
    assert not last.has_next_page()
    with pytest.raises(LookupError, match="last page"):
        last.get_next_page()


async def test_asynchronous_listing_is_awaited_or_iterated(
    async_client: AsyncLMaaS, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(url__startswith=f"{BASE}/files").mock(side_effect=paged(FILE))
    respx_mock.get(url__startswith=f"{BASE}/batches").mock(side_effect=paged(BATCH))
    assert [file.id async for file in async_client.files.list()] == ["1", "2", "3"]
    page = await async_client.batches.list(limit=2)
    assert [batch.id for batch in page.data] == ["1", "2"]
    assert [len(one.data) async for one in page.iter_pages()] == [2, 1]
    last = await page.get_next_page()
    with pytest.raises(LookupError, match="last page"):
        await last.get_next_page()


def test_page_that_promises_more_but_is_empty_is_the_last(
    client: LMaaS, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(f"{BASE}/batches").mock(httpx.Response(200, json={"data": [], "has_more": True}))
    assert list(client.batches.list()) == []


def test_batch_is_made_watched_and_cancelled(client: LMaaS, respx_mock: respx.MockRouter) -> None:
    made = respx_mock.post(f"{BASE}/batches").mock(httpx.Response(200, json=BATCH))
    respx_mock.get(f"{BASE}/batches/batch-1").mock(httpx.Response(200, json=BATCH))
    respx_mock.post(f"{BASE}/batches/batch-1/cancel").mock(
        httpx.Response(200, json={**BATCH, "status": "cancelling"})
    )
    client.batches.create(endpoint="/v1/completions", input_file_id="file-1", metadata={"a": "b"})
    assert json.loads(made.calls.last.request.content) == {
        "endpoint": "/v1/completions",
        "input_file_id": "file-1",
        "completion_window": "24h",
        "metadata": {"a": "b"},
    }
    batch = client.batches.retrieve("batch-1")
    assert batch.request_counts is not None
    assert batch.request_counts.total == 2
    assert client.batches.cancel("batch-1").status == "cancelling"
    with pytest.raises(TypeError, match="unknown parameter 'limits'"):
        client.batches.list(limits=2)  # type: ignore[call-arg]  # that is the point


async def test_asynchronous_twins_do_the_same(async_client: AsyncLMaaS, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(f"{BASE}/files").mock(httpx.Response(200, json=FILE))
    respx_mock.get(f"{BASE}/files/file-1").mock(httpx.Response(200, json=FILE))
    respx_mock.get(f"{BASE}/files/file-1/content").mock(httpx.Response(200, content=b"x"))
    gone = {"id": "file-1", "object": "file", "deleted": True}
    respx_mock.delete(f"{BASE}/files/file-1").mock(httpx.Response(200, json=gone))
    respx_mock.post(f"{BASE}/batches").mock(httpx.Response(200, json=BATCH))
    respx_mock.get(f"{BASE}/batches/batch-1").mock(httpx.Response(200, json=BATCH))
    respx_mock.post(f"{BASE}/batches/batch-1/cancel").mock(httpx.Response(200, json=BATCH))
    file = await async_client.files.create(file=b"x", purpose="batch")
    assert await async_client.files.retrieve(file.id) == file
    assert (await async_client.files.content(file.id)).content == b"x"
    assert (await async_client.files.delete(file.id)).deleted
    batch = await async_client.batches.create(endpoint="/v1/completions", input_file_id=file.id)
    assert await async_client.batches.retrieve(batch.id) == batch
    assert await async_client.batches.cancel(batch.id) == batch


def test_id_that_would_name_another_route_is_refused(client: LMaaS) -> None:
    with pytest.raises(ValueError, match="cannot be part of a URL"):
        client.files.delete("..")
