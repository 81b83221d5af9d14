"""A Llama Guard behind a chat server: what it answers, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from limner.generators.language.guard_model import GuardModel

ANSWERS = {
    "a fox": "safe",
    "a fight": "\n\nunsafe\nS1,S11",
    "a scene": "unsafe\nS12",
    "a leaflet": "unsafe\nS5",
    "a poem": "Roses are red",
}
TAKEN = {"a fox": [], "a fight": ["violence", "self-harm"], "a scene": ["sexual"], "a leaflet": []}


async def test_the_categories_of_a_guard_are_policies() -> None:
    asked: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        [message] = asked[-1]["messages"]
        return web.json_response({"choices": [{"message": {"content": ANSWERS[message["content"]]}}]})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app) as server:
        guard = GuardModel.create(model="llama-guard3", url=str(server.make_url("/v1")), api_key="", timeout=5.0)
        found = await guard.classify([*TAKEN])
        assert [[(one.policy, one.score) for one in some] for some in found] == [
            [(policy, 1.0) for policy in policies] for policies in TAKEN.values()
        ]
        assert {one["model"] for one in asked} == {"llama-guard3"}
        with pytest.raises(ValueError, match="none of a guard"):
            await guard.classify(["a poem"])
        await guard.close()
