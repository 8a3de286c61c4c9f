"""The benchmark's replica: the same shapes from precomputed bytes, at a steady pace or with a limit."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import openai

from lmaas_gateway.testing import FakeModel
from lmaas_gateway.testing.fast import FastReplica, FastReplies
from lmaas_gateway.testing.pacing import Capacity, Timing, Wheel

CHAT = "/v1/chat/completions"
PLAIN: dict[str, object] = {"messages": []}


class TestFastReplica:
    @asynccontextmanager
    async def serving(
        self, timing: Timing | None = None, *, slots: int = 0, queue: int = 0
    ) -> AsyncIterator[str]:
        replica = FastReplica(FastReplies.of(FakeModel()), timing, slots=slots, queue=queue)
        loop = asyncio.get_running_loop()
        async with await loop.create_server(replica.connect, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def test_official_client_reads_chat_stream_and_embeddings(self) -> None:
        async with (
            self.serving(Timing(0.001, 0.001)) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
        ):
            plain = await client.chat.completions.create(
                model="mock", messages=[{"role": "user", "content": "x"}]
            )
            stream = await client.chat.completions.create(
                model="mock",
                messages=[{"role": "user", "content": "x"}],
                max_tokens=5,
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            embedded = await client.embeddings.create(model="mock", input="x")
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert plain.usage is not None
        assert plain.usage.completion_tokens == 64
        assert texts == ["", *[" token"] * 5]
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage is not None
        assert len(embedded.data[0].embedding) == 384

    async def test_stream_of_default_length_without_usage(self) -> None:
        async with self.serving() as url, httpx.AsyncClient() as client:
            reply = await client.post(url + CHAT, json={"stream": True})
            missing = await client.post(url + "/v1/nothing", json={"stream": True})
            plain = await client.post(url + CHAT, json={"stream": False})
        assert reply.text.count('" token"') == 64
        assert "usage" not in reply.text
        assert missing.status_code == 404
        assert plain.json()["object"] == "chat.completion"

    async def test_client_may_leave_in_the_middle(self) -> None:
        async with self.serving(Timing(token_gap_s=60)) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            body = b'{"stream": true}'
            writer.write(
                b"POST %b HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body
            )
            await reader.readuntil(b" token")
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(b"nonsense\r\n\r\n")
            assert await reader.read() == b""
            writer.close()

    async def test_paced_streams_tell_when_each_token_was_sent(self) -> None:
        begun_us = time.monotonic_ns() // 1000
        async with (
            self.serving(Timing(token_gap_s=0.02, is_stamped=True)) as url,
            httpx.AsyncClient() as client,
        ):
            ask = {"stream": True, "max_tokens": 4}
            replies = await asyncio.gather(*(client.post(url + CHAT, json=ask) for _ in range(3)))
        for reply in replies:
            sent = [int(text) for text in re.findall(r'"content":" (\d{15})"', reply.text)]
            assert len(sent) == 3  # the last token ends the stream, and has no time
            assert sent == sorted(set(sent))
            # On a busy machine a token may be late, and the next in time: no gap is promised, only no hurry.
            assert all(at_us - begun_us > number * 19_000 for number, at_us in enumerate(sent))

    async def test_calls_beyond_slots_and_queue_are_refused_as_vllm_does(self) -> None:
        async with self.serving(Timing(0.05), slots=2, queue=1) as url, httpx.AsyncClient() as client:
            replies = await asyncio.gather(*(client.post(url + CHAT, json=PLAIN) for _ in range(5)))
            again = await client.post(url + CHAT, json=PLAIN)
        assert sorted(reply.status_code for reply in (*replies, again)) == [200] * 4 + [503] * 2
        refused = next(reply for reply in replies if reply.status_code == 503)
        assert refused.json()["error"]["type"] == "Service Unavailable"

    async def test_metrics_tell_what_runs_and_waits(self) -> None:
        async with self.serving(Timing(0.2), slots=1, queue=3) as url, httpx.AsyncClient() as client:
            calls = [asyncio.create_task(client.post(url + CHAT, json=PLAIN)) for _ in range(3)]
            text = ""
            while "waiting 2.0" not in text:
                text = (await client.get(f"{url}/metrics")).text
            assert "vllm:num_requests_running 1.0" in text
            for call in calls:
                call.cancel()
            while "running 0.0" not in text:
                text = (await client.get(f"{url}/metrics")).text


class Tape:
    """A stream that notes what it is stepped with."""

    def __init__(self) -> None:
        self.tokens: list[bytes] = []

    def step(self, token: bytes) -> None:
        self.tokens.append(token)


class Clock:
    """An event loop's timers, in a time that is given."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], object], /) -> None:
        self.due.append((when, callback))

    def advance(self, to_s: float) -> None:
        while self.due and self.due[0][0] <= to_s:
            self.now_s, callback = self.due.pop(0)
            callback()
        self.now_s = to_s


class TestWheel:
    def test_streams_of_one_group_go_on_together_and_stop_when_taken_off(self) -> None:
        clock, numbers = Clock(), itertools.count()
        wheel = Wheel(clock, Timing(token_gap_s=1.0, groups=1), lambda: b"%d" % next(numbers))
        one, other = Tape(), Tape()
        remove_one, remove_other = wheel.add(one), wheel.add(other)
        clock.advance(2.5)
        assert one.tokens == other.tokens == [b"0", b"1"]
        remove_one()
        clock.advance(4.5)
        remove_other()
        clock.advance(9.0)
        assert (one.tokens, other.tokens) == ([b"0", b"1"], [b"0", b"1", b"2", b"3"])
        assert not clock.due

    def test_streams_that_came_apart_stay_apart(self) -> None:
        clock = Clock()
        wheel = Wheel(clock, Timing(token_gap_s=0.05), lambda: b"")
        early, late = Tape(), Tape()
        wheel.add(early)
        clock.advance(0.0205)
        wheel.add(late)
        clock.advance(0.0515)
        assert (len(early.tokens), len(late.tokens)) == (1, 0)
        clock.advance(0.0715)
        assert (len(early.tokens), len(late.tokens)) == (1, 1)

    def test_a_late_turn_makes_up_for_every_place_it_missed(self) -> None:
        clock, tape = Clock(), Tape()
        Wheel(clock, Timing(token_gap_s=0.05), lambda: b"").add(tape)
        clock.now_s = 10.02
        clock.due.pop()[1]()
        assert len(tape.tokens) == 200


class TestCapacity:
    def test_a_freed_slot_goes_to_the_first_who_still_waits(self) -> None:
        capacity, served = Capacity(1, 2), []

        def serve(name: str, *, is_here: bool = True) -> bool:
            served.append(name)
            return is_here

        assert capacity.enter(lambda: serve("first"))
        assert capacity.enter(lambda: serve("gone", is_here=False))
        assert capacity.enter(lambda: serve("waits"))
        assert not capacity.enter(lambda: serve("too many"))
        capacity.leave()
        assert served == ["first", "gone", "waits"]
        assert (capacity.running, capacity.waiting) == (1, 0)
