"""config.json of models that the table of known ones does not have, as far as sizes need them."""

from __future__ import annotations

from typing import Any

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
CODELLAMA_7B = LLAMA | {
    "intermediate_size": 11008,
    "num_key_value_heads": 32,
    "vocab_size": 32016,
    "max_position_embeddings": 16384,
}
_DELTA_NET = {
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "full_attention_interval": 4,
    "head_dim": 256,
    "vocab_size": 248320,
    "max_position_embeddings": 262144,
    "mamba_ssm_dtype": "float32",
    "torch_dtype": "bfloat16",
}
QWEN3_6_35B_A3B: dict[str, Any] = _DELTA_NET | {
    "model_type": "qwen3_5_moe",
    "hidden_size": 2048,
    "num_hidden_layers": 40,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "linear_num_value_heads": 32,
    "num_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
}
QWEN3_8_27B: dict[str, Any] = _DELTA_NET | {
    "model_type": "qwen3_5",
    "hidden_size": 5120,
    "intermediate_size": 17408,
    "num_hidden_layers": 64,
    "num_attention_heads": 24,
    "num_key_value_heads": 4,
    "linear_num_value_heads": 48,
}
BY_NAME = {
    "codellama_7b": CODELLAMA_7B,
    "qwen3_6_35b_a3b": QWEN3_6_35B_A3B,
    "qwen3_8_27b": QWEN3_8_27B,
}
