"""A random tiny Llama that real vLLM serves at thousands of tokens a second; run by the engine's interpreter.

    python tests/bench/tiny_model.py FOLDER_WITH_A_TOKENIZER NEW_FOLDER 8192

Its answers mean nothing, but its prompts are tokenized, cached and computed as those of any model.
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM


def main(tokenizer_folder: str, folder: str, max_model_len: str) -> None:
    """Write the model, the same one every time."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=int(max_model_len),
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
