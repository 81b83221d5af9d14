"""What members make of one picture of a request: for whom, after a restart, and by two clicks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import simcord
from PIL import Image
from sqlalchemy import update

from limner.bot.errors import NotYours
from limner.bot.reasons import JobKind
from limner.bot.settings import Settings
from limner.bot.settings.fields import SHIPPED_SEGMENTATION
from limner.bot.storage.pictures.decoder import BLACK, KIND, WHITE
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.region_form import ALL_PARTS, CELLS, NO_PART, ONE_WAY
from tests.other_clients import press_at_once
from tests.pictures import saved
from tests.reviewing import told
from tests.rows import a_moment_passes, put_editor, put_restyler
from tests.simulated_discord import World, labels, png, text_of
from tests.tiny_models import build_tiny_pipeline

SIZE = (160, 112)
PART = {"strength": 1.0, "kind": JobKind.PAINT}
MADE: Mapping[str, Mapping[str, Any]] = {
    "Vary subtle": {"strength": 0.35, "kind": JobKind.PAINT, "action": "vary_subtle", "size": SIZE},
    "Vary strong": {"strength": 0.7, "kind": JobKind.PAINT, "action": "vary_strong", "size": SIZE},
    "Zoom out 1.5x": {**PART, "action": "zoom_out", "size": SIZE, "box": (26, 18, 133, 93)},
    "Zoom out 2x": {**PART, "action": "zoom_out", "size": SIZE, "box": (40, 28, 120, 84)},
    "Pan left": {**PART, "action": "pan_left", "size": (240, 112), "box": (80, 0, 240, 112)},
    "Pan right": {**PART, "action": "pan_right", "size": (240, 112), "box": (0, 0, 160, 112)},
    "Pan up": {**PART, "action": "pan_up", "size": (160, 168), "box": (0, 56, 160, 168)},
    "Pan down": {**PART, "action": "pan_down", "size": (160, 168), "box": (0, 0, 160, 112)},
    "Adjust": {"strength": None, "kind": JobKind.FINISH, "action": "adjust", "size": SIZE},
    "Explain": {"strength": None, "kind": JobKind.EXPLAIN, "action": "explain", "size": SIZE},
    "Upscale 2x": {"strength": None, "kind": JobKind.FINISH, "action": "upscale", "size": SIZE},
    "Upscale 4x": {"strength": None, "kind": JobKind.FINISH, "action": "upscale", "size": SIZE},
}
"""What a button's request has."""
OF_INK = [
    *("Upscale 2x", "Upscale 4x", "Adjust", "Start from this", "Send to me", "Download"),
    *("Favourite", "Family", "More like this", "Report"),
]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(settings: Settings, tiny: Path, tmp_path: Path) -> Settings:
    """With a model that paints parts of pictures, and one that only makes ink drawings of whole ones."""
    width, height = SIZE
    models = {"tiny": f"{tiny}@{width}x{height}", **settings.models, "ink": put_restyler(tmp_path / "ink")}
    return settings.using(models=models)


async def painted(world: World, count: int = 2) -> Job:
    """A posted request of ada's, with several pictures."""
    job = await world.imagine("a red fox", count=count, seed=5)
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed, count=count, size=SIZE)
    return await world.delivered(job)


async def opened(world: World, job: Job, who: simcord.MemberActor, number: int = 2) -> simcord.InteractionResult:
    """Press a picture's number; its private actions."""
    shown = await who.click(world.message(job), custom_id=f"limner:picture:{job.id}:{number}")
    assert shown.response
    assert shown.ephemeral
    return shown


async def press(shown: simcord.InteractionResult, who: simcord.MemberActor, label: str) -> simcord.InteractionResult:
    assert shown.response
    return await who.click(shown.response, label=label)


async def test_every_action_makes_a_request_of_the_member_who_presses(world: World) -> None:
    first = await painted(world)
    picture = first.images[1]
    for who in (world.ada, world.bob, world.grace):
        shown = await opened(world, first, who)
        await world.restart()
        for label in MADE if who is world.bob else ("Vary subtle", "Upscale 2x"):
            wanted = MADE[label]
            result = await press(shown, who, label)
            job = await world.newest()
            assert result.response
            assert (result.ephemeral, job.message_id) == (False, result.response.id), label
            assert (job.user_id, job.parent_id, job.parent_picture) == (who.id, first.id, 2), label
            request = job.generation
            assert (job.kind, job.action, request.strength) == (wanted["kind"], wanted["action"], wanted["strength"])
            assert (request.size, request.count, job.idea) == (wanted["size"], 1, "a red fox"), label
            assert request.box == wanted.get("box"), label
            assert request.init_image == (picture.sha256 if job.kind == JobKind.PAINT else None)
            assert (request.seed == picture.seed) == (job.kind != JobKind.PAINT)
            await who.click(world.message(job), label="Cancel")


