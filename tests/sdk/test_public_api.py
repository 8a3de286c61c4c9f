from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import lmaas
import lmaas.errors
import lmaas.resources
import lmaas.sse
import lmaas.types

MODULES = [lmaas, lmaas.resources, lmaas.types]
TWINS = [
    (lmaas.LMaaS, lmaas.AsyncLMaaS),
    (lmaas.Stream, lmaas.AsyncStream),
    *[
        (getattr(lmaas.resources, name.removeprefix("Async")), getattr(lmaas.resources, name))
        for name in lmaas.resources.__all__
        if name.startswith("Async")
    ],
]
NAMES_OF_ASYNC = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_is_sorted_and_complete(module: ModuleType) -> None:
    def order(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    for name in module.__all__:
        getattr(module, name)  # some are imported when first asked for
    names = [name for name in vars(module) if not name.startswith("_") and name != "annotations"]
    public = {name for name in names if not inspect.ismodule(getattr(module, name))}
    assert module.__all__ == sorted(module.__all__, key=order)
    assert public - {"TYPE_CHECKING"} == set(module.__all__) - {"__version__"}


def methods(cls: type) -> dict[str, inspect.Signature]:
    found = {}
    for name, member in inspect.getmembers(cls, callable):
        if (
            not name.startswith("_") or name in (*NAMES_OF_ASYNC, *NAMES_OF_ASYNC.values())
        ) and member is not type:
            found[NAMES_OF_ASYNC.get(name, name)] = inspect.signature(member)
    return found


@pytest.mark.parametrize(("cls", "twin"), TWINS, ids=lambda cls: cls.__name__)
def test_asynchronous_twin_has_the_same_methods_and_parameters(cls: type, twin: type) -> None:
    mine, others = methods(cls), methods(twin)
    assert mine.keys() == others.keys()
    for name, signature in mine.items():
        # What they take may have an asynchronous twin of its own.
        theirs = [str(parameter).replace("Async", "") for parameter in others[name].parameters.values()]
        assert [str(parameter) for parameter in signature.parameters.values()] == theirs, name


@pytest.mark.parametrize(("cls", "twin"), TWINS[:2], ids=lambda cls: cls.__name__)
def test_clients_and_streams_are_made_from_the_same_options(cls: type, twin: type) -> None:
    mine = inspect.signature(cls).parameters
    others = inspect.signature(twin).parameters
    assert list(mine) == list(others)
    assert [p.default for p in mine.values()] == [p.default for p in others.values()]


def public_objects() -> Iterator[tuple[str, object]]:
    for module in (*MODULES, lmaas.errors, lmaas.sse):
        for name, value in vars(module).items():
            if name.startswith("_") or not callable(value) or not value.__module__.startswith("lmaas"):
                continue
            yield f"{module.__name__}.{name}", value
            if isinstance(value, type):
                for attribute, member in vars(value).items():
                    if (
                        not attribute.startswith("_")
                        and isinstance(member, property | classmethod | staticmethod)
                    ) or (not attribute.startswith("_") and inspect.isfunction(member)):
                        yield f"{module.__name__}.{name}.{attribute}", member


def test_each_public_name_has_a_docstring() -> None:
    assert [name for name, value in public_objects() if not (value.__doc__ or "").strip()] == []


def test_version_is_that_of_the_distribution() -> None:
    assert lmaas.__version__ == importlib.metadata.version("lmaas")


def imported_by(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in result.stdout.split()} | set(result.stdout.split())


def test_importing_is_light() -> None:
    heavy = {"httpx", "asyncio", "numpy", "rich", "click", "importlib.metadata", "lmaas_gateway", "lmaas.cli"}
    assert not imported_by("import lmaas") & heavy


def test_first_client_brings_httpx_but_not_its_command_line() -> None:
    loaded = imported_by("import lmaas; lmaas.LMaaS(); import httpx; assert callable(httpx.main)")
    assert "httpx" in loaded
    assert not loaded & {"httpx._main", "rich", "click"}


def test_client_works_with_an_httpx_that_was_there_before() -> None:
    assert "httpx" in imported_by("import httpx, lmaas; lmaas.LMaaS(); lmaas.AsyncLMaaS()")


def test_distribution_needs_three_packages() -> None:
    needed = [line for line in importlib.metadata.requires("lmaas") or [] if "extra ==" not in line]
    assert sorted(re.split(r"[^a-z]", line)[0] for line in needed) == ["httpx", "pydantic", "tenacity"]
