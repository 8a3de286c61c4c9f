"""A vLLM for tests of tasks, behind respx: a token a character, and answers that a test decides."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

if TYPE_CHECKING:
    import respx

BASE = "http://engine.test/v1"
END = 2
"""The token that ends a message."""

Body: TypeAlias = dict[str, Any]


class FakeEngine:
    """Answers the calls of tasks, and keeps what was asked.

    Attributes:
        answer: Says what a chat call gets, from its body: text, or an object that is sent as JSON.
        logprob: Says how likely a token is after a prompt, given as text.
        vector: Says the vector of a text.
        max_model_len: Context length in tokens, which are characters here; None to tell none.
        lacks_vectors: Whether the last text gets no vector.
        has_choices: Whether replies have any choice.
        ends_answers: Whether the chat template shows how an answer ends.
    """

    def __init__(self, router: respx.MockRouter) -> None:
        self.answer: Callable[[Body], Any] = lambda _: "ok"
        self.logprob: Callable[[str, int], float] = lambda *_: -1.0
        self.vector: Callable[[str], list[float]] = lambda text: [float(len(text)), 1.0]
        self.max_model_len: int | None = 4096
        self.ends_answers = True
        self.lacks_vectors = False
        self.has_choices = True
        self.finish_reason = "stop"
        self.calls: list[tuple[str, Body]] = []
        for path, reply in {
            "/tokenize": self._tokenize,
            "/chat/completions": self._chat,
            "/completions": self._complete,
            "/embeddings": self._embed,
        }.items():
            router.post(BASE + path).mock(side_effect=self._noted(path, reply))

    def bodies(self, path: str) -> list[Body]:
        """The bodies of the calls of one route, in order."""
        return [body for called, body in self.calls if called == path]

    def prompts(self) -> list[str]:
        """The last messages of all chat calls."""
        return [str(body["messages"][-1]["content"]) for body in self.bodies("/chat/completions")]

    def _noted(self, path: str, reply: Callable[[Body], Body]) -> Callable[[httpx.Request], httpx.Response]:
        def respond(request: httpx.Request) -> httpx.Response:
            body = json.loads(request.content)
            self.calls.append((path, body))
            answer = reply(body)
            return httpx.Response(400 if "error" in answer else 200, json=answer)

        return respond

    def _tokenize(self, body: Body) -> Body:
        text = self._rendered(body) if "messages" in body else body["prompt"]
        return {"count": len(text), "max_model_len": self.max_model_len, "tokens": list(map(ord, text))}

    def _rendered(self, body: Body) -> str:
        end = chr(END) if self.ends_answers else ""
        text = "".join(f"<{each['role']}>{each['content']}{end}" for each in body["messages"])
        return f"{text}<assistant>" if body["add_generation_prompt"] else text

    def _chat(self, body: Body) -> Body:
        said = self.answer(body)
        if isinstance(said, Exception):
            return {"error": {"message": str(said), "code": "invalid_request"}}
        content = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        message = {"role": "assistant", "content": content}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        return _reply("chat.completion", *[choice][: self.has_choices])

    def _complete(self, body: Body) -> Body:
        if "logprob_token_ids" not in body:
            choice = {"index": 0, "text": " and so on", "finish_reason": self.finish_reason}
            return _reply("text_completion", *[choice][: self.has_choices])
        choices = [self._scored(i, prompt, body) for i, prompt in enumerate(body["prompt"])]
        return _reply("text_completion", *choices[: None if self.has_choices else 0])

    def _scored(self, index: int, prompt: list[int], body: Body) -> Body:
        text = "".join(map(chr, prompt))
        top = {f"token_id:{token}": self.logprob(text, token) for token in body["logprob_token_ids"]}
        return {"index": index, "text": "x", "finish_reason": "length", "logprobs": {"top_logprobs": [top]}}

    def _embed(self, body: Body) -> Body:
        texts = body["input"]
        data = [{"index": i, "embedding": self.vector(text)} for i, text in enumerate(texts)]
        if self.lacks_vectors:
            data.pop()
        data.reverse()  # a server may answer in any order; the index says which is which
        return {
            "model": "m",
            "data": data,
            "usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)},
        }


def _reply(kind: str, *choices: Body) -> Body:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    return {"id": "r", "object": kind, "created": 1, "model": "m", "choices": list(choices), "usage": usage}


def likes(**words: float) -> Callable[[str, int], float]:
    """Give the first token of each of `words` this probability, and what follows it probability 1."""
    firsts = {ord(word[0]): math.log(share) for word, share in words.items()}

    def logprob(prompt: str, token: int) -> float:
        return firsts.get(token, -20.0) if prompt.endswith("<assistant>") else 0.0

    return logprob
