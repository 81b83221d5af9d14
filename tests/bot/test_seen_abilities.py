"""What a model or a server was seen to do nothing with is refused before the queue, or said under the picture."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from diffusers.loaders.lora_base import LoraBaseMixin
from diffusers.loaders.lora_pipeline import StableDiffusionLoraLoaderMixin

from limner.bot import submit
from limner.bot.app import App, open_app
from limner.bot.errors import BadOption
from limner.bot.options.notes import UNUSED, sentences
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from tests.bot.test_negative_prompts import ask, painted
from tests.images_server import PaintingServer, error, open_painting_server
from tests.rows import put_lora
from tests.tiny_models import build_tiny_pipeline


def put_index(cache: Path, source: str, pipeline: str) -> None:
    """The first file of a model in the hub's cache."""
    folder = cache / f"models--{source.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text(json.dumps({"_class_name": pipeline, "vae": ["diffusers", "X"]}))


async def test_a_model_of_the_hub_is_known_by_its_index_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    async with open_app(settings.using(models={"far": "somebody/sigma"})) as app:
        put_lora(settings, "ink", model="far")
        assert (await ask(app, lora="ink")).generation.loras == (("ink", 1.0),)  # nothing is known yet
        put_index(tmp_path, "somebody/sigma", "PixArtSigmaPipeline")
        card = app.settings.default_card
        assert (card.takes_loras, card.starts, card.samplers) == (False, False, ())
        with pytest.raises(BadOption, match="The model far takes no LoRA"):
            await ask(app, lora="ink")


async def test_a_model_that_was_seen_to_take_no_lora_is_not_asked_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A pipeline without a loader for LoRAs, on another machine than the bot's."""
    tiny = build_tiny_pipeline(tmp_path / "tiny")
    async with open_app(settings.using(models={"tiny": f"{tiny}@16x16:2"}, device="cpu")) as app:
        put_lora(settings, "ink", model="tiny")
        monkeypatch.delattr(StableDiffusionLoraLoaderMixin, "load_lora_weights")
        monkeypatch.delattr(LoraBaseMixin, "load_lora_weights")
        job = await painted(app, await ask(app, lora="ink"))
        assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
        assert job.reason == "This model takes no LoRA; ask again without one."
        with pytest.raises(BadOption, match="The model tiny takes no LoRA"):
            await ask(app, lora="ink")
        with pytest.raises(BadOption, match="The model tiny takes no LoRA"):
            await submit.reroll(app, job, user_id=job.user_id)
        assert (await ask(app)).status == JobStatus.QUEUED


@pytest.fixture
async def server() -> AsyncGenerator[PaintingServer]:
    async with open_painting_server() as server:
        yield server


@pytest.fixture
async def remote(settings: Settings, server: PaintingServer) -> AsyncGenerator[App]:
    models = {"far": "org/far@64x48:8:3.5"}
    async with open_app(settings.using(executor="openai", images_url=server.address, models=models)) as app:
        yield app


def takes_none_of(*names: str) -> Any:
    """A server that knows no fields of these names."""

    def refuse(body: dict[str, Any]) -> Any:
        name = next((name for name in names if name in body), None)
        return name and error(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")

    return refuse


async def test_what_an_images_server_does_not_take_is_said_and_then_refused(remote: App, server: PaintingServer):
    server.refuse = takes_none_of("seed", "num_inference_steps", "step", "guidance_scale")
    asked = await ask(remote, steps=4, guidance=2.0)
    asked, usual = await painted(remote, asked), await painted(remote, await ask(remote, seed=None))
    assert asked.notes[UNUSED] == ["steps", "guidance", "seed"]
    assert "The images server of far does nothing with: steps, guidance, seed" in sentences(asked, remote.styles)
    assert (usual.status, usual.notes) == (JobStatus.SUCCEEDED, {})
    refused: list[dict[str, Any]] = [{"steps": 4, "seed": None}, {"guidance": 2.0, "seed": None}, {"seed": 9}]
    for options in refused:
        with pytest.raises(BadOption, match=f"does nothing with the option {next(iter(options))}; leave it out"):
            await ask(remote, **options)
    again = await painted(remote, await submit.reroll(remote, asked, user_id=asked.user_id))
    assert again.notes[UNUSED] == ["steps", "guidance"]  # who only presses a button is told under the picture


async def test_a_server_that_takes_one_of_two_names_takes_the_option(remote: App, server: PaintingServer):
    server.refuse = takes_none_of("num_inference_steps")
    job = await painted(remote, await ask(remote, steps=4, guidance=2.0))
    assert UNUSED not in job.notes
    assert (server.asked[-1]["step"], server.asked[-1]["guidance_scale"]) == (4, 2.0)


async def test_a_server_that_takes_it_now_is_asked_again(remote: App, server: PaintingServer):
    server.refuse = takes_none_of("guidance_scale")
    await painted(remote, await ask(remote))
    with pytest.raises(BadOption, match="guidance"):
        await ask(remote, guidance=2.0)
    server.refuse = lambda body: None
    await painted(remote, await ask(remote))  # each worker asks once
    assert UNUSED not in (await painted(remote, await ask(remote, guidance=2.0))).notes
