"""What the first page says of this second: what is wrong, what it costs, what engines take of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from lmaas_gateway.administration.alerts import Alert, AlertList
from lmaas_gateway.live import Flow, LiveGpu, LiveHost, LiveModel, LiveReplica, LiveView, Second, Spread
from lmaas_gateway.prices import Price
from lmaas_gateway.settings import PriceSettings
from lmaas_gateway.web.assets import Assets
from lmaas_gateway.web.live_page import LivePage
from lmaas_gateway.web.rendering import Templates
from lmaas_gateway.web.spending import spending

if TYPE_CHECKING:
    from lmaas_gateway.administration.alerts import Alerts
    from lmaas_gateway.live import Live

FLOW = Flow(calls=6, prompt_tokens=3000, cached_tokens=1000, completion_tokens=500)
DOLLARS = {"input_per_million": 2, "cached_input_per_million": 1, "output_per_million": 10}
PRICE = Price.of(PriceSettings.model_validate({**DOLLARS, "gpu_second": "0.001", "gpus": 2}))
GPU = LiveGpu("0", utilization=0.87, power_w=310.4, memory_bytes=60 * 2**30)


def replica(name: str, state: str = "ready", host: LiveHost | None = None) -> LiveReplica:
    return LiveReplica(name, state, "", 0, 0, FLOW, host=host)


def model(*replicas: LiveReplica, name: str = "chat") -> LiveModel:
    return LiveModel(name, "chat", "ready", 0, 0, 8, 0, Spread(), FLOW, replicas)


def view(*models: LiveModel) -> LiveView:
    last = Second(1000, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0, 0)
    return LiveView(1000, 60, 60, {}, FLOW, 0, 0, models, last)


def alert(id_: str, **fields: Any) -> Alert:
    given: dict[str, Any] = {
        "id": id_,
        "name": "ReplicaDown",
        "state": "firing",
        "severity": "ticket",
        "model": "chat",
        "summary": f"{id_} is down",
        "value": 0,
        "started_at": 1,
    }
    return Alert(**given | fields)


class Seen:
    """A gateway that is as it is told to be."""

    def __init__(self, shown: LiveView, *alerts: Alert) -> None:
        self.shown = shown
        self.alerts = alerts

    def snapshot(self, window_s: int) -> LiveView:
        assert window_s == 60
        return self.shown

    def list(self, language: str) -> AlertList:
        assert language == "en"
        return AlertList(data=list(self.alerts))


def page_of(seen: Seen, **prices: Price) -> str:
    templates = Templates(Assets())
    live = LivePage(cast("Live", seen), templates, alerts=cast("Alerts", seen), prices=prices)
    return live.fragment("en")


def test_alerts_that_fire_stand_on_top_and_silenced_ones_do_not() -> None:
    fires = [alert(f"chat-{number}") for number in range(4)]
    others = [
        alert("quiet", silenced_until=2000),
        alert("over", state="resolved"),
        alert("soon", state="pending"),
    ]
    page = page_of(Seen(view(model(replica("chat-0"))), *fires, *others))
    assert "Alerts (4):" in page
    assert "chat-0 is down; chat-1 is down; chat-2 is down …" in page
    assert not any(word in page for word in ("quiet is", "over is", "soon is", "chat-3 is"))
    assert '<div class="news" role="status"></div>' in page_of(Seen(view()))


def test_places_are_shown_where_they_are_known() -> None:
    known = model(replica("chat-0"))
    assert "0 / 8" in page_of(Seen(view(known)))
    assert "0 / " not in page_of(Seen(view(msgspec.structs.replace(known, capacity=0))))


def test_hour_costs_its_tokens_and_the_gpus_of_replicas_that_run() -> None:
    shown = view(model(replica("chat-0"), replica("chat-1", "down")), model(replica("free-0"), name="free"))
    found = spending(shown, {"chat": PRICE, "gone": PRICE})
    tokens = 2000 * 2 + 1000 * 1 + 500 * 10  # in millionths of a dollar a minute
    assert found.by_model == {"chat": tokens * 60 * 1000 + 2 * 3600 * 10**6}
    assert found.total == found.by_model["chat"]
    assert spending(shown, {}).total is None


def test_cost_is_shown_where_there_are_prices_and_nowhere_else() -> None:
    shown = view(model(replica("chat-0")), model(replica("free-0"), name="free"))
    assert page_of(Seen(shown), chat=PRICE).count("$7.80") == 2
    assert "Cost/h" not in page_of(Seen(shown))


def test_what_launched_engines_take_of_their_machine_is_shown_beside_them() -> None:
    host = LiveHost(1.024, 2.5 * 2**30, (GPU, LiveGpu("1")))
    page = page_of(Seen(view(model(replica("chat-0", host=host), replica("chat-1")))))
    assert "1.02 · 2.5 GiB" in page
    assert "GPU 0 87 % 310 W 60 GiB" in page
    assert "GPU 1<" in page
    assert "CPU · memory" not in page_of(Seen(view(model(replica("chat-0")))))
