"""The keys of the store as a process knows them: asked for once, held a while, never against the truth."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.key_rig import HERE, Rig
from lmaas_gateway.call import Principal, Scopes
from lmaas_gateway.errors import (
    AuthenticationBusyError,
    AuthenticationError,
    GatewayError,
    KeyExpiredError,
    KeyRevokedError,
    StoreUnavailableError,
)
from lmaas_gateway.identity import stored, throttle
from lmaas_gateway.identity.keys import make_key
from lmaas_gateway.storage.holders import KeyScopes
from support.tenants import NOW_US, FakeKeys, FakePeppers


async def test_key_tells_whom_it_stands_for() -> None:
    rig = Rig()
    scopes = KeyScopes(models=("a*",), admin="owner")
    key = rig.store.add(member="user_1", role="developer", scopes=scopes, weight=2.0, priority="low")
    assert await rig.call(key) == Principal(
        key.id,
        2.0,
        1,
        organization="org_one",
        project="proj_one",
        member="user_1",
        key=key.id,
        role="developer",
        scopes=Scopes(models=("a*",), admin="owner"),
    )


async def test_key_without_the_admin_scope_has_no_role_whatever_its_member_is() -> None:
    rig = Rig()
    assert (await rig.call(rig.store.add(member="user_1", role="owner"))).role is None
    assert (await rig.call(rig.store.add(scopes=KeyScopes(admin="viewer")))).role == "viewer"


async def test_known_key_is_not_asked_for_again_until_a_minute_has_passed() -> None:
    rig = Rig()
    key = rig.store.add()
    for _ in range(3):
        await rig.call(key)
    assert len(rig.store.asked) == 1
    rig.now_s += 59.9
    await rig.call(key)
    assert len(rig.store.asked) == 1
    rig.now_s += 0.2
    await rig.call(key)
    assert len(rig.store.asked) == 2


async def test_known_key_is_recognised_in_any_header_without_asking() -> None:
    rig = Rig()
    key = rig.store.add()
    await rig.call(key)
    for name in (b"x-api-key", b"api-key", b"x-api-key"):
        assert rig.authenticator.identify([(name, key.text.encode())], HERE)
    assert len(rig.store.asked) == 1
    assert len(rig.warm) == 1


async def test_header_that_was_seen_is_known_without_its_key_being_checked_again() -> None:
    rig = Rig()
    key = rig.store.add()
    found = await rig.call(key)
    rig.keys.match = None  # type: ignore[assignment, method-assign]  # a fault
    assert await rig.call(key) is found


async def test_a_thousand_calls_with_one_cold_key_ask_once() -> None:
    rig = Rig()
    key = rig.store.add()
    found = await asyncio.gather(*(rig.call(key) for _ in range(1000)))
    assert {principal.key for principal in found} == {key.id}
    assert rig.store.asked == [key.id]


async def test_caller_who_leaves_takes_the_answer_from_nobody_else() -> None:
    rig = Rig()
    rig.store.pause = asyncio.Event()
    key = rig.store.add()
    first, second = asyncio.create_task(rig.call(key)), asyncio.create_task(rig.call(key))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    rig.store.pause.set()
    assert (await second).key == key.id
    assert rig.store.asked == [key.id]


async def test_failure_that_nobody_waits_for_any_more_is_nobodys() -> None:
    rig = Rig()
    rig.store.pause, rig.store.is_down = asyncio.Event(), True
    caller = asyncio.create_task(rig.call(rig.store.add()))
    await asyncio.sleep(0)
    caller.cancel()
    rig.store.pause.set()
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await caller


@given(st.binary(max_size=100))
def test_junk_never_reaches_the_store(junk: bytes) -> None:
    rig = Rig()
    with pytest.raises(AuthenticationError):
        rig.authenticator.identify([(b"x-api-key", junk)], HERE)
    assert rig.store.asked == []


async def test_mistyped_key_is_told_so_and_looked_up_by_nobody() -> None:
    rig = Rig()
    key = rig.store.add()
    error = await rig.refusal(key.text[:-1] + ("a" if key.text[-1] != "a" else "b"))
    assert "mistyped" in error.message
    with pytest.raises(AuthenticationError, match="mistyped"):
        await rig.keys.find(b"sk-lmaas-short", None, HERE)
    assert rig.store.asked == []


async def test_unknown_key_is_refused_unasked_for_some_seconds() -> None:
    rig = Rig()
    unknown = make_key(FakePeppers())
    for _ in range(3):
        assert type(await rig.refusal(unknown)) is AuthenticationError
    assert len(rig.store.asked) == 1
    rig.now_s += 5.1
    await rig.refusal(unknown)
    assert len(rig.store.asked) == 2


async def test_right_id_with_another_secret_is_refused() -> None:
    rig = Rig()
    key = rig.store.add()
    other = make_key(FakePeppers(), key.id)
    await rig.call(key)
    assert type(await rig.refusal(other)) is AuthenticationError
    assert len(rig.store.asked) == 1


async def test_key_of_an_earlier_pepper_is_still_good_and_one_of_a_lost_pepper_is_not() -> None:
    class Old(FakePeppers):
        newest = 1

    rig = Rig()
    key = rig.store.add()
    old = make_key(Old())
    rig.store.holders[key.id] = rig.store.holders.pop(key.id)
    rig.store.change(key, mac=old.mac, pepper_version=1)
    assert type(await rig.refusal(key)) is AuthenticationError
    rig.store.holders[old.id] = rig.store.holders[key.id]
    await rig.call(old)


async def test_inventor_of_keys_reaches_the_store_at_a_bounded_rate() -> None:
    rig = Rig(max_lookups_per_s=5)
    for number in range(100):
        await rig.refusal(make_key(FakePeppers()), f"10.0.{number}.1")
    assert len(rig.store.asked) == 5
    assert isinstance(await rig.refusal(make_key(FakePeppers())), AuthenticationBusyError)
    rig.now_s += 1
    for number in range(100):
        await rig.refusal(make_key(FakePeppers()), f"10.1.{number}.1")
    assert len(rig.store.asked) == 10


async def test_inventor_in_one_place_is_held_up_and_nobody_elsewhere() -> None:
    rig = Rig()
    for _ in range(60):
        await rig.refusal(make_key(FakePeppers()))
    assert len(rig.store.asked) == 20
    assert isinstance(await rig.refusal(rig.store.add()), AuthenticationBusyError)
    await rig.call(rig.store.add(), "192.0.2.2")


async def test_many_cold_keys_at_once_are_all_let_in() -> None:
    rig = Rig(max_lookups_per_s=5)
    for _ in range(50):
        await rig.call(rig.store.add())


async def test_junk_makes_no_memory_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    # Bounds that a few hundred keys pass; those that serve are 10,000 and 4,096.
    monkeypatch.setattr(stored, "_MAX_MISSES", 100)
    monkeypatch.setattr(throttle, "_MAX_PLACES", 40)
    rig = Rig(max_lookups_per_s=100_000)
    for number in range(300):
        await rig.refusal(make_key(FakePeppers()), f"10.{number % 200}.{number % 251}.{number % 253}")
    assert len(rig.keys._misses) == 100
    assert len(rig.keys._throttle._misses) == 40
    assert not rig.keys._known
    assert not rig.keys._flights


async def test_no_more_keys_are_remembered_than_there_is_room_for() -> None:
    rig = Rig(cache_keys=2)
    keys = [rig.store.add() for _ in range(3)]
    for key in keys:
        await rig.call(key)
    assert len(rig.keys._known) == len(rig.warm) == 2
    await rig.call(keys[0])


@pytest.mark.parametrize(
    ("change", "error"),
    [({"revoked_at": NOW_US}, KeyRevokedError), ({"is_closed": True}, KeyRevokedError)],
)
async def test_key_that_has_ended_says_why(change: dict[str, object], error: type[GatewayError]) -> None:
    rig = Rig()
    key = rig.store.add(**change)
    assert type(await rig.refusal(key)) is error
    assert type(await rig.refusal(key)) is error
    # To who does not hold the secret it says nothing.
    assert type(await rig.refusal(make_key(FakePeppers(), key.id))) is AuthenticationError
    assert len(rig.store.asked) == 1


async def test_key_expires_to_the_moment() -> None:
    rig = Rig()
    key = rig.store.add(expires_at=rig.at_us(30))
    await rig.call(key)
    rig.now_s += 29.9
    await rig.call(key)
    rig.now_s += 0.2
    assert type(await rig.refusal(key)) is KeyExpiredError
    for _ in range(3):
        await rig.refusal(key)
    assert len(rig.store.asked) == 2


class TestOutage:
    async def test_known_key_is_good_for_five_minutes_more(self) -> None:
        rig = Rig()
        key = rig.store.add()
        await rig.call(key)
        rig.store.is_down = True
        rig.now_s += 61
        for _ in range(100):
            assert (await rig.call(key)).key == key.id
        assert len(rig.store.asked) == 2, "it is tried once a second"
        rig.now_s += 298
        await rig.call(key)
        rig.now_s += 2
        assert type(await rig.refusal(key)) is StoreUnavailableError

    async def test_unknown_key_is_told_to_come_back_and_not_that_it_is_wrong(self) -> None:
        rig = Rig()
        key = rig.store.add()
        rig.store.is_down = True
        assert type(await rig.refusal(key)) is StoreUnavailableError
        rig.store.is_down = False
        await rig.call(key)

    async def test_revoked_key_is_never_served_if_that_was_known(self) -> None:
        rig = Rig()
        key = rig.store.add()
        await rig.call(key)
        await rig.changes.follow()
        await rig.call(key)
        rig.store.change(key, revoked_at=NOW_US)
        await rig.changes.follow()
        rig.store.is_down = True
        for _ in range(400):
            rig.now_s += 1
            assert isinstance(await rig.refusal(key), KeyRevokedError | StoreUnavailableError)

    async def test_key_that_expires_meanwhile_is_not_good(self) -> None:
        rig = Rig()
        key = rig.store.add(expires_at=rig.at_us(100))
        await rig.call(key)
        rig.store.is_down = True
        rig.now_s += 99
        await rig.call(key)
        rig.now_s += 2
        assert isinstance(await rig.refusal(key), KeyExpiredError | StoreUnavailableError)

    async def test_key_that_changed_in_a_way_not_known_is_not_good(self) -> None:
        class Halfway(FakeKeys):
            async def find_all(self, _: object) -> list[object]:  # type: ignore[override]  # it fails
                raise StoreUnavailableError("The store has just gone.")

        rig = Rig()
        key = rig.store.add()
        await rig.changes.follow()
        await rig.call(key)
        rig.store.change(key, revoked_at=NOW_US)
        rig.store.__class__ = Halfway
        await rig.changes.follow()
        rig.store.is_down = True
        assert type(await rig.refusal(key)) is StoreUnavailableError
