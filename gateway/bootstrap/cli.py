"""`python gateway/bootstrap …`, which the Makefile calls.

    serve [--host H] [--port P] -- [MODEL …] [further `lmaas serve` arguments]
    venv gateway|dev   make the checkout's .venv; print its interpreter
    env NAME …         make shared environments, print their interpreters; `engine` is this machine's
    browser            find the browser of the tests, or install it; print its path
    lock [--upgrade]   write the lock files

Exit codes: 0 done · 1 an installer failed · 2 the machine or the command lacks something · 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap import preflight
from bootstrap.browser import BrowserSetup
from bootstrap.checkout import Checkout
from bootstrap.environments import Environments, cache_folder
from bootstrap.errors import BootstrapError, PreflightError
from bootstrap.locks import Locksmith, stale_locks
from bootstrap.progress import Progress
from bootstrap.recipes import RECIPES
from bootstrap.toolrun import ToolRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_MODELS = ("smollm2-135m-instruct", "all-minilm-l6-v2")
DEVICE_VARIABLE = "LMAAS_ENGINE__DEVICE"
PYTHON_VARIABLE = "LMAAS_ENGINE__PYTHON"


class Bootstrap:
    """The composition root: makes the services and runs the commands."""

    def __init__(
        self, root: Path, environ: Mapping[str, str], make_runner: Callable[..., ToolRunner] = ToolRunner
    ) -> None:
        """`root` is the checkout, `environ` what the user set."""
        cache = cache_folder(environ, Path.home())
        self.log = cache / "logs" / f"bootstrap-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        self._environ = environ
        columns = shutil.get_terminal_size().columns
        self._progress = Progress(sys.stderr, is_terminal=sys.stderr.isatty(), columns=columns)
        self._runner = make_runner(log=self.log, progress=self._progress, environ=environ)
        self._environments = Environments(
            cache / "envs", runner=self._runner, progress=self._progress, environ=environ
        )
        self._root = root
        self._checkout = Checkout(root, self._environments, self._progress)

    def engine(self) -> str:
        """The recipe of the engine for this machine."""
        device = self._environ.get(DEVICE_VARIABLE, "auto")
        if device in {"cpu", "gpu"}:
            return f"engine-{device}"
        return "engine-gpu" if preflight.has_gpu() else "engine-cpu"

    def environments(self, names: Sequence[str]) -> list[Path]:
        """Make shared environments, after a look at the machine."""
        names = [self.engine() if name == "engine" else name for name in names]
        unknown = sorted(set(names) - set(RECIPES))
        if unknown:
            message = (
                f"there is no environment named {', '.join(unknown)}; there are: engine, {', '.join(RECIPES)}"
            )
            raise PreflightError(message)
        self._prepare(names, [])
        return [self._environments.ensure(name) for name in names]

    def venv(self, extra: str) -> Path:
        """Make the checkout's `.venv`."""
        self._prepare([], [extra])
        return self._checkout.ensure(extra)

    def browser(self) -> Path:
        """Find the browser that the tests drive, or install it."""
        setup = BrowserSetup(
            self._environments.folder / "browser.lock",
            runner=self._runner,
            progress=self._progress,
            environ=self._environ,
            is_root=os.geteuid() == 0,
        )
        return setup.ensure()

    def serve(self, host: str, port: int, arguments: Sequence[str]) -> int:
        """Prepare everything, then become `lmaas serve`; an engine that the user names is not installed."""
        preflight.check_port(host, port)
        own_engine = self._environ.get(PYTHON_VARIABLE)
        engines = [] if own_engine else [self.engine()]
        self._prepare(engines, ["gateway"])
        self._checkout.ensure("gateway")
        pythons = [str(self._environments.ensure(engine)) for engine in engines]
        # A model name comes before the options; a configuration file names its own.
        names_models = bool(arguments) and (
            not arguments[0].startswith("-") or any(argument.startswith("--config") for argument in arguments)
        )
        command = [str(self._checkout.command), "serve", "--host", host, "--port", str(port)]
        command += [*(() if names_models else DEFAULT_MODELS), *arguments]
        sys.stderr.flush()
        os.execve(command[0], command, {**self._environ, PYTHON_VARIABLE: own_engine or pythons[0]})

    def lock(self, *, upgrade: bool) -> None:
        """Write every lock file."""
        self._progress.expect(len(RECIPES) + (not self._environments.is_ready("tools")))
        locksmith = Locksmith(self._root, self._environments.uv(), self._runner, self._progress)
        for recipe in RECIPES.values():
            locksmith.write(recipe, upgrade=upgrade)
        for path in stale_locks():
            path.unlink()

    def _prepare(self, names: Sequence[str], extras: Sequence[str]) -> None:
        """Judge the machine if anything has to be installed, and announce the steps."""
        missing = [name for name in names if not self._environments.is_ready(name)]
        extras = [extra for extra in extras if not self._checkout.is_ready(extra)]
        if not missing and not extras:
            return
        preflight.check(preflight.inspect())
        needed_gib = sum(RECIPES[name].needed_gib for name in (*missing, *extras))
        folder = self._environments.folder
        preflight.check_room(preflight.inspect_room(folder, int(needed_gib * preflight.GIB)))
        has_tools = self._environments.is_ready("tools")
        self._progress.expect(len(missing) + len(extras) + (not has_tools and "tools" not in missing))


