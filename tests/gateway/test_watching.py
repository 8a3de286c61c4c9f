"""A whole gateway watches: a killed replica is told to a webhook within seconds, and so is its return."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from faults.replicas import ReplicaProcess
from lmaas_gateway.board import Seat
from lmaas_gateway.errors import SettingsError
from lmaas_gateway.limits.build import prepare_shared
from lmaas_gateway.metrics import Metrics, names
from lmaas_gateway.replicas.pool import Pool, Replica
from lmaas_gateway.settings import Settings
from lmaas_gateway.tallies import Tallies
from lmaas_gateway.testing import FakeReplica, Script
from lmaas_gateway.vault.vault import Vault
from lmaas_gateway.watching.delivery import Pacing
from lmaas_gateway.watching.keeping import Keeping
from lmaas_gateway.watching.plan import derived_from, plan_of
from lmaas_gateway.watching.sending import Answer
from lmaas_gateway.watching.watch import Sights, Watch
from support.pages import Browser, text_of
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.webhooks import SECRET, Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OPERATOR = "Authorization: Bearer operator-key-of-tests"
DOWN = [("ReplicaDown", "alert.firing")]
SUSPECT = [("ReplicaSuspect", "alert.firing")]
BACK = [*DOWN, ("ReplicaDown", "alert.resolved")]


def alerting(hook: Receiver, *replicas: FakeReplica | str, **fields: Any) -> Settings:
    """Settings as by default, but for the webhook and who may look."""
    alerts = {"webhooks": [{"name": "ops", "url": hook.url, "secret": SECRET}]} | fields.pop("alerts", {})
    given = {"open": True, "admin_key": "operator-key-of-tests", "probe_interval_s": 5.0, "alerts": alerts}
    return settings_for(*replicas, **given | fields)


@pytest.mark.alone
async def test_killed_replica_is_told_within_five_seconds_and_its_return_too(tmp_path: Path) -> None:
    # vLLM keeps an idle connection for so long; by its end a death is seen between two health checks.
    lost, other = (ReplicaProcess(tmp_path, name, keep_alive_s=5.0) for name in ("lost", "other"))
    await asyncio.gather(lost.start(), other.start())
    try:
        async with receiver(500, 503) as hook, run_gateway(alerting(hook, lost.url, other.url)) as running:
            name = running.pool.replicas[0].name
            await lost.kill()
            killed_at_s = time.monotonic()
            await hook.until(lambda: list(hook.events("ReplicaDown")) == DOWN)
            taken = hook.taken[0]
            assert taken.is_genuine
            assert taken.event["data"]["replica"] == name
            assert taken.event["data"]["severity"] == "ticket"
            assert taken.at_s - killed_at_s < 5.0
            assert [one.headers["webhook-id"] for one in hook.attempts[:3]] == [
                taken.headers["webhook-id"]
            ] * 3
            shown = (await running.get("/admin/v1/alerts", OPERATOR)).json["data"][0]
            assert (shown["name"], shown["state"], shown["replica"]) == ("ReplicaDown", "firing", name)
            await lost.start()
            await hook.until(lambda: list(hook.events("ReplicaDown")) == BACK)
            resolved = (await running.get("/admin/v1/alerts", OPERATOR)).json["data"]
            assert "resolved" in {one["state"] for one in resolved if one["name"] == "ReplicaDown"}
            text = (await running.get("/metrics")).body.decode()
            assert 'lmaas_webhook_attempts_total{outcome="failed",webhook="ops"} 2.0' in text
    finally:
        await lost.kill()
        await other.kill()


async def test_hung_replica_is_shown_and_told_within_five_seconds_and_is_well_when_it_goes_on(
    tmp_path: Path,
) -> None:
    async with (
        ReplicaProcess(tmp_path, "hung") as hung,
        receiver() as hook,
        run_gateway(alerting(hook, hung.url)) as running,
    ):
        (replica,) = running.pool.replicas
        hung.stop()
        stopped_at_s = time.monotonic()
        try:
            await hook.until(lambda: list(hook.events("ReplicaSuspect")) == SUSPECT)
            assert hook.taken[0].at_s - stopped_at_s < 5.0
            assert hook.taken[0].event["data"]["replica"] == replica.name
            (shown,) = (await running.get("/admin/v1/models", OPERATOR)).json["data"]
            # Down by now where this test itself had to wait.
            assert shown["replicas"][0]["state"] in {"suspect", "down"}
            metrics = (await running.get("/metrics")).body.decode()
            assert f'lmaas_replica_silent{{model="mock",replica="{replica.name}"}} 1.0' in metrics
        finally:
            hung.go_on()
        await hook.until(lambda: len(list(hook.events("ReplicaSuspect"))) == 2)
        assert replica.state == "ready"


async def test_last_replica_that_goes_is_a_page(tmp_path: Path) -> None:
    async with receiver() as hook, FakeReplica() as fake, run_gateway(alerting(hook, fake)) as running:
        await fake.stop()
        await hook.until(lambda: ("ModelUnavailable", "alert.firing") in hook.events())
        page = next(one for one in hook.taken if one.event["data"]["name"] == "ModelUnavailable")
        assert page.event["data"]["severity"] == "page"
        text = (await running.get("/metrics")).body.decode()
        assert (
            'lmaas_alerts{alert="ModelUnavailable",model="mock",severity="page",state="firing"} 1.0' in text
        )
        assert 'lmaas_slo_bad_events_total{model="mock",slo="availability"}' in text


async def test_calls_that_fail_are_an_alert_of_the_error_rate_and_are_counted_for_prometheus() -> None:
    async with receiver() as hook, FakeReplica() as fake:
        settings = alerting(hook, fake, alerts={"min_events": 5})
        async with run_gateway(settings) as running:
            fake.script = Script(status=500)
            for _ in range(6):
                assert (await running.post(CHAT, ASK)).status >= 500
            await hook.until(lambda: ("SloBurnRate", "alert.firing") in hook.events())
            alert = next(
                one.event["data"] for one in hook.taken if one.event["data"]["name"] == "SloBurnRate"
            )
            assert (alert["slo"], alert["severity"], alert["value"]) == ("error_rate", "page", 1000.0)
            text = (await running.get("/metrics")).body.decode()
            assert 'lmaas_slo_bad_events_total{model="mock",slo="error_rate"} 6.0' in text
            assert 'lmaas_slo_objective_ratio{model="mock",slo="error_rate"} 0.999' in text
            assert 'lmaas_slo_burn_rate{model="mock",slo="error_rate",window="1h"}' in text
            assert 'lmaas_slo_budget_remaining_ratio{model="mock",slo="error_rate"} -99' in text


async def test_silenced_alert_is_not_told_and_only_the_operator_silences() -> None:
    async with receiver() as hook, FakeReplica() as fake, run_gateway(alerting(hook, fake)) as running:
        await fake.stop()
        await hook.until(lambda: ("ReplicaDown", "alert.firing") in hook.events())
        alerts = (await running.get("/admin/v1/alerts", OPERATOR)).json["data"]
        id_ = next(one["id"] for one in alerts if one["name"] == "ReplicaDown")
        path = f"/admin/v1/alerts/{id_}/silence"
        wanted = {"duration_s": 3600, "comment": "we know"}
        assert (await running.post(path, wanted)).status == 401
        assert (await running.get("/admin/v1/alerts")).status == 401
        silenced = await running.post(path, wanted, OPERATOR)
        assert silenced.status == 200
        assert silenced.json["silenced_until"] > time.time() + 3500
        assert silenced.json["silence_comment"] == "we know"
        assert (await running.post(path, {"duration_s": 0}, OPERATOR)).json["silenced_until"] is None
        nobody = "/admin/v1/alerts/alrt_0/silence"
        assert (await running.post(nobody, wanted, OPERATOR)).status == 404
        assert (await running.post(path, {"duration_s": -1}, OPERATOR)).status == 400
        browser = Browser(running)
        assert (await browser.sign_in(OPERATOR.rpartition(" ")[2])).status == 303
        assert "on its page" in text_of(
            await browser.follow(
                "/ui/alerts/silence", {"id": id_, "duration_s": "60", "comment": "on its page"}
            )
        )


async def test_only_the_first_of_several_workers_tells_and_all_of_them_show_it(tmp_path: Path) -> None:
    async with receiver() as hook, FakeReplica() as fake:
        settings = alerting(hook, fake)
        first, second = Seat(tmp_path, 0, 2), Seat(tmp_path, 1, 2)
        prepare_shared(settings, tmp_path)
        async with run_gateway(settings, seat=first), run_gateway(settings, seat=second) as other:
            await fake.stop()
            await hook.until(
                lambda: {"ReplicaDown", "ModelUnavailable"} <= {name for name, _ in hook.events()}
            )
            shown = (await other.get("/admin/v1/alerts", OPERATOR)).json["data"]
            assert {one["name"] for one in shown} == {"ReplicaDown", "ModelUnavailable"}
            path = f"/admin/v1/alerts/{shown[0]['id']}/silence"
            assert (await other.post(path, {"duration_s": 60}, OPERATOR)).json["silenced_until"]
            await asyncio.sleep(0.3)
        assert len(list(hook.events())) == 2


class Fixture:
    """A watch over one pool, with time in hand."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.now_s = 1_800_000_000.0
        self.told: list[str] = []
        self.totals = Tallies()
        self.replica = Replica("chat-0", None, is_ready=True, was_ready=True)  # type: ignore[arg-type]  # nothing is asked of it
        self.pool = Pool("mock", "chat", (self.replica,), created=0)
        self.metrics = Metrics()
        self.keeping = Keeping(folder, "8000")
        self.settings = settings
        self.watch = self.make()

    def make(self) -> Watch:
        return Watch(
            self.keeping,
            plan_of(self.settings, None),
            Sights(pools=lambda: [self.pool], totals=lambda: self.totals),
            metrics=self.metrics,
            send=self._send,
            gateway="here",
            pacing=Pacing(now=lambda: self.now_s, sleep=lambda _: asyncio.sleep(3600), draw=lambda: 0.0),
        )

    async def _send(self, _url: str, headers: Mapping[str, str], _body: bytes, _timeout_s: float) -> Answer:
        self.told.append(headers["webhook-id"])
        return Answer(204)

    async def look(self, *, after_s: float = 1.0) -> None:
        self.now_s += after_s
        await self.watch.look()
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the watch as its process does."""
        task = asyncio.create_task(self.watch.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


HOOKED: dict[str, Any] = {
    "alerts": {"webhooks": [{"name": "ops", "url": "http://hook.test/", "secret": SECRET}]}
}


async def test_process_that_comes_after_does_not_tell_again_and_knows_what_was_counted(
    tmp_path: Path,
) -> None:
    one = Fixture(tmp_path, settings_for("http://replica.test", **HOOKED))
    one.replica.is_ready = False
    await one.look()
    await one.look(after_s=2.0)
    assert len(one.told) == 2, "the replica, and its model"
    await one.end()
    one.watch = one.make()
    await one.look()
    assert len(one.told) == 2
    (rate,) = [
        value
        for labels, value in one.metrics.gauge(names.SLO_BURN_RATE).items()
        if labels[1:] == ("availability", "1h")
    ]
    assert 0.5 < rate < 2
    one.replica.is_ready = True
    await one.look()
    assert len(one.told) == 4
    await one.end()


async def test_failure_while_looking_is_not_the_end_of_watching(tmp_path: Path, caplog: Any) -> None:
    one = Fixture(tmp_path, settings_for("http://replica.test", **HOOKED))

    def fail() -> Tallies:
        raise RuntimeError("broken")

    one.watch._sights = replace(one.watch._sights, totals=fail)
    task = asyncio.create_task(one.watch.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    assert "watching failed once" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_was_kept_and_cannot_be_read_is_begun_anew(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "alerts-8000.msgpack").write_bytes(b"nonsense")
    (tmp_path / "silences-8000.json").write_bytes(b"{")
    one = Fixture(tmp_path, settings_for("http://replica.test", **HOOKED))
    await one.look()
    assert "cannot be read" in caplog.text
    assert one.keeping.alerts() == []
    await one.end()


async def test_streams_that_are_slower_than_promised_burn_and_only_those(tmp_path: Path) -> None:
    settings = settings_for("http://replica.test", **HOOKED)
    slo = {"ttft": {"threshold_s": 0.8, "objective": 0.95}, "inter_token": {"threshold_s": 0.1}}
    model = settings.models[0].model_dump(mode="json") | {"slo": slo}
    one = Fixture(tmp_path, Settings.model_validate({**HOOKED, "models": [model]}))
    slow = one.totals.histogram(names.FIRST_TOKEN.name, ("mock", "chat-0"), names.FIRST_TOKEN.buckets)
    quick = one.totals.histogram(names.INTER_TOKEN.name, ("mock", "chat-0"), names.INTER_TOKEN.buckets)
    other = one.totals.histogram(names.FIRST_TOKEN.name, ("else", "x-0"), names.FIRST_TOKEN.buckets)
    await one.look()
    for _ in range(20):
        slow.observe(0.81)
        slow.observe(0.8)
        quick.observe(0.1)
        other.observe(100.0)
    await one.look()
    rates = one.metrics.gauge(names.SLO_BURN_RATE)
    assert rates["mock", "ttft", "1h"] == pytest.approx(10)
    assert rates["mock", "inter_token", "1h"] == 0
    assert [alert.slo for alert in one.keeping.alerts()] == ["ttft"]
    await one.end()


def test_threshold_that_is_not_counted_is_refused_with_those_that_are() -> None:
    model = settings_for("http://replica.test").models[0].model_dump(mode="json")
    settings = Settings.model_validate({"models": [model | {"slo": {"ttft": {"threshold_s": 0.7}}}]})
    with pytest.raises(SettingsError, match=r"'mock': slo.ttft.threshold_s is 0.7, .* 0.4, 0.8, 1.6"):
        plan_of(settings, None)


def test_webhook_without_a_secret_has_one_of_the_master_secret_or_is_refused() -> None:
    webhook = {"name": "ops", "url": "https://hook.test/"}
    settings = settings_for("http://replica.test", alerts={"webhooks": [webhook]})
    with pytest.raises(SettingsError, match="LMAAS_ALERTS__WEBHOOK_SECRET"):
        plan_of(settings, None)
    vault = Vault({1: b"o" * 32, 2: b"n" * 32})
    (endpoint,) = plan_of(settings, derived_from(vault)).endpoints
    assert len(endpoint.secrets) == 2
    assert derived_from(Vault({2: b"n" * 32}))("ops") == endpoint.secrets[:1], "the newest first"
    assert derived_from(vault)("else") != endpoint.secrets


@pytest.mark.parametrize(
    ("alerts", "says"),
    [
        ({"webhooks": [{"name": "a", "url": "ftp://x/"}]}, "by http or https"),
        ({"webhooks": [{"name": "a", "url": "https://user:word@x/"}]}, "without a name and password"),
        ({"webhooks": [{"name": "a", "url": "http://169.254.169.254/latest"}]}, "link-local"),
        ({"webhooks": [{"name": "a", "url": "https://x/", "secret": "short"}]}, "openssl rand"),
        ({"webhooks": [{"name": "a", "url": "https://x/", "secret": "whsec_c2hvcnQ="}]}, "24 to 64 bytes"),
        ({"webhook_secret": "whsec_???"}, "as base64"),
        ({"webhooks": [{"name": "a", "url": "https://x/"}] * 2}, "two webhooks called 'a'"),
    ],
)
def test_webhook_that_cannot_work_is_refused_with_the_reason(alerts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings.model_validate({"alerts": alerts})


def test_secret_that_is_being_changed_signs_twice() -> None:
    both = f"{SECRET}, whsec_{'QUJD' * 10}"
    settings = settings_for(
        "http://replica.test",
        alerts={"webhook_secret": both, "webhooks": [{"name": "a", "url": "https://x/"}]},
    )
    (endpoint,) = plan_of(settings, None).endpoints
    assert endpoint.secrets[1] == b"ABC" * 10
    assert SECRET not in repr(settings)
