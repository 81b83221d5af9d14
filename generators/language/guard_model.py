"""Text classification by a Llama-Guard-class model behind an OpenAI-compatible chat server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Self

from limner.generators.language.chat import ChatClient, first_choice
from limner.generators.text_classifiers import PolicyScore

CATEGORIES = {
    "S1": ("violence",),
    "S3": ("sexual",),
    "S4": ("minors", "sexual"),
    "S9": ("violence",),
    "S10": ("hate",),
    "S11": ("self-harm",),
    "S12": ("sexual",),
    "S13": ("politics",),
}
"""The hazards of MLCommons' taxonomy as Llama Guard 3 numbers them (its model card), by policy; others are ignored."""
_CATEGORY = re.compile(r"\bS\d{1,2}\b")


class GuardModel:
    """Asks a guard model about each text; its answer is ``safe``, or ``unsafe`` and a line of categories."""

    def __init__(self, model: str, client: ChatClient) -> None:
        self._model = model
        self._client = client

    @classmethod
    def create(cls, *, model: str, url: str, api_key: str, timeout: float) -> Self:
        """Make one for a model's name on a server, whose address ends with the API's version."""
        return cls(model, ChatClient(url, api_key, timeout))

    async def classify(self, texts: Sequence[str]) -> Sequence[Sequence[PolicyScore]]:
        """A score of 1 for each policy that the model names; raises what `ChatClient.ask` and `first_choice` do."""
        return await asyncio.gather(*map(self._classify_one, texts))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _classify_one(self, text: str) -> list[PolicyScore]:
        # The server's chat template writes the guard's instructions around the text.
        message = {"role": "user", "content": text}
        data = await self._client.ask({"model": self._model, "messages": [message], "temperature": 0, "max_tokens": 32})
        answer = str(first_choice(data)["message"]["content"]).strip()
        if not answer.lower().startswith(("safe", "unsafe")):
            raise ValueError("the answer is none of a guard model's")
        named = (policy for code in _CATEGORY.findall(answer) for policy in CATEGORIES.get(code, ()))
        return [PolicyScore(policy, 1.0) for policy in dict.fromkeys(named)]
