"""Keys: issue, change, rotate and revoke them. Secrets leave here once, in the answer that issues them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
from msgspec import UNSET

from lmaas_gateway.administration import objects, requests
from lmaas_gateway.administration.actor import no_such
from lmaas_gateway.administration.members import find_member
from lmaas_gateway.administration.office import page_of, seconds, seconds_or_none
from lmaas_gateway.administration.projects import find_project
from lmaas_gateway.errors import BadRequestError, ConflictError, PermissionDeniedError
from lmaas_gateway.identity.keys import ID_CHARS, make_key
from lmaas_gateway.storage import keys
from lmaas_gateway.storage.records import Key

if TYPE_CHECKING:
    from lmaas_gateway.administration.actor import Actor
    from lmaas_gateway.administration.fields import Priority
    from lmaas_gateway.administration.office import Office
    from lmaas_gateway.identity.keys import NewKey, Peppers
    from lmaas_gateway.storage.loan import Connection

_DAY_US = 86_400 * 10**6


class Keys:
    """The keys of the actor's organization.

    Args:
        office: Has the store.
        peppers: Seal the secrets.
        lifetime_days: How long a key is valid if nobody says; 0 for ever.
    """

    def __init__(self, office: Office, peppers: Peppers, *, lifetime_days: int) -> None:
        self._office = office
        self._peppers = peppers
        self._lifetime_days = lifetime_days

    async def list(self, actor: Actor, wanted: requests.ListKeys) -> objects.Page[objects.Key]:
        """List keys, the newest first."""
        actor.require("keys:read")
        async with self._office.reading() as connection:
            found = await keys.list_of(
                connection,
                actor.tenant,
                project_id=actor.bound_to or wanted.project,
                member_id=wanted.member,
                after=wanted.after,
                limit=wanted.limit,
            )
        return page_of(found, self._show, lambda key: key.id)

    async def create(self, actor: Actor, wanted: requests.CreateKey) -> objects.IssuedKey:
        """Issue a key, for oneself or, with the right to, for anybody."""
        member = wanted.member
        if not actor.has("keys:write"):
            actor.require("keys:write-own")
            member = member or actor.principal.member
            _require_own(actor, member)
        _check_scopes(actor, wanted.scopes)
        async with self._office.changing() as connection:
            project = await find_project(connection, actor, wanted.project)
            if project.archived_at is not None:
                raise ConflictError("The project is archived; choose another one.")
            if member is not None:
                await _require_working(connection, actor, member)
            new = await self._make(connection, actor)
            made = self._record(
                new,
                organization_id=actor.tenant,
                project_id=project.id,
                member_id=member,
                name=wanted.name,
                scopes=_encode(wanted.scopes),
                weight=wanted.weight,
                priority=wanted.priority,
                expires_at=self._end(wanted.expires_in_days),
                created_by=actor.id,
            )
            await keys.create(connection, made)
            await self._note(connection, actor, "keys.create", made)
        return self._issue(made, new)

    async def show(self, actor: Actor, id_: str) -> objects.Key:
        """Show a key."""
        actor.require("keys:read")
        async with self._office.reading() as connection:
            return self._show(await _find(connection, actor, id_))

    async def change(self, actor: Actor, id_: str, wanted: requests.ChangeKey) -> objects.Key:
        """Change what a key may, or when it ends."""
        changes: dict[str, Any] = {
            name: value
            for name in ("name", "weight", "priority")
            if (value := getattr(wanted, name)) is not UNSET
        }
        if wanted.scopes is not UNSET:
            _check_scopes(actor, wanted.scopes)
            changes["scopes"] = _encode(wanted.scopes)
        if wanted.expires_at is not UNSET:
            changes["expires_at"] = wanted.expires_at * 10**6
        async with self._office.changing() as connection:
            old = await self._find_to_write(connection, actor, id_)
            if not changes:
                return self._show(old)
            if old.revoked_at is not None:
                raise ConflictError("The key was revoked, which nothing undoes; issue another one.")
            await keys.change(connection, actor.tenant, id_, changes, at=self._office.now_us())
            changed = await _find(connection, actor, id_)
            await self._office.note(
                connection, actor, "keys.change", ("key", id_), changed=sorted(changes), scopes=changed.scopes
            )
        await self._office.announce()
        return self._show(changed)

    async def rotate(self, actor: Actor, id_: str, wanted: requests.RotateKey) -> objects.IssuedKey:
        """Issue a key with the same rights; the old one stays valid for the overlap."""
        now_us = self._office.now_us()
        async with self._office.changing() as connection:
            old = await self._find_to_write(connection, actor, id_)
            if self._state(old) != "active":
                raise ConflictError(f"The key is {self._state(old)}; only an active one can be rotated.")
            new = await self._make(connection, actor)
            made = self._record(
                new,
                organization_id=old.organization_id,
                project_id=old.project_id,
                member_id=old.member_id,
                name=old.name,
                scopes=old.scopes,
                weight=old.weight,
                priority=old.priority,
                expires_at=self._end(wanted.expires_in_days),
                created_by=actor.id,
            )
            until_us = now_us + wanted.overlap_s * 10**6
            if not await keys.rotate(connection, actor.tenant, id_, made, until_us):
                raise ConflictError("The key was rotated or revoked meanwhile; look at it again.")
            if not wanted.overlap_s:
                await keys.revoke(connection, actor.tenant, id_, now_us)
            await self._office.note(
                connection,
                actor,
                "keys.rotate",
                ("key", id_),
                rotated_to=made.id,
                overlap_s=wanted.overlap_s,
            )
        await self._office.announce(*(() if wanted.overlap_s else (id_,)))
        return self._issue(made, new)

    async def revoke(self, actor: Actor, id_: str) -> objects.Key:
        """Revoke a key; to do so again changes nothing."""
        async with self._office.changing() as connection:
            await self._find_to_write(connection, actor, id_)
            if await keys.revoke(connection, actor.tenant, id_, self._office.now_us()):
                await self._office.note(connection, actor, "keys.revoke", ("key", id_))
            revoked = await _find(connection, actor, id_)
        await self._office.announce(id_)
        return self._show(revoked)

    async def _find_to_write(self, connection: Connection, actor: Actor, id_: str) -> Key:
        found = await _find(connection, actor, id_)
        if not actor.has("keys:write"):
            actor.require("keys:write-own")
            _require_own(actor, found.member_id)
        # Whoever may not give a role may not take over, or weaken, a key that has it.
        actor.require_rank(_decode(found.scopes).admin)
        return found

    async def _make(self, connection: Connection, actor: Actor) -> NewKey:
        """Make a key, unless the same request has made one: its secret cannot be shown again."""
        new = make_key(self._peppers, self._office.new_id("", actor, chars=ID_CHARS))
        if await keys.find(connection, actor.tenant, new.id) is not None:
            raise ConflictError(
                f"This `Idempotency-Key` has issued the key {new.id!r}, with its secret in the first answer. "
                "If that was lost, revoke the key and issue another one."
            )
        return new

    def _record(self, new: NewKey, **fields: Any) -> Key:
        return Key(
            id=new.id,
            mac=new.mac,
            pepper_version=new.pepper_version,
            last4=new.last4,
            created_at=self._office.now_us(),
            **fields,
        )

    def _end(self, days: int | None) -> int | None:
        days = days or self._lifetime_days
        return self._office.now_us() + days * _DAY_US if days else None

    async def _note(self, connection: Connection, actor: Actor, action: str, key: Key) -> None:
        await self._office.note(
            connection,
            actor,
            action,
            ("key", key.id),
            name=key.name,
            project=key.project_id,
            member=key.member_id,
            scopes=key.scopes,
            expires_at=seconds_or_none(key.expires_at),
        )

    def _state(self, key: Key) -> Literal["active", "rotated", "expired", "revoked"]:
        if key.revoked_at is not None:
            return "revoked"
        if key.expires_at is not None and key.expires_at <= self._office.now_us():
            return "expired"
        return "active" if key.rotated_to is None else "rotated"

    def _show(self, key: Key) -> objects.Key:
        return objects.Key(**self._fields(key))

    def _issue(self, key: Key, new: NewKey) -> objects.IssuedKey:
        return objects.IssuedKey(**self._fields(key), secret=new.text)

    def _fields(self, key: Key) -> dict[str, Any]:
        return {
            "id": key.id,
            "organization": key.organization_id,
            "project": key.project_id,
            "member": key.member_id,
            "name": key.name,
            "last4": key.last4,
            "state": self._state(key),
            "scopes": _decode(key.scopes),
            "weight": key.weight,
            "priority": cast("Priority", key.priority),
            "created_at": seconds(key.created_at),
            "created_by": key.created_by,
            "expires_at": seconds_or_none(key.expires_at),
            "revoked_at": seconds_or_none(key.revoked_at),
            "rotated_to": key.rotated_to,
            "last_used_at": seconds_or_none(key.last_used_at),
        }


async def _find(connection: Connection, actor: Actor, id_: str) -> Key:
    found = await keys.find(connection, actor.tenant, id_)
    if found is None or actor.bound_to not in {"", found.project_id}:
        raise no_such("key", id_)
    return found


async def _require_working(connection: Connection, actor: Actor, member: str) -> None:
    found = await find_member(connection, actor, member)
    if found.disabled_at is not None:
        raise ConflictError("The member is disabled; a key of it would not work.")


def _require_own(actor: Actor, member: str | None) -> None:
    if not member or member != actor.principal.member:
        raise PermissionDeniedError("Your role allows you keys of your own only.")


def _check_scopes(actor: Actor, scopes: requests.Scopes) -> None:
    """Refuse networks that are none, and a role that the actor could not give."""
    for address in scopes.addresses:
        try:
            ip_network(address)
        except ValueError as error:
            raise BadRequestError(f"{address!r} is no network: {error}.", param="scopes.addresses") from None
    actor.require_rank(scopes.admin)


def _encode(scopes: requests.Scopes) -> str:
    return msgspec.json.encode(scopes).decode()


def _decode(scopes: str) -> requests.Scopes:
    return msgspec.json.decode(scopes, type=requests.Scopes)
