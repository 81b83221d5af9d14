"""Lists that are longer than a message, in the commands themselves: nothing fails, and everything can be reached."""

from __future__ import annotations

from typing import Any

import discord
import pytest
import simcord
from sqlalchemy import insert

from limner.bot.filters.rulebook.entries import Entry
from limner.bot.filters.scopes import Scope
from limner.bot.limits import CHOICES, key
from limner.bot.options.ask import read
from limner.bot.reasons import HoldReason
from limner.bot.settings import Settings
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.submit import submit
from limner.bot.ui.delivery import delivery
from limner.generators.base import Expansion
from tests.rows import asked, put_lora
from tests.simulated_discord import World, labels, text_of

MARKS = "*_`|~<@&>[a](b)\\" * 200
"""Nearly each of its letters needs another one before it."""
LONG = "n" * 180


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before an answer without a message is posted."""
    monkeypatch.setattr(delivery, "ADOPT_AFTER", 0.0)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Members may have many requests, and there are many models and LoRAs, some with long names."""
    models = {"doodle": settings.models["doodle"]}
    models |= {f"{LONG}{number}": models["doodle"] for number in range(3)}
    models |= {f"model-{number}": models["doodle"] for number in range(130)}
    for name in (f"{LONG}1", f"{LONG}2", *(f"lora-{number}" for number in range(130))):
        put_lora(settings, name)
    return settings.using(models=models, max_jobs_per_user=100, max_prompt_length=6000)


def answer(result: simcord.InteractionResult) -> discord.Message:
    """What was answered, to the one who asked and to nobody else."""
    found = result.followups[-1] if result.followups else result.response
    assert found
    assert found.ephemeral
    return found.message


async def pressed(who: simcord.MemberActor, message: discord.Message, label: str) -> discord.Message:
    """The message as it is after one of its buttons was pressed."""
    return answer(await who.click(message, label=label))


class Pages:
    """A list as it is turned: all its lines, page by page."""

    def __init__(self, who: simcord.MemberActor, shown: simcord.InteractionResult) -> None:
        self.who = who
        self.message = answer(shown)

    @property
    def text(self) -> str:
        return str(self.message.embeds[0].description)

    async def lines(self) -> list[str]:
        found = self.text.splitlines()
        while "Next" in labels(self.message):
            self.message = await pressed(self.who, self.message, "Next")
            found += self.text.splitlines()
        return found


async def ask(world: World, idea: str, **more: Any) -> int:
    channel = {"channel_id": world.channel.id, "guild_id": world.guild.id, "user_id": world.ada.id}
    return (await submit(world.app, read(world.app, asked(text=idea, **channel, **more)))).id


async def test_every_request_of_a_long_queue_is_there(world: World) -> None:
    numbers = [await ask(world, f"{number} {MARKS[:1500]}") for number in range(23)]
    pages = Pages(world.ada, await world.ada.slash(world.channel, "queue"))
    assert [int(line.split("**")[1]) for line in await pages.lines()] == numbers
    assert str(pages.message.embeds[0].footer.text).endswith("Page 3 of 3")
    await world.ada.click(pages.message, label="Previous")
    found = await world.ada.autocomplete(world.channel, "cancel", "request", "")
    assert len(found) == 23


@pytest.mark.slow
async def test_every_review_and_every_strike_is_there(world: World) -> None:
    job = await world.imagine("a red fox")
    rows = [
        {"created_at": 1.0, "guild_id": world.guild.id, "user_id": world.ada.id, "why": HoldReason.FLAGGED}
        for _ in range(24)
    ]
    more = [await ask(world, f"a fox {number}") for number in range(23)]
    async with world.app.database.begin() as session:
        for number, row in zip([job.id, *more], rows, strict=True):
            await session.execute(insert(Review).values(**row, job_id=number, shown="open", message_id=10**18))
    reviews = Pages(world.grace, await world.grace.slash(world.channel, "review list"))
    assert len(await reviews.lines()) == 24

    settings = await world.app.guilds.get(world.guild.id)
    for number in range(40):
        why = f"{number} {MARKS[:190]}"
        await world.app.strikes.give(world.guild.id, world.ada.id, by=world.grace.id, why=why, settings=settings)
    strikes = Pages(world.grace, await world.grace.slash(world.channel, "strike list", member=world.ada))
    listed = await strikes.lines()
    assert [int(line.split("**")[1]) for line in listed if line.startswith("**")] == [*range(40, 0, -1)]
    for typed, count in (("39 *", 1), ("", CHOICES)):
        assert len(await world.grace.autocomplete(world.channel, "strike remove", "strike", typed)) == count

    mine = answer(await world.ada.slash(world.channel, "me"))
    assert " more" in str(next(field.value for field in mine.embeds[0].fields if field.name == "Strikes"))
    every = await pressed(world.ada, mine, "All strikes")
    assert len(str(every.embeds[0].description).splitlines()) == 10


