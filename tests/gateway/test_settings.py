"""Settings: which source wins, and a sentence for each one that cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.settings import (
    CanarySettings,
    ModelSettings,
    ReplicaSettings,
    Settings,
    check_kinds,
    is_loopback,
    load_settings,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = "top-secret-key-of-the-tests"
EXAMPLE = """
models:
  - name: chat                       # the public name
    model: smollm2-135m-instruct     # catalogue name, folder or hub id
    replicas: 2                      # launched here …
  - name: remote
    kind: chat
    replicas:                        # … or already running
      - url: http://127.0.0.1:9001
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "lmaas.yaml"


def load(config: Path, text: str, **environ: str) -> Settings:
    config.write_text(text)
    return load_settings(config, environ=environ)


def refusal(config: Path, text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(config, text, **environ)
    return str(caught.value)


class TestSources:
    def test_defaults(self) -> None:
        settings = load_settings(environ={})
        assert (settings.host, settings.port, settings.models) == ("127.0.0.1", 8000, ())

    def test_example_of_the_documentation(self, config: Path) -> None:
        chat, remote = load(config, EXAMPLE).models
        assert (chat.name, chat.model, chat.replicas, chat.is_launched) == (
            "chat",
            "smollm2-135m-instruct",
            2,
            True,
        )
        assert remote.replicas == (ReplicaSettings(url="http://127.0.0.1:9001"),)
        assert (remote.kind, remote.is_launched) == ("chat", False)

    def test_flags_win_over_environment_over_file(self, config: Path) -> None:
        config.write_text("port: 1\nworkers: 1\nlog_level: error\n")
        environ = {"LMAAS_PORT": "2", "LMAAS_WORKERS": "2"}
        settings = load_settings(config, {"port": 3}, environ)
        assert (settings.port, settings.workers, settings.log_level) == (3, 2, "error")

    def test_groups_are_joined_field_by_field(self, config: Path) -> None:
        config.write_text("timeouts: {connect_s: 1, idle_s: 1}\nengine: {max_restarts: 1}\n")
        environ = {"LMAAS_TIMEOUTS__IDLE_S": "2", "LMAAS_ENGINE__PYTHON": "/p"}
        settings = load_settings(config, {"timeouts": {"total_s": 3}}, environ)
        timeouts = settings.timeouts
        assert (timeouts.connect_s, timeouts.idle_s, timeouts.total_s) == (1, 2, 3)
        assert (settings.engine.max_restarts, settings.engine.python) == (1, "/p")

    def test_environment_may_name_the_file(self, config: Path) -> None:
        config.write_text("port: 77\n")
        assert load_settings(environ={"LMAAS_CONFIG": str(config)}).port == 77

    @pytest.mark.parametrize(
        ("text", "names"),
        [("a, b,", ["a", "b"]), ('["a","b"]', ["a", "b"]), ('[{"name":"x","model":"y"}]', ["x"])],
    )
    def test_models_in_the_environment(self, text: str, names: list[str]) -> None:
        settings = load_settings(environ={"LMAAS_MODELS": text})
        assert [model.name for model in settings.models] == names

    def test_origins_in_the_environment(self) -> None:
        settings = load_settings(environ={"LMAAS_CORS_ORIGINS": "https://a.example, http://localhost:3000"})
        assert settings.cors_origins == ("https://a.example", "http://localhost:3000")

    def test_empty_and_foreign_variables_are_left_alone(self, config: Path) -> None:
        environ = {"LMAAS_PORT": "", "LMAAS_BASE_URL": "x", "LMAAS_NONSENSE": "y", "PORT": "9"}
        assert load(config, "", **environ) == Settings()

    def test_result_is_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load_settings(environ={}).port = 1


class TestStandIns:
    MODELS = """models:
  - {{name: a, replicas: [{{url: "http://h:1"}}], {a}}}
  - {{name: b, replicas: [{{url: "http://h:2"}}], {b}}}
  - {{name: c, replicas: [{{url: "http://h:3"}}], aliases: [other]}}
"""

    @pytest.mark.parametrize(
        ("a", "b", "says"),
        [
            ("aliases: [b]", "", "the alias 'b', which is taken"),
            ("aliases: [x, x]", "", "the alias 'x', which is taken"),
            ("aliases: [other]", "", "model 'c' has the alias 'other', which is taken"),
            ("aliases: ['']", "", "the alias '', which is taken"),
            ("fallbacks: [nobody]", "", "fallbacks of model 'a' name 'nobody'"),
            ("fallbacks: [other]", "", "fallbacks of model 'a' name 'other'"),
            ("fallbacks: [a]", "", "fallbacks of model 'a' name 'a'"),
            ("fallbacks: [b]", "fallbacks: [c, a]", "go round in a circle"),
            ("canary: {model: nobody, percent: 5}", "", "canary of model 'a' name 'nobody'"),
            ("canary: {model: a, percent: 5}", "", "canary of model 'a' name 'a'"),
            ("canary: {model: b, percent: 101}", "", "models.0.canary.percent"),
            ("routing: best", "", "models.0.routing"),
        ],
    )
    def test_names_that_cannot_stand_in_are_refused(self, config: Path, a: str, b: str, says: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load(config, self.MODELS.format(a=a or "dtype: auto", b=b or "dtype: auto"))
        assert says in str(caught.value)

    def test_chains_without_a_circle_are_taken(self, config: Path) -> None:
        text = self.MODELS.format(
            a="fallbacks: [b, c], canary: {model: c, percent: 2.5}",
            b="fallbacks: [c], canary: {model: a, percent: 1}",
        )
        a, b, c = load(config, text).models
        assert (a.fallbacks, b.fallbacks, c.aliases) == (("b", "c"), ("c",), ("other",))
        assert a.canary is not None
        assert (a.canary.model, a.canary.percent) == ("c", 2.5)

    def test_model_of_another_kind_cannot_stand_in(self) -> None:
        chat, embedding = (
            ModelSettings.model_validate({"name": kind, "kind": kind, "replicas": [{"url": "unix:/x"}]})
            for kind in ("chat", "embedding")
        )
        check_kinds([chat, embedding])
        for fields in (
            {"fallbacks": ("embedding",)},
            {"canary": CanarySettings(model="embedding", percent=1)},
        ):
            with pytest.raises(SettingsError, match="'embedding' is of kind embedding and cannot stand in"):
                check_kinds([chat.model_copy(update=fields), embedding])


class TestModels:
    def test_name_of_a_model_is_its_reference_by_default(self, config: Path) -> None:
        plain, named = load(config, "models: [org/model, {model: org/other}]").models
        assert (plain.name, plain.model, named.name) == ("org/model", "org/model", "org/other")

    @pytest.mark.parametrize(
        ("model", "says"),
        [
            ("{}", "models.0: a model needs a `name`"),
            ("{name: a}", "needs `model` (what to launch) or a list of `replicas`"),
            ("{name: a, replicas: []}", "empty list of replicas"),
            ("{name: a, model: b, replicas: -1}", "models.0.replicas"),
            ("{name: a, model: b, replicas: 65}", "models.0.replicas"),
            ("{name: a, model: b, kind: chatt}", "models.0.kind"),
            ("{name: a, model: b, max_model_len: 0}", "models.0.max_model_len"),
            ("{name: a, model: b, colour: red}", "models.0.colour: no such setting; docs/configuration.md"),
            ("{name: a, replicas: [{url: 'h:1'}]}", "is not a replica address"),
            ("{name: a, replicas: [{}]}", "models.0.replicas.0.url"),
            (
                "{name: a, replicas: [{url: 'http://h:1', ulr: 2}]}",
                "models.0.replicas.0.ulr: no such setting",
            ),
            ("7", "models.0"),
        ],
    )
    def test_model_that_cannot_work_is_named(self, config: Path, model: str, says: str) -> None:
        assert says in refusal(config, f"models: [{model}]")

    @pytest.mark.parametrize(
        "url",
        [
            "http://",
            "http://:8000",
            "http://h:99999",
            "http://h:0",
            "http://h:port",
            "http://[::1",
            "http://h:9001/v1",
            "http://h?x=1",
            "https://h#x",
            f"http://user:{KEY}@h:1",
        ],
    )
    def test_replica_url_with_more_or_less_than_an_address(self, config: Path, url: str) -> None:
        says = refusal(config, f"models: [{{name: a, replicas: [{{url: '{url}'}}]}}]")
        assert "is scheme, host and port only" in says
        assert KEY not in says

    @pytest.mark.parametrize("url", ["http://h", "https://h:1/", "http://[::1]:9001", "unix:/run/a.sock"])
    def test_replica_url_that_is_an_address(self, url: str) -> None:
        assert ReplicaSettings(url=url).url == url.rstrip("/")

    def test_two_models_of_one_name(self, config: Path) -> None:
        assert "two models are called 'a'" in refusal(config, "models: [a, a]")


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("port: 70000", "port: "),
            ("port: many", "port: "),
            ("colour: red", "colour: no such setting; docs/configuration.md lists them all"),
            ("timeouts: {connect_s: 0}", "timeouts.connect_s: "),
            ("timeouts: {conect_s: 1}", "timeouts.conect_s: no such setting"),
            ("log_level: loud", "log_level: "),
            ("max_body_bytes: 1", "max_body_bytes: "),
            ("cors_origins: ['*']", "is not an origin"),
            ("cors_origins: ['https://a.example/']", "is not an origin"),
            ("- a list", "must hold settings by name"),
            ("just text", "must hold settings by name"),
            ("a: [", "is not YAML"),
            ("a: !!python/object:os.system x", "is not YAML"),
        ],
    )
    def test_each_error_says_where_and_what(self, config: Path, text: str, says: str) -> None:
        assert says in refusal(config, text)

    def test_several_errors_are_told_at_once(self, config: Path) -> None:
        says = refusal(config, "port: -1\nworkers: 0\n")
        assert "port: " in says
        assert "workers: " in says

    def test_missing_and_undecodable_files(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="cannot be read: No such file"):
            load_settings(tmp_path / "none.yaml", environ={})
        (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
        with pytest.raises(SettingsError, match="is not YAML"):
            load_settings(tmp_path / "bytes.yaml", environ={})

    def test_broken_list_in_the_environment(self) -> None:
        with pytest.raises(SettingsError, match="LMAAS_MODELS is not a JSON list"):
            load_settings(environ={"LMAAS_MODELS": "[a"})


class TestExposure:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
    def test_everybody_is_let_in_from_this_machine_only(self, config: Path, host: str) -> None:
        says = refusal(config, f"host: '{host}'\nopen: true")
        assert "`open` lets everybody in" in says
        assert "127.0.0.1" in says

    def test_open_gateway_with_a_key_may_be_reached_from_elsewhere(self, config: Path) -> None:
        settings = load(config, "host: 0.0.0.0\nopen: true", LMAAS_API_KEY=KEY)
        assert not settings.lets_everybody_in

    def test_gateway_may_be_reached_from_elsewhere_since_callers_need_a_key(self, config: Path) -> None:
        settings = load(config, "host: 0.0.0.0")
        assert not settings.lets_everybody_in
        assert load(config, "open: true").lets_everybody_in

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("127.9.9.9", True),
            ("::1", True),
            ("10.0.0.1", False),
            ("localhost.example.org", False),
        ],
    )
    def test_loopback(self, host: str, expected: bool) -> None:
        assert is_loopback(host) is expected


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            "port: -1",
            "api_kye: top-secret-key-of-the-tests",
            "engine: {api_key: top-secret-key-of-the-tests}",
            "models: [{name: a, replicas: [{api_key: top-secret-key-of-the-tests}]}]",
            "models: [{name: a, replicas: [{url: 'http://h', api_key: [top-secret-key-of-the-tests]}]}]",
        ],
    )
    def test_no_error_shows_one(self, config: Path, text: str) -> None:
        assert KEY not in refusal(config, text, LMAAS_API_KEY=KEY)

    def test_short_key_is_refused_and_not_shown(self, config: Path) -> None:
        says = refusal(config, "", LMAAS_API_KEY="sh0rt")
        assert "shorter than 16" in says
        assert "sh0rt" not in says

    def test_keys_of_several_principals(self, config: Path) -> None:
        listed = '[{"name": "team-a", "key": "aaaaaaaaaaaaaaaaaaaa", "weight": 2, "priority": "high"}]'
        (key,) = load(config, "host: 0.0.0.0", LMAAS_KEYS=listed).keys
        assert (key.name, key.weight, key.priority) == ("team-a", 2, "high")

    @pytest.mark.parametrize(
        ("keys", "says"),
        [
            ("{name: a, key: sh0rt}", "keys.0.key: is shorter than 16"),
            (f"{{name: a, key: {KEY}}}, {{name: a, key: {KEY}-2}}", "the name 'a' is taken"),
            (f"{{name: anonymous, key: {KEY}}}", "the name 'anonymous' is taken"),
            (f"{{name: a, key: {KEY}}}, {{name: b, key: {KEY}}}", "the same key"),
            (f"{{name: 'a b', key: {KEY}}}", "keys.0.name"),
            (f"{{name: a, key: {KEY}, weight: 0}}", "keys.0.weight"),
            (f"{{name: a, key: {KEY}, priority: urgent}}", "keys.0.priority"),
        ],
    )
    def test_keys_that_cannot_work_are_named_and_not_shown(self, config: Path, keys: str, says: str) -> None:
        told = refusal(config, f"keys: [{keys}]")
        assert says in told
        assert KEY not in told
        assert "sh0rt" not in told

    def test_key_of_a_principal_that_is_the_api_key_is_refused(self, config: Path) -> None:
        assert "the same key" in refusal(config, f"keys: [{{name: a, key: {KEY}}}]", LMAAS_API_KEY=KEY)

    def test_no_repr_shows_one(self) -> None:
        fields: dict[str, Any] = {"name": "a", "replicas": [{"url": "http://h", "api_key": KEY}]}
        settings = Settings.model_validate({"api_key": KEY, "models": [fields]})
        assert KEY not in repr(settings) + str(settings) + settings.model_dump_json()
