"""Favourites: who may star which picture, once however often pressed; folders, notes, and what deletion leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import simcord
from sqlalchemy import func, select, update

from limner.bot.cogs.message_menus import DETAILS
from limner.bot.errors import BadOption, BadPicture, NotFound, NotYours
from limner.bot.queue.jobs import JobQueue
from limner.bot.storage.db import Database
from limner.bot.storage.history import favourites
from limner.bot.storage.history.favourites import NO_NAME, NO_STAR, Favourites
from limner.bot.storage.tables.favourite_tables import Favourite, Folder
from limner.bot.storage.tables.models import Image, Job
from limner.bot.ui.job.favourites import WHICH
from tests.other_clients import fill, told
from tests.rows import new_job
from tests.simulated_discord import World, labels


async def painted(world: World, count: int) -> Job:
    job = await world.imagine(count=count)
    [claimed] = await world.app.jobs.claim("painter", capacity=100)
    await world.finish(claimed, count=count)
    return await world.delivered(job)


async def star(world: World, who: simcord.MemberActor, job: Job) -> simcord.InteractionResult:
    return await who.click(world.message(job), label="Favourite")


async def rows(world: World) -> list[tuple[int, int, str]]:
    """Every favourite: its member, the picture's number and the note."""
    found = select(Favourite.user_id, Image.position, Favourite.note).join(Image, Image.id == Favourite.image_id)
    found = found.order_by(Favourite.user_id, Favourite.image_id)
    async with world.app.database.read() as session:
        return [(user, position + 1, note) for user, position, note in await session.execute(found)]


async def put(
    world: World, who: simcord.MemberActor, starred: simcord.InteractionResult, **values: Any
) -> simcord.InteractionResult:
    """Press Folder and note, and send the form."""
    assert starred.response
    form = await who.click(starred.response, label="Folder and note")
    return await who.submit_modal(form, {"folder": ["0"], "name": "", "note": "", **values})


async def test_all_who_see_a_picture_star_it_for_themselves_once(world: World) -> None:
    job = await world.painted()
    answers = [await star(world, who, job) for who in (world.ada, world.ada, world.bob, world.bob)]
    for answer in answers:
        assert told(answer) == f"Picture 1 of request {job.id} is among your favourites."
    assert await rows(world) == [(world.ada.id, 1, ""), (world.bob.id, 1, "")]
    await world.restart()
    assert answers[-1].response
    result = await world.bob.click(answers[-1].response, label="Remove from favourites")
    assert result.response
    assert (result.response.content, labels(result.response.message)) == (
        f"Picture 1 of request {job.id} is no favourite of yours any more.",
        [],
    )
    assert await rows(world) == [(world.ada.id, 1, "")]


async def test_of_several_pictures_one_is_chosen_and_the_menus_lead_there(world: World) -> None:
    job = await painted(world, 3)
    which = await star(world, world.bob, job)
    assert told(which) == WHICH
    assert which.response
    assert labels(which.response.message) == ["1", "2", "3"]
    await world.restart()
    await world.bob.click(which.response, label="3")
    actions = await world.bob.click(world.message(job), label="2")
    assert actions.response
    await world.bob.click(actions.response, label="Favourite")
    details = await world.bob.context_menu(world.channel, DETAILS, world.message(job))
    assert details.response
    which = await world.bob.click(details.response, label="Favourite")
    assert told(which) == WHICH
    assert await rows(world) == [(world.bob.id, 2, ""), (world.bob.id, 3, "")]


async def test_what_is_not_shown_here_is_starred_by_its_owner_at_most(world: World) -> None:
    changes: list[dict[str, Any]] = [{"is_private": True}, {"quarantine": "flagged"}, {"channel_id": 1}]
    for columns in changes:
        job = await world.painted()
        message, before = world.message(job), len(await rows(world))
        async with world.app.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job.id).values(**columns))
        for who in (world.bob, world.grace):
            assert told(await who.click(message, label="Favourite")) == str(NotYours())
        await world.ada.click(message, label="Favourite")
        assert len(await rows(world)) - before == (0 if "quarantine" in columns else 1), columns


