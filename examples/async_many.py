"""Ask many questions at once, with no more than eight in flight.

Run: python examples/async_many.py [MODEL]
"""

from __future__ import annotations

import asyncio
import sys

from lmaas import APIError, AsyncLMaaS

WORDS = ["cat", "dog", "tree", "river", "bread", "music", "winter", "garden"] * 2


async def main(model: str = "smollm2-135m-instruct") -> None:
    """Print each answer, or why there is none: one failure does not end the others."""
    slots = asyncio.Semaphore(8)

    async with AsyncLMaaS() as client:

        async def describe(word: str) -> str:
            messages = [{"role": "user", "content": f"Describe a {word} in five words."}]
            async with slots:
                try:
                    answer = await client.chat.completions.create(
                        model=model, messages=messages, max_tokens=24
                    )
                except APIError as error:
                    return f"failed: {error}"
                return (answer.choices[0].message.content or "").strip()

        answers = await asyncio.gather(*map(describe, WORDS))
    for word, answer in zip(WORDS, answers, strict=True):
        print(f"{word}: {answer}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
