"""What a first start makes, so that somebody can be let in: a tenant, and a key of its owner."""

from __future__ import annotations

import secrets
import string
import time
from typing import TYPE_CHECKING

from lmaas_gateway.errors import ConflictError
from lmaas_gateway.identity.keys import make_key
from lmaas_gateway.storage import keys, members, organizations, projects
from lmaas_gateway.storage.records import Key, Member, Organization, Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmaas_gateway.audit.trail import Trail
    from lmaas_gateway.identity.keys import NewKey, Peppers
    from lmaas_gateway.storage.database import Database
    from lmaas_gateway.storage.loan import Connection

NAME = "default"
"""Of the organization and the project that are there from the beginning."""

_ACTOR = "first start"
_BASE62 = string.digits + string.ascii_letters
_DAY_US = 86_400 * 10**6


class FirstStart:
    """Makes the first tenant of an empty store, once.

    Args:
        database: The store.
        trail: Takes what was made.
        peppers: What the MACs of keys are made with.
        clock: Unix seconds.
    """

    def __init__(
        self,
        database: Database,
        trail: Trail,
        peppers: Peppers,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._trail = trail
        self._peppers = peppers
        self._clock = clock

    async def make(self, *, wants_key: bool, lifetime_days: int) -> NewKey | None:
        """Make the organization and the project `default`, if there is no organization.

        Args:
            wants_key: Whether to make a key too, of a service account that owns the organization.
            lifetime_days: Of that key; 0 for ever.

        Returns:
            The key, if this made one: its secret is nowhere else.
        """
        try:
            async with self._database.writing(deadline_s=self._database.admin_deadline_s) as connection:
                if (await organizations.list_all(connection, limit=1)).items:
                    return None
                return await self._make(connection, wants_key=wants_key, lifetime_days=lifetime_days)
        except ConflictError:
            # Another host started first at this very moment.
            return None

    async def _make(self, connection: Connection, *, wants_key: bool, lifetime_days: int) -> NewKey | None:
        now_us = int(self._clock() * 1e6)
        tenant = Organization(id=_new_id("org_"), name=NAME, created_at=now_us)
        project = Project(id=_new_id("proj_"), organization_id=tenant.id, name=NAME, created_at=now_us)
        await organizations.create(connection, tenant)
        await projects.create(connection, project)
        made = None
        if wants_key:
            owner = Member(
                id=_new_id("svc_"),
                organization_id=tenant.id,
                kind="service",
                name="first start",
                role="owner",
                created_at=now_us,
            )
            await members.create(connection, owner)
            made = make_key(self._peppers)
            ends_us = now_us + lifetime_days * _DAY_US if lifetime_days else None
            await keys.create(connection, _key_of(made, project, owner, now_us, ends_us))
        await self._trail.append(
            connection,
            actor=_ACTOR,
            action="organizations.create",
            object_kind="organization",
            object_id=tenant.id,
            organization_id=tenant.id,
            detail={"project": project.id, "key": None if made is None else made.id},
        )
        return made


def _key_of(made: NewKey, project: Project, owner: Member, now_us: int, ends_us: int | None) -> Key:
    return Key(
        id=made.id,
        project_id=project.id,
        organization_id=project.organization_id,
        member_id=owner.id,
        name="first start",
        mac=made.mac,
        pepper_version=made.pepper_version,
        last4=made.last4,
        scopes='{"admin":"owner"}',
        created_at=now_us,
        expires_at=ends_us,
        created_by=_ACTOR,
    )


def _new_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_BASE62) for _ in range(20))