async def test_members_who_press_at_the_same_moment_get_a_request_each(world: World) -> None:
    first = await painted(world)
    members = (world.ada, world.bob, world.grace)
    shown = [(await opened(world, first, who)).response for who in members]
    subtle = f"limner:make:subtle:{first.id}:2"
    pressed = [(who, one.message, subtle) for who, one in zip(members, shown, strict=True) if one]
    results = await press_at_once(world, pressed)
    assert not any(result.ephemeral for result in results)
    jobs = [job for job in await world.app.history.page(None, every_status=True) if job.parent_id == first.id]
    assert {(job.user_id, job.parent_picture) for job in jobs} == {(who.id, 2) for who in members}
    assert {job.message_id for job in jobs} == {result.response.id for result in results if result.response}


async def test_one_takes_a_picture_that_another_deletes_at_the_same_moment(world: World) -> None:
    first = await painted(world)
    sure = (await press(await opened(world, first, world.ada), world.ada, "Delete this one")).response
    shown = (await opened(world, first, world.bob)).response
    assert sure
    assert shown
    deleted, varied = await press_at_once(
        world,
        [
            (world.ada, sure.message, f"limner:tend:dropped:{first.id}:2"),
            (world.bob, shown.message, f"limner:make:subtle:{first.id}:2"),
        ],
    )
    assert deleted.response
    assert deleted.response.content == f"Picture 2 of request {first.id} is deleted."
    made = [job for job in await world.app.history.page(None, every_status=True) if job.parent_id == first.id]
    assert [job.message_id for job in made] == ([] if varied.ephemeral else [varied.response and varied.response.id])
    assert not varied.ephemeral or told(varied) == "That picture was deleted; choose another one."
    assert [image.position for image in (await world.app.jobs.get(first.id)).images] == [0]


@pytest.mark.slow
async def test_a_picture_is_the_start_of_other_words(world: World) -> None:
    first = await painted(world)
    for who in (world.ada, world.bob, world.grace):
        form = await press(await opened(world, first, who), who, "Start from this")
        await world.restart()
        await who.submit_modal(form, {"idea": "a red fox in the rain --steps 9", "strength": "0,5"})
        job = await world.newest()
        request = job.generation
        assert (job.user_id, job.parent_id, job.parent_picture, job.action) == (who.id, first.id, 2, "start")
        assert (job.idea, request.num_inference_steps) == ("a red fox in the rain", 9)
        assert (request.init_image, request.strength, request.size) == (first.images[1].sha256, 0.5, SIZE)


async def test_a_picture_is_edited_by_words(world: World, tmp_path: Path) -> None:
    first = await painted(world)
    before = await opened(world, first, world.bob)
    assert before.response
    assert "Edit by words" not in labels(before.response.message)
    world.settings = world.settings.using(models={**world.settings.models, "edits": put_editor(tmp_path / "edits")})
    await world.restart()
    form = await press(await opened(world, first, world.bob), world.bob, "Edit by words")
    await world.restart()
    await world.bob.submit_modal(form, {"idea": "make it night --steps 7"})
    job = await world.newest()
    request = job.generation
    assert (job.user_id, job.parent_id, job.parent_picture, job.action) == (world.bob.id, first.id, 2, "instruct")
    assert (job.idea, job.expand, request.model, request.num_inference_steps) == ("make it night", "off", "edits", 7)
    assert (request.init_image, request.strength) == (first.images[1].sha256, None)
    assert request.size == (80, 48)  # the picture's shape, at the model's own number of pixels
    await world.bob.click(world.message(job), label="Cancel")
    refused = await world.bob.slash(
        world.channel, "imagine", prompt="make it day", model="edits", image=("a.png", png()), strength=0.5
    )
    assert told(refused) == "The model edits changes a picture as the words say; leave out the option strength."
    taken = await world.bob.slash(world.channel, "imagine", prompt="make it day", model="edits", image=("a.png", png()))
    job = await world.newest()
    assert not taken.ephemeral
    assert (job.idea, job.expand, job.generation.strength) == ("make it day", "off", None)


async def test_who_sees_a_picture_may_take_it_away(world: World) -> None:
    first = await painted(world)
    file = world.app.images.read(first.images[1].sha256)
    for who in (world.ada, world.grace, world.bob):
        shown = await opened(world, first, who)
        await world.restart()
        given = await press(shown, who, "Download")
        assert given.response
        assert [await one.read() for one in given.response.message.attachments] == [file]
        assert given.ephemeral
        for _click in range(2):
            assert told(await press(shown, who, "Send to me")) == "The picture is in your direct messages."
        assert len(who.user.dm_channel.history()) == 2
    world.env.inject_error("POST", "/channels/*/messages", status=403, code=50007)
    refused = await press(shown, world.bob, "Send to me")
    assert "does not let me write to you" in told(refused)


