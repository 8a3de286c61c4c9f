"""The parts of the conversion that need no numpy; the whole is proven by tests/e2e/test_fidelity.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lmaas_gateway.replicas import gguf_conversion as conversion

if TYPE_CHECKING:
    from pathlib import Path

METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.attention.layer_norm_rms_epsilon": 9.999999747378752e-06,
    "llama.block_count": 30,
    "llama.context_length": 8192,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": 1536,
    "llama.rope.freq_base": 100000.0,
    "llama.vocab_size": 4,
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.padding_token_id": 2,
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.token_type": [3, 3, 3, 1],
    "tokenizer.ggml.tokens": ["<unk>", "<bos>", "<eos>", "a"],
    "tokenizer.ggml.unknown_token_id": 0,
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
        ("blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"),
        ("blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"),
    ],
)
def test_tensor_names(name: str, expected: str) -> None:
    assert conversion.tensor_name(name) == expected


@pytest.mark.parametrize("name", ["blk.0.attn_q.bias", "blk.0.ffn_gate_exps.weight", "rope_freqs.weight"])
def test_unknown_tensor_is_refused_rather_than_left_out(name: str) -> None:
    with pytest.raises(conversion.ConversionError, match=name):
        conversion.tensor_name(name)


def test_only_queries_and_keys_are_reordered() -> None:
    assert conversion.rotary_heads("blk.0.attn_q.weight", METADATA) == 9
    assert conversion.rotary_heads("blk.0.attn_k.weight", METADATA) == 3
    assert conversion.rotary_heads("blk.0.attn_v.weight", METADATA) is None


def test_config_has_what_the_metadata_says() -> None:
    config = conversion.model_config(METADATA, has_own_output=False)
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["head_dim"], config["num_key_value_heads"], config["rms_norm_eps"]) == (64, 3, 1e-5)
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (1, 2, 2)
    assert config["tie_word_embeddings"] is True
    assert conversion.model_config(METADATA, has_own_output=True)["tie_word_embeddings"] is False


def test_tokenizer_config_keeps_special_tokens_and_chat_template() -> None:
    config = conversion.tokenizer_config(METADATA)
    assert (config["bos_token"], config["eos_token"], config["pad_token"]) == ("<bos>", "<eos>", "<eos>")
    assert (config["unk_token"], config["chat_template"]) == ("<unk>", "{{ messages }}")
    assert conversion.control_tokens(METADATA) == ["<unk>", "<bos>", "<eos>"]


@pytest.mark.parametrize("key", ["general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre"])
def test_other_kind_of_gguf_is_refused(key: str) -> None:
    with pytest.raises(conversion.ConversionError, match=f"{key} = 'other'"):
        conversion.check(METADATA | {key: "other"})
    conversion.check(METADATA)


def test_command_line_says_why_it_cannot_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(source: Path, folder: Path) -> None:
        raise conversion.ConversionError(f"no {source.name} in {folder.name}")

    monkeypatch.setattr(conversion, "convert", refuse)
    assert conversion.main([str(tmp_path / "a.gguf"), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "no a.gguf in out\n"


def test_command_line_converts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(source: Path, folder: Path) -> None:
        conversion._write_json(folder / "config.json", {"source": source.name, "é": 1})

    monkeypatch.setattr(conversion, "convert", convert)
    assert conversion.main([str(tmp_path / "a.gguf"), str(tmp_path)]) == 0
    assert json.loads((tmp_path / "config.json").read_text()) == {"source": "a.gguf", "é": 1}
