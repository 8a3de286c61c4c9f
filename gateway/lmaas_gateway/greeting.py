"""What `lmaas serve` says once the models can be called: where, and two ways to try at once."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lmaas_gateway.settings import ModelSettings, Settings

_POLL_INTERVAL_S = 0.3


async def greet_when_ready(
    settings: Settings,
    port: int,
    report: Callable[[str], None],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Wait until `/readyz` answers 200, then report how to call the models.

    Where every client must show a certificate nobody here can ask, so that it is reported at once.
    """
    host = _reachable(settings.host)
    tls = None if settings.tls.cert_file is None else _trust_all()
    while settings.tls.client_certificates != "required" and not await _is_ready(host, port, tls):
        await sleep(_POLL_INTERVAL_S)
    report(write_greeting(settings, port))


def write_greeting(settings: Settings, port: int) -> str:
    """Write the URL, a curl line and an SDK snippet that work when pasted."""
    host = _reachable(settings.host)
    scheme = "http" if settings.tls.cert_file is None else "https"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    has_key = settings.api_key is not None or bool(settings.keys)
    parts = [f"Ready: {url}/v1 serves {', '.join(model.name for model in settings.models)}"]
    chat = _first(settings.models, "chat")
    embedding = _first(settings.models, "embedding")
    if chat is not None:
        parts.append(_curl(url, chat.name, has_key=has_key))
    if chat is not None or embedding is not None:
        parts.append(_snippet(url, chat, embedding, has_key=has_key))
    return "\n\n".join(parts) + "\n"


def _curl(url: str, model: str, *, has_key: bool) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        # Small models may not find an end by themselves, and a first try should not take minutes.
        "max_tokens": 64,
        "temperature": 0,
    }
    key = ' -H "Authorization: Bearer $LMAAS_API_KEY"' if has_key else ""
    return f"curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d '{json.dumps(body)}'"


def _snippet(url: str, chat: ModelSettings | None, embedding: ModelSettings | None, *, has_key: bool) -> str:
    key = ', api_key="…"' if has_key else ""
    lines = ["from lmaas import LMaaS", f'client = LMaaS(base_url="{url}/v1"{key})']
    if chat is not None:
        messages = '[{"role": "user", "content": "What is the capital of France?"}]'
        lines.append("reply = client.chat.completions.create(")
        lines.append(f'    model="{chat.name}", messages={messages}, max_tokens=64, temperature=0')
        lines.append(")")
        lines.append("print(reply.choices[0].message.content)")
    if embedding is not None:
        lines.append(
            f'vector = client.embeddings.create(model="{embedding.name}", input="Hello").data[0].embedding'
        )
        lines.append("print(len(vector))")
    # Not indented: Python before 3.13 does not take pasted lines that are.
    return "\n".join(lines)


def _first(models: tuple[ModelSettings, ...], kind: str) -> ModelSettings | None:
    return next((model for model in models if (model.kind or "chat") == kind), None)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound


def _trust_all() -> ssl.SSLContext:
    """Trust whoever answers: it is this gateway, whose certificate may have another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _is_ready(host: str, port: int, tls: ssl.SSLContext | None) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    except OSError:
        return False
    try:
        writer.write(f"GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
