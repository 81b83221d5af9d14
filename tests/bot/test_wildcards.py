"""Wildcards: lines of the operator's lists in a prompt, chosen by the seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import simcord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.cogs.imagine import NO_LISTS
from limner.bot.cogs.lists import ALL_FORBIDDEN, NONE
from limner.bot.errors import BadPrompt, Refused
from limner.bot.place import OUTSIDE
from limner.bot.storage import audit_log
from limner.bot.storage.db import Database
from limner.bot.storage.tables.filter_tables import FilterChange
from limner.bot.storage.wildcard_lists import CHANGED, WildcardLists
from limner.bot.wildcards import FOLDER, MOST_BYTES, NO_LINES, NO_NAME, Wildcards
from tests.other_clients import told
from tests.rows import asked
from tests.simulated_discord import World

ANIMALS = ("fox", "hare", "owl", "a tall heron")


def put_list(data: Path, name: str, *lines: str, guild_id: int | None = None) -> None:
    folder = data / FOLDER / str(guild_id or "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text("\n".join(lines), "utf-8")


async def test_the_seed_chooses_and_the_row_says_what(app: App) -> None:
    put_list(app.settings.data, "animal", "# ours", "", *ANIMALS, "a __colour__ cow")
    first, same = [await submit.imagine(app, asked("two __Animal__ and __animal__ --seed 7")) for _ in range(2)]
    (_, one), (_, other) = first.notes["chosen"]
    assert first.idea == same.idea == first.request["prompt"] == f"two {one} and {other}"
    assert {one, other} <= {*ANIMALS}
    seen = {(await submit.imagine(app, asked(f"__animal__ --seed {seed}"))).idea for seed in range(40)}
    assert seen == {*ANIMALS}


async def test_a_reroll_keeps_the_words_and_a_remix_may_choose_anew(app: App) -> None:
    put_list(app.settings.data, "animal", "fox")
    job = await submit.imagine(app, asked("a __animal__"))
    assert (await submit.reroll(app, job, user_id=0)).idea == "a fox"
    assert (
        await submit.imagine(app, submit.remixed(app, job, "two __animal__", "", user_id=0, where=OUTSIDE))
    ).idea == "two fox"


async def test_a_servers_list_is_its_own(app: App) -> None:
    put_list(app.settings.data, "animal", "fox")
    put_list(app.settings.data, "animal", "cow", guild_id=5)
    put_list(app.settings.data, "secret", "gold", guild_id=5)
    assert (await submit.imagine(app, asked("__animal__", guild_id=5))).idea == "cow"
    assert (await submit.imagine(app, asked("__animal__", guild_id=6))).idea == "fox"
    assert [await app.wildcards.names(guild) for guild in (5, None)] == [["animal", "secret"], ["animal"]]
    with pytest.raises(BadPrompt, match=r"^There is no list secret for __secret__; choose one of: animal\.$"):
        await submit.imagine(app, asked("__secret__"))


async def test_what_is_chosen_passes_the_filter(app: App) -> None:
    put_list(app.settings.data, "animal", "cow")
    await app.filters.add(5, "cow", 1)
    with pytest.raises(Refused):
        await submit.imagine(app, asked("an __animal__", guild_id=5, user_id=1))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("__animl__", "There is no list animl for __animl__; what comes nearest is animal."),
        ("__empty__", "The list empty has no line that can be read; the operator can mend its file."),
        ("__large__", "The list large has no line that can be read; the operator can mend its file."),
        ("__animal__ " * 100, "The prompt has 30099 characters, and at most 1500 are read; shorten it."),
    ],
)
async def test_each_wrong_wildcard_is_one_sentence(app: App, text: str, sentence: str) -> None:
    put_list(app.settings.data, "animal", "x" * 900)
    put_list(app.settings.data, "empty", "# nothing")
    put_list(app.settings.data, "large", "x\n" * MOST_BYTES)
    with pytest.raises(BadPrompt) as told:
        await submit.imagine(app, asked(text))
    assert str(told.value) == sentence


async def test_prose_with_underscores_stays(tmp_path: Path, database: Database) -> None:
    for text in ("a __very big__ fox", "snake__case__name", "____", "__a b__", "_animal_"):
        assert await Wildcards(tmp_path, WildcardLists(database)).fill(text, None, 7) == (text, [])


async def test_the_lists_and_the_choice_are_shown(world: World) -> None:
    told = await world.ada.slash(world.channel, "wildcards")
    assert told.response
    assert told.response.content == str(NO_LISTS)
    put_list(world.settings.data, "animal", "fox")
    told = await world.ada.slash(world.channel, "wildcards")
    assert told.response
    assert (told.response.content, told.ephemeral) == ("`__animal__`", True)
    job = await world.painted("a __animal__")
    assert job.notes["chosen"] == [["animal", "fox"]]


async def given(world: World, lines: str | bytes, name: str = "Animal") -> simcord.InteractionResult:
    """The answer to a moderator's list."""
    data = lines.encode() if isinstance(lines, str) else lines
    return await world.grace.slash(world.channel, "lists add", name=name, file=("list.txt", data))


