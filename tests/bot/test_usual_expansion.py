"""Whether an idea is expanded where its request does not say it: as the member chose, otherwise as the server did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from limner.bot import picture_actions, submit
from limner.bot.app import App
from limner.bot.options.ask import Ask
from limner.bot.picture_actions import Asker
from limner.bot.place import Where
from limner.bot.storage import audit_log
from limner.bot.storage.db import Database
from limner.bot.storage.members import Members
from limner.bot.worker.prepare import settle_prompt
from limner.generators.base import Expansion
from tests.other_clients import told
from tests.simulated_discord import World


async def expansion(world: World, prompt: str = "a red fox", **more: Any) -> str:
    """Whether a request is expanded; it is cancelled, because members may have three at once."""
    job = await world.imagine(prompt, **more)
    await world.app.jobs.cancel(job.id, "No more.")
    return job.expand


async def test_the_request_comes_before_the_member_and_the_member_before_the_server(world: World) -> None:
    assert await expansion(world) == "on"
    answer = await world.grace.slash(world.channel, "pictures expand", default="off")
    assert told(answer).startswith("Ideas in this server are painted as they are;")
    [change, *_] = (await audit_log.page(world.app.database, world.guild.id)).changes
    assert (change.by, change.after) == (world.grace.id, {"settings": {"expand": "off"}})
    answer = await world.ada.slash(world.channel, "expand", default="preview")
    assert told(answer).startswith("You see the added details and choose")
    await world.restart()
    assert await expansion(world) == "preview"
    assert await expansion(world, "a red fox --raw") == "off"
    assert await expansion(world, expand="on") == "on"
    assert await expansion(world, who=world.bob) == "off"
    elsewhere = Ask(text="a cat", user_id=world.bob.id, where=Where(channel_id=1))
    assert (await submit.imagine(world.app, elsewhere)).expand == "on"
    answer = await world.ada.slash(world.channel, "me")
    assert answer.response
    assert "You see the added details" in str(answer.response.embeds[0].to_dict())
    answer = await world.ada.slash(world.channel, "expand", default="server")
    assert told(answer).startswith("Your ideas are expanded as the server")
    assert await expansion(world) == "off"


async def test_what_starts_from_a_picture_is_expanded_as_usual_too(world: World) -> None:
    job = await world.painted()
    await world.app.members.choose_expand(world.bob.id, "off")
    asker = Asker(world.bob.id, "en-US", job.where)
    made = await picture_actions.start_from(
        world.app, job, 1, picture_actions.starting(world.app, job, 1, asker, "a blue fox", "0.5")
    )
    assert made.expand == "off"


async def test_the_language_model_writes_in_the_dialect_of_the_model(app: App) -> None:
    told: list[dict[str, Any]] = []

    class Listening:
        async def expand(self, idea: str, **options: Any) -> Expansion:
            told.append(options)
            return Expansion(idea, "", (), "m", 0.1)

        async def close(self) -> None:
            """Nothing."""

    for dialect in ("sentences", "tags"):
        app.settings.cards["doodle"] = replace(app.settings.cards["doodle"], dialect=dialect)
        await submit.imagine(app, Ask(text="a cat", user_id=5, where=Where(channel_id=1)))
        [job] = await app.jobs.claim("worker", capacity=1)
        assert await settle_prompt(app, Listening(), job)
    assert [options["dialect"] for options in told] == ["sentences", "tags"]


async def test_a_member_changes_the_choice_and_gives_it_up(database: Database) -> None:
    members = Members(database)
    assert (await members.usual(1)).expand is None
    for choice in ("off", "preview", None):
        await members.choose_expand(1, choice)
        assert (await members.usual(1)).expand == choice
    assert (await members.usual(2)).expand is None
