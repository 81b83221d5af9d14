"""executor = "comfy": what a workflow takes is known before the queue, and `limner doctor` says what ComfyUI lacks."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from limner.bot.app import open_app
from limner.bot.cli.doctor import comfy
from limner.bot.errors import BadOption
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from tests.bot.test_negative_prompts import ask, painted
from tests.comfy_server import CHANGING, WORKFLOW, ComfyServer, open_comfy_server
from tests.simulated_discord import png


@pytest.fixture
async def server() -> AsyncGenerator[ComfyServer]:
    async with open_comfy_server() as server:
        yield server


def set_up(settings: Settings, server: ComfyServer, **workflows: Any) -> Settings:
    for name, workflow in workflows.items():
        (settings.data / f"{name}.json").write_text(json.dumps(workflow))
    models = {name: f"{settings.data / name}.json@64x48:8:3.5" for name in workflows}
    return settings.using(executor="comfy", images_url=server.address, models=models)


async def test_an_idea_becomes_a_picture_of_comfyui(settings: Settings, server: ComfyServer):
    fixed = {key: node for key, node in WORKFLOW.items() if key != "7"}
    async with open_app(set_up(settings, server, words=WORKFLOW, fixed=fixed, change=CHANGING)) as app:
        job = await painted(app, await ask(app, sampler="heun", negative="fog"))
        assert (job.status, job.attempts, [image.seed for image in job.images]) == (JobStatus.SUCCEEDED, 1, [7])
        assert server.queued[0]["3"]["inputs"]["sampler_name"] == "heun"

        job = await painted(app, await ask(app, model="change", image=await app.inputs.store(png((64, 48)))))
        assert (job.status, len(server.files)) == (JobStatus.SUCCEEDED, 2)

        with pytest.raises(BadOption, match="changes pictures; give it one"):
            await ask(app, model="change")
        with pytest.raises(BadOption, match="cannot start from a picture"):
            await ask(app, model="words", image="0" * 64)
        with pytest.raises(BadOption, match="cannot leave things out"):
            await ask(app, model="fixed", negative="fog")


async def test_a_workflow_that_cannot_work_costs_its_model_only(settings: Settings, server: ComfyServer):
    broken = set_up(settings, server, words=WORKFLOW, broken={"nodes": []})
    assert list(broken.cards) == ["words"]
    assert "choose Workflow, Export (API)" in broken.broken_models["broken"]


async def test_doctor_names_what_comfyui_lacks(settings: Settings, server: ComfyServer):
    loading = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mine.safetensors"}}
    given = set_up(settings, server, words=WORKFLOW, loads=WORKFLOW | {"4": loading})

    checks = [check async for check in comfy.servers(given)]
    assert [check.status for check in checks] == ["ok", "ok", "fail"]
    assert "uses the node CheckpointLoaderSimple" in checks[2].what
    server.infos["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": [["other.safetensors"]]}}}
    checks = [check async for check in comfy.servers(given)]
    assert "has ckpt_name = mine.safetensors" in checks[2].what
    server.infos["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": [["mine.safetensors"]]}}}
    assert {check.status async for check in comfy.servers(given)} == {"ok"}
    away = given.using(images_url="http://127.0.0.1:9")
    assert [check.status async for check in comfy.servers(away)] == ["fail"]
