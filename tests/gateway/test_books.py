"""The stage: each call that was let in has one entry, with all that is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from gateway.books_rig import CALL, CALLER, Clock, Keeper, make_keeper, make_meter, shipped
from lmaas_gateway.call import Principal, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_keeper"]


class Share:
    busy_ns = 5


async def test_entry_of_a_call_has_all_that_is_known(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    clock = Clock()
    meter = make_meter(clock=clock)
    keeper.books.open(CALL, CALLER, meter)
    clock.now_s += 0.25
    meter.see_first_byte()
    clock.now_s += 0.75
    meter.replica, meter.queued_s, meter.status, meter.share = "mock-0", 0.1, 200, Share()
    meter.usage = Usage(1_000_000, 500_000, 10, reasoning_tokens=7)
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert entry.at_us > 1_700_000_000_000_000
    entry.at_us = 0
    assert msgspec.structs.asdict(entry) == {
        "sequence": 0,
        "request_id": "req_1",
        "at_us": 0,
        "organization": "org_1",
        "project": "proj_1",
        "key": "k1",
        "member": "user_1",
        "model": "mock",
        "replica": "mock-0",
        "route": "/v1/chat/completions",
        "is_stream": True,
        "prompt_tokens": 1_000_000,
        "cached_tokens": 10,
        "completion_tokens": 500_000,
        "reasoning_tokens": 7,
        "is_estimated": False,
        "first_byte_us": 250_000,
        "duration_us": 1_000_000,
        "queued_us": 100_000,
        "busy_ns": 5,
        "outcome": "ok",
        "status": 200,
        "code": "",
        "source": "",
        "price": PRICE,
        "cost_nanos": 2 * 10**9,
    }


PRICE = (
    '{"input_per_million_nanos":1000000000,"cached_input_per_million_nanos":1000000000,'
    '"output_per_million_nanos":2000000000}'
)


async def test_call_that_was_refused_has_an_entry_without_tokens(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.model, meter.status, meter.outcome, meter.code = "", 404, "error", "model_not_found"
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.status, entry.outcome, entry.code) == (404, "error", "model_not_found")
    assert (entry.completion_tokens, entry.cost_nanos, entry.price) == (0, 0, "")


async def test_who_was_not_let_in_has_no_entry(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.caller, meter.status = None, 401
    keeper.books.close(meter)
    assert await shipped(keeper) == []


async def test_caller_with_a_key_of_the_configuration_goes_by_its_name(
    make_keeper: Callable[..., Keeper],
) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.caller = Principal("batch-jobs")
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.organization, entry.key) == ("", "batch-jobs")


@pytest.mark.parametrize("source", ["hit", "coalesced", "replayed"])
async def test_reply_out_of_a_store_costs_nothing(make_keeper: Callable[..., Keeper], source: Any) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.cache, meter.status = source, 200
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.source, entry.prompt_tokens, entry.cost_nanos) == (source, 0, 0)


async def test_call_of_a_model_without_a_price_says_so(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    keeper.prices.follow([])
    keeper.call(5)
    (entry,) = await shipped(keeper)
    assert (entry.price, entry.cost_nanos, entry.completion_tokens) == ("", 0, 5)


async def test_call_is_billed_at_the_model_that_answered(make_keeper: Callable[..., Keeper]) -> None:
    keeper = make_keeper()
    meter = make_meter()
    meter.model = "asked"
    keeper.books.open(CALL, CALLER, meter)
    meter.model, meter.replica = "mock", "mock-1"
    keeper.books.note_answer(meter)
    meter.usage = Usage(0, 1_000_000)
    keeper.books.close(meter)
    (entry,) = await shipped(keeper)
    assert (entry.model, entry.cost_nanos) == ("mock", 2 * 10**9)
