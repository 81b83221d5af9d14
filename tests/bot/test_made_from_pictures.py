"""What is made from a picture obeys the ordinary limit, by whatever door it comes; and what no approval lifts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from limner.bot.cli import imagine
from limner.bot.moderation.image_policy import MADE, OF_OPERATOR
from limner.bot.place import Where
from limner.bot.reasons import HoldReason, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.tables.models import Image, Job
from limner.bot.ui.review import review_poster
from limner.bot.worker.prepare import settle_input
from limner.generators.base import Expansion
from tests.other_clients import told as told_of
from tests.reviewing import card, carded, choose_channel, press, settled, told
from tests.rows import a_moment_passes, asked, listed, put_references, put_restyler, seen
from tests.simulated_discord import World, png

RACY = 0.7
"""Between the ordinary limit and that of age-restricted channels."""
UPLOAD: dict[str, Any] = {"image": ("a.png", png((64, 48))), "strength": 0.5}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_poster, "POLL_SECONDS", 0.1)


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With a model that changes pictures, references for doodle, and an image-text model."""
    put_references(settings)
    models = {**settings.models, "ink": put_restyler(tmp_path / "ink")}
    return settings.using(models=models, image_text_model="there/is-one")


async def shown(world: World, job: Job, score: float = RACY) -> Job:
    """A worker's part, in which the classifier gives this score, and what delivery does then."""
    claimed = await world.claim()
    assert claimed.id == job.id
    added = Expansion(f"{job.idea}, snow", "snow", (), "", 0.1)
    await world.app.jobs.save_expansion(claimed, added, added.text)
    await world.finish(claimed, look=seen(score))
    return await world.delivered(job)


async def from_words(world: World) -> Job:
    """A picture that was painted from words, posted in an age-restricted channel."""
    return await shown(world, await world.imagine())


async def from_upload(world: World) -> Job:
    """One that was painted from a member's picture, harmless enough to be posted."""
    return await shown(world, await world.imagine(**UPLOAD), 0.1)


async def pressed(world: World, job: Job, label: str) -> Job:
    result = await world.ada.click(world.message(job), label=label)
    assert not result.ephemeral
    return await world.newest()


async def remixed(world: World, job: Job) -> Job:
    form = await world.ada.click(world.message(job), label="Remix")
    await world.ada.submit_modal(form, {"idea": "a red fox in the snow"})
    return await world.newest()


async def repeated(world: World, job: Job) -> Job:
    opened = await world.ada.slash(world.channel, "history", id=job.id)
    assert opened.response
    await world.ada.click(opened.response.message, label="Repeat")
    return await world.newest()


async def twice(world: World, given: Job, first: str, then: str) -> Job:
    return await pressed(world, await shown(world, await pressed(world, given, first), 0.1), then)


async def described(world: World) -> Job:
    await world.ada.slash(world.channel, "describe", picture=UPLOAD["image"])
    return await world.newest()


async def blended(world: World) -> Job:
    await world.ada.slash(world.channel, "blend", image1=UPLOAD["image"], image2=("b.png", png((48, 64), 9)))
    return await world.newest()


async def referred(world: World, job: Job) -> Job:
    shown = await world.ada.click(world.message(job), custom_id=f"limner:picture:{job.id}:1")
    assert shown.response
    form = await world.ada.click(shown.response, label="Use as reference")
    await world.ada.submit_modal(form, {"idea": "a dog", "role": ["style"], "weight": "0.5"})
    return await world.newest()


async def of_file(world: World, command: str, **options: str) -> Job:
    await world.ada.slash(world.channel, command, picture=UPLOAD["image"], **options)
    return await world.newest()


async def opened(world: World, job: Job, label: str, values: dict[str, Any] | None = None) -> Job:
    """What is made by a button of one picture, and its form."""
    shown = await world.ada.click(world.message(job), custom_id=f"limner:picture:{job.id}:1")
    assert shown.response
    result = await world.ada.click(shown.response, label=label)
    if values is not None:
        result = await world.ada.submit_modal(result, values)
    assert not result.ephemeral, told_of(result)
    return await world.newest()


