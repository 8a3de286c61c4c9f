"""The plain JSON bodies of vLLM 0.32's pooling and tokenizer routes, recorded from it."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

from lmaas_gateway.testing.model import CREATED, FakeModel, prompt_texts

Json = dict[str, Any]
Fields = Mapping[str, Any]


def embeddings(model: FakeModel, fields: Fields, request_id: str) -> Json:
    """Embed each input, as numbers or as base64 of little-endian float32."""
    texts = _list(fields.get("input", ""))
    is_base64 = fields.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(texts):
        packed = struct.pack(f"<{model.dimensions}f", *model.embedding(text))
        numbers = struct.unpack(f"<{model.dimensions}f", packed)
        vector = base64.b64encode(packed).decode() if is_base64 else list(numbers)
        data.append({"index": index, "object": "embedding", "embedding": vector})
    return _listed(f"embd-{request_id}", model, data, texts)


def rerank(model: FakeModel, fields: Fields, request_id: str) -> Json:
    """Order documents by their likeness to the query, the best first."""
    query, documents = str(fields.get("query", "")), _list(fields.get("documents", []))
    results = [
        {
            "index": index,
            "document": {"text": document, "multi_modal": None},
            "relevance_score": model.similarity(query, document),
        }
        for index, document in enumerate(documents)
    ]
    results.sort(key=lambda result: -float(str(result["relevance_score"])))
    count = _count([query, *documents])
    return {
        "id": f"score-{request_id}",
        "model": model.name,
        "usage": {"prompt_tokens": count, "total_tokens": count},
        "results": results[: fields.get("top_n") or len(results)],
    }


def score(model: FakeModel, fields: Fields, request_id: str) -> Json:
    """Score pairs; a single first text is paired with every second one."""
    first, second = _list(fields.get("text_1", "")), _list(fields.get("text_2", ""))
    pairs = list(zip(first * len(second) if len(first) == 1 else first, second, strict=False))
    data = [
        {"index": index, "object": "score", "score": model.similarity(*pair)}
        for index, pair in enumerate(pairs)
    ]
    return _listed(f"score-{request_id}", model, data, [text for pair in pairs for text in pair])


def classify(model: FakeModel, fields: Fields, request_id: str) -> Json:
    """Give each input a probability a label."""
    texts = _list(fields.get("input", ""))
    data = []
    for index, text in enumerate(texts):
        probs = model.probabilities(text)
        label = model.labels[probs.index(max(probs))]
        data.append({"index": index, "label": label, "probs": probs, "num_classes": len(probs)})
    return _listed(f"classify-{request_id}", model, data, texts)


def tokenize(model: FakeModel, fields: Fields, request_id: str) -> Json:
    """Give one token a word of the prompt or of the messages."""
    del request_id
    words = [word for text in prompt_texts(fields) for word in text.split()]
    tokens = model.vocabulary.encode(words)
    return {
        "count": len(tokens),
        "max_model_len": model.max_model_len,
        "tokens": tokens,
        "token_strs": words if fields.get("return_token_strs") else None,
    }


def detokenize(model: FakeModel, fields: Fields, request_id: str) -> Json:
    """Give back the words of known tokens."""
    del request_id
    tokens = fields.get("tokens")
    return {"prompt": model.vocabulary.decode(tokens if isinstance(tokens, list) else [])}


def _list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _count(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _listed(reply_id: str, model: FakeModel, data: list[Json], texts: list[str]) -> Json:
    count = _count(texts)
    return {
        "id": reply_id,
        "object": "list",
        "created": CREATED,
        "model": model.name,
        "data": data,
        "usage": {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0},
    }
