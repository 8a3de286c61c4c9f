"""Stands in for the engine's interpreter: vLLM's looks on a unix socket, and a stubborn child behind it.

How it behaves is chosen with `--fake MODE` among the engine arguments:
  serve    answers 200 until SIGTERM (the default)
  crash    writes an error to its log and exits with code 1
  hang     never listens
  stubborn serves, and ignores SIGTERM
  orphan   serves, and exits 0 on the first request after start, its child living on
"""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NoReturn


def write_interpreter(path: Path, build: str = "cpu") -> Path:
    """Make an executable at `path` that can be given to the launcher as the engine's interpreter."""
    lines = (
        "#!/bin/sh",
        f'[ "$2" = -c ] && echo {build} && exit 0',
        '[ "$2" = pip ] && exit 1',
        f'exec {sys.executable} {__file__} "$@"',
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o700)
    return path


def value_of(option: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(option) + 1] if option in sys.argv else default


class Handler(BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def terminate(*_: object) -> NoReturn:
    # A vLLM that was asked to stop ends its engine core first.
    child.kill()
    child.wait()
    os._exit(0)


if __name__ == "__main__":
    mode = value_of("--fake", "serve")
    ignoring = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", ignoring])
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else terminate)
    if pid_file := os.environ.get("FAKE_ENGINE_PIDS"):
        with Path(pid_file).open("a") as file:
            file.write(f"{os.getpid()} {child.pid}\n")
    if mode == "crash":
        sys.stderr.write("ValueError: no such model in /secret/folder/x at https://user:pw@host/y\n")
        sys.exit(1)
    while mode == "hang":
        time.sleep(1)
    address = value_of("--uds")
    with socketserver.UnixStreamServer(address + ".new", Handler) as server:
        # It appears when it can be connected to.
        Path(address + ".new").rename(address)
        if mode == "orphan":
            server.handle_request()
            server.handle_request()
            os._exit(0)
        server.serve_forever()