async def test_owner_and_moderators_hide_pictures_and_delete_one(world: World) -> None:
    first = await painted(world, 3)
    shown = await opened(world, first, world.bob)
    assert shown.response
    assert "Hide" not in labels(shown.response.message)
    for who in (world.ada, world.grace):
        shown = await opened(world, first, who)
        await press(shown, who, "Hide")
        first = await world.delivered(first)
        assert all(file.is_spoiler() for file in world.message(first).attachments)
        number = first.images[-1].position + 1
        sure = await press(await opened(world, first, who, number), who, "Delete this one")
        file = world.app.images.path(first.images[-1].sha256)
        assert file.exists()
        await press(sure, who, "Delete for good")
        first = await world.delivered(first)
        assert not file.exists()
        assert len(world.message(first).attachments) == len(first.images) == number - 1
    last = await press(await opened(world, first, world.ada, 1), world.ada, "Delete this one")
    assert last.response
    assert last.response.content.startswith(f"Request {first.id} (**a red fox**) is deleted")


async def under_grid(world: World, first: Job, who: simcord.MemberActor) -> simcord.InteractionResult:
    """The second picture under its grid, in private."""
    grid = await press(await opened(world, first, who), who, "Edit region")
    assert grid.response
    assert grid.ephemeral
    assert [file.filename for file in grid.response.message.attachments] == [f"limner-{first.id}-2-cells.jpg"]
    return grid


async def test_a_part_is_chosen_by_cells_or_by_a_mask(world: World) -> None:
    first = await painted(world)
    given = drawn_mask((0, 0, 30, 60))
    chosen: dict[simcord.MemberActor, dict[str, Any]] = {
        world.ada: {"cells": ["A1", "D4"], "rest": ["exact"]},
        world.bob: {"mask": ("mask.png", given), "rest": ["about"]},
    }
    for who, values in chosen.items():
        form = await press(await under_grid(world, first, who), who, "Choose the part")
        await world.restart()
        await who.submit_modal(form, {"idea": "a green hat", **values})
        job = await world.newest()
        request = job.generation
        assert (job.user_id, job.parent_id, job.parent_picture, job.action) == (who.id, first.id, 2, "edit")
        assert (job.idea, request.init_image) == ("a green hat", first.images[1].sha256)
        mask = world.app.images.open(job.mask_sha256 or "")
        white = sum(value > 0 for value in mask.convert("L").tobytes())
        by_cells = who is not world.bob
        assert (request.keeps_rest, mask.size, white) == ((True, (4, 4), 2) if by_cells else (False, (60, 60), 1800))


async def test_a_part_that_is_none_or_all_gets_a_sentence(world: World) -> None:
    first = await painted(world)
    grid = await under_grid(world, first, world.ada)
    usual: dict[str, Any] = {"idea": "a green hat", "rest": ["exact"]}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, NO_PART),
        ({"cells": CELLS}, ALL_PARTS),
        ({"mask": ("mask.png", drawn_mask((0, 0, 1, 1)))}, BLACK),
        ({"mask": ("mask.png", drawn_mask((0, 0, 60, 60)))}, WHITE),
        ({"mask": ("mask.png", b"no picture")}, KIND),
        ({"cells": ["A1"], "idea": "a hat --ar 3:2"}, "--ar is a flag, and no flag counts here; leave it out."),
    ]
    for chosen, sentence in wrong:
        form = await press(grid, world.ada, "Choose the part")
        assert told(await world.ada.submit_modal(form, {**usual, **chosen})) == sentence
    assert (await world.newest()).id == first.id


async def test_words_name_a_part_where_a_model_finds_it(world: World) -> None:
    first = await painted(world)
    usual: dict[str, Any] = {"idea": "a green hat", "rest": ["exact"]}
    for model, source, is_offered in (
        ("tiny", SHIPPED_SEGMENTATION, False),  # it knows doodle's pictures only
        ("doodle", SHIPPED_SEGMENTATION, True),
        ("doodle", "", False),
        ("tiny", "there/is-one", True),
    ):
        vars(world.app.settings)["segmentation_model"] = source
        async with world.app.database.begin() as session:
            await session.execute(update(Job).values(request={**first.request, "model": model}))
        grid = await under_grid(world, first, world.ada)
        form = await press(grid, world.ada, "Choose the part")
        assert form.modal
        assert ("name the part in words" in told(grid)) == is_offered
        assert ("part" in str(form.modal["components"])) == is_offered
    await world.app.filters.add(world.guild.id, "naughty", world.grace.id)
    wrong = {"naughty": "The part has words that are not allowed here", "the hat": ONE_WAY}
    for part, sentence in wrong.items():
        form = await press(grid, world.ada, "Choose the part")
        cells = ["A1"] if sentence == ONE_WAY else []
        assert told(await world.ada.submit_modal(form, {**usual, "part": part, "cells": cells})).startswith(sentence)
    await world.ada.submit_modal(await press(grid, world.ada, "Choose the part"), {**usual, "part": " the hat "})
    job = await world.newest()
    assert (job.action, job.generation.part, job.generation.mask, job.mask_sha256) == ("edit", "the hat", None, None)


