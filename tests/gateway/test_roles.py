"""What each role may do."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from lmaas_gateway.call import Principal, Role
from lmaas_gateway.errors import PermissionDeniedError
from lmaas_gateway.identity.roles import PERMISSIONS, Permission, lesser, outranks, permits, require

ROLES: tuple[Role, ...] = ("viewer", "developer", "admin", "owner")


def test_every_role_stands_in_the_table() -> None:
    assert set(PERMISSIONS) == set(get_args(Role)) == set(ROLES)


@pytest.mark.parametrize("permission", get_args(Permission))
def test_every_permission_is_somebodys_and_no_roles_nobodys(permission: Permission) -> None:
    assert permits("owner", permission)
    assert not permits(None, permission)


def test_each_role_may_all_that_the_lesser_ones_may_and_more() -> None:
    for less, more in pairwise(ROLES):
        assert PERMISSIONS[less] < PERMISSIONS[more]
        assert outranks(more, less)
        assert not outranks(less, more)


@pytest.mark.parametrize(
    ("role", "permission"),
    [
        ("viewer", "keys:write-own"),
        ("developer", "keys:write"),
        ("developer", "audit:read"),
        ("developer", "contents:read"),
        ("admin", "organization:erase"),
        ("admin", "owners:write"),
    ],
)
def test_what_a_role_may_not_is_refused_with_what_is_missing(role: Role, permission: Permission) -> None:
    with pytest.raises(PermissionDeniedError, match=permission) as caught:
        require(Principal("p", role=role), permission)
    assert (caught.value.status, caught.value.code) == (403, "permission_denied")
    assert role in caught.value.message


def test_what_a_role_may_goes_on() -> None:
    require(Principal("p", role="viewer"), "usage:read")


def test_who_acts_by_two_roles_has_the_lesser() -> None:
    assert lesser("owner", "viewer") == lesser("viewer", "owner") == "viewer"
    assert lesser("admin", "admin") == "admin"
    assert lesser(None, "owner") is lesser("owner", None) is None