async def test_a_favourite_gets_a_folder_and_a_note_that_its_member_alone_sees(world: World) -> None:
    job = await painted(world, 2)
    which = await star(world, world.ada, job)
    assert which.response
    first, second = [await world.ada.click(which.response, label=label) for label in ("1", "2")]
    answer = await put(world, world.ada, first, name="  Red   foxes ", note="for *mum*")
    assert told(answer).splitlines()[1:] == ["Folder: Red foxes", "> for \\*mum\\*"]
    await put(world, world.ada, second, name="red FOXES")
    [(folder_id, name)] = (await world.app.favourites.folders(world.ada.id)).items()
    assert name == "Red foxes"
    assert answer.response
    form = await world.ada.click(answer.response, label="Folder and note")
    await world.restart()
    await world.ada.submit_modal(form, {"folder": [str(folder_id)], "name": "", "note": "for dad"})
    assert await rows(world) == [(world.ada.id, 1, "for dad"), (world.ada.id, 2, "")]
    assert await world.app.favourites.folders(world.bob.id) == {}
    await put(world, world.ada, second, name="🦊")
    assert set((await world.app.favourites.folders(world.ada.id)).values()) == {"🦊", "Red foxes"}
    for starred in (first, second):
        assert starred.response
        await world.ada.click(starred.response, label="Remove from favourites")
    assert await world.app.favourites.folders(world.ada.id) == {}
    assert told(await world.ada.click(answer.response, label="Folder and note")) == NO_STAR


async def test_a_bad_folder_name_is_one_sentence_and_comes_back(world: World) -> None:
    starred = await star(world, world.ada, await world.painted())
    answer = await put(world, world.ada, starred, name="\u200d\ufe0f", note="a long note about it")
    assert told(answer) == NO_NAME
    assert answer.response
    again = await world.ada.click(answer.response, label="Change it")
    assert again.modal
    assert "a long note about it" in str(again.modal)
    values = {"folder": ["0"], "name": "x" * 51, "note": ""}
    answer = await fill(world, world.ada, world.channel.id, again.modal["custom_id"], **values)
    assert told(answer) == "“Or the name of another folder” has 51 characters, and there is room for 50; shorten it."
    assert await world.app.favourites.folders(world.ada.id) == {}


async def test_more_folders_than_a_select_holds_are_reached_by_their_names(world: World) -> None:
    job = await painted(world, 2)
    ada, app = world.ada.id, world.app
    first, second = [image.id for image in job.images]
    async with app.database.begin() as session:
        session.add_all(Folder(user_id=ada, name=f"f{n}", used_at=n) for n in range(40))
        await session.flush()
        numbers = list(await session.scalars(select(Folder.id)))
        session.add_all(
            Favourite(user_id=ada, image_id=image.id, starred_at=0, folder_id=folder)
            for image, folder in zip(job.images, numbers, strict=False)
        )
    which = await star(world, world.ada, job)
    assert which.response
    starred = await world.ada.click(which.response, label="1")
    await put(world, world.ada, starred, name="F1")
    assert [(await app.favourites.get(ada, image)).folder for image in (first, second)] == ["f1", "f1"]


async def test_a_deleted_picture_is_nobodys_favourite(world: World) -> None:
    job, kept = await painted(world, 2), await world.painted()
    message = world.message(job)
    for image in job.images:
        await world.app.favourites.star(world.bob.id, image.id)
    await star(world, world.bob, kept)
    await world.app.history.drop_picture(job.id, 1)
    assert await rows(world) == [(world.bob.id, 2, ""), (world.bob.id, 1, "")]
    await world.app.history.delete(job.id)
    assert await rows(world) == [(world.bob.id, 1, "")]
    assert told(await world.bob.click(message, label="Favourite")) == str(NotFound())
    with pytest.raises(BadPicture):
        await world.app.favourites.star(world.bob.id, job.images[1].id)


async def test_two_at_once_make_one_row_and_one_folder(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(favourites, "MOST_FOLDERS", 2)
    queue, mine = JobQueue(database), Favourites(database)
    job = await queue.enqueue(new_job())
    async with database.begin() as session:
        stored = await session.get_one(Job, job.id)
        stored.images = [Image(position=n, sha256=f"{n}", width=1, height=1, size=1, seed=1) for n in range(3)]
        await session.flush()
        first, *others = [image.id for image in stored.images]
    await asyncio.gather(*(mine.star(user, first) for user in (1, 1, 1, 2)))
    assert await mine.stars([first, 10**6]) == {first: 2}
    await asyncio.gather(*(mine.keep(1, first, "Ｆoxes", f"note {n}") for n in range(3)))
    for image in others:
        await mine.star(1, image)
    await mine.keep(1, others[0], "cats", "")
    with pytest.raises(BadOption, match="You have 2 folders, which is the most"):
        await mine.keep(1, others[1], "dogs", "")
    await mine.keep(1, others[1], "foxes", "")
    assert list((await mine.folders(1)).values()) == ["Ｆoxes", "cats"]
    await mine.keep(2, first, "foxes", "")
    async with database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Folder)) == 3
    with pytest.raises(BadOption, match="not among your favourites"):
        await mine.keep(3, first, "birds", "")
    assert await mine.folders(3) == {}
