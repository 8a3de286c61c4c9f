"""The browser that the tests drive is found, or installed by apt-get, or its lack told with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bootstrap import cli
from bootstrap.browser import VARIABLE, AptInstall, BrowserSetup
from bootstrap.errors import PreflightError, ToolError
from bootstrap.toolrun import Command, Observer, ToolRunner
from bootstrap_fakes import FakeRunner, quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

AVAILABLE = "chromium:\n  Installed: (none)\n  Candidate: 156.0.8078.79-1~deb12u1\n"


class Machine(ToolRunner):
    """A machine with these commands on PATH, some of them broken, and what its apt-get may do."""

    def __init__(
        self, folder: Path, *commands: str, broken: tuple[str, ...] = (), policy: str = AVAILABLE
    ) -> None:
        super().__init__(log=folder / "log", progress=quiet(), environ={})
        self.commands = set(commands)
        self.broken = broken
        self.installs = "chromium"
        self.fails_at: str | None = None
        self.ran: list[str] = []
        self._policy = policy
        self._lock = folder / "envs" / "browser.lock"

    def which(self, command: str) -> str | None:
        return f"/usr/bin/{Path(command).name}" if Path(command).name in self.commands else None

    def read(self, command: Command) -> str | None:
        tool, *_ = (Path(argument).name for argument in command.arguments)
        if tool in self.broken:
            return None
        return self._policy if tool == "apt-cache" else ""

    def run(self, command: Command, observer: Observer | None = None) -> None:
        self.ran.append(" ".join(map(str, command.arguments)))
        if self.fails_at in command.arguments:
            raise ToolError(command.title, 100, ["E: Unable to fetch some archives"], self.log)
        if "install" in command.arguments:
            assert isinstance(observer, AptInstall)
            self.commands.add(self.installs)

    def setup(self, *, is_root: bool = True, environ: Mapping[str, str] | None = None) -> BrowserSetup:
        return BrowserSetup(
            self._lock,
            runner=self,
            progress=quiet(),
            environ=environ or {},
            is_root=is_root,
            which=self.which,
        )


@pytest.mark.parametrize("command", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
def test_a_browser_that_is_there_is_taken_and_nothing_installed(command: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, command, "apt-get")
    assert machine.setup().ensure() == Path(f"/usr/bin/{command}")
    assert machine.ran == []
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_only_asks_for_a_snap_is_passed_over(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "chromium-browser", "google-chrome", broken=("chromium-browser",))
    assert machine.setup().ensure() == Path("/usr/bin/google-chrome")


def test_the_browser_that_the_user_names_is_taken(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "chromium", "brave")
    environ = {VARIABLE: "/usr/bin/brave"}
    assert machine.setup(environ=environ).ensure() == Path("/usr/bin/brave")


@pytest.mark.parametrize("broken", [(), ("brave",)])
def test_a_named_browser_that_does_not_run_is_told(broken: tuple[str, ...], tmp_path: Path) -> None:
    machine = Machine(tmp_path, "chromium", "apt-get", *broken, broken=broken)
    with pytest.raises(PreflightError, match="LMAAS_TEST_BROWSER names /opt/brave, which does not run"):
        machine.setup(environ={VARIABLE: "/opt/brave"}).ensure()
    assert machine.ran == []


def test_root_installs_chromium_and_a_chinese_font_from_a_fresh_list_of_packages(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get")
    assert machine.setup().ensure() == Path("/usr/bin/chromium")
    update, install = machine.ran
    assert update.startswith("env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get ")
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends chromium fonts-wqy-microhei")
    assert machine.setup().ensure() == Path("/usr/bin/chromium")
    assert len(machine.ran) == 2


def test_a_user_with_passwordless_sudo_installs_through_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get", "sudo")
    machine.setup(is_root=False).ensure()
    assert [line.split()[:3] for line in machine.ran] == [["/usr/bin/sudo", "-n", "env"]] * 2


def test_a_browser_that_another_process_has_just_installed_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, "apt-get")
    setup = machine.setup()

    class Waited:
        def __enter__(self) -> int:
            machine.commands.add("chromium")
            return 0

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("bootstrap.browser.exclusive", lambda *_: Waited())
    assert setup.ensure() == Path("/usr/bin/chromium")
    assert machine.ran == []


@pytest.mark.parametrize(
    ("commands", "broken", "policy", "words"),
    [
        ((), (), AVAILABLE, ["package manager", "LMAAS_TEST_BROWSER=/path/to/chrome make test"]),
        (("apt-get",), (), AVAILABLE, ["sudo apt-get install chromium"]),
        (("apt-get", "sudo"), ("sudo",), AVAILABLE, ["sudo apt-get install chromium"]),
        (("apt-get", "sudo"), (), "", ["no chromium package", "https://www.google.com/chrome"]),
        (("apt-get", "sudo"), (), "chromium:\n  Candidate: (none)\n", ["no chromium package"]),
    ],
)
def test_a_browser_that_cannot_be_installed_is_one_sentence_with_the_remedy(
    commands: tuple[str, ...], broken: tuple[str, ...], policy: str, words: list[str], tmp_path: Path
) -> None:
    machine = Machine(tmp_path, *commands, broken=broken, policy=policy)
    with pytest.raises(PreflightError) as caught:
        machine.setup(is_root=False).ensure()
    sentence = str(caught.value)
    assert sentence.startswith("the tests drive a real browser and PATH has no Chromium")
    assert [word for word in words if word not in sentence] == []
    assert "\n" not in sentence
    assert not any("install" in line for line in machine.ran)


def test_a_failed_installation_shows_what_apt_get_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get")
    machine.fails_at = "install"
    with pytest.raises(ToolError, match=r"installing chromium failed .*\n.*Unable to fetch"):
        machine.setup().ensure()


def test_an_installation_without_a_browser_in_it_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "apt-get")
    machine.installs = "nothing"
    with pytest.raises(PreflightError, match="although chromium was just installed"):
        machine.setup().ensure()


def test_every_phase_of_an_installation_tells_how_far_it_is() -> None:
    observer = AptInstall()
    told = [observer.detail()]
    for line in (
        "Reading package lists...",
        "15 upgraded, 115 newly installed, 0 to remove and 121 not upgraded.",
        "Need to get 113 MB/155 MB of archives.",
        "Get:1 http://deb.example/debian bookworm/main amd64 chromium-common amd64 156.0 [31.6 MB]",
        "Get:2 http://deb.example/debian bookworm/main amd64 chromium amd64 156.0 [81.2 MB]",
        "Selecting previously unselected package libmpg123-0:amd64.",
        "Unpacking libmpg123-0:amd64 (1.31.2-1) ...",
        "Setting up perl-base (5.36.0-7) ...",
        "Unpacking chromium (156.0) ...",
    ):
        observer.read(line)
        told.append(observer.detail())
    assert list(dict.fromkeys(told)) == [
        "looking packages up",
        "fetching package 1 of 130, 113 MB in all",
        "fetching package 2 of 130, 113 MB in all",
        "unpacking package 1 of 130",
        "setting up package 1 of 130",
        "unpacking package 2 of 130",
    ]


def test_make_prints_the_path_of_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho Chromium 156\n")
    browser.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(browser))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.main(["browser"]) == 0
    assert capsys.readouterr().out == f"{browser}\n"


def test_the_command_reads_the_environment_it_is_given(tmp_path: Path) -> None:
    environ = {"XDG_CACHE_HOME": str(tmp_path), VARIABLE: "/absent/browser"}
    bootstrap = cli.Bootstrap(tmp_path, environ, lambda **_: FakeRunner(tmp_path))
    with pytest.raises(PreflightError, match="/absent/browser"):
        bootstrap.browser()
