"""A real `lmaas serve` with real vLLM behind it, as a process of its own, seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.processes import group_members, is_alive, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHAT = "smollm2-135m-instruct"
EMBEDDING = "all-minilm-l6-v2"
CORS_ORIGIN = "http://front.example"
ADMIN_KEY = "the-operators-key-of-these-tests"
READY_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class LiveGateway:
    """What tests may know of the gateway that runs.

    `stdout` is its access log, `stderr` what it tells people; `runtime_dir` holds the replicas' sockets.
    """

    url: str
    pid: int
    stdout: Path
    stderr: Path
    runtime_dir: Path

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The access log so far."""
        return [json.loads(line) for line in self.stdout.read_text("utf-8").splitlines() if line.strip()]

    def log_line(self, request_id: str) -> dict[str, Any]:
        """The line of one call, which is written soon after its reply ended."""
        until(lambda: self._find(request_id))
        return self._find(request_id)[0]

    def _find(self, request_id: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines if line["request_id"] == request_id]

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the gateway's samples of `name` that have `labels`."""
        return sample_sum(httpx.get(f"{self.url}/metrics", timeout=10).text, name, labels)

    def engine_metric(self, model: str, name: str) -> float:
        """The same from the model's own vLLM, past the gateway."""
        with self.engine(model) as client:
            return sample_sum(client.get("/metrics").text, name, {})

    @contextmanager
    def engine(self, model: str) -> Iterator[httpx.Client]:
        """A client of the model's own vLLM, over its socket."""
        transport = httpx.HTTPTransport(uds=str(self.socket_of(model)))
        with httpx.Client(transport=transport, base_url="http://replica", timeout=10) as client:
            yield client

    def api_server_of(self, model: str) -> int:
        """The process that vLLM serves HTTP with."""
        found = self.api_servers_of(model)
        assert found, f"no engine of {model} runs"
        return found[0]

    def api_servers_of(self, model: str) -> list[int]:
        """These processes of all its replicas, each the leader of its group, below a guardian of its own."""
        start = f"{self.runtime_dir}/{model}-".encode()
        found = [pid for pid in descendants(self.pid) if _serves_at(command_line(pid), start)]
        return [pid for pid in found if pid in group_members(pid)]

    def engine_core_of(self, model: str) -> int:
        """The process that vLLM computes in."""
        for pid in descendants(self.api_server_of(model)):
            if b"EngineCore" in command_line(pid)[0]:
                return pid
        raise AssertionError(f"no engine core of {model} runs")

    def socket_of(self, model: str) -> Path:
        """Where the model's own vLLM listens."""
        return next(self.runtime_dir.glob(f"{model}-*.sock"))


@contextmanager
def running_gateway(
    folder: Path,
    engine_python: str,
    arguments: Sequence[str] = (CHAT, EMBEDDING),
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[LiveGateway]:
    """Start a gateway, with both embedded models; wait until it is ready; stop it and see all gone."""
    # Sockets have short paths, and pytest's folders long ones.
    runtime_dir = Path(tempfile.mkdtemp(prefix="lmaas-e2e-"))
    port = free_port()
    stdout, stderr = folder / "stdout", folder / "stderr"
    command = [lmaas_command(), "serve", *arguments, "--open", "--port", str(port)]
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=err,
            env={**_environment(engine_python, runtime_dir), **environ},
            cwd=folder,
        )
    gateway = LiveGateway(f"http://127.0.0.1:{port}", process.pid, stdout, stderr, runtime_dir)
    try:
        _wait_until_ready(gateway, process)
        yield gateway
    finally:
        _stop(process, stderr)
        shutil.rmtree(runtime_dir, ignore_errors=True)


def lmaas_command() -> str:
    """The `lmaas` beside this interpreter."""
    return str(Path(sys.executable).with_name("lmaas"))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def sample_sum(text: str, name: str, labels: Mapping[str, str]) -> float:
    """Add up the samples of `name` in Prometheus' text format that have `labels`."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def descendants(pid: int) -> list[int]:
    """Process ids of the children of `pid`, of their children, and so on."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        young = children.get(queue.pop(), [])
        found += young
        queue += young
    return found


def command_line(pid: int) -> list[bytes]:
    """The words of a process' command line; [b""] if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return [b""]


def _serves_at(words: Sequence[bytes], start: bytes) -> bool:
    """Tell whether a command line is that of a server on such a socket, and not of its guardian."""
    is_told = any(word.startswith(start) and word.endswith(b".sock") for word in words)
    return is_told and b"guardian.py" not in b" ".join(words)


def _environment(engine_python: str, runtime_dir: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LMAAS_")}
    return kept | {
        "LMAAS_ENGINE__PYTHON": engine_python,
        "LMAAS_RUNTIME_DIR": str(runtime_dir),
        "LMAAS_CORS_ORIGINS": CORS_ORIGIN,
        "LMAAS_ADMIN_KEY": ADMIN_KEY,
    }


def _wait_until_ready(gateway: LiveGateway, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not gateway.is_ready():
        said = gateway.stderr.read_text("utf-8")[-2000:]
        assert process.poll() is None, f"lmaas serve ended with {process.returncode}:\n{said}"
        assert time.monotonic() < deadline, f"not ready after {READY_TIMEOUT_S:.0f} s:\n{said}"
        time.sleep(0.25)


def _stop(process: subprocess.Popen[bytes], stderr: Path) -> None:
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    assert code == 0, f"after SIGTERM lmaas serve ended with {code}:\n{stderr.read_text('utf-8')[-2000:]}"
    until(lambda: not any(is_alive(pid) for pid in family))


def lmaas(gateway: LiveGateway, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command as its users do, against the gateway."""
    return subprocess.run(
        [lmaas_command(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "LMAAS_BASE_URL": gateway.url},
    )
