"""What `lmaas serve` says: the first key, once, and where and how to call the models, once they can be."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from lmaas_gateway.settings import ModelSettings, Settings

_POLL_INTERVAL_S = 0.3


async def greet_when_ready(
    settings: Settings,
    port: int,
    report: Callable[[str], None],
    *,
    first: Sequence[str] = (),
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Wait until `/readyz` answers 200, then report how to call the models.

    Where every client must show a certificate nobody here can ask, so that it is reported at once.
    """
    host = _reachable(settings.host)
    tls = None if settings.tls.cert_file is None else _trust_all()
    while settings.tls.client_certificates != "required" and not await _is_ready(host, port, tls):
        await sleep(_POLL_INTERVAL_S)
    report(write_greeting(settings, port, first))


def tell_first_key(key: str, folder: Path, report: Callable[[str], None], *, is_terminal: bool) -> str:
    """Tell the first key to who sits at the terminal, or leave it in a file: a log would keep it.

    Returns:
        What sets `LMAAS_API_KEY` to it in a shell.
    """
    if is_terminal:
        report(
            "This is the first start: here is an owner's key. It is shown this once, and kept nowhere.\n\n"
            f"    {key}\n\n"
            "Issue other keys with it, and revoke it when you have them: lmaas keys --help"
        )
        return f"export LMAAS_API_KEY={key}"
    path = folder / "first-key"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
    report(
        f"This is the first start: the key of an owner is in {path}. Nobody but you can read that file, and "
        "the key is kept nowhere else: take it from there, and remove the file."
    )
    return f"export LMAAS_API_KEY=$(cat {shlex.quote(str(path))})"


def warn_open(report: Callable[[str], None]) -> None:
    """Say that nobody needs a key."""
    report(
        "OPEN: everybody on this machine may call the models without a key, and nothing is accounted for. "
        "This is for development; leave out `--open` to be safe."
    )


def write_greeting(settings: Settings, port: int, first: Sequence[str] = ()) -> str:
    """Write the URL, a curl line and an SDK snippet that work when pasted."""
    host = _reachable(settings.host)
    scheme = "http" if settings.tls.cert_file is None else "https"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    has_key = not settings.lets_everybody_in
    parts = [f"Ready: {url}/v1 serves {', '.join(model.name for model in settings.models)}"]
    chat = _first(settings.models, "chat")
    embedding = _first(settings.models, "embedding")
    if settings.dashboard.enabled and settings.admin.port is None:
        parts.append(f"Look at it and try it in a browser: {url}/ui")
    parts += first
    if chat is not None:
        parts.append(_curl(url, chat.name, has_key=has_key))
    if chat is not None or embedding is not None:
        parts.append(_snippet(url, chat, embedding))
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


def _snippet(url: str, chat: ModelSettings | None, embedding: ModelSettings | None) -> str:
    # It takes its key from LMAAS_API_KEY.
    lines = ["from lmaas import LMaaS", f'client = LMaaS(base_url="{url}/v1")']
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
