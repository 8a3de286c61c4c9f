from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.replicas.catalog import CATALOG, default_cache_dir, kind_of_folder, prepare, resolve


def silent(what: str, how_far: str, elapsed_s: float) -> None:
    del what, how_far, elapsed_s


def make_folder(folder: Path, config: dict[str, Any] | str, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_every_entry_is_pinned_licensed_and_described() -> None:
    assert set(CATALOG) == {"smollm2-135m-instruct", "all-minilm-l6-v2"}
    for name, entry in CATALOG.items():
        assert entry.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", entry.weights.sha256)
        assert entry.licence == "Apache-2.0"
        assert entry.description.endswith(".")
        assert entry.weights.needed_bytes > entry.weights.wheel_bytes


def test_catalogue_name_resolves_to_its_entry() -> None:
    source = resolve("all-minilm-l6-v2")
    assert source.entry is CATALOG["all-minilm-l6-v2"]
    assert source.kind == "embedding"


def test_folder_resolves_to_its_absolute_path_and_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "my" / "model", {"architectures": ["BertModel"]})
    monkeypatch.chdir(tmp_path)
    source = resolve("my/model")
    assert (source.folder, source.kind) == (tmp_path / "my" / "model", "embedding")


def test_hub_id_resolves_without_a_kind() -> None:
    source = resolve("org/some-model_7B.v2")
    assert (source.reference, source.kind, source.entry, source.folder) == (
        "org/some-model_7B.v2",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("smollm2-135m", "did you mean smollm2-135m-instruct?"),
        ("All-MiniLM-L6-v2", "did you mean all-minilm-l6-v2?"),
        ("zzz", "the catalogue has smollm2-135m-instruct, all-minilm-l6-v2"),
        ("/no/such/folder", "not a folder"),
        ("a/b/c", "not a hub id"),
    ],
)
def test_unknown_reference_says_what_is_close(reference: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(expected)):
        resolve(reference)


@pytest.mark.parametrize(
    ("config", "files", "kind"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, {"tokenizer_config": {"chat_template": "{{ x }}"}}, "chat"),
        ({"architectures": ["LlamaForCausalLM"]}, {"chat_template": {}}, "chat"),
        ({"architectures": ["LlamaForCausalLM"]}, {"tokenizer_config": {}}, "completion"),
        ({"architectures": ["GPT2LMHeadModel"]}, {}, "completion"),
        ({"architectures": ["Qwen3ForCausalLM"]}, {"modules": []}, "embedding"),
        ({"architectures": ["BertForSequenceClassification"]}, {}, "classify"),
        ({"architectures": ["BertForSequenceClassification"], "num_labels": 1}, {}, "rerank"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}, {}, "rerank"),
        ({"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "B"}}, {}, "classify"),
        ({"architectures": ["XLMRobertaModel"]}, {}, "embedding"),
        ({}, {}, "embedding"),
    ],
)
def test_kind_of_a_folder(
    tmp_path: Path, config: dict[str, Any], files: dict[str, object], kind: str
) -> None:
    assert kind_of_folder(make_folder(tmp_path, config, **files)) == kind


@pytest.mark.parametrize(("content", "expected"), [("{", "is not JSON"), ("[]", "is not an object")])
def test_broken_config_is_a_sentence(tmp_path: Path, content: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        kind_of_folder(make_folder(tmp_path, content))


def test_folder_without_config_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has no config\.json; name a folder in the Hugging Face layout"):
        resolve(str(tmp_path))


def test_folder_and_hub_id_need_no_preparation(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", {"architectures": ["BertModel"]})
    local = prepare(resolve(str(folder)), cache_dir=tmp_path, engine_python="python", progress=silent)
    remote = prepare(resolve("org/name"), cache_dir=tmp_path, engine_python="python", progress=silent)
    assert (local.path_or_id, local.is_local, local.kind) == (str(folder), True, "embedding")
    assert (remote.path_or_id, remote.is_local, remote.kind) == ("org/name", False, None)
    assert list(tmp_path.iterdir()) == [folder]


def test_cache_folder_is_in_the_xdg_cache(tmp_path: Path) -> None:
    assert default_cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "lmaas"
    assert default_cache_dir({}) == Path.home() / ".cache" / "lmaas"
    assert default_cache_dir({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache" / "lmaas"
