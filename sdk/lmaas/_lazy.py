"""Names of a package that are imported when first asked for, so that who never does pays nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for `package` that finds each name of `modules` in the module given for it.

    Source: PEP 562.
    """

    def find(name: str) -> Any:
        if name not in modules:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find


def by_name(modules: Mapping[str, str]) -> dict[str, str]:
    """Turn `{module: "Name Other"}` into `{name: module}`."""
    return {name: module for module, names in modules.items() for name in names.split()}
