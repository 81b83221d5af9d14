"""References, control pictures and blends, from a member's command to the posted picture; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord
from PIL import Image, ImageDraw

from limner.bot import submit
from limner.bot.cli.doctor.models import references
from limner.bot.errors import BadOption, NotFound
from limner.bot.options.ask import Ask
from limner.bot.reasons import Action, JobStatus
from limner.bot.settings import Settings
from limner.bot.storage.pictures.decoder import KIND
from limner.bot.storage.tables.models import Job
from limner.bot.ui.picture.given_pictures import NO_MESSAGE, NOT_TAKEN
from limner.generators.references import Area, Role
from tests.bot.test_worker import AddingExpander, make_worker
from tests.other_clients import fill
from tests.pictures import png_of, saved, two_frames
from tests.reviewing import told
from tests.rows import put_references
from tests.simulated_discord import World, png, slow_uploads, text_of
from tests.tiny_models import build_tiny_flux_pipeline, build_tiny_pipeline, build_tiny_sd3_pipeline
from tests.tiny_references import write_reference_files


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def transformers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {"sd3": build_tiny_sd3_pipeline(folder / "sd3"), "flux": build_tiny_flux_pipeline(folder / "flux")}


@pytest.fixture(scope="session")
def files(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with ControlNets and adapters for the tiny model."""
    folder = tmp_path_factory.mktemp("files")
    write_reference_files(tiny, folder, "tiny")
    return folder


