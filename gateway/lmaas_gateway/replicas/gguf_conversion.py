"""Turn a llama-architecture GGUF into a folder that vLLM serves: safetensors in float32, config, tokenizer.

A script of its own, run by file path with the engine's interpreter, because the gateway's has no numpy:

    python -P gguf_conversion.py SOURCE.gguf FOLDER

The `-P` keeps this folder off the import path. Weights are float32 because they are served in float32: the
quantised values are kept exactly.

Source: GGUF metadata keys, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTROL_TOKEN = 3
"""GGUF's token type of tokens that are markup, not text."""

_TOP_LEVEL_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_TENSORS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


class ConversionError(Exception):
    """The GGUF is of a kind that this script does not know; the message says which."""


def tensor_name(name: str) -> str:
    """Translate a GGUF tensor name into the one that transformers uses.

    Raises:
        ConversionError: a llama model has no such tensor.
    """
    if name in _TOP_LEVEL_TENSORS:
        return _TOP_LEVEL_TENSORS[name]
    match name.split("."):
        case ["blk", layer, part, "weight"] if part in _LAYER_TENSORS:
            return f"model.layers.{layer}.{_LAYER_TENSORS[part]}.weight"
    message = f"the GGUF has a tensor that no llama model has: {name}"
    raise ConversionError(message)


def rotary_heads(name: str, metadata: Mapping[str, Any]) -> int | None:
    """Number of heads of a tensor whose rows GGUF interleaves for rotary positions; None for any other."""
    if name.endswith(".attn_q.weight"):
        return int(metadata["llama.attention.head_count"])
    if name.endswith(".attn_k.weight"):
        return int(metadata["llama.attention.head_count_kv"])
    return None


def deinterleave(weight: Any, heads: int) -> Any:
    """Put the rows of each head back from (pair, half) into the (half, pair) order of transformers."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def model_config(metadata: Mapping[str, Any], *, has_own_output: bool) -> dict[str, Any]:
    """Build `config.json`; `has_own_output` tells whether the output layer is not the embedding again."""
    hidden, heads = metadata["llama.embedding_length"], metadata["llama.attention.head_count"]
    theta = metadata["llama.rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "head_dim": metadata.get("llama.rope.dimension_count", hidden // heads),
        "max_position_embeddings": metadata["llama.context_length"],
        # Stored as float32, so 1e-5 reads back as 9.99999974e-06.
        "rms_norm_eps": float(f"{metadata['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": theta,
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "vocab_size": metadata["llama.vocab_size"],
        "tie_word_embeddings": not has_own_output,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        **generation_config(metadata),
        "dtype": "float32",
    }


def generation_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Build `generation_config.json`: which tokens begin, end and pad a text."""
    return {f"{name}_token_id": metadata[f"tokenizer.ggml.{name}_token_id"] for name in ("bos", "eos")} | {
        "pad_token_id": metadata["tokenizer.ggml.padding_token_id"]
    }


def tokenizer_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Build `tokenizer_config.json`, chat template included."""
    tokens: Sequence[str] = metadata["tokenizer.ggml.tokens"]
    roles = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    special = {
        f"{short}_token": tokens[metadata[f"tokenizer.ggml.{long}_token_id"]] for short, long in roles.items()
    }
    return special | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "add_bos_token": metadata.get("tokenizer.ggml.add_bos_token", False),
        "chat_template": metadata["tokenizer.chat_template"],
    }


def control_tokens(metadata: Mapping[str, Any]) -> list[str]:
    """List the tokens that must never be split nor come out of plain text."""
    pairs = zip(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"], strict=True)
    return [token for token, kind in pairs if kind == CONTROL_TOKEN]


def check(metadata: Mapping[str, Any]) -> None:
    """Refuse a GGUF that would convert into something subtly wrong.

    Raises:
        ConversionError: another architecture or another tokenizer than this script knows.
    """
    expected = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
    }
    for key, value in expected.items():
        if metadata.get(key) != value:
            message = f"the GGUF has {key} = {metadata.get(key)!r}; only {value!r} can be converted"
            raise ConversionError(message)


def write_weights(reader: Any, metadata: Mapping[str, Any], folder: Path) -> bool:
    """Write `model.safetensors`; return whether the model has an output layer of its own."""
    from gguf import dequantize  # noqa: PLC0415 - only the engine's interpreter has it
    from safetensors.numpy import save_file  # noqa: PLC0415 - as above

    weights = {}
    for tensor in reader.tensors:
        weight = dequantize(tensor.data, tensor.tensor_type).astype("float32", copy=False)
        heads = rotary_heads(tensor.name, metadata)
        weights[tensor_name(tensor.name)] = weight if heads is None else deinterleave(weight, heads)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return "lm_head.weight" in weights


def write_tokenizer(metadata: Mapping[str, Any], folder: Path) -> None:
    """Write `tokenizer.json`: byte-level BPE that splits numbers into digits."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 - as above

    vocabulary = {token: number for number, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in control_tokens(metadata)]
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "tokenizer.json"))


def convert(source: Path, folder: Path) -> None:
    """Write everything that vLLM needs to serve `source` into `folder`, which exists.

    Raises:
        ConversionError: the GGUF is not one that this script knows.
    """
    from gguf import GGUFReader  # noqa: PLC0415 - as above

    reader = GGUFReader(source)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    check(metadata)
    has_own_output = write_weights(reader, metadata, folder)
    write_tokenizer(metadata, folder)
    _write_json(folder / "config.json", model_config(metadata, has_own_output=has_own_output))
    _write_json(folder / "generation_config.json", generation_config(metadata))
    _write_json(folder / "tokenizer_config.json", tokenizer_config(metadata))


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Convert what the command line names; 2 and a sentence on standard error if it cannot be."""
    source, folder = map(Path, arguments)
    try:
        convert(source, folder)
    except ConversionError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
