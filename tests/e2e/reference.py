"""What transformers itself computes from the same folders; run with the engine's interpreter.

Reads questions from standard input, a line of JSON each, and answers each with a line of JSON:

    ["embeddings", FOLDER, [TEXT, …]]
    ["generate", FOLDER, {"prompts": […], "max_tokens": N}]
    ["gaps", FOLDER, [{"token_ids": […], "ours": ID, "theirs": ID}, …]]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer


def embeddings(folder: str, texts: list[str]) -> list[list[float]]:
    """Mean of the token vectors, normalised to length 1."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    vectors: list[list[float]] = torch.nn.functional.normalize(mean, dim=1).tolist()
    return vectors


def generate(folder: str, wanted: dict[str, Any]) -> list[dict[str, list[int]]]:
    """Greedy continuations of the prompts as chat messages: token ids of prompt and continuation."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    batch = tokenizer.apply_chat_template(
        [[{"role": "user", "content": prompt}] for prompt in wanted["prompts"]],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )
    outputs = model.generate(**batch, max_new_tokens=wanted["max_tokens"], do_sample=False)
    width = batch["input_ids"].shape[1]
    return [
        {
            "prompt": ids[mask.bool()].tolist(),
            "continuation": _until_end(output[width:].tolist(), tokenizer.eos_token_id),
        }
        for ids, mask, output in zip(batch["input_ids"], batch["attention_mask"], outputs, strict=True)
    ]


def _until_end(token_ids: list[int], end: int) -> list[int]:
    return token_ids[: token_ids.index(end) + 1] if end in token_ids else token_ids


def gaps(folder: str, forks: list[dict[str, Any]]) -> list[float]:
    """Logit of transformers' token minus logit of ours, after each of the given beginnings."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for fork in forks:
        logits = model(torch.tensor([fork["token_ids"]])).logits[0, -1]
        found.append(float(logits[fork["theirs"]] - logits[fork["ours"]]))
    return found


TASKS: dict[str, Callable[[str, Any], object]] = {
    "embeddings": embeddings,
    "generate": generate,
    "gaps": gaps,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.inference_mode():
        for line in sys.stdin:
            task, folder_name, asked = json.loads(line)
            sys.stdout.write(json.dumps(TASKS[task](folder_name, asked)) + "\n")
            sys.stdout.flush()