@pytest.fixture(scope="session")
def more_files(files: Path, transformers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for the transformers too."""
    folder = shutil.copytree(files, tmp_path_factory.mktemp("more") / "files")
    for name, model in transformers.items():
        write_reference_files(model, folder, name)
    return folder


@pytest.fixture
def settings(request: pytest.FixtureRequest, settings: Settings, tiny: Path, files: Path) -> Settings:
    """With tiny models that take references, and doodle, which takes none; FLUX and SD 3 where a test names them."""
    transformers: dict[str, Path] = {}
    if "transformers" in request.fixturenames:
        transformers = request.getfixturevalue("transformers")
        files = request.getfixturevalue("more_files")
    for name in ("adapters", "controlnets"):
        (settings.data / name).symlink_to(files / name)
    models = {"tiny": str(tiny), **{name: str(path) for name, path in transformers.items()}, **settings.models}
    return settings.using(models=models, device="cpu", max_jobs_per_user=20, expander="off")


@pytest.fixture(autouse=True)
def patient(world: World) -> None:
    """Each picture is decoded in a process of its own, so several take seconds on a busy machine."""
    world.env.settle_timeout = 60.0


def drawn(size: tuple[int, int], shade: int = 0) -> bytes:
    picture = Image.new("RGB", size, (200, shade, 40))
    ImageDraw.Draw(picture).ellipse((4, 4, size[0] // 2, size[1] // 2), fill=(20, 90, 200))
    return saved(picture)


async def painted(world: World, job: Job) -> Job:
    """A real worker's part, and the delivery."""
    await make_worker(world.app, AddingExpander()).run(burst=True)
    return await world.delivered(job)


async def pretended(world: World, prompt: str, count: int = 1) -> Job:
    """A posted request that no model painted, to refer to."""
    await world.imagine(prompt, count=count)
    await world.finish(await world.claim(), count=count)
    return await world.delivered(await world.newest())


async def asked(world: World, command: str = "imagine", /, **options: Any) -> Job:
    result = await world.ada.slash(world.channel, command, **options)
    answer = result.response or result.followups[0]
    assert not result.ephemeral, answer.content
    return await world.newest()


async def refused(world: World, command: str = "imagine", /, **options: Any) -> str:
    rows = await world.app.history.count(None, every_status=True)
    result = await world.ada.slash(world.channel, command, **options)
    assert result.ephemeral
    assert await world.app.history.count(None, every_status=True) == rows
    return told(result)


def pictures(job: Job) -> list[tuple[str, str]]:
    return [(str(one.role), one.picture) for one in job.generation.references]


async def test_references_are_painted_shown_repeated_and_erased(world: World) -> None:
    job = await asked(
        world,
        prompt="a red cat --sw 0.3 --areas left --seed 7",
        sref=("style.png", drawn((64, 48))),
        cref=("SPOILER_subject.png", drawn((30, 40), 90)),
        control=("a.png", drawn((50, 50))),
        control2=("b.png", drawn((40, 60), 9)),
        controls="edges:0.5:0-0.6, depth",
    )
    request = job.generation
    assert [(one.role, one.weight, one.start, one.end, one.area) for one in request.references] == [
        (Role.STYLE, 0.3, 0.0, 1.0, Area.ALL),
        (Role.SUBJECT, 0.6, 0.0, 1.0, Area.LEFT),
        (Role.EDGES, 0.5, 0.0, 0.6, Area.ALL),
        (Role.DEPTH, 1.0, 0.0, 1.0, Area.ALL),
    ]
    assert len({*request.given}) == 4
    first = await painted(world, job)
    assert (first.status, first.is_spoiler) == (JobStatus.SUCCEEDED, True)
    file = world.app.images.open(first.images[0].sha256).info["parameters"]
    assert 'reference weight: 0.3, Subject reference areas: left, ControlNet: "edges:0.5:0-0.6, depth"' in file
    details = await world.bob.click(world.message(first), label="Details")
    assert details.response
    [embed] = details.response.message.embeds
    assert {field.name: field.value for field in embed.fields}["Control pictures"] == "edges:0.5:0-0.6, depth"

    opened = await world.ada.slash(world.channel, "history", id=first.id)
    assert opened.response
    await world.restart()
    await world.ada.click(opened.response.message, label="Repeat")
    again = await painted(world, await world.newest())
    assert again.images[0].sha256 == first.images[0].sha256  # the same pixels, and words about them
    await world.ada.click(world.message(first), label="Reroll")
    rerolled = await world.newest()
    form = await world.ada.click(world.message(first), label="Remix")
    await world.ada.submit_modal(form, {"idea": "a blue cat"})
    remixed = await world.newest()
    assert pictures(remixed) == pictures(rerolled) == pictures(first)
    assert remixed.generation.references == first.generation.references
    for one in (first, again, remixed, rerolled):
        await world.app.history.delete(one.id)
    assert list(world.app.images.folder.rglob("*.png")) == []


@pytest.mark.slow
async def test_a_blend_of_five_sizes_with_and_without_words(world: World) -> None:
    files = {f"image{i}": (f"{i}.png", drawn((20 + 10 * i, 80 - 10 * i), i)) for i in range(1, 6)}
    wordless = await asked(world, "blend", **files)
    assert (wordless.idea, wordless.input_name) == ("", "1.png, 2.png, 3.png, 4.png, 5.png")
    worded = await asked(world, "blend", **files, prompt="a cat --steps 2")
    assert (worded.idea, len(worded.generation.references)) == ("a cat", 5)
    for job in (wordless, worded):
        done = await painted(world, job)
        assert (done.status, [role for role, _ in pictures(done)]) == (JobStatus.SUCCEEDED, ["blend"] * 5)
        assert "-# blend of 5 pictures · seed" in text_of(world.message(done))
        assert world.message(done).attachments or text_of(world.message(done))
    assert (await world.app.jobs.get(wordless.id)).prompt == ""


async def test_everybody_blends_and_a_command_that_is_sent_twice_is_two_requests(world: World) -> None:
    two = {"image1": ("a.png", png()), "image2": ("b.png", png(shade=9))}
    for number, who in enumerate((world.ada, world.bob, world.grace, world.grace), 1):
        assert not (await who.slash(world.channel, "blend", **two)).ephemeral
        job = await world.newest()
        assert (job.id, job.user_id, [role for role, _ in pictures(job)]) == (number, who.id, ["blend"] * 2)
    await world.restart()
    assert (await painted(world, await world.newest())).status == JobStatus.SUCCEEDED


async def test_a_posted_picture_is_a_reference_by_button_and_by_flag(world: World) -> None:
    first = await pretended(world, "a red cat", 2)
    for who in (world.ada, world.bob):
        shown = await who.click(world.message(first), custom_id=f"limner:picture:{first.id}:2")
        assert shown.response
        form = await who.click(shown.response, label="Use as reference")
        await world.restart()
        said = {"idea": "a dog --steps 2", "role": ["subject"], "weight": "0,4"}
        assert form.modal
        form_id = form.modal["custom_id"]
        answer, twice = [await fill(world, who, world.channel.id, form_id, **said) for _click in range(2)]
        job = await world.newest()
        assert (answer.ephemeral, twice.ephemeral) == (False, True)
        assert told(twice) == f"Request {job.id} is on its way already; press again if you want another one."
        assert (job.user_id, job.parent_id, job.parent_picture, job.action) == (who.id, first.id, 2, Action.REFER)
        [reference] = job.generation.references
        assert (reference.role, reference.picture, reference.weight) == ("subject", first.images[1].sha256, 0.4)
    for _ in range(2):
        await world.finish(await world.claim())
    assert "as a reference" in text_of(world.message(await world.delivered(job)))

    flagged = await asked(world, prompt=f"a dog --sref {first.id}-1 --control {first.id}-2 --controls sketch")
    assert pictures(flagged) == [("style", first.images[0].sha256), ("sketch", first.images[1].sha256)]
    elsewhere = world.guild.create_text_channel("elsewhere")
    hidden = await world.bob.slash(elsewhere, "imagine", prompt=f"a dog --sref {first.id}-1")
    assert told(hidden) == "Only the person who asked for this picture can do that."
    assert (await world.newest()).id == flagged.id
    await world.app.history.drop_picture(first.id, 1)
    assert await refused(world, prompt=f"a dog --sref {first.id}-1") == "That picture was deleted; choose another one."
    assert await refused(world, prompt=f"a dog --sref {'a' * 64}") == (
        "The flag --sref needs a picture of mine by its request and number, or the link of a message with one, such as "
        "--sref 12-1."
    )


async def test_the_link_of_a_message_is_a_reference_for_those_who_may_read_it(world: World) -> None:
    first = await pretended(world, "a red cat", 2)
    upload = await world.ada.send(world.channel, "look", attachments=[("SPOILER_a.png", drawn((40, 30)))])
    link, own = (
        f"https://discord.com/channels/{world.guild.id}/{world.channel.id}/{one}"
        for one in (first.message_id, upload.id)
    )
    elsewhere = world.guild.create_text_channel("elsewhere")
    job = await asked(world, prompt=f"a {{dog, hare}} --cref {link}-2,{own} --sref {link} --sw 0.3")
    roles = [(str(one.role), one.weight) for one in job.generation.references]
    assert roles == [("style", 0.3), ("subject", 0.6), ("subject", 0.6)]
    assert [one.picture for one in job.generation.references[:2]] == [first.images[0].sha256, first.images[1].sha256]
    assert world.app.images.open(job.generation.references[2].picture).size == (40, 30)
    assert (job.idea, job.is_spoiler) == ("a hare", True)
    assert (await painted(world, job)).status == JobStatus.SUCCEEDED
    await world.bob.slash(elsewhere, "imagine", prompt=f"a dog --sref {link}")
    theirs = await world.newest()
    assert (theirs.user_id, theirs.channel_id, theirs.is_spoiler) == (world.bob.id, elsewhere.id, False)

    rows = await world.app.history.count(None, every_status=True)
    closed = world.guild.create_text_channel(
        "closed", overwrites={world.bob: discord.PermissionOverwrite(view_channel=False)}
    )
    secret = await world.ada.send(closed, "look", attachments=[("a.png", drawn((40, 30)))])
    unread = f"https://discord.com/channels/{world.guild.id}/{closed.id}/{secret.id}"
    for given, sentence in ((own, NOT_TAKEN), (unread, NO_MESSAGE), (f"{link}-7", "That picture was deleted")):
        refusal = await world.bob.slash(world.channel, "imagine", prompt=f"a dog --sref {given}")
        assert told(refusal).startswith(sentence), given
    assert await world.app.history.count(None, every_status=True) == rows
    with pytest.raises(BadOption, match="The links of messages are read in Discord only"):
        await submit.imagine(world.app, Ask(text=f"a dog --sref {link}"))


async def test_links_count_in_the_forms_under_a_picture_and_in_a_blend(world: World) -> None:
    """With the same rights as in /imagine."""
    first = await pretended(world, "a red cat")
    upload = await world.ada.send(world.channel, "look", attachments=[("SPOILER_a.png", drawn((40, 30)))])
    closed = world.guild.create_text_channel(
        "closed", overwrites={world.bob: discord.PermissionOverwrite(view_channel=False)}
    )
    secret = await world.ada.send(closed, "look", attachments=[("a.png", drawn((40, 30)))])
    link, own = (
        f"https://discord.com/channels/{world.guild.id}/{world.channel.id}/{one}"
        for one in (first.message_id, upload.id)
    )
    unread = f"https://discord.com/channels/{world.guild.id}/{closed.id}/{secret.id}"
    forms = {"Start from this": {"strength": "0.5"}, "Use as reference": {"role": ["subject"], "weight": "0.4"}}
    for label, fields in forms.items():
        made = len(await world.app.history.page(None, every_status=True, limit=50))
        for given, sentence in ((own, NOT_TAKEN), (unread, NO_MESSAGE), (f"{link}-7", "That picture was deleted")):
            refusal = await filled(world.bob, world, first, label, {**fields, "idea": f"a dog --sref {given}"})
            assert told(refusal).startswith(sentence), (label, given)
        assert len(await world.app.history.page(None, every_status=True, limit=50)) == made
        await filled(world.bob, world, first, label, {**fields, "idea": f"a dog --sref {link}"})
        theirs = await world.newest()
        assert (theirs.user_id, theirs.is_spoiler) == (world.bob.id, False)
        assert ("style", first.images[0].sha256) in pictures(theirs)
        await filled(world.ada, world, first, label, {**fields, "idea": f"a dog --sref {own}"})
        mine = await world.newest()
        style = next(picture for role, picture in pictures(mine) if role == "style")
        assert world.app.images.open(style).size == (40, 30)
        assert (mine.user_id, mine.is_spoiler, mine.parent_id) == (world.ada.id, True, first.id)
    two = {"image1": ("a.png", png()), "image2": ("b.png", png(shade=9))}
    assert (await refused(world, "blend", **two, prompt=f"a dog --sref {link}-7")).startswith(
        "That picture was deleted"
    )
    blend = await asked(world, "blend", **two, prompt=f"a dog --sref {own}")
    assert [role for role, _picture in pictures(blend)] == ["style", "blend", "blend"]
    assert blend.is_spoiler


@pytest.mark.usefixtures("transformers")
async def test_a_mask_says_where_a_reference_counts(world: World) -> None:
    """By file in the form, by the link of a message in the flags; kept with the request, and gone with it."""
    first = await pretended(world, "a red cat")
    said: dict[str, Any] = {"idea": "a dog", "role": ["subject"], "weight": "0.4"}
    job_before = await world.newest()
    refusal = await filled(world.bob, world, first, "Use as reference", {**said, "mask": [("m.png", png(shade=255))]})
    assert told(refusal).startswith("That mask is white almost everywhere")
    assert (await world.newest()).id == job_before.id
    await filled(world.bob, world, first, "Use as reference", {**said, "mask": [("m.png", half_white((30, 20)))]})
    [reference] = (masked := await world.newest()).generation.references
    assert world.app.images.open(reference.mask).getextrema() == (0, 255)
    assert (await painted(world, masked)).status == JobStatus.SUCCEEDED

    form = await world.bob.click(world.message(masked), label="Remix")
    await world.bob.submit_modal(form, {"idea": "a hare", "negative": ""})
    assert (await world.newest()).generation.references == (reference,)
    drawing = await world.ada.send(world.channel, "mask", attachments=[("m.png", half_white((64, 64)))])
    plain = await world.ada.send(world.channel, "mask", attachments=[("m.png", png())])
    link, black = (
        f"https://discord.com/channels/{world.guild.id}/{world.channel.id}/{one.id}" for one in (drawing, plain)
    )
    job = await asked(world, prompt=f"a fox --cref {first.id}-1 --cm {link}")
    [linked] = job.generation.references
    assert (linked.picture, linked.mask != reference.mask) == (first.images[0].sha256, True)
    for words, sentence in {
        f"--cref {first.id}-1 --cm {black}": "That mask has one colour only",
        f"--cm {link}": "There are 1 masks for 0 references",
        f"--cref {first.id}-1 --areas left --cm {link}": "Say in one way where a reference counts",
        f"--model flux --cref {first.id}-1 --cm {link}": "This model's references count in the whole picture",
    }.items():
        answer = await world.ada.slash(world.channel, "imagine", prompt=f"a fox {words}")
        assert told(answer).startswith(sentence), words
    await world.app.history.sweep(older_than=-1)
    assert {linked.mask, reference.mask} <= {path.stem for path in world.app.images.folder.rglob("*.png")}
    await world.app.history.delete(job.id)
    assert linked.mask not in {path.stem for path in world.app.images.folder.rglob("*.png")}


def half_white(size: tuple[int, int]) -> bytes:
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return saved(mask)


async def filled(
    who: simcord.MemberActor, world: World, job: Job, label: str, fields: dict[str, Any]
) -> simcord.InteractionResult:
    """Press a picture's button that opens a form, and send it."""
    shown = await who.click(world.message(job), label="Picture")
    assert shown.response
    return await who.submit_modal(await who.click(shown.response, label=label), fields)


async def test_what_refers_to_a_private_picture_is_private(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_uploads(monkeypatch)
    answer = await world.ada.slash(world.channel, "imagine", prompt="a cat --private")
    assert answer.ephemeral
    await world.finish(await world.claim())
    first = await world.delivered(await world.newest())
    answer = await world.ada.slash(
        world.channel, "imagine", prompt=f"a dog --sref {first.id}-1", image=("a.png", drawn((40, 30)))
    )
    assert answer.followups[0].ephemeral
    assert (await world.newest()).is_private
    refused = await world.ada.slash(world.channel, "imagine", prompt="a dog --sref 99-1", image=("a.png", png()))
    assert told(refused) == str(NotFound())
    assert [message for message in world.channel.history() if not message.flags.ephemeral] == []


SREF = {"sref": ("a.png", png())}
CREF = {"cref": ("a.png", png())}
CONTROL = {"control": ("a.png", png())}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no adapter": ({**SREF, "model": "doodle"}, "The model doodle has no adapter for such references; leave them out"),
    "no ControlNet": ({**CONTROL, "model": "doodle"}, "The model doodle has no ControlNet; leave out"),
    "no such kind": ({**CONTROL, "controls": "canney"}, "no ControlNet for that; choose one of: edges, sketch, canny"),
    "bad steps": ({**CONTROL, "controls": "edges:1:0.6-0.5"}, "A control has a weight from 0.05 to 2"),
    "two for three": ({**CONTROL, "control2": CONTROL["control"], "controls": "edges"}, "has 1 kinds for 2 pictures"),
    "no picture": ({"controls": "edges"}, "give one with the option control"),
    "an area that is none": (
        {**CREF, "prompt": "a fox --areas up"},
        "“up” is no area; choose one of: all, left, right",
    ),
    "two areas for one": ({**CREF, "prompt": "a fox --areas left,top"}, "has 2 areas for 1 subject references"),
    "an area alone": ({"prompt": "a fox --areas left"}, "has 1 areas for 0 subject references"),
    "a weight alone": ({"prompt": "a fox --cw 0.5"}, "There is no reference for that weight"),
    "weight too high": ({**SREF, "prompt": "a fox --sw 3"}, "must be from 0.05 to 1"),
    "no picture file": ({"sref": ("a.png", b"hello")}, KIND),
    "50 megapixels": ({"cref": ("a.png", png_of(10_000, 5_000))}, "million pixels; choose a smaller one."),
}


async def test_one_sentence_and_nothing_half_done(world: World) -> None:
    for case, (options, sentence) in REFUSED.items():
        assert sentence in await refused(world, **{"prompt": "a fox", **options}), case


async def test_blends_that_cannot_be_are_refused(world: World) -> None:
    two = {"image1": ("a.png", png()), "image2": ("b.png", png(shade=9))}
    sentence = await refused(world, "blend", **two, prompt="a cat --model doodle")
    assert sentence == "The model doodle blends no pictures; add --model tiny to the words."
    assert list(world.app.images.folder.rglob("*.png")) == []
    await world.app.filters.add(world.guild.id, "cat", world.grace.id)
    result = await world.ada.slash(world.channel, "blend", **two, prompt="a cat")
    assert result.ephemeral or result.followups
    assert (await world.newest()).status == JobStatus.REFUSED


@pytest.mark.slow
async def test_of_an_animation_the_first_frame_counts(world: World) -> None:
    job = await asked(world, prompt="a fox", sref=("a.gif", two_frames("GIF")))
    assert (await painted(world, job)).status == JobStatus.SUCCEEDED


async def test_a_picture_that_is_gone_before_it_is_painted_costs_a_sentence(world: World) -> None:
    job = await asked(world, prompt="a fox", **SREF)
    other = await asked(world, prompt="a cat")
    world.app.images.delete(job.generation.given[0])
    failed = await painted(world, job)
    assert (failed.status, failed.reason) == (
        JobStatus.FAILED,
        "Somebody removed the picture to start from; give it again.",
    )
    assert (await world.delivered(other)).status == JobStatus.SUCCEEDED


@pytest.mark.slow
async def test_many_requests_wait_with_their_references(world: World) -> None:
    result = await world.ada.slash(world.channel, "imagine", prompt="a {red, blue} fox --count 4", **SREF)
    assert result.response
    assert result.ephemeral
    await world.app.history.sweep(older_than=-1)
    await world.restart()
    await world.ada.click(result.response, label="Paint them")
    jobs = await world.app.history.page(None, every_status=True)
    assert [len(job.generation.references) for job in jobs] == [1, 1]


async def test_doctor_names_an_adapter_for_another_model(settings: Settings, tiny: Path, tmp_path: Path) -> None:
    other = settings.using(data=tmp_path / "other")
    put_references(other, model="tiny", width=7)
    checks = list(references(other.cards["tiny"]))
    assert {check.status for check in checks} == {"warn"}
    assert "model tiny: its adapter style was made for another kind of model" in [check.what for check in checks]
    assert not other.cards["tiny"].controls


@pytest.mark.slow
@pytest.mark.usefixtures("transformers")
async def test_what_a_family_cannot_combine_is_refused_before_the_queue(world: World) -> None:
    """Stable Diffusion 3 follows a control picture from words only; FLUX has no areas."""
    red = ("red.png", drawn((32, 32)))
    assert "only when it paints from words" in await refused(
        world, prompt="a cat --model sd3", image=red, control=("b.png", drawn((32, 32), 9))
    )
    assert "leave out areas and masks" in await refused(world, prompt="a cat --model flux --areas left", cref=red)
    job = await painted(world, await asked(world, prompt="a cat --model sd3 --draft", control=red, sref=red))
    assert job.status == JobStatus.SUCCEEDED
    shown = await world.ada.click(world.message(job), label="Picture")
    assert shown.response
    for message, label in ((shown.response.message, "Vary strong"), (world.message(job), "Enhance")):
        await world.ada.click(message, label=label)
        varied = await world.newest()
        assert (varied.parent_id, [role for role, _picture in pictures(varied)]) == (job.id, ["style"]), label
    assert (await painted(world, varied)).status == JobStatus.SUCCEEDED
