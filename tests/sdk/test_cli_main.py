from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmaas import __version__
from lmaas.cli import main

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = [[], ["serve"], ["chat"], ["embed"], ["models"], ["models", "list"], ["models", "pull"]]


def run(arguments: Sequence[str]) -> int:
    """Run a command line that argparse itself ends."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "usage: lmaas" in capsys.readouterr().out


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != ["models"]], ids=" ".join)
def test_help_has_examples_of_the_command_itself(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run([*command, "--help"])
    examples = capsys.readouterr().out.partition("examples:\n")[2]
    assert f"  {' '.join(['lmaas', *command])}" in examples


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"lmaas {__version__}\n"


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_option_that_cannot_work_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "-m", "hi", "--base-url", "ftp://x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lmaas: base_url is 'ftp://x'")
    assert captured.err.count("\n") == 1


def test_serve_without_models_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 2
    assert "lmaas serve smollm2-135m-instruct" in capsys.readouterr().err


def test_serve_takes_its_flags_over_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "lmaas.yaml"
    config.write_text("host: 0.0.0.0\nmodels: [smollm2-135m-instruct]\n")
    assert main(["serve", "--config", str(config), "--workers", "0", "--host", "127.0.0.1"]) == 2
    assert "workers" in capsys.readouterr().err


LOADED = """
import sys
from lmaas.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(",".join(sorted({{name.partition(".")[0] for name in sys.modules}})), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--version"], ["embed", "--help"], ["models", "list", "--base-url", "http://127.0.0.1:1"]]
)
def test_commands_load_nothing_of_the_gateway(arguments: list[str]) -> None:
    script = LOADED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split(","))
    assert not loaded & {"lmaas_gateway", "starlette", "uvicorn", "msgspec", "yaml"}


def test_help_needs_no_http_client() -> None:
    script = LOADED.format(arguments=["--help"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "httpx" not in done.stderr.splitlines()[-1].split(",")


def test_reader_that_stops_reading_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    script = "from lmaas.cli import main; raise SystemExit(main(['models', 'list', '--catalog']))"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")