async def test_all_that_matches_a_text_is_told(world: World) -> None:
    patterns = [f"{before}cow {number}" for number in range(40) for before in ("purple " * 8, "")]
    await world.app.filters.put_all(world.guild.id, [Entry(pattern=one) for one in patterns], world.grace.id)
    text = " ".join(f"{'purple ' * 8}cow {number}" for number in range(40))
    shown = answer(await world.grace.slash(world.channel, "filter test", text=text))
    assert shown.content.endswith(", in the file")
    [file] = shown.attachments
    assert len((await file.read()).decode().splitlines()) == 80


async def test_a_rule_with_many_twins_and_long_lists_of_rules_and_changes_can_be_read(world: World) -> None:
    roles = [world.guild.create_role(f"r{number}").id for number in range(60)]
    for number in range(60):
        scope = Scope(only_roles=frozenset({str(roles[number])}))
        await world.app.filters.add(world.guild.id, f"{'`' * 90} cow", world.grace.id, reason=MARKS[:150], scope=scope)
    message = answer(await world.grace.slash(world.channel, "filter list"))
    assert len(str(message.embeds[0].description).splitlines()) == 20
    card = answer(await world.grace.select(message, ["1"], custom_id="limner:rules:open"))
    assert " more" in str(card.embeds[0].description)
    found = await world.grace.autocomplete(world.channel, "filter edit", "rule", "cow")
    assert len(found) == CHOICES
    log = answer(await world.grace.slash(world.channel, "filter log"))
    assert len(str(log.embeds[0].description).split("**")) == 21


@pytest.mark.slow
async def test_marked_up_words_fit_into_details_and_history(world: World) -> None:
    number = await ask(world, MARKS[:2000], negative=MARKS[:2000], image_name=MARKS[:200], style="watercolor")
    job = await world.claim()
    text = f"{job.idea}, {MARKS}"
    await world.app.jobs.save_expansion(job, Expansion(text, MARKS, (), MARKS[:80], 0.1, note=MARKS[:200]), text)
    await world.finish(job)
    opened = answer(await world.ada.slash(world.channel, "history", id=number))
    assert len(opened.embeds[0].fields) > 8
    assert f"{number}.1" in text_of(answer(await world.ada.slash(world.channel, "history")))
    message = world.message(await world.delivered(job, seconds=20))
    assert (await pressed(world.ada, message, "Details")).embeds[0].to_dict() == opened.embeds[0].to_dict()


async def test_what_is_wrong_is_told_in_a_sentence_that_fits(world: World) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"model": "x" * 5000}, "and 124 more"),
        ({"lora": "x" * 5000}, "and 122 more"),
        ({"style": "x" * 5000}, "That style is not known"),
        ({"aspect": "1:1", "prompt": "a fox --" + "x" * 5000}, ""),
        ({"prompt": "a fox --style " + "x" * 5000}, ""),
    ]
    for options, sentence in wrong:
        assert sentence in await world.refused(options.pop("prompt", "a fox"), **options), [*options]


async def test_models_and_loras_with_long_names_can_be_chosen(world: World) -> None:
    models = await world.ada.autocomplete(world.channel, "imagine", "model", "nnn")
    assert [choice["value"] for choice in models] == [key(f"{LONG}{number}") for number in range(3)]
    job = await world.imagine("a fox", model=models[1]["value"])
    assert job.request["model"] == f"{LONG}1"
    await world.app.jobs.cancel(job.id, "no more")
    loras = await world.ada.autocomplete(world.channel, "imagine", "lora", "nnn")
    job = await world.imagine("a fox", lora=f"{loras[1]['value']}:0.5")
    assert job.generation.loras == ((f"{LONG}2", 0.5),)


async def test_more_pictures_and_models_than_one_select_holds_are_offered_in_several(
    world: World, settings: Settings
) -> None:
    for name, card in world.app.settings.cards.items():
        if name.startswith(("model-1", LONG)):
            object.__setattr__(card, "restyles", True)
    job = await world.imagine("a fox", count=3)
    await world.finish(await world.claim(), count=3)
    message = world.message(await world.delivered(job))
    shown = await pressed(world.ada, message, "Restyle")
    rows = [row for row in shown.components if isinstance(row, discord.ActionRow)]
    assert len(rows) == 5
    last = rows[4].children[0]
    assert isinstance(last, discord.SelectMenu)
    assert last.options[0].value.startswith("3:")
