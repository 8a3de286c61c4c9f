"""Where packages come from: the user's own pip configuration, told to uv, which does not read it.

Everything here happens at run time; no index, host or folder is ever written into a file of the project.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile(r"^(?P<section>[^.]+)\.(?P<option>[a-z0-9-]+)=(?P<value>.+)$")
_SECTIONS = ("global", "install", ":env:")
"""The sections that concern an installation; later ones win, as in pip."""

_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "trusted-host": "UV_INSECURE_HOST",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
}


def parse_pip_configuration(listing: str) -> dict[str, str]:
    """The options that `pip config list` prints, as pip would combine them for `pip install`."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listing.splitlines():
        match = _LINE.match(line.strip())
        if match and match["section"] in found:
            found[match["section"]][match["option"]] = _unquoted(match["value"])
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged.update(found[section])
    return merged


def uv_environment(pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that makes uv look where pip looks; what the user told uv itself wins."""
    told: dict[str, str] = {}
    for option, variable in _TO_UV.items():
        value = " ".join(pip.get(option, "").split())
        if value:
            told[variable] = value.replace(" ", ",") if option == "find-links" else value
    if "UV_INDEX" in told:
        # pip takes the best version of all indexes. uv stops at the first that has the name, as a guard
        # against a foreign package of that name; the hashes in our lock files are a stronger one.
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {variable: value for variable, value in told.items() if variable not in environ}


def _unquoted(value: str) -> str:
    try:
        literal = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return str(literal)