FROM_FILES: dict[str, Callable[[World], Awaitable[Job]]] = {
    "/imagine image:": lambda world: world.imagine(**UPLOAD),
    "/imagine sref:": lambda world: world.imagine(sref=UPLOAD["image"]),
    "/imagine control:": lambda world: world.imagine(control=UPLOAD["image"]),
    "/blend": blended,
    "/describe": described,
    "/upscale": lambda world: of_file(world, "upscale"),
    "/enhance": lambda world: of_file(world, "enhance", adjustment="contrast"),
}
FROM_PAINTED: dict[str, Callable[[World, Job], Awaitable[Job]]] = {
    "Restyle": lambda world, job: pressed(world, job, "Restyle"),
    "Use as reference": referred,
}
"""Of a picture that was painted from words."""
FROM_MADE: dict[str, Callable[[World, Job], Awaitable[Job]]] = {
    "Restyle": lambda world, job: pressed(world, job, "Restyle"),
    "Upscale": lambda world, job: pressed(world, job, "Upscale"),
    "Reroll": lambda world, job: pressed(world, job, "Reroll"),
    "Raw": lambda world, job: pressed(world, job, "Raw"),
    "Remix": remixed,
    "Repeat": repeated,
    "Vary": lambda world, job: opened(world, job, "Vary strong"),
    "Adjust": lambda world, job: opened(world, job, "Adjust"),
    "Animate": lambda world, job: opened(world, job, "Animate", {"motion": ["pulse"], "frames": ["8"]}),
    "Upscale of a reroll": lambda world, job: twice(world, job, "Reroll", "Upscale"),
    "Reroll of an upscaled one": lambda world, job: twice(world, job, "Upscale", "Reroll"),
}
"""Of a picture that was itself made from one."""


async def test_what_is_painted_from_words_has_the_limit_of_its_channel(world: World) -> None:
    world.restrict(True)
    job = await from_words(world)
    assert world.message(job).attachments
    assert world.message(await shown(world, await pressed(world, job, "Upscale"))).attachments


async def test_what_is_made_from_a_file_has_the_ordinary_one(world: World) -> None:
    world.restrict(True)
    for door, make in FROM_FILES.items():
        await refused(world, door, await make(world))


@pytest.mark.parametrize("is_from_words", [True, False])
async def test_what_is_made_from_a_posted_picture_has_it_too(world: World, is_from_words: bool) -> None:
    world.restrict(True)
    first = await (from_words if is_from_words else from_upload)(world)
    for door, make in (FROM_PAINTED if is_from_words else FROM_MADE).items():
        await refused(world, door, await make(world, first))
        await a_moment_passes(world.app.database)


async def refused(world: World, door: str, made: Job) -> None:
    job = await shown(world, made)
    assert (job.status, job.reason_code, job.reason) == (JobStatus.REFUSED, "picture:explicit", MADE), door
    assert not world.message(job).attachments, door
    assert (await world.app.jobs.get(job.id)).images == [], door


async def test_a_given_picture_over_the_ordinary_limit_starts_nothing(world: World) -> None:
    world.restrict(True)
    await world.imagine(**UPLOAD)
    job = await world.claim()
    job.is_age_restricted = True  # as where a channel says so itself
    await world.app.inputs.keep(job.input_sha256 or "", seen(RACY))
    assert not await settle_input(world.app, None, job)  # type: ignore[arg-type]  # nobody needs to look again
    assert (await world.app.jobs.get(job.id)).reason_code == "picture:explicit"


async def test_a_rough_picture_of_it_is_held_back_too(world: World) -> None:
    job = await world.imagine(**UPLOAD)
    restricted = Where(job.guild_id, job.channel_id, is_age_restricted=True)
    await world.app.jobs.save_preview("painter", (await world.claim()).id, 1, png(), seen(RACY))
    preview = await world.app.jobs.preview(job.id)
    assert preview
    assert await world.app.image_policy.against(preview, restricted, job) == HoldReason.EXPLICIT
    assert await world.app.image_policy.against(preview, restricted, await world.imagine(who=world.bob)) is None


async def test_it_is_so_in_direct_messages_and_where_the_bot_is_no_member(world: World) -> None:
    dora = world.env.create_user("dora")
    await dora.slash("imagine", prompt="a fox", **UPLOAD)
    job = await world.newest()
    assert (job.guild_id, job.generation.is_from_picture) == (None, True)
    for spot in (Where(None, job.channel_id), Where(1, 2), Where(1, 2, is_age_restricted=True)):
        assert await world.app.image_policy.limit(spot, is_from_picture=True) == 0.5


