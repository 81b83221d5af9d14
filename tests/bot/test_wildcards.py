"""Wildcards: lines of the operator's lists in a prompt, chosen by the seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadPrompt, Refused
from limner.bot.place import OUTSIDE
from limner.bot.wildcards import FOLDER, MOST_BYTES, Wildcards
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
    assert (await submit.remix(app, job, "two __animal__", "", user_id=0, where=OUTSIDE)).idea == "two fox"


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


async def test_prose_with_underscores_stays(tmp_path: Path) -> None:
    for text in ("a __very big__ fox", "snake__case__name", "____", "__a b__", "_animal_"):
        assert await Wildcards(tmp_path).fill(text, None, 7) == (text, [])


async def test_the_lists_and_the_choice_are_shown(world: World) -> None:
    told = await world.ada.slash(world.channel, "wildcards")
    assert told.response
    assert told.response.content == "There are no lists here; the operator can put some into the folder `wildcards`."
    put_list(world.settings.data, "animal", "fox")
    told = await world.ada.slash(world.channel, "wildcards")
    assert told.response
    assert (told.response.content, told.ephemeral) == ("`__animal__`", True)
    job = await world.painted("a __animal__")
    assert job.notes["chosen"] == [["animal", "fox"]]
