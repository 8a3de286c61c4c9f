from __future__ import annotations

import sys
import threading
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmaas import AsyncLMaaS, ConfigurationError, LMaaS, Price, Prices, Spent, TokenCounts, cost, errors
from lmaas._cost import Tally
from lmaas.types import ChatCompletion
from sdk.hostile import CHAT_BODY, DONE, answering, chat_event, reply, serving, streaming

PRICE = Price(Decimal(2), Decimal(8), "contract 7", date(2026, 11, 1), cached_per_million=Decimal("0.5"))
COMPLETION = ChatCompletion.model_validate_json(CHAT_BODY)


def test_cost_of_a_reply_has_its_source_and_its_day() -> None:
    money = cost(COMPLETION, Prices({"m": PRICE}))
    assert money is not None
    assert money.amount == (3 * Decimal(2) + 2 * Decimal(8)) / 1_000_000
    assert (money.currency, money.source, money.as_of) == ("USD", "contract 7", date(2026, 11, 1))


def test_unknown_price_or_usage_is_none_and_never_nothing() -> None:
    assert cost(COMPLETION, Prices()) is None
    assert cost(COMPLETION.model_copy(update={"usage": None}), Prices({"m": PRICE})) is None
    assert cost(SimpleNamespace(usage=COMPLETION.usage), Prices({"m": PRICE})) is None


def test_cached_tokens_have_their_price_if_there_is_one() -> None:
    tokens = TokenCounts(input_tokens=1_000_000, cached_tokens=400_000, output_tokens=0)
    assert PRICE.of(tokens).amount == Decimal("1.4")
    plain = Price(Decimal(2), Decimal(8), "s", date(2026, 1, 1))
    assert plain.of(tokens).amount == 2


def test_price_is_exact_and_refused_if_it_is_none() -> None:
    price = Price(cast("Decimal", 0.1), cast("Decimal", "0.2"), "s", date(2026, 1, 1))
    assert (price.input_per_million, price.output_per_million) == (Decimal("0.1"), Decimal("0.2"))
    for bad in (-1, float("nan"), None, "NaN"):
        with pytest.raises(ConfigurationError, match="input_per_million"):
            Price(cast("Decimal", bad if bad is not None else [1]), Decimal(0), "s", date(2026, 1, 1))


def test_tokens_are_read_in_both_dialects() -> None:
    details = SimpleNamespace(cached_tokens=2)
    chat = SimpleNamespace(prompt_tokens=5, completion_tokens=None, prompt_tokens_details=details)
    responses = SimpleNamespace(input_tokens=5, output_tokens=1, input_tokens_details=details)
    assert TokenCounts.of(chat) == TokenCounts(5, 2, 0)
    assert TokenCounts.of(responses) == TokenCounts(5, 2, 1)


def test_list_prices_fill_in_and_own_prices_come_first() -> None:
    prices = Prices.from_genai_prices({"gpt-4o": PRICE})
    tokens = TokenCounts(1_000_000, 0, 0)
    own, listed = prices.cost("gpt-4o", tokens), prices.cost("gpt-4o-mini", tokens)
    assert own is not None
    assert own.source == "contract 7"
    assert listed is not None
    assert listed.amount > 0
    assert listed.source.startswith("genai-prices ")
    assert listed.source.endswith(", openai")
    assert prices.cost("smollm2-135m-instruct", tokens) is None


def test_list_prices_that_are_not_installed_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.delitem(sys.modules, "lmaas._list_prices", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install lmaas\[prices\]"):
        Prices.from_genai_prices()


def test_client_adds_up_what_it_spent_with_its_relatives() -> None:
    with serving(answering(reply(CHAT_BODY))) as server, LMaaS(base_url=server.url) as client:
        priced = client.with_options(prices={"m": PRICE})
        priced.chat.completions.create(model="m", messages=[])
        priced.chat.completions.create(model="m", messages=[])
        client.chat.completions.create(model="m", messages=[])
        one = Decimal(22) / 1_000_000
        assert client.spent == Spent(3, TokenCounts(9, 0, 6), {"USD": 2 * one}, unpriced_calls=1)
        assert priced.spent == client.spent


def test_failed_call_is_counted_without_tokens() -> None:
    with serving(answering(reply(b"{}", 400))) as server, LMaaS(base_url=server.url) as client:
        with pytest.raises(errors.BadRequestError):
            client.chat.completions.create(model="m", messages=[])
        assert client.spent == Spent(calls=1)


async def test_stream_is_counted_at_its_end_by_its_last_chunk() -> None:
    usage = (
        b'data: {"id":"c","created":1,"model":"m","choices":[],'
        b'"usage":{"prompt_tokens":4,"completion_tokens":1}}\n\n'
    )
    events = [chat_event("x"), chat_event(finish="stop"), usage, DONE]
    with serving(streaming(events)) as server:
        async with AsyncLMaaS(base_url=server.url, prices=Prices({"m": PRICE})) as client:
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            assert client.spent == Spent()
            async with stream:
                assert len([chunk async for chunk in stream]) == 3
            assert client.spent.tokens == TokenCounts(4, 0, 1)
            assert client.spent.cost == {"USD": Decimal(16) / 1_000_000}


def test_tally_loses_nothing_between_threads() -> None:
    tally = Tally()
    one = TokenCounts(1, 0, 1)

    def add() -> None:
        for _ in range(500):
            tally.add("m", one, None)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.spent == Spent(2_000, TokenCounts(2_000, 0, 2_000), {}, 2_000)


def test_prices_that_are_none_are_refused() -> None:
    given: Any = {"m": 3}
    with pytest.raises(ConfigurationError, match=r"prices: dict is not understood"):
        LMaaS(prices=given)
