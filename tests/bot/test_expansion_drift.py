import asyncio
import json
import math

import pytest

from limner.bot.__main__ import main
from limner.bot.app import App, open_app
from limner.bot.cli.expansion import by_place
from limner.bot.settings import Settings
from limner.bot.storage.history.meaning import load_embedder
from limner.generators.base import Expansion
from tests.rows import new_job

EMBEDDER = "sentence-encoder"
IDEA = "a red fox in the snow"
NEAR = f"{IDEA}, soft morning light"
FAR = f"{IDEA}, the annual report of a bank with long tables of interest rates and a list of all branch offices"
LOST = "a red cat in the snow, soft morning light"


def said(text: str, *, model: str = "smol", note: str = "") -> Expansion:
    return Expansion(text, text.removeprefix(IDEA), (), model, 0.5, note)


async def ask(app: App, expansion: Expansion, model: str = "tiny", guild_id: int | None = 5) -> None:
    await app.jobs.enqueue(new_job(IDEA, model=model, guild_id=guild_id, expansion=expansion))


async def test_each_model_and_server_has_figures_of_its_own(app: App):
    for text in (NEAR, NEAR, FAR, LOST):
        await ask(app, said(text))
    await ask(app, said(IDEA, note="The language model repeated itself."))
    await ask(app, said(IDEA, model=""))  # nobody wanted an expansion
    await ask(app, said(NEAR), model="other")
    await ask(app, said(IDEA, note="The language model is missing."), guild_id=None)

    found = by_place(await app.history.expanded(100), load_embedder(EMBEDDER))

    busy, other, alone = found.pop(("tiny", 5)), found.pop(("other", 5)), found.pop(("tiny", None))
    assert not found
    assert (busy.ideas, busy.expanded) == (5, 0.8)
    assert busy.kept == pytest.approx(1 - 0.25 / 3), "one of four lost one of three words"
    assert busy.lowest_tenth < busy.similarity < other.similarity + 1e-3 < 1
    assert busy.added == (3 + 9) / 2
    assert (other.ideas, other.kept, other.added) == (1, 1, 3)
    assert (alone.ideas, alone.expanded) == (1, 0)
    assert math.isnan(alone.similarity)


def test_the_command_prints_a_table_or_json_of_the_newest(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    async def two_requests() -> None:
        async with open_app(settings) as app:
            await ask(app, said(NEAR))
            await ask(app, said(IDEA, note="The language model repeated itself."), model="other")

    evaluate = ["--data", str(settings.data), "evaluate"]
    monkeypatch.setenv("LIMNER_EMBEDDER", EMBEDDER)
    assert main([*evaluate, "--expansion"]) == 2
    assert "No request has been expanded" in capsys.readouterr().err
    asyncio.run(two_requests())

    assert main([*evaluate, "--expansion", "--json"]) == 0
    found = {one["model"]: one for one in json.loads(capsys.readouterr().out)}
    assert (found["tiny"]["ideas"], found["tiny"]["kept"], found["other"]["kept"]) == (1, 1, None)
    assert main([*evaluate, "tiny", "--expansion"]) == 0
    assert "tiny" in (table := capsys.readouterr().out)
    assert "other" not in table
    assert main([*evaluate, "--expansion", "--count", "1", "--json"]) == 0
    assert [one["model"] for one in json.loads(capsys.readouterr().out)] == ["other"]
    assert IDEA not in table

    monkeypatch.setenv("LIMNER_EMBEDDER", "off")
    assert main([*evaluate, "--expansion"]) != 0
    assert "setting `embedder`" in capsys.readouterr().err
    assert main(evaluate) != 0
    assert "Name a model" in capsys.readouterr().err
