"""What is suggested while an option is typed, by a real process: it keeps no command waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from limner.bot.app import SUGGESTED_AT_ONCE, SUGGESTING_PATIENCE
from tests.discord_records import CHANNEL, until
from tests.discord_server import ACKNOWLEDGE_SECONDS, DiscordServer
from tests.studio import open_studio

TYPING = 300


async def test_however_many_type_few_suggestions_are_sent_at_once_and_a_command_is_answered_before_them(
    tmp_path: Path,
) -> None:
    async with (
        DiscordServer(judges=False).open() as server,
        open_studio(tmp_path / "data", server, expander="off", safety_classifier="off", workers=0) as studio,
    ):
        await studio.start()
        typing = [
            asyncio.create_task(server.suggest(user, CHANNEL, "imagine", "style", f"w{user}", wait=60.0))
            for user in range(TYPING)
        ]
        await asyncio.sleep(0)
        tokens, heard = {*server.asked}, list[str]()

        def is_suggestion(request: web.Request) -> bool:
            heard.extend(token for token in [request.match_info.get("token")] if token in tokens)
            return request.match_info.get("token") in tokens

        gate = server.hold(is_suggestion)
        asked = await server.slash(1, CHANNEL, "imagine", prompt="a red cat", wait=60.0)
        await until(lambda: len(heard) >= SUGGESTED_AT_ONCE, 20, "as many suggestions as are made at once")
        assert asked.message
        assert "a red cat" in str(asked.body["content"])
        assert len(tokens) == TYPING
        assert len(heard) == SUGGESTED_AT_ONCE
        gate.open()
        suggested = await asyncio.gather(*typing)

        answer = server.hold(lambda request: request.path.endswith("/callback"))
        asking = asyncio.create_task(server.slash(1, CHANNEL, "imagine", prompt="a red cat", wait=60.0))
        await answer.reached.wait()
        server.gates.remove(answer)
        beside = await server.suggest(2, CHANNEL, "imagine", "style", "w", wait=60.0)
        answer.open()
        assert (await asking).message

    assert all(one.kind == 8 for one in suggested)
    assert SUGGESTING_PATIENCE < (beside.seconds or 0) < ACKNOWLEDGE_SECONDS
