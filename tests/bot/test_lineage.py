"""Lineage: every action's request knows what it was made of; families show what their reader may see, and no more."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simcord
from PIL import Image, ImageColor

from limner.bot import picture_actions, reference_actions, submit
from limner.bot.animations import Motion, Movement, animate_pictures
from limner.bot.app import App
from limner.bot.picture_actions import Asker
from limner.bot.place import Where
from limner.bot.queue.endings import StoredPicture
from limner.bot.reasons import Action, JobKind
from limner.bot.settings.settings import Settings
from limner.bot.storage.history.lineage import MOST_ANCESTORS, MOST_RELATIVES, Link
from limner.bot.storage.pictures.family_tree import GAP, MARKED, SIDE, TreeNode, draw_family, place_nodes
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.family import ALONE, what_changed
from limner.generators.references import Role
from tests.rows import asked, new_job, painted, put_editor, put_references, put_restyler, seen
from tests.simulated_discord import World, labels, offered, png, text_of
from tests.tiny_models import build_tiny_pipeline

SERVER, CHANNEL = 5, 6
HERE = Where(SERVER, CHANNEL)
ADA = Asker(1, "en-US", HERE)
MINE: dict[str, Any] = {"user_id": 1, "guild_id": SERVER, "channel_id": CHANNEL}

Make = Callable[[App, Job], Awaitable[Job | list[Job]]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path, tmp_path: Path) -> Settings:
    """With a model that can do everything, one that restyles, and one that describes."""
    models = {"tiny": f"{tiny}@64x64", "ink": put_restyler(tmp_path / "ink")}
    models |= {"edits": put_editor(tmp_path / "edits"), **settings.models}
    put_references(settings)
    return settings.using(models=models, image_text_model="any", max_jobs_per_user=1000, max_jobs_per_guild=1000)


async def paint(app: App, *, model: str = "tiny", **more: Any) -> Job:
    """A posted request with one picture of its own."""
    shade = await app.history.count(None, every_status=True)
    new = new_job("a fox", model=model, nth=shade, **MINE | more)
    data = png((64, 64), shade)
    return await painted(app.jobs, new, StoredPicture(app.images.save(data), 64, 64, len(data), 7, seen()))


async def _remix(app: App, job: Job) -> Job:
    return await submit.imagine(app, submit.remixed(app, job, "a whale", "", user_id=1, where=HERE))


async def _described(app: App, job: Job) -> Job:
    description = await paint(app, kind=JobKind.DESCRIBE, prompt="a fox", parent_id=job.id, action=Action.DESCRIBE)
    return await submit.paint_described(app, description, user_id=1, where=HERE)


async def _linked(app: App, job: Job) -> Job:
    return await submit.imagine(app, asked(**MINE, image=job.images[0].sha256, model="tiny"))


async def _describe(app: App, job: Job) -> Job:
    return await submit.describe(app, asked("", **MINE, image=job.images[0].sha256))


def _of_picture(act: Callable[..., Awaitable[Job]], **more: Any) -> Make:
    return lambda app, job: act(app, job, 1, ADA, **more)


def _pan(action: Action) -> Make:
    return _of_picture(picture_actions.pan, action=action)


async def _animated(app: App, job: Job) -> Job:
    return await animate_pictures(app, [(job, 1)], ADA, Movement(Motion.PULSE))


MADE: dict[Action, tuple[int | None, Make]] = {
    Action.REROLL: (None, lambda app, job: submit.reroll(app, job, user_id=1)),
    Action.REMIX: (None, _remix),
    Action.RAW: (None, lambda app, job: submit.repeat_raw(app, job, user_id=1)),
    Action.REPEAT: (None, lambda app, job: submit.repeat(app, job, where=HERE)),
    Action.RESTYLE: (1, lambda app, job: submit.restyle(app, job, 1, "ink", user_id=1, where=HERE)),
    Action.UPSCALE: (None, lambda app, job: submit.upscale(app, job, user_id=1, where=HERE)),
    Action.REFER: (
        1,
        lambda app, job: reference_actions.refer(
            app, job, 1, reference_actions.referring(job, 1, ADA, Role.STYLE, "a whale --model doodle", "0.5")
        ),
    ),
    Action.DESCRIBE: (1, _describe),
    Action.DESCRIBED: (None, _described),
    Action.ENHANCE: (1, lambda app, job: submit.enhance(app, job, user_id=1, where=HERE)),
    Action.VARY_SUBTLE: (1, _of_picture(picture_actions.vary, is_strong=False)),
    Action.VARY_STRONG: (1, _of_picture(picture_actions.vary, is_strong=True)),
    Action.ZOOM_OUT: (1, _of_picture(picture_actions.zoom_out, times=2.0)),
    **{one: (1, _pan(one)) for one in (Action.PAN_LEFT, Action.PAN_RIGHT, Action.PAN_UP, Action.PAN_DOWN)},
    Action.START: (1, _linked),
    Action.EDIT: (1, _of_picture(picture_actions.edit, text="a hat", mask=None, part="the hat", keeps_rest=True)),
    Action.ADJUST: (1, _of_picture(picture_actions.adjust)),
    Action.ANIMATE: (1, _animated),
    Action.EXPLAIN: (1, _of_picture(picture_actions.explain)),
    Action.INSTRUCT: (1, _of_picture(picture_actions.instruct, text="make it night", model="edits")),
}


def everything(_job: Job) -> bool:
    return True


async def test_the_request_of_every_action_knows_what_it_was_made_of(app: App) -> None:
    assert MADE.keys() == set(Action)
    for action, (number, make) in MADE.items():
        job = await paint(app)
        made = await make(app, job)
        child = made[0] if isinstance(made, list) else made

        assert (child.action, child.parent_picture) == (action, number), action
        [parent] = await app.history.lineage.parents(child, everything)
        if action == Action.DESCRIBED:
            [parent] = await app.history.lineage.parents(parent, everything)
        assert parent.id == job.id, action
        await app.jobs.cancel(child.id, "")


async def test_uploaded_references_are_known_by_their_files(app: App) -> None:
    """A blend of two downloaded pictures; of what is private or elsewhere, only the owner learns."""
    mine, others = await paint(app), await paint(app, user_id=2)
    hidden, elsewhere = await paint(app, user_id=2, is_private=True), await paint(app, user_id=2, guild_id=9)
    files = [app.images.read(job.images[0].sha256) for job in (mine, others, hidden, elsewhere)]
    stored = [await app.inputs.store(file) for file in files]

    blend = await reference_actions.blend(app, asked("", **MINE, model="doodle", blend=",".join(stored)))
    assert [one.id for one in await app.history.lineage.parents(blend, everything)] == [others.id, mine.id]
    started = await submit.imagine(app, asked("a hare", **MINE, model="tiny", image=stored[2]))
    assert started.parent_id is None

    named = await submit.imagine(app, asked(f"a hen --model doodle --sref {mine.id}-1", **MINE))
    assert [one.id for one in await app.history.lineage.parents(named, everything)] == [mine.id]
    children = await app.history.lineage.children(mine, everything, 9)
    assert [one.id for one in children] == [named.id, blend.id]


@pytest.mark.slow
async def test_a_family_has_the_nearest_relatives_and_says_when_there_are_more(app: App) -> None:
    chain = [await paint(app)]
    for _ in range(MOST_ANCESTORS + 1):
        chain.append(await paint(app, parent_id=chain[-1].id, action=Action.REROLL))
    family = await app.history.lineage.family(chain[-1], everything)
    assert family.way == [job.id for job in chain[1:]]
    assert family.has_more

    root = await paint(app)
    young = [await paint(app, parent_id=root.id, parent_picture=1, action=Action.START) for _ in range(MOST_RELATIVES)]
    rerolled = await paint(app, parent_id=root.id, action=Action.REROLL)
    assert Link(root.id, None, rerolled.id) in (await app.history.lineage.family(root, everything)).links
    family = await app.history.lineage.family(young[0], everything)
    assert len(family.jobs) == MOST_RELATIVES
    assert family.has_more
    assert family.way == [root.id, young[0].id]
    assert Link(root.id, 1, young[0].id) in family.links


async def test_what_a_reader_may_not_see_is_in_no_family_and_nothing_behind_it(app: App) -> None:
    root = await paint(app)
    secret = await paint(app, user_id=2, parent_id=root.id, is_private=True, action=Action.REROLL)
    behind = await paint(app, parent_id=secret.id, action=Action.REROLL)
    gone, failed = [await paint(app, parent_id=root.id, action=Action.REROLL) for _ in range(2)]
    await app.history.delete(gone.id)
    waiting = await submit.reroll(app, root, user_id=1)

    family = await app.history.lineage.family(root, lambda job: job.user_id == 1 or not job.is_private)
    assert set(family.jobs) == {root.id, failed.id}
    assert waiting.id not in family.jobs
    family = await app.history.lineage.family(behind, lambda job: not job.is_private)
    assert set(family.jobs) == {behind.id}


def node(*, is_marked: bool = False, is_goal: bool = False) -> TreeNode:
    return TreeNode(png((20, 40)), "7", is_marked, is_goal)


def test_a_tree_has_a_column_for_each_generation_and_nothing_on_the_same_place() -> None:
    links = [(1, 2), (1, 3), (2, 4), (3, 5), (3, 6), (4, 6)]
    nodes = {number: node(is_marked=number in (1, 3, 6), is_goal=number == 6) for number in range(1, 8)}
    places = place_nodes(nodes, links)
    assert len(set(places.values())) == len(nodes)
    assert {number: column for number, (column, _row) in places.items()} == {1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 0}
    assert places[1][1] == places[3][1] == 0

    drawing = np.asarray(Image.open(io.BytesIO(draw_family(nodes, links))).convert("RGB"), np.int32)
    assert drawing.shape[1] > 4 * SIDE + 3 * GAP
    far = np.abs(drawing - ImageColor.getrgb(MARKED)).sum(axis=2)
    assert (far < 60).sum() > 1000


def test_what_changed_names_words_and_options() -> None:
    old = Job(created_at=0.0, idea="a fox", request=new_job().request.to_json())
    request = replace(new_job().request, seed=8, negative_prompt="*fog*")
    new = Job(created_at=0.0, idea="a *whale*", request=request.to_json())
    assert what_changed(old, new) == [r"words: a \*whale\*", r"Negative prompt: – → \*fog\*", "Seed: 7 → 8"]
    assert what_changed(old, old) == []


async def test_the_family_is_drawn_for_one_reader_and_opens_any_relative(world: World) -> None:
    parent = await world.painted()
    await world.ada.click(world.message(parent), custom_id=f"limner:reroll:{parent.id}")
    await world.finish(await world.claim())
    child = await world.delivered(await world.newest())
    await world.ada.click(world.message(child), custom_id=f"limner:remix:{child.id}")

    async def family(who: simcord.MemberActor, job: Job) -> Any:
        opened = await who.click(world.message(job), custom_id=f"limner:picture:{job.id}:1")
        assert opened.response
        shown = await who.click(opened.response, label="Family")
        assert shown.ephemeral
        return (shown.followups or [shown.response])[0]

    await world.restart()
    shown = await family(world.bob, child)
    assert f"**{parent.id}** · a red fox · asked by" in text_of(shown.message)
    assert f"reroll of request {parent.id}" in text_of(shown.message)
    assert [file.filename for file in shown.attachments] == [f"limner-family-{child.id}.webp"]
    assert offered(shown.message) == [f"{parent.id}:1", f"{child.id}:1"]

    card = await world.bob.select(shown, values=[f"{parent.id}:1"])
    assert card.response
    assert card.response.embeds[0].title == f"Request {parent.id}: succeeded"
    assert labels(card.response.message) == ["Picture", "Favourite", "Family", f"Became {child.id}"]

    await world.app.history.delete(parent.id)
    gone = await world.bob.select(shown, values=[f"{parent.id}:1"])
    assert gone.response
    assert "not there any more" in gone.response.content
    assert (await family(world.bob, child)).content == ALONE
