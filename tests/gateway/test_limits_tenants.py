"""Limits of tenants: read when they first call, followed when an administrator changes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, update

from lmaas_gateway.call import Principal
from lmaas_gateway.errors import StoreUnavailableError
from lmaas_gateway.limits.rules import Limit, RuleBook
from lmaas_gateway.limits.stage import Limiter
from lmaas_gateway.limits.stored import StoredLimits
from lmaas_gateway.limits.stores import LocalStore
from lmaas_gateway.limits.table import Table
from lmaas_gateway.limits.tenants import TenantLimits
from lmaas_gateway.metrics import Metrics
from lmaas_gateway.settings import LimitSettings
from lmaas_gateway.storage import tables
from support.tenants import NOW_US, Tenant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmaas_gateway.storage.database import Database

ALICE = Principal(id="k1", organization="org_a", project="proj_a", member="user_a", key="k1")


class Source:
    """Limits in a list; may be away."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = list(limits)
        self.number = 1
        self.loads = 0
        self.is_away = False

    async def version(self) -> int:
        if self.is_away:
            raise StoreUnavailableError("away")
        return self.number

    async def load(self, organizations: Sequence[str]) -> list[Limit]:
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnavailableError("away")
        self.loads += 1
        return [limit for limit in self.limits if limit.organization in organizations]


def of_org(organization: str, amount: int, kind: Any = "organization", subject: str = "") -> Limit:
    return Limit(kind, subject or organization, "requests", amount, "day", organization=organization)


async def test_limits_are_read_once_for_all_that_call_first_at_once() -> None:
    source = Source(of_org("org_a", 5), of_org("org_b", 7))
    tenants = TenantLimits(source)
    await asyncio.gather(*(tenants.learn("org_a") for _ in range(10)))
    assert source.loads == 1
    assert tenants.limits == (source.limits[0],)
    await tenants.learn("org_b")
    assert len(tenants.limits) == 2


async def test_change_is_seen_and_what_has_not_changed_is_not_read_again() -> None:
    source = Source(of_org("org_a", 5))
    tenants = TenantLimits(source)
    await tenants.learn("org_a")
    assert await tenants.refresh() is not None
    assert await tenants.refresh() is None
    source.limits, source.number = [of_org("org_a", 9)], 2
    changed = await tenants.refresh()
    assert changed is not None
    assert changed[0].amount == 9
    source.is_away = True
    assert await tenants.refresh() is None
    assert tenants.limits[0].amount == 9


async def test_limits_learned_while_others_are_read_are_not_lost() -> None:
    source = Source(of_org("org_a", 5), of_org("org_b", 7))
    tenants = TenantLimits(source)
    await tenants.learn("org_a")
    refreshed, _ = await asyncio.gather(tenants.refresh(), tenants.learn("org_b"))
    assert refreshed is not None
    assert {limit.organization for limit in tenants.limits} == {"org_a", "org_b"}


async def test_tenant_whose_limits_cannot_be_read_is_not_let_through_without() -> None:
    source = Source()
    source.is_away = True
    limiter = Limiter(
        LimitSettings(), LocalStore(Table.in_memory(64)), Metrics(), tenants=TenantLimits(source)
    )
    assert limiter.knows(Principal("config"))
    assert not limiter.knows(ALICE)
    with pytest.raises(StoreUnavailableError):
        await limiter.learn(ALICE)
    source.is_away = False
    await limiter.learn(ALICE)
    assert limiter.knows(ALICE)


def test_limit_of_a_subject_is_found_by_what_the_key_belongs_to() -> None:
    mine = [
        of_org("org_a", 1),
        of_org("org_a", 2, "project", "proj_a"),
        of_org("org_a", 3, "member", "user_a"),
        of_org("org_a", 4, "key", "k1"),
        of_org("org_a", 5, "model", "chat"),
    ]
    others = [
        of_org("org_b", 1),
        of_org("org_b", 1, "model", "chat"),
        of_org("org_a", 1, "project", "proj_b"),
        of_org("org_a", 1, "model", "other"),
    ]
    assert sorted(limit.amount for limit in RuleBook([*mine, *others]).find(ALICE, "chat")) == [1, 2, 3, 4, 5]


def test_limit_of_some_models_counts_their_calls_alone() -> None:
    limit = Limit("key", "k1", "requests", 1, "day", models="gpt-*")
    book = RuleBook([limit])
    assert book.find(ALICE, "gpt-4") == (limit,)
    assert book.find(ALICE, "llama") == ()


def test_of_two_limits_that_count_the_same_the_lower_holds() -> None:
    book = RuleBook([of_org("org_a", 5), of_org("org_a", 3), of_org("org_a", 4)])
    assert [limit.amount for limit in book.find(ALICE, "chat")] == [3]


async def test_limits_stand_in_the_database(database: Database) -> None:
    await Tenant(database, "a").make()
    await Tenant(database, "b").make()
    tenant = Tenant(database, "a")
    for number, organization in enumerate(("org_a", "org_a", "org_b")):
        await tenant.insert(
            tables.limits,
            id=f"limit_{number}",
            organization_id=organization,
            subject_kind="key",
            subject_id=f"k{number}",
            model_glob="*",
            metric="tokens",
            period="minute",
            amount=100 + number,
        )
    stored = StoredLimits(database)
    found = await stored.load(["org_a"])
    assert sorted(limit.amount for limit in found) == [100, 101]
    assert found[0].organization == "org_a"
    before = await stored.version()
    await tenant.insert(
        tables.audit,
        seq=before + 1,
        at=NOW_US,
        organization_id="org_a",
        actor="user_a",
        action="limit.change",
        object_kind="limit",
        object_id="limit_0",
        detail="{}",
        previous_mac=b"",
        mac=b"",
    )
    assert await stored.version() == before + 1
    async with database.writing() as connection:
        await connection.execute(update(tables.limits).values(amount=7))
        await connection.execute(delete(tables.limits).where(tables.limits.c.id == "limit_1"))
    assert [limit.amount for limit in await stored.load(["org_a"])] == [7]
