"""Reloading: what the file says takes effect whole or not at all, and no call notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.configuration.changes import AddReplica, ChangeReplica, RemoveReplica, ScaleModel
from lmaas_gateway.configuration.live import Configuration
from lmaas_gateway.configuration.names import name_replicas, names_of
from lmaas_gateway.configuration.source import Source
from lmaas_gateway.configuration.triggers import follow
from lmaas_gateway.configuration.watch import FileWatch
from lmaas_gateway.errors import GatewayError, InvalidConfigurationError, SettingsError
from lmaas_gateway.places import line_of
from lmaas_gateway.settings import ReplicaSettings, Settings, mask
from lmaas_gateway.testing import FakeReplica
from support.processes import served, stop
from support.serving import ASK, CHAT, run_gateway, settings_for
from support.stub import ask, request_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write(path: Path, *urls: str, **fields: Any) -> str:
    """Write a configuration of one model, in one step; JSON is YAML."""
    model = {"name": "mock", "kind": "chat", "replicas": [{"url": url} for url in urls]}
    text = json.dumps({"port": 0, "probe_interval_s": 0.05, "models": [model], **fields}, indent=1)
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)
    return text


def source_of(path: Path) -> Source:
    return Source(path, environ={})


class TestFile:
    async def test_bad_files_never_take_effect_and_no_call_fails_at_fifty_reloads_a_second(
        self, tmp_path: Path
    ) -> None:
        """F30: truncated anywhere, unreadable, gone, not a configuration; the last good one serves."""
        chance = random.Random(30)
        path = tmp_path / "lmaas.yaml"
        async with FakeReplica() as first, FakeReplica() as second:
            good = write(path, first.url)
            source = source_of(path)
            async with run_gateway(source.load(), load=source.load) as running:
                is_over = False
                statuses: list[int] = []

                async def ask_on() -> None:
                    while not is_over:
                        statuses.append((await running.post(CHAT, ASK)).status)

                asking = [asyncio.create_task(ask_on()) for _ in range(4)]
                refused = 0
                for turn in range(100):
                    match turn % 5:
                        case 0:
                            good = write(path, *((first.url, second.url) if turn % 2 else (second.url,)))
                        case 1 | 2:
                            path.write_text(good[: chance.randrange(len(good) - 1)])
                        case 3:
                            path.write_bytes(chance.randbytes(200))
                        case _:
                            path.unlink()
                    is_bad = turn % 5 > 0
                    with pytest.raises(InvalidConfigurationError) if is_bad else contextlib.nullcontext():
                        await running.configuration.reload()
                    refused += is_bad
                is_over = True
                await asyncio.gather(*asking)
                assert set(statuses) == {200}
                assert refused == 80
                write(path, first.url)
                await running.configuration.reload()
                urls = [replica.client for replica in running.pool.replicas]
                assert len(urls) == 1

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("port: 0\nmodels: [{name: a\n", "line 3, is not YAML"),
            ("port: 0\nmodels:\n  - name: a\n    replicas: []\n", "line 3: models.0: Value error|line 3: "),
            ("models:\n  - model: x\nprot: 0\n", "line 3: prot: no such setting"),
            ("models:\n  - model: x\ntimeouts:\n  idle_s: -1\n", "line 4: timeouts.idle_s"),
            ("[" * 1000, "is not YAML"),
            ("port: 2024-13-45", "is not YAML: month"),
            ("port: !!int x", "is not YAML: "),
            ("port: " + "9" * 5000, "is not YAML: "),
        ],
    )
    def test_error_names_file_and_line(self, tmp_path: Path, text: str, says: str) -> None:
        path = tmp_path / "lmaas.yaml"
        path.write_text(text)
        with pytest.raises(SettingsError, match=says) as caught:
            source_of(path).load()
        assert str(path) in str(caught.value)

    async def test_changed_file_and_hang_up_take_effect_in_a_process(self, tmp_path: Path) -> None:
        async with (
            FakeReplica() as first,
            FakeReplica() as second,
            served(first, tmp_path) as (process, port),
        ):
            path = tmp_path / "lmaas.yaml"
            asking = request_bytes(CHAT, ASK)
            write(path, second.url, open=True)
            async with asyncio.timeout(15):
                while not second.record.calls:
                    assert (await ask(port, asking)).status == 200
                path.write_text("models: [")
                await asyncio.sleep(1.5)
                assert (await ask(port, asking)).status == 200
                count = len(first.record.calls)
                write(path, first.url, open=True)
                process.send_signal(signal.SIGHUP)
                while len(first.record.calls) == count:
                    assert (await ask(port, asking)).status == 200
            await stop(process)


def none(_: object) -> None:
    """Make a statement of an expression."""


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b"gone"


class TestWatch:
    """The watch is driven look by look."""

    @staticmethod
    def watch(path: Path, meanwhile: Callable[[], None] = lambda: None) -> tuple[FileWatch, list[bytes]]:
        seen: list[bytes] = []

        async def changed() -> None:
            seen.append(read(path))

        async def sleep(_: float) -> None:
            meanwhile()

        return FileWatch(path, changed, sleep=sleep), seen

    async def test_new_content_is_told_once(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("a")
        watch, seen = self.watch(path)
        await watch.look()
        path.write_text("bb")
        await watch.look()
        await watch.look()
        assert seen == [b"bb"]

    async def test_touching_is_no_change(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("a")
        watch, seen = self.watch(path)
        os.utime(path, (1, 1))
        await watch.look()
        assert seen == []

    async def test_half_written_file_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("a")
        pieces = iter(("bcd", "bcde"))
        watch, seen = self.watch(path, lambda: none(path.write_text(next(pieces, "bcde"))))
        path.write_text("bc")
        await watch.look()
        assert seen == [b"bcde"]

    async def test_link_that_is_swapped_is_followed_as_kubernetes_does(self, tmp_path: Path) -> None:
        for name in ("v1", "v2"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "f").write_text(name)
        data = tmp_path / "..data"
        data.symlink_to("v1")
        path = tmp_path / "f"
        path.symlink_to("..data/f")
        watch, seen = self.watch(path)
        fresh = tmp_path / "..fresh"
        fresh.symlink_to("v2")
        fresh.replace(data)
        await watch.look()
        assert seen == [b"v2"]

    async def test_file_that_is_gone_is_told_once_and_again_when_it_is_back(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("a")
        watch, seen = self.watch(path)
        path.unlink()
        await watch.look()
        await watch.look()
        path.write_text("a")
        await watch.look()
        assert seen == [b"gone", b"a"]

    async def test_it_goes_on_until_it_is_cancelled(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        path.write_text("a")
        looks = 0

        def count() -> None:
            nonlocal looks
            looks += 1
            if looks == 3:
                raise asyncio.CancelledError

        watch, _ = self.watch(path, count)
        with contextlib.suppress(asyncio.CancelledError):
            await watch.run()
        assert looks == 3


class TestChanges:
    async def test_fixed_settings_are_refused_by_name(self) -> None:
        now = settings_for("http://h:1")
        configuration = Configuration(now, lambda: settings_for("http://h:2", port=1, workers=3))
        with pytest.raises(InvalidConfigurationError, match="port, workers cannot change while the gateway"):
            await configuration.reload()
        assert configuration.settings.models[0].replicas[0].url == "http://h:1"  # type: ignore[index]  # a list

    async def test_configuration_without_models_is_refused(self) -> None:
        configuration = Configuration(settings_for("http://h:1"), Settings)
        with pytest.raises(InvalidConfigurationError, match="no model to serve"):
            await configuration.reload()

    async def test_same_settings_change_nothing(self) -> None:
        now = settings_for("http://h:1")
        configuration = Configuration(now, lambda: settings_for("http://h:1"))
        outcome = await configuration.reload()
        assert (outcome.is_changed, outcome.generation) == (False, 1)

    async def test_changes_are_kept_over_reloads_and_forgotten_with_what_they_were_about(self) -> None:
        wanted = settings_for("http://h:1", "http://h:2")
        configuration = Configuration(wanted, lambda: wanted)
        await configuration.change(ChangeReplica("mock-1", weight=3))
        await configuration.change(RemoveReplica("mock-0"))
        await configuration.change(AddReplica("mock", ReplicaSettings(url="http://h:3")))
        wanted = settings_for("http://h:2", "http://h:4", "http://h:1")
        await configuration.reload()
        found = {name: url for (_, url), name in names_of(configuration.settings).items()}
        assert found["mock-1"] == "http://h:2"
        assert set(found.values()) == {"http://h:2", "http://h:3", "http://h:4"}
        assert configuration.settings.models[0].replicas[0].weight == 3  # type: ignore[index]  # a list

    async def test_only_launched_models_are_scaled(self) -> None:
        configuration = Configuration(settings_for("http://h:1"), Settings)
        with pytest.raises(GatewayError, match="not launched here"):
            await configuration.change(ScaleModel("mock", 2))

    def test_names_stay_when_replicas_before_go(self) -> None:
        first = name_replicas(settings_for("http://h:1", "http://h:2"), {})
        second = name_replicas(settings_for("http://h:2", "http://h:3"), names_of(first))
        assert names_of(second) == {("mock", "http://h:2"): "mock-1", ("mock", "http://h:3"): "mock-2"}

    def test_names_that_are_given_twice_are_refused(self) -> None:
        models = [{"name": name, "replicas": [{"url": "http://h:1", "name": "same"}]} for name in ("a", "b")]
        with pytest.raises(SettingsError, match="two replicas are called 'same'"):
            name_replicas(Settings.model_validate({"models": models}), {})


def test_place_that_the_file_lacks_is_that_of_what_should_hold_it() -> None:
    text = "a:\n  - b: 1\n  - c: 2\n"
    assert line_of(text, ["a", 1, "d"]) == 3
    assert line_of(text, ["a", 7]) == 1
    assert line_of(text, ["z"]) is None
    assert line_of("", ["z"]) is None


async def test_failure_that_nobody_expected_is_told_and_does_not_end_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lmaas.yaml"
    path.write_text("a")
    loads = 0

    def load() -> Settings:
        nonlocal loads
        loads += 1
        raise ZeroDivisionError

    async with (
        FakeReplica() as fake,
        run_gateway(settings_for(fake), load=load) as running,
        follow(running.configuration, path),
    ):
        for text in ("bb", "ccc"):
            before = loads
            path.write_text(text)
            await running.until(lambda before=before: loads > before, within_s=5)
        metrics = (await running.get("/metrics")).body.decode()
    assert 'lmaas_config_reloads_total{result="refused"}' in metrics
    assert "the gateway failed on it" in caplog.text


async def test_without_a_file_a_hang_up_means_what_it_always_does() -> None:
    configuration = Configuration(settings_for("http://h:1"), Settings)
    before = signal.getsignal(signal.SIGHUP)
    async with follow(configuration, None):
        assert signal.getsignal(signal.SIGHUP) == before


def test_path_is_that_of_the_command_line_before_that_of_the_environment(tmp_path: Path) -> None:
    environ = {"LMAAS_CONFIG": str(tmp_path / "theirs")}
    assert Source(environ=environ).path == tmp_path / "theirs"
    assert Source(tmp_path / "ours", environ=environ).path == tmp_path / "ours"
    assert Source(environ={}).path is None


def test_engine_arguments_that_may_be_secret_are_masked() -> None:
    model = {"model": "x", "engine_args": ["--hf-token", "s1", "--api-key=s2", "--seed", "7", "--some-key"]}
    shown = mask(Settings.model_validate({"models": [model], "api_key": "s3" * 8}))
    assert shown["models"][0]["engine_args"] == [
        *("--hf-token", "**********", "--api-key=**********"),
        *("--seed", "7", "--some-key"),
    ]
    assert shown["api_key"] == "**********"


def test_secrets_inside_json_and_all_values_of_a_flag_are_masked() -> None:
    arguments = ["--api-key", "s1", "s2", "--seed", "7"]
    arguments += ["--kv-transfer-config", '{"a": [{"password": "s3", "max_tokens": 4}], "hf_token": ["s4"]}']
    arguments += ['--config={"secret": "s5"}', "--odd", '{"token": s6', "--plain", '{"a":1}', "-x", "{"]
    model = {"model": "x", "engine_args": arguments}
    shown = mask(Settings.model_validate({"models": [model], "api_key": "s3" * 8}))
    masked = "**********"
    assert shown["models"][0]["engine_args"] == [
        *("--api-key", masked, masked, "--seed", "7"),
        *(
            "--kv-transfer-config",
            f'{{"a": [{{"password": "{masked}", "max_tokens": 4}}], "hf_token": "{masked}"}}',
        ),
        *(f'--config={{"secret": "{masked}"}}', "--odd", masked, "--plain", '{"a":1}', "-x", "{"),
    ]
    assert shown["api_key"] == "**********"
