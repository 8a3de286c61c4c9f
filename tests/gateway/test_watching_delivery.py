"""Messages are signed, tried again, kept in order and given up in the end; over sockets where it shows."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lmaas_gateway.settings import Settings
from lmaas_gateway.watching.alerts import Alert
from lmaas_gateway.watching.conditions import Condition
from lmaas_gateway.watching.delivery import MAX_WAITING, Endpoint, Outbox, Pacing, Post
from lmaas_gateway.watching.messages import Message, sign, write
from lmaas_gateway.watching.plan import plan_of
from lmaas_gateway.watching.sending import Answer, Sender
from lmaas_gateway.wording import Said
from support.webhooks import SECRET, SECRET_BYTES, Receiver, receiver, verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


def endpoint(url: str = "http://hook.test/", **fields: Any) -> Endpoint:
    given: dict[str, Any] = {
        "name": "ops",
        "secrets": (SECRET_BYTES,),
        "severities": frozenset({"page", "ticket"}),
        "timeout_s": 5.0,
        "retry_s": 3600.0,
    }
    return Endpoint(url=url, **given | fields)


def alert(**fields: Any) -> Alert:
    condition = Condition(
        name="ReplicaDown", model="chat", replica="chat-0", severity="ticket", said=Said("down")
    )
    one = Alert.of(condition, 1_800_000_000.0)
    one.state, one.fired_at_s, one.told_at_s = "firing", 1_800_000_001.5, 1_800_000_001.5
    for name, value in fields.items():
        setattr(one, name, value)
    return one


def message(number: int = 0, at_s: float = 0.0) -> Message:
    return Message(f"msg_{number}", b'{"test": 2432232314}', at_s)


def test_signature_is_that_of_the_specification_for_its_own_example() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    example = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 0.0)
    headers = sign(example, (secret,), 1614265330.9)
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_message_is_signed_by_each_secret_while_one_takes_the_place_of_another() -> None:
    headers = sign(message(), (b"n" * 32, SECRET_BYTES), time.time())
    assert headers["webhook-signature"].count("v1,") == 2
    assert verify(headers, message().body)
    assert not verify(headers, message().body + b" ")
    assert not verify(headers | {"webhook-id": "msg_1"}, message().body)


def test_message_tells_of_the_alert_and_has_an_id_without_full_stops() -> None:
    written = write(alert(), "host:8000", 1_800_000_002.0)
    body = json.loads(written.body)
    assert body["type"] == "alert.firing"
    assert body["timestamp"] == "2027-01-15T08:00:01.500Z"
    assert body["data"] | {"id": ""} == {
        "id": "",
        "name": "ReplicaDown",
        "state": "firing",
        "severity": "ticket",
        "model": "chat",
        "replica": "chat-0",
        "slo": None,
        "summary": "down",
        "value": 0.0,
        "started_at": "2027-01-15T08:00:00.000Z",
        "fired_at": "2027-01-15T08:00:01.500Z",
        "resolved_at": None,
        "gateway": "host:8000",
    }
    assert "." not in written.id
    ended = write(alert(state="resolved", resolved_at_s=1_800_000_009.0), "host:8000", 1_800_000_009.0)
    assert ended.id != written.id
    assert json.loads(ended.body)["timestamp"] == "2027-01-15T08:00:09.000Z"


class World:
    """Receivers that answer as they are told, and a time that passes when it is slept."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = [*answers]
        self.bodies: list[str] = []
        self.counts: list[str] = []
        self.slept: list[float] = []
        self.now_s = 0.0
        self.pacing = Pacing(now=lambda: self.now_s, sleep=self._sleep, draw=lambda: 0.0)

    async def send(self, _url: str, headers: Mapping[str, str], _body: bytes, _timeout_s: float) -> Answer:
        self.bodies.append(headers["webhook-id"])
        await asyncio.sleep(0)
        return self.answers.pop(0) if self.answers else Answer(204)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    def count(self, _name: str, outcome: str) -> None:
        self.counts.append(outcome)

    @contextlib.asynccontextmanager
    async def outbox(self, **fields: Any) -> AsyncIterator[Outbox]:
        box = Outbox(endpoint(**fields), self.send, count=self.count, pacing=self.pacing)
        yield box
        await box.close()

    async def until_done(self, box: Outbox) -> None:
        async with asyncio.timeout(10):
            while box.waiting:
                await asyncio.sleep(0)


REFUSED = Answer(500, problem="it answered 500")


async def test_message_is_tried_again_with_growing_pauses_until_it_is_taken() -> None:
    world = World(*[REFUSED] * 12)
    async with world.outbox(retry_s=1e6) as box:
        box.put(message())
        await world.until_done(box)
    assert world.slept == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert world.counts == ["failed"] * 12 + ["delivered"]


async def test_receiver_says_when_to_come_again() -> None:
    world = World(Answer(503, retry_after_s=30.0, problem="it answered 503"))
    async with world.outbox() as box:
        box.put(message())
        await world.until_done(box)
    assert world.slept == [30.0]


async def test_message_that_is_too_old_is_given_up_and_the_next_one_goes() -> None:
    world = World(*[REFUSED] * 5)
    async with world.outbox(retry_s=5.0) as box:
        box.put(message(0))
        box.put(message(1, at_s=100.0))
        await world.until_done(box)
    assert world.counts == [*["failed"] * 5, "dropped", "delivered"]
    assert world.bodies[-1] == "msg_1"


