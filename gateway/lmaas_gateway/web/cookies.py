"""The cookies of a browser: who it is, which language it reads, which organization an operator looks at."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import cookie_parser

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_YEAR_S = 365 * 86400


@dataclass(frozen=True, slots=True)
class Cookies:
    """Reads and sets them.

    Attributes:
        is_https: Whether browsers reach the gateway over HTTPS. If so the session's cookie has the prefix
            `__Host-`, so that no neighbouring host and no plain connection can set or read it.
    """

    is_https: bool

    @property
    def session(self) -> str:
        """Name of the cookie that tells who the browser is."""
        return "__Host-lmaas-session" if self.is_https else "lmaas-session"

    def read(self, request: Request) -> str:
        """Give what tells who the browser is; empty if nothing does."""
        return request.cookies.get(self.session, "")

    def read_from(self, header: str) -> str:
        """Give the same out of the header `Cookie`."""
        return cookie_parser(header).get(self.session, "")

    def set(self, response: Response, value: str, lifetime_s: float | None = None) -> None:
        """Say who the browser is; without a lifetime until it is closed."""
        response.set_cookie(
            self.session,
            value,
            max_age=None if lifetime_s is None else int(lifetime_s),
            path="/" if self.is_https else "/ui",
            secure=self.is_https,
            httponly=True,
            samesite="strict",
        )

    def set_choice(self, response: Response, name: str, value: str) -> None:
        """Remember what a person chose; it is no secret."""
        response.set_cookie(
            f"lmaas-{name}",
            value,
            max_age=_YEAR_S,
            path="/ui",
            secure=self.is_https,
            httponly=True,
            samesite="strict",
        )


def choice_of(request: Request, name: str) -> str:
    """Give what a person chose before; empty for nothing."""
    return request.cookies.get(f"lmaas-{name}", "")


def new_visit() -> str:
    """Make the cookie of a browser that nobody has signed in, for the tokens of its pages."""
    return "visit." + secrets.token_urlsafe(24)
