"""What is not wanted: models that leave nothing out, in every style, and images servers that take no negatives."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.errors import BadOption, Refused
from limner.bot.options.notes import IN_WORDS, LEFT_OUT
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.settings.model_sources import PRETRAINED
from limner.bot.storage.tables.models import Job
from limner.bot.ui.job import job_messages
from limner.bot.worker.classifier_thread import ClassifierThread
from limner.bot.worker.executor_thread import ExecutorThread
from limner.bot.worker.process import open_scoring
from limner.bot.worker.worker import Worker
from limner.generators.executor import Executor
from limner.generators.language.expanders import NoExpander
from tests.images_server import PaintingServer, error, open_painting_server
from tests.rows import asked, put_restyler
from tests.tiny_models import build_tiny_flux_pipeline, build_tiny_pipeline

HERE, MEMBER = 10, 3
NOTE = "leaves nothing out, so the style's negative prompt is not used."


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_flux_pipeline(tmp_path_factory.mktemp("models") / "flux")


def folder(path: Path, name: str, **told: str) -> str:
    """A model's folder as far as its card needs it."""
    (path / name).mkdir()
    (path / name / "limner.json").write_text(json.dumps({"multiple_of": 16} | told))
    (path / name / "model_index.json").write_text(json.dumps({"_class_name": told.get("pipeline")}))
    return str(path / name)


async def ask(app: App, text: str = "a red cat", **options: Any) -> Job:
    usual: dict[str, Any] = {"expand": "off", "seed": 7, "guild_id": HERE, "user_id": MEMBER}
    return await submit.imagine(app, asked(text=text, **usual | options))


async def work(app: App) -> None:
    """What a worker does until the queue is empty."""
    painter = ExecutorThread(Executor(app.settings.cards, device="cpu", max_batch=2), app.settings)
    reading = open_scoring(app.settings)
    await Worker(app, painter, NoExpander(), ClassifierThread(app.settings), reading, "worker").run(burst=True)


async def painted(app: App, job: Job) -> Job:
    await work(app)
    return await app.jobs.get(job.id)


async def test_in_every_style_a_model_that_leaves_nothing_out_is_asked_for_nothing_else(
    settings: Settings, tmp_path: Path
):
    told = ("FluxPipeline", "Flux2Pipeline", "QwenImage21Pipeline")
    models = {name: folder(tmp_path, name, pipeline=name) for name in told}
    models |= {name: f"pretrained:digits-{name}" for name in ("gan", "vae")}
    models |= {"cyclegan": put_restyler(tmp_path / "cyclegan"), "sd": str(PRETRAINED / "doodle")}
    async with open_app(settings.using(models=models, max_jobs_per_user=1000, max_jobs_per_guild=1000)) as app:
        for model in models:
            picture = "0" * 64 if model == "cyclegan" else None
            # With one model each style is tried, with the others a few.
            for style in [*app.styles.presets][:: 1 if model == "FluxPipeline" else 8]:
                job = await ask(app, model=model, style=style, image=picture)
                negative = job.generation.negative_prompt
                assert (negative == "", job.notes.get(LEFT_OUT, False)) == ((model != "sd"),) * 2
            if model == "sd":
                continue
            before = (await app.jobs.counts())[0]
            for asked in ({"negative": "fog"}, {"text": "a cat --no fog"}):
                with pytest.raises(BadOption) as refused:
                    await ask(app, model=model, style="noir", image=picture, **asked)
                assert str(refused.value) == (
                    f"The model {model} cannot leave things out; ask again without a negative prompt (--no), "
                    "or with the model sd."
                )
            assert (await app.jobs.counts())[0] == before


async def test_without_guidance_nothing_is_left_out(app: App):
    job = await ask(app, style="noir", guidance=1.0)
    assert (job.generation.negative_prompt, job.notes) == ("", {LEFT_OUT: True})
    with pytest.raises(BadOption, match="only with a guidance over 1; ask again with more guidance, or without"):
        await ask(app, guidance=1.0, negative="fog")


async def test_a_request_of_before_is_repeated_without_what_its_style_does_not_want(settings: Settings, flux: Path):
    async with open_app(settings.using(models={"flux": f"{flux}@16x16:2:3.5"})) as app:
        job = await ask(app, style="noir")
        job.request = job.request | {"negative_prompt": app.styles.find("noir").negative}
        again = await submit.reroll(app, job, user_id=MEMBER)
        assert (again.generation.negative_prompt, again.notes) == ("", {LEFT_OUT: True})


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"image": "0" * 64}, "The model gan cannot start from a picture; ask again with words only."),
        ({"aspect": "3:2"}, "The model gan paints 128x128 only; leave out the aspect ratio."),
    ],
)
async def test_what_a_model_cannot_do_is_refused_before_the_queue(
    settings: Settings, asked: dict[str, Any], sentence: str
):
    async with open_app(settings.using(models={"gan": "pretrained:digits-gan"})) as app:
        with pytest.raises(BadOption) as refused:
            await ask(app, **asked)
        assert str(refused.value) == sentence


async def test_the_picture_says_what_was_left_out(settings: Settings, flux: Path):
    async with open_app(settings.using(models={"flux": f"{flux}@16x16:2:3.5"}, device="cpu")) as app:
        job = await painted(app, await ask(app, style="noir", steps=2))
        assert job.status == JobStatus.SUCCEEDED
        assert f"\n-# The model flux {NOTE}\n" in job_messages.ended(job, app.styles, says_ai=True)