async def test_moderators_give_lists_and_undo_it(world: World) -> None:
    put_list(world.app.settings.data, "animal", "cow")
    await world.app.filters.add(world.guild.id, "naughty", world.grace.id)
    answer = await given(world, "# ours\nfox\n\na naughty hare\na __colour__ cow\n owl \n")
    assert "has 2 lines" in told(answer)
    assert "a naughty hare" in told(answer)
    await world.restart()
    said = {(await world.imagine(f"__animal__ --seed {seed}", world.bob)).idea for seed in (1, 2, 3)}
    assert said <= {"fox", "owl"}
    assert "`__animal__`" in told(await world.ada.slash(world.channel, "wildcards"))
    await given(world, "heron")
    first, second = reversed((await audit_log.page(world.app.database, world.guild.id)).changes[:2])
    assert (first.what, second.before, second.after) == (
        "list",
        {"wildcards": {"animal": "fox\nowl"}},
        {"wildcards": {"animal": "heron"}},
    )
    log = await world.grace.slash(world.channel, "filter log")
    assert log.response
    assert "stored the list animal for wildcards" in str(log.response.embeds[0].description)

    async def undo(change: FilterChange) -> str:
        assert log.response
        return told(await world.grace.select(log.response, [str(change.id)], custom_id="limner:log:undo"))

    assert await undo(first) == CHANGED
    assert "is undone" in await undo(second)
    assert await world.app.wildcards.given.lines(world.guild.id, ["animal"]) == {"animal": ["fox", "owl"]}
    removed = await world.grace.slash(world.channel, "lists remove", name="__animal__")
    assert removed.response
    assert told(await world.grace.slash(world.channel, "lists show")) == NONE
    assert (await world.imagine("__animal__", world.grace)).idea == "cow"
    await world.grace.click(removed.response, label="Undo")
    assert told(await world.grace.slash(world.channel, "lists show")) == "`__animal__`"


async def test_lists_that_cannot_be_used_get_a_sentence_and_are_not_stored(world: World) -> None:
    await world.app.filters.add(world.guild.id, "naughty", world.grace.id)
    wrong: dict[str | bytes, str] = {
        "# nothing\n": NO_LINES,
        "naughty\n": ALL_FORBIDDEN,
        "x\n" * 2001: "A list may have at most 2000 lines",
        "x" * 131_073: "A list's file may have at most 128 kB",
        b"\xff\xfe\x00\xd8": "That file",
    }
    for lines, sentence in wrong.items():
        assert told(await given(world, lines)).startswith(sentence)
    assert told(await given(world, "fox", name="a b")) == NO_NAME
    assert told(await world.grace.slash(world.channel, "lists remove", name="animal")).startswith("There is no list")
    for number in range(50):
        await world.app.wildcards.given.put(world.guild.id, f"l{number}", ["fox"], 1)
    assert told(await given(world, "fox")).startswith("This server has 50 lists")
    assert "animal" not in await world.app.wildcards.names(world.guild.id)