async def test_a_server_that_is_stricter_in_age_restricted_channels_stays_so(world: World) -> None:
    await world.app.guilds.change(world.guild.id, 1, explicit_limit_restricted=0.2)
    spot = Where(world.guild.id, world.channel.id, is_age_restricted=True)
    assert await world.app.image_policy.limit(spot, is_from_picture=True) == 0.2
    assert await world.app.image_policy.limit(spot, is_from_picture=False) == 0.2


async def test_the_command_line_obeys_it(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`limner imagine --image`, with the worker's part done here."""

    async def painted(_: Any, jobs: list[Job]) -> list[Job]:
        await world.finish(await world.claim(), look=seen(RACY))
        return [await world.app.jobs.get(job.id) for job in jobs]

    (tmp_path / "a.png").write_bytes(png((64, 48)))
    monkeypatch.setattr(imagine, "_paint", painted)
    code = await imagine.imagine(
        world.settings, asked(text="a fox"), out=None, as_json=True, given={"image": [tmp_path / "a.png"]}
    )
    job = await world.newest()
    assert (code, job.reason_code, job.images) == (1, "picture:explicit", [])


# What no approval lifts.


async def waiting(world: World, code: str, score: float = 0.1, **options: Any) -> Job:
    """A painted request that waits for a moderator."""
    job = await world.imagine(**options)
    async with world.app.database.begin() as session:
        await session.execute(update(Job).where(Job.id == job.id).values(quarantine=code))
    await world.finish(await world.claim(), look=seen(score))
    return await world.app.jobs.get(job.id)


@pytest.mark.parametrize(
    ("is_blocked", "verb"),
    [
        (False, "approve"),
        (True, "ignore"),
        pytest.param(False, "ignore", marks=pytest.mark.slow),
        pytest.param(True, "approve", marks=pytest.mark.slow),
    ],
)
async def test_a_moderator_cannot_approve_what_is_the_operators_to_say(
    world: World, verb: str, is_blocked: bool
) -> None:
    channel = await choose_channel(world)
    await world.app.filters.add(world.guild.id, "fox", world.grace.id, action="flag")
    job = await waiting(world, "flagged", *((0.1,) if is_blocked else (RACY,)), **({} if is_blocked else UPLOAD))
    if is_blocked:
        await world.app.blocked.block(0, listed(), 0)
    review = await carded(world, job)
    result = await press(channel, review, verb, world.grace)
    assert told(result) == OF_OPERATOR[HoldReason.BLOCKED if is_blocked else HoldReason.EXPLICIT]
    assert (await world.app.reviews.get(review.id)).state == "open"
    await press(channel, review, "reject", world.grace)
    await settled(world, review)
    assert (await world.delivered(job)).status == JobStatus.REFUSED
    assert card(channel, review).attachments == []


async def test_what_was_approved_is_not_posted_once_the_operator_blocks_it(world: World) -> None:
    await choose_channel(world)
    job = await waiting(world, "explicit", 0.95)
    await world.app.blocked.block(world.guild.id, listed(), 1)
    async with world.app.database.begin() as session:
        await session.execute(update(Image).values(verdict="approved"))
        await session.execute(update(Job).values(quarantine=None))
        job = await session.get_one(Job, job.id)
        session.expunge_all()
    here = Where(job.guild_id, job.channel_id)
    # The server's own list and limit are for its moderators to lift.
    assert await world.app.image_policy.objection(job, here) is None
    await world.app.blocked.block(0, listed(), 0)
    objection = await world.app.image_policy.objection(job, here)
    assert objection
    await world.app.image_policy.stop(job, objection)
    assert (await world.app.jobs.get(job.id)).reason_code == "picture:blocked"


async def test_a_stricter_limit_of_the_servers_own_is_the_moderators(world: World) -> None:
    await choose_channel(world, explicit_limit=0.2)
    job = await world.imagine(**UPLOAD)
    await world.finish(await world.claim(), look=seen(0.3))

    async def held() -> bool:
        return (await world.app.jobs.get(job.id)).quarantine == HoldReason.EXPLICIT

    await world.until(held, "it waits for a moderator")
    review = await carded(world, job)
    channel = next(one for one in [world.guild.channels["reviews"]])
    await press(channel, review, "approve", world.grace)
    assert world.message(await world.delivered(job)).attachments
