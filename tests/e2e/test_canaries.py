"""A real model answers a canary prompt, and is seen not to when more is expected than it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.live_gateway import CHAT
from lmaas_gateway.metrics.exposition import render
from lmaas_gateway.settings import Settings
from support.serving import run_gateway

if TYPE_CHECKING:
    from e2e.live_gateway import LiveGateway

QUESTION: dict[str, Any] = {
    "model": CHAT,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "params": {"max_tokens": 24},
    "timeout_s": 60,
}


async def test_real_model_answers_a_canary_as_expected_and_another_not(gateway: LiveGateway) -> None:
    prompts = [
        {
            **QUESTION,
            "name": "capital",
            "expect": {"contains": "Paris", "language": "en", "max_first_token_s": 60},
        },
        {**QUESTION, "name": "impossible", "expect": {"json_schema": {"type": "object"}}},
    ]
    socket = next(gateway.runtime_dir.glob(f"{CHAT}-*.sock"))
    models = [{"name": CHAT, "kind": "chat", "replicas": [{"url": f"unix:{socket}"}]}]
    settings = Settings.model_validate({"models": models, "open": True, "canary_prompts": prompts})
    async with run_gateway(settings) as running:
        canaries = running.gateway.canaries
        for prompt in running.gateway.settings.canary_prompts:
            await canaries.send(prompt)
        states = {state.name: state for state in canaries.state()}
        assert states["capital"].is_ok, states["capital"].problem
        assert states["capital"].first_token_s > 0
        assert states["impossible"].problem == "the reply is not what `json_schema` asks for"
        text = render(running.gateway.metrics).decode()
        assert f'lmaas_canary_ok{{canary="capital",model="{CHAT}"}} 1.0' in text
        assert f'lmaas_canary_ok{{canary="impossible",model="{CHAT}"}} 0.0' in text
        assert running.lines == []
