"""Counts prompts beside the event loop: by the model's own files if they are here, else by a replica."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from lmaas_gateway.limits.counting import prompts
from lmaas_gateway.replicas.faults import ReplicaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmaas_gateway.call import Call
    from lmaas_gateway.limits.counting.model_files import ModelFiles
    from lmaas_gateway.limits.counting.prompts import Prompt, Question
    from lmaas_gateway.replicas.pool import Pool

_LOG = logging.getLogger("lmaas.gateway")
_MAX_REMEMBERED = 8192
# Who finds so many prompts waiting has its own taken at its bound.
_MAX_WAITING = 512
# No context is as long as what is longer.
_MAX_BYTES = 4 * 2**20
_ASK_S = 1.0
_MAX_ASKED = 16


class _Counted(msgspec.Struct):
    """vLLM's answer to `/tokenize`, or to `/v1/messages/count_tokens`."""

    count: int | None = None
    input_tokens: int | None = None


_COUNTED = msgspec.json.Decoder(_Counted)


class PromptTokens:
    """Counts prompts, each once.

    Args:
        threads: How many count at once.
        folder_of: Tells where the files of a model lie; None if they are not here.
    """

    def __init__(self, *, threads: int, folder_of: Callable[[str], Path | None]) -> None:
        self._threads = threads
        self._folder_of = folder_of
        self._executor: ThreadPoolExecutor | None = None
        self._files: dict[str, ModelFiles | None] = {}
        self._counted: dict[bytes, asyncio.Future[int | None]] = {}
        self._waiting = 0

    async def count(self, call: Call, pool: Pool) -> int | None:
        """Tell how many tokens the prompt of a call has, as its replica counts them; None if nobody can."""
        if len(call.body) > _MAX_BYTES:
            return None
        key = _key_of(call, pool)
        known = self._counted.get(key)
        if known is None:
            if self._waiting >= _MAX_WAITING:
                return None
            known = asyncio.ensure_future(self._count(call, pool))
            self._remember(key, known)
        return await asyncio.shield(known)

    def close(self) -> None:
        """End the threads."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _remember(self, key: bytes, count: asyncio.Future[int | None]) -> None:
        if len(self._counted) >= _MAX_REMEMBERED:
            del self._counted[next(iter(self._counted))]
        self._counted[key] = count
        count.add_done_callback(lambda done: self._forget_unknown(key, done))

    def _forget_unknown(self, key: bytes, done: asyncio.Future[int | None]) -> None:
        """What nobody could tell now, somebody may tell later."""
        if done.cancelled() or done.exception() is not None or done.result() is None:
            self._counted.pop(key, None)

    async def _count(self, call: Call, pool: Pool) -> int | None:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, "lmaas-count")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            prompt, count = await loop.run_in_executor(self._executor, self._count_here, call, pool)
            if count is None and prompt is not None:
                count = await _ask(pool, prompt)
            return count
        finally:
            self._waiting -= 1

    def _count_here(self, call: Call, pool: Pool) -> tuple[Prompt | None, int | None]:
        """Runs in a thread."""
        try:
            prompt = prompts.read(call)
            files = None if prompt is None else self._files_of(pool.name)
            if prompt is None or files is None:
                return prompt, prompt.count if isinstance(prompt, prompts.Ids) else None
            return prompt, prompts.count(files, prompt, pool.kind)
        except Exception:  # templates raise what they like, on what the replica will refuse too
            _LOG.debug("a prompt for %r could not be counted", pool.name, exc_info=True)
            return None, None

    def _files_of(self, model: str) -> ModelFiles | None:
        if model not in self._files:
            self._files[model] = self._load(model)
        return self._files[model]

    def _load(self, model: str) -> ModelFiles | None:
        # What it imports is heavy, and needed only where prompts are counted.
        from lmaas_gateway.limits.counting.model_files import ModelFiles  # noqa: PLC0415 - see above

        folder = self._folder_of(model)
        if folder is None:
            return None
        try:
            return ModelFiles.load(folder)
        except Exception as error:  # the tokenizer's library raises bare exceptions
            _LOG.warning("the prompts of %r are counted by its replicas: %s", model, error)
            return None


async def _ask(pool: Pool, prompt: Prompt) -> int | None:
    """Have a replica count."""
    match prompt:
        case prompts.Question():
            return await _ask_one(pool, prompt)
        case prompts.Messages():
            return await _ask_one(pool, prompt.question)
        case prompts.Ids():
            return prompt.count
        case prompts.Pairs():
            # How they are put together depends on the model.
            return None
    if len(prompt.texts) > _MAX_ASKED:
        return None
    special = {} if prompt.has_special else {"add_special_tokens": False}
    questions = [prompts.Question("/tokenize", {"prompt": text, **special}) for text in prompt.texts]
    counts = [await _ask_one(pool, question) for question in questions]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


async def _ask_one(pool: Pool, question: Question) -> int | None:
    replica = next(iter(pool.candidates(())), None)
    if replica is None:
        return None
    body = msgspec.json.encode({"model": replica.served_model_name, **question.fields})
    try:
        deadline_s = asyncio.get_running_loop().time() + _ASK_S
        exchange = await replica.client.post(question.path, body, b"", deadline_s)
    except ReplicaError:
        return None
    try:
        data = b""
        while piece := await exchange.read():
            data += piece
        if exchange.status != 200:
            return None
        counted = _COUNTED.decode(data)
        return counted.input_tokens if counted.count is None else counted.count
    except (ReplicaError, msgspec.DecodeError):
        return None
    finally:
        exchange.close()


def _key_of(call: Call, pool: Pool) -> bytes:
    digest = hashlib.blake2b(call.body, digest_size=16, person=b"lmaas prompt")
    digest.update(pool.name.encode())
    digest.update(call.route.path.encode())
    return digest.digest()
