"""`from lmaas import LMaaS as OpenAI`: ordinary programs see the same from both libraries."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import io
import threading
from collections.abc import Iterator

import httpx
import pytest

from lmaas_gateway.testing import FakeModel, FakeReplica
from sdk.drop_in_corpus import EMBEDDING_PROGRAMS, PROGRAMS, STATUS_PROGRAM, STATUSES

# Programs leave their clients open, as users do.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

CHANGES = [
    ("from openai import OpenAI", "from lmaas import LMaaS as OpenAI"),
    ("from openai import AsyncOpenAI", "from lmaas import AsyncLMaaS as AsyncOpenAI"),
    ("import openai", "import lmaas as openai"),
    ("import httpx, openai", "import httpx; import lmaas as openai"),
]


@contextlib.contextmanager
def replica_in_thread(model: FakeModel) -> Iterator[str]:
    """Serve a scripted vLLM beside the test, for programs that run event loops of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(5)  # type: ignore[arg-type]  # start and stop

    replica = FakeReplica(model)
    try:
        run(replica.start())
        yield f"{replica.url}/v1"
        run(replica.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.fixture(scope="module")
def chat_url() -> Iterator[str]:
    with replica_in_thread(FakeModel("m")) as url:
        yield url


@pytest.fixture(scope="module")
def embedding_url() -> Iterator[str]:
    with replica_in_thread(FakeModel("m", "embedding")) as url:
        yield url


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "LMAAS_API_KEY"):
        monkeypatch.setenv(name, "k")


def changed(program: str) -> str:
    """Change a program's imports, and nothing else."""
    lines = program.splitlines()
    for old, new in CHANGES:
        lines = [new if line == old else line for line in lines]
    return "\n".join(lines)


def printed(program: str, url: str, monkeypatch: pytest.MonkeyPatch, **names: object) -> str:
    for name in ("OPENAI_BASE_URL", "LMAAS_BASE_URL"):
        monkeypatch.setenv(name, url)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "program", "exec"), {"MODEL": "m", "__name__": "__main__", **names})
    return out.getvalue()


def both(program: str, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    # openai has moved on to httpx2; a program brings the httpx that its library takes.
    httpx2 = importlib.import_module("httpx2")
    theirs = printed(program, url, monkeypatch, HTTPX=httpx2, TIMEOUT=None)
    timeout = httpx.Timeout(60.0, connect=2.0)
    ours = printed(changed(program), url, monkeypatch, HTTPX=httpx, TIMEOUT=timeout)
    gc.collect()
    return theirs, ours


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_sees_the_same_from_both(name: str, chat_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = both(PROGRAMS[name], chat_url, monkeypatch)
    assert theirs
    assert ours == theirs


@pytest.mark.parametrize("name", EMBEDDING_PROGRAMS)
def test_embeddings_are_the_same_from_both(
    name: str, embedding_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = both(EMBEDDING_PROGRAMS[name], embedding_url, monkeypatch)
    assert theirs
    assert ours == theirs


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_the_same_class(status: int, chat_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = STATUS_PROGRAM.replace("STATUS", str(status)).replace("NAME", STATUSES[status])
    theirs, ours = both(program, chat_url, monkeypatch)
    assert theirs.startswith(f"{STATUSES[status]} {status} ")
    assert ours == theirs