@pytest.mark.slow
async def test_a_model_whose_card_did_not_tell_is_asked_again_without(settings: Settings, flux: Path, tmp_path: Path):
    """A hub name, for one: its files are not here when the request is accepted."""
    link = tmp_path / "hub"
    link.mkdir()
    for part in flux.iterdir():
        (link / part.name).symlink_to(part)
    (link / "limner.json").write_text('{"leaves_out": true}')
    async with open_app(settings.using(models={"flux": f"{link}@16x16:2:3.5"}, device="cpu")) as app:
        styled, own = await ask(app, style="noir", steps=2), await ask(app, negative="fog", steps=2)
        await work(app)
        styled, own = await app.jobs.get(styled.id), await app.jobs.get(own.id)
        assert (styled.status, styled.attempts, styled.notes) == (JobStatus.SUCCEEDED, 1, {LEFT_OUT: True})
        assert (own.status, own.attempts) == (JobStatus.FAILED, 1)
        assert own.reason == "This model cannot leave things out; ask again without a negative prompt."
        with pytest.raises(BadOption, match="cannot leave things out"):  # it is known now
            await ask(app, negative="fog", steps=2)
        assert (await ask(app, style="noir", steps=2)).notes == {LEFT_OUT: True}


def knows_no_negative(body: dict[str, Any]) -> Any:
    if "negative_prompt" not in body:
        return None
    return error(400, "Unknown parameter: 'negative_prompt'.", param="negative_prompt", code="unknown_parameter")


@pytest.fixture
async def server() -> AsyncGenerator[PaintingServer]:
    async with open_painting_server() as server:
        yield server


@pytest.fixture
async def remote(settings: Settings, server: PaintingServer) -> AsyncGenerator[App]:
    models = {"flux": "org/flux@64x48:8:3.5"}
    async with open_app(settings.using(executor="openai", images_url=server.address, models=models)) as app:
        yield app


async def test_a_server_that_takes_negative_prompts_gets_them(remote: App, server: PaintingServer):
    await remote.filters.add(HERE, "fog", MEMBER)
    job = await painted(remote, await ask(remote, style="noir", negative="fog"))
    assert job.status == JobStatus.SUCCEEDED
    assert [(body["prompt"], body["negative_prompt"]) for body in server.asked] == [
        (job.prompt, f"fog, {remote.styles.find('noir').negative}")
    ]


async def test_a_server_that_takes_none_is_told_in_the_prompt(remote: App, server: PaintingServer):
    server.refuse = knows_no_negative
    for style in list(remote.styles.presets)[:3]:
        job = await painted(remote, await ask(remote, style=style, negative="hats"))
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
        negative = remote.styles.find(style).negative
        assert server.asked[-1]["prompt"] == f"{job.prompt}\nAvoid: hats, {negative}"
        assert "Avoid" not in (job.prompt or "")
        assert remote.styles.own_negative(style, job.request["negative_prompt"]) == "hats"


async def test_what_becomes_a_part_of_the_prompt_obeys_its_rules(remote: App, server: PaintingServer):
    await remote.filters.add(HERE, "fog", MEMBER)
    server.refuse = knows_no_negative
    job = await painted(remote, await ask(remote, negative="fog"))
    assert (job.status, job.reason_code) == (JobStatus.REFUSED, "filter:negative")
    assert not any("fog" in body["prompt"] for body in server.asked)


async def test_the_next_such_request_is_refused_before_the_queue(remote: App, server: PaintingServer):
    await remote.filters.add(HERE, "fog", MEMBER)
    server.refuse = knows_no_negative
    allowed = await painted(remote, await ask(remote, negative="hats"))
    assert allowed.status == JobStatus.SUCCEEDED
    with pytest.raises(Refused) as refused:
        await ask(remote, negative="fog")
    assert refused.value.job_id
    assert (await remote.jobs.get(refused.value.job_id)).reason_code == "filter:negative"
    async with open_app(remote.settings) as again:  # and after a restart
        with pytest.raises(Refused):
            await ask(again, negative="fog")
        assert (await ask(again, negative="hats")).notes[IN_WORDS]


async def test_a_model_of_the_hub_is_known_as_soon_as_it_is_downloaded(
    settings: Settings, flux: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A real folder of the hub's cache; without asking the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    async with open_app(settings.using(models={"far": "somebody/flux"}, english_only="far")) as app:
        assert (await ask(app, negative="fog")).generation.negative_prompt == "fog"
        assert app.settings.default_card.english_only
        cached = tmp_path / "models--somebody--flux"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("0" * 40)
        snapshot = cached / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "model_index.json").write_bytes((flux / "model_index.json").read_bytes())
        assert not app.settings.default_card.samplers  # the rest is on its way
        for part in flux.iterdir():
            if part.is_dir():
                (snapshot / part.name).symlink_to(part)
        card = app.settings.default_card
        assert (card.samplers, card.leaves_out, card.starts, card.problem) == (("euler",), False, True, "")
        assert card.english_only
        with pytest.raises(BadOption, match="The model far cannot leave things out"):
            await ask(app, negative="fog")