async def test_receiver_that_is_gone_is_told_nothing_more() -> None:
    world = World(Answer(410, problem="it answered 410"))
    async with world.outbox() as box:
        box.put(message(0))
        box.put(message(1))
        await world.until_done(box)
        box.put(message(2))
        assert not box.waiting
    assert world.bodies == ["msg_0"]
    assert world.counts == ["failed", "dropped", "dropped", "dropped"]


async def test_queue_is_bounded_and_drops_the_oldest_that_is_not_being_tried() -> None:
    world = World(*[REFUSED] * 3)
    async with world.outbox() as box:
        for number in range(MAX_WAITING + 10):
            box.put(message(number))
        assert len(box.waiting) == MAX_WAITING
        assert [one.id for one in box.waiting][:2] == ["msg_0", "msg_11"]
        await world.until_done(box)
    assert world.counts.count("dropped") == 10


async def test_changed_webhook_keeps_its_messages_and_one_that_went_away_does_not_get_any() -> None:
    world = World()
    post = Post(world.send, count=world.count, pacing=world.pacing, undelivered={"ops": [message(7)]})
    await post.follow([endpoint(timeout_s=1.0)])
    assert [one.id for one in post.undelivered()["ops"]] == ["msg_7"]
    await post.follow([endpoint(timeout_s=2.0)])
    assert [one.id for one in post.undelivered()["ops"]] == ["msg_7"]
    await post.follow([])
    post.put(message(8), "page")
    assert post.undelivered() == {}
    await post.close()


async def test_webhook_gets_only_the_severities_that_it_wants() -> None:
    world = World()
    post = Post(world.send, count=world.count, pacing=world.pacing, undelivered={})
    pages = endpoint(name="pages", severities=frozenset({"page"}))
    await post.follow([endpoint(), pages])
    post.put(message(), "ticket")
    assert {name: len(waiting) for name, waiting in post.undelivered().items()} == {"ops": 1, "pages": 0}
    await post.close()


@contextlib.asynccontextmanager
async def real_outbox(hook: Receiver, **fields: Any) -> AsyncIterator[tuple[Outbox, list[str]]]:
    counts: list[str] = []
    sender = Sender()
    box = Outbox(
        endpoint(hook.url, **fields),
        sender,
        count=lambda _, outcome: counts.append(outcome),
        pacing=Pacing(draw=lambda: 0.0, sleep=lambda _: asyncio.sleep(0.01)),
    )
    box.put(write(alert(), "here", time.time()))
    yield box, counts
    await box.close()
    await sender.close()


async def test_receiver_that_fails_twice_gets_the_same_message_again_and_can_verify_it() -> None:
    async with receiver(500, 503) as hook, real_outbox(hook) as (_, counts):
        await hook.until(lambda: hook.taken)
        assert len(hook.attempts) == 3
        assert all(one.is_genuine for one in hook.attempts)
        assert len({one.headers["webhook-id"] for one in hook.attempts}) == 1
        assert hook.taken[0].headers["content-type"] == "application/json"
        assert hook.taken[0].event["data"]["replica"] == "chat-0"
        await hook.until(lambda: counts == ["failed", "failed", "delivered"])


async def test_silent_receiver_is_left_after_the_deadline() -> None:
    async with receiver(0) as hook, real_outbox(hook, timeout_s=0.2):
        await hook.until(lambda: hook.taken)
        assert len(hook.attempts) == 2


async def test_redirect_is_not_followed() -> None:
    async with receiver() as elsewhere:
        moved = f"location: {elsewhere.url}\r\n"
        async with receiver(302, headers=moved) as hook, real_outbox(hook) as (_, counts):
            await hook.until(lambda: hook.taken)
            assert counts[0] == "failed"
            assert not elsewhere.attempts


async def test_receiver_that_is_not_there_is_a_failed_attempt() -> None:
    sender = Sender()
    answer = await sender("http://127.0.0.1:1/", {}, b"{}", 5.0)
    assert (answer.status, answer.problem) == (0, "it could not be reached (ConnectError)")
    await sender.close()


@pytest.mark.parametrize(
    ("header", "expected"), [("7", 7.0), ("99999999", 3600.0), ("Fri, 1 Jan", 0.0), ("-1", 0.0)]
)
async def test_pause_that_a_receiver_asks_for_is_bounded(header: str, expected: float) -> None:
    async with receiver(429, headers=f"retry-after: {header}\r\n") as hook:
        sender = Sender()
        answer = await sender(hook.url, {}, b"{}", 5.0)
        assert (answer.status, answer.retry_after_s) == (429, expected)
        await sender.close()


def test_lines_of_the_page_verify_messages_and_refuse_others() -> None:
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/alerts.md", "exec"), names)
    headers = sign(message(), (b"n" * 32, SECRET_BYTES), time.time())
    assert names["verify"](headers, message().body, SECRET)
    assert not names["verify"](headers, b"else", SECRET)
    assert not names["verify"](headers, message().body, "whsec_" + "QUJD" * 10)
    old = sign(message(), (SECRET_BYTES,), time.time() - 301)
    assert not names["verify"](old, message().body, SECRET)


def test_settings_of_the_page_work() -> None:
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
    models, alerts = (yaml.safe_load(part.split("```")[0]) for part in page.split("```yaml\n")[1:3])
    settings = Settings.model_validate(models | alerts)
    assert settings.models[0].slo.ttft is not None
    assert [webhook.name for webhook in settings.alerts.webhooks] == ["pager", "chat-bridge"]
    assert len(plan_of(settings, lambda _: (SECRET_BYTES,)).objectives) == 4
