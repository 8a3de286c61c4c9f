"""The files of one model that say how its prompts are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from lmaas_gateway.limits.counting.templates import compile_template, render, takes_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Classes that read `tokenizer.json` as it stands; others may change what they put around a text.
_PLAIN_CLASSES = frozenset(
    {"PreTrainedTokenizerFast", "BertTokenizer", "BertTokenizerFast", "TokenizersBackend"}
)


class ModelFiles:
    """The tokenizer and the chat template of a model.

    Attributes:
        has_template: Whether messages can be counted.
        takes_texts: Whether the template wants each message's content as one text.
        reads_tools: Whether the template has a place for tools.
        is_plain: Whether a text without a template can be counted.
    """

    def __init__(self, tokenizer: Tokenizer, config: Mapping[str, Any], template: str | None) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._template: Template | None = None if template is None else compile_template(template)
        self._special = {
            name: text for name in _SPECIAL_TOKENS if (text := _text_of(config.get(name))) is not None
        }
        self.has_template = template is not None
        self.takes_texts = template is not None and takes_texts(template)
        self.reads_tools = template is not None and "tools" in template
        self.is_plain = config.get("tokenizer_class") in _PLAIN_CLASSES

    @classmethod
    def load(cls, folder: Path) -> ModelFiles:
        """Read them from a folder in the Hugging Face layout.

        Raises:
            OSError: one is not there.
            ValueError: one cannot be read.
        """
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(path)
        return cls(Tokenizer.from_file(str(path)), config, _read_template(folder, config))

    def count_texts(self, texts: Sequence[str], *, has_special: bool) -> int:
        """Count the tokens of texts, each with what is put around it if `has_special`."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=has_special)
        return sum(map(len, encoded))

    def count_pairs(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Count the tokens of pairs whose texts are read together."""
        return sum(map(len, self._tokenizer.encode_batch_fast(list(pairs), add_special_tokens=True)))

    def count_messages(self, messages: list[dict[str, Any]], variables: Mapping[str, Any]) -> int:
        """Count the tokens of a conversation.

        Raises:
            TemplateError: the template refuses it.
        """
        if self._template is None:
            message = "the model has no chat template"
            raise ValueError(message)
        text = render(self._template, messages, {**self._special, **variables})
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def _read_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    template = config.get("chat_template")
    # Of several named ones the engine chooses by what is asked: that is left to it.
    return template if isinstance(template, str) else None


def _text_of(token: object) -> str | None:
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None
