"""The page of conversations as a person meets it: by labels and roles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Locator, Page


class ChatPage:
    """`/ui/chat`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.model = page.get_by_role("combobox", name="Model", exact=True)
        self.message = page.get_by_role("textbox", name="Message")
        self.send = page.get_by_role("button", name="Send", exact=True)
        self.stop = page.get_by_role("button", name="Stop", exact=True)
        self.questions = page.get_by_role("article", name="You")
        self.answers = page.get_by_role("article", name="Answer")
        self.texts = self.answers.locator(".text:not(.plain)")
        self.status = page.locator("#status")
        self.error = page.locator("#error[role=alert]")

    def open(self, url: str, model: str) -> None:
        """Go there, and take a model."""
        self.page.goto(f"{url}/ui/chat")
        expect(self.model).not_to_have_value("")
        self.model.select_option(model)

    def ask(self, question: str) -> None:
        """Send a message, without waiting for the answer."""
        self.message.fill(question)
        self.send.click()

    def settle(self) -> None:
        """Wait until nothing is being answered."""
        expect(self.send).to_be_enabled(timeout=60_000)

    def set(self, label: str, value: str) -> None:
        """Fill in a parameter."""
        self.show_settings()
        self.page.get_by_label(label, exact=True).fill(value)

    def script(self, *pieces: str | dict[str, Any], finish_reason: str = "stop") -> None:
        """Let the fake model answer the next calls with these pieces: of text, or deltas."""
        deltas = [piece if isinstance(piece, dict) else {"content": piece} for piece in pieces]
        self.set_extra({"fake": {"events": events_of(deltas, finish_reason)}})

    def set_extra(self, fields: dict[str, Any]) -> None:
        """Send further fields with each call."""
        self.show_settings()
        unfold(self.page, "Further parameters")
        self.page.get_by_label("Further parameters", exact=True).fill(json.dumps(fields))

    def show_settings(self) -> None:
        """Unfold the settings, which a narrow window begins without."""
        unfold(self.page, "Settings")

    def notes(self) -> Locator:
        """What the page says of answers."""
        return self.answers.locator(".note")


def unfold(page: Page, summary: str) -> None:
    """Open what is folded."""
    title = page.locator("summary").filter(has_text=summary)
    if title.locator("xpath=..").get_attribute("open") is None:
        title.click()


def events_of(deltas: Sequence[dict[str, Any]], finish_reason: str) -> list[str]:
    """Write the events of a stream of these deltas, without blanks, as vLLM does."""
    last = len(deltas) - 1
    chunks: list[dict[str, Any]] = [
        {
            "choices": [
                {"index": 0, "delta": delta, "finish_reason": finish_reason if number == last else None}
            ]
        }
        for number, delta in enumerate(deltas)
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": len(deltas), "total_tokens": 5 + len(deltas)}
    chunks.append({"choices": [], "usage": usage})
    return [*(f"data: {msgspec.json.encode(chunk).decode()}\n\n" for chunk in chunks), "data: [DONE]\n\n"]