def main(arguments: Sequence[str]) -> int:
    """Run one command; no failure shows a traceback."""
    bootstrap = Bootstrap(ROOT, os.environ)
    try:
        return _run(bootstrap, _parser().parse_args(arguments))
    except BootstrapError as error:
        sys.stderr.write(f"lmaas: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nlmaas: interrupted; run the same command again to go on\n")
        return 130
    except OSError as error:
        sys.stderr.write(f"lmaas: {error.filename or 'the system'}: {error.strerror or error}\n")
        return 1
    except Exception as error:
        bootstrap.log.parent.mkdir(parents=True, exist_ok=True)
        with bootstrap.log.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        sys.stderr.write(
            f"lmaas: a mistake of ours ({type(error).__name__}: {error}); details: {bootstrap.log}\n"
        )
        return 1


def _run(bootstrap: Bootstrap, options: argparse.Namespace) -> int:
    if options.command == "serve":
        return bootstrap.serve(options.host, options.port, options.arguments)
    if options.command == "lock":
        bootstrap.lock(upgrade=options.upgrade)
        return 0
    sys.stdout.write("".join(f"{path}\n" for path in _make(bootstrap, options)))
    return 0


def _make(bootstrap: Bootstrap, options: argparse.Namespace) -> list[Path]:
    if options.command == "browser":
        return [bootstrap.browser()]
    if options.command == "venv":
        return [bootstrap.venv(options.extra)]
    return bootstrap.environments(options.names)


def _port(text: str) -> int:
    """Parse a port number.

    Raises:
        PreflightError: it is none; argparse would add its usage, which means nothing to a user of `make`.
    """
    if not text.isdecimal() or int(text) > 65535:
        message = f"{text!r} is no port number; choose one from 1 to 65535: make serve PORT=8000"
        raise PreflightError(message)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bootstrap", description="Prepare this machine for lmaas.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="prepare everything and start the gateway")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=8000)
    serve.add_argument("arguments", nargs="*", help="after --: models, and further `lmaas serve` arguments")
    venv = commands.add_parser("venv", help="make the checkout's .venv")
    venv.add_argument("extra", choices=("gateway", "dev"))
    env = commands.add_parser("env", help="make shared environments and print their interpreters")
    env.add_argument("names", nargs="+", metavar="NAME")
    commands.add_parser("browser", help="find or install the browser of the tests and print its path")
    lock = commands.add_parser("lock", help="write the lock files")
    lock.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    return parser