def drawn_mask(white: tuple[int, int, int, int]) -> bytes:
    mask = Image.new("RGB", (60, 60))
    mask.paste("white", white)
    return saved(mask)


async def test_a_model_that_paints_no_parts_shows_no_such_actions_and_refuses_old_ones(world: World) -> None:
    await world.imagine("a red fox", model="tiny")
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed)
    first = await world.delivered(await world.newest())
    shown = await opened(world, first, world.bob, 1)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).values(request={**first.request, "model": "ink"}))
    now = await opened(world, first, world.bob, 1)
    assert now.response
    assert labels(now.response.message) == OF_INK
    sentence = "The model ink cannot paint a part of a picture; Remix it with --model tiny first."
    for label in ("Zoom out 2x", "Pan left", "Edit region"):
        assert told(await press(shown, world.bob, label)) == sentence
    assert (await world.newest()).id == first.id


async def test_a_model_that_is_not_offered_any_more_shows_what_needs_none(world: World) -> None:
    first = await painted(world, 1)
    world.app.settings.cards.clear()
    shown = await opened(world, first, world.bob, 1)
    assert shown.response
    assert labels(shown.response.message) == [
        "Upscale 2x",
        "Upscale 4x",
        "Adjust",
        "Send to me",
        "Download",
        "Favourite",
        "Family",
        "More like this",
        "Report",
    ]


async def test_clicks_with_a_pause_are_requests_within_the_members_limit(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    most = world.settings.max_jobs_per_user
    for number in range(1, most + 1):
        assert not (await press(shown, world.bob, "Vary subtle")).ephemeral
        assert (await world.newest()).id == first.id + number
        await a_moment_passes(world.app.database)
    assert (await press(shown, world.bob, "Vary subtle")).ephemeral
    assert (await world.newest()).id == first.id + most


async def test_a_result_says_of_which_picture_it_is_made_and_by_whom(world: World) -> None:
    first = await painted(world)
    await press(await opened(world, first, world.bob), world.bob, "Vary subtle")
    [claimed] = await world.app.jobs.claim("painter", capacity=10**6)
    await world.finish(claimed)
    said = text_of(world.message(await world.delivered(await world.newest())))
    assert f"-# subtle variation of picture 2 of request {first.id} by <@{world.bob.id}>" in said


async def test_a_server_may_leave_pictures_to_their_owners(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    told = await world.grace.slash(world.channel, "pictures sharing", who="owner")
    assert told.response
    assert told.response.content.startswith("Only the member who asked")
    for result in (
        await press(shown, world.bob, "Vary subtle"),
        await world.bob.click(world.message(first), label="1"),
    ):
        assert result.response
        assert (result.ephemeral, result.response.content) == (True, str(NotYours()))
    assert not (await press(await opened(world, first, world.ada), world.ada, "Vary subtle")).ephemeral


async def test_a_private_picture_answers_its_owner_alone(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == first.id).values(is_private=True))
    for label in ("Vary subtle", "Download"):
        assert told(await press(shown, world.bob, label)) == str(NotYours())
    assert (await world.newest()).id == first.id
    shown = await opened(world, first, world.ada)
    form = await press(shown, world.ada, "Start from this")
    await world.ada.submit_modal(form, {"idea": "a blue fox", "strength": "0.5"})
    assert (await world.newest()).is_private


async def test_a_picture_that_nobody_sees_any_more_makes_nothing(world: World) -> None:
    first = await painted(world)
    shown = await opened(world, first, world.bob)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == first.id).values(quarantine="flagged"))
    result = await press(shown, world.bob, "Vary subtle")
    assert result.response
    assert "not posted yet" in result.response.content
    assert (await world.newest()).id == first.id
    await world.app.history.delete(first.id)
    result = await press(shown, world.bob, "Vary subtle")
    assert result.response
    assert "not there any more" in result.response.content
    assert await world.app.history.page(None, every_status=True) == []


async def test_buttons_of_one_picture_stand_under_the_message_of_one(world: World) -> None:
    first = await painted(world, 1)
    assert labels(world.message(first))[0] == "Picture"
    assert not (await press(await opened(world, first, world.ada, 1), world.ada, "Upscale 4x")).ephemeral
    assert (await world.newest()).generation.finish
