"""ComfyUI as a painter, against a small server of ours that speaks its protocol: workflows, runs, failures."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.generators.base import Failed, Finished, Preview, Progress
from limner.generators.cards.model_card import ImagesServer
from limner.generators.cards.remote_card import remote_card
from limner.generators.cards.workflow import Workflow
from limner.generators.errors import (
    BadRequest,
    BrokenImage,
    GenerationError,
    ModelFailed,
    ModelNotFound,
    OutOfMemory,
    ServersDown,
)
from limner.generators.remote import comfy_client
from limner.generators.remote.comfy import ComfyGenerator
from limner.generators.requests import GenerationRequest
from limner.generators.text_files import BadText
from tests.comfy_server import CHANGING, WORKFLOW, ComfyServer, open_comfy_server
from tests.discord_records import until
from tests.generators.test_openai_images import request, steps


@pytest.fixture
async def server() -> AsyncGenerator[ComfyServer]:
    async with open_comfy_server() as server:
        yield server


def load(server: ComfyServer, folder: Path, workflow: dict[str, Any], timeout: float = 20.0) -> ComfyGenerator:
    file = folder / "workflow.json"
    file.write_text(json.dumps(workflow))
    at = ImagesServer((server.address,), "", timeout)
    card = remote_card("flux", str(file), kind="comfy", server=at, folder=folder, width=64, height=48)
    unused: dict[str, Any] = {"device": "auto", "dtype": "auto", "offload": "none", "previews": 0.0}
    return ComfyGenerator.load(card, max_batch=4, **unused)


@pytest.fixture
async def painter(server: ComfyServer, tmp_path: Path) -> AsyncGenerator[ComfyGenerator]:
    painter = load(server, tmp_path, WORKFLOW)
    yield painter
    await asyncio.to_thread(painter.close)


async def failure(painter: ComfyGenerator, asked: GenerationRequest) -> GenerationError:
    painter.admit("1", asked)
    *_, last = await steps(painter)
    assert isinstance(last, Failed), last
    return last.error


async def test_a_request_fills_the_workflow_and_its_steps_and_pictures_come_back(
    server: ComfyServer, painter: ComfyGenerator
):
    painter.admit("1", request(300, num_images_per_prompt=2, negative_prompt="hats", scheduler="dpm2"))
    events = await steps(painter)

    assert isinstance(events[-1], Finished)
    assert [image.getpixel((0, 0)) for image in events[-1].images] == [(44, 1, 0), (45, 1, 0)]
    assert [event.step for event in events if isinstance(event, Progress)][-1] == 8
    assert [event.image.size for event in events if isinstance(event, Preview)] == [(16, 12)]
    first = min(server.queued, key=lambda queued: queued["3"]["inputs"]["seed"])
    sampler = {"seed": 300, "steps": 8, "cfg": 3.5, "sampler_name": "dpm_2", "denoise": 1.0}
    assert first["3"]["inputs"] == sampler
    assert first["5"]["inputs"] == {"width": 64, "height": 48, "batch_size": 1}
    assert first["6"]["inputs"] == {"text": "masterpiece, a red fox in the snow", "clip": ["4", 1]}
    assert first["7"]["inputs"]["text"] == "hats"


async def test_a_picture_and_a_mask_are_uploaded_once(server: ComfyServer, tmp_path: Path):
    Image.new("RGB", (128, 96), "red").save(tmp_path / "red.png")
    Image.new("L", (64, 48), 255).save(tmp_path / "mask.png")
    painter = load(server, tmp_path, CHANGING)
    more: dict[str, Any] = {"init_image": str(tmp_path / "red.png"), "strength": 0.4}
    painter.admit("1", request(1, mask=str(tmp_path / "mask.png"), num_images_per_prompt=2, **more))
    painter.admit("2", request(9, **more))  # without a mask all is painted
    events = await steps(painter, ends=2)

    assert not [event for event in events if isinstance(event, Failed)]
    assert {image.size for image in server.files.values()} == {(64, 48)}
    assert len(server.files) == 2
    assert {queued["10"]["inputs"]["image"] in server.files for queued in server.queued} == {True}
    assert {queued["11"]["inputs"]["image"] in server.files for queued in server.queued} == {True}
    assert {queued["3"]["inputs"]["denoise"] for queued in server.queued} == {0.4}
    with pytest.raises(BadRequest):
        painter.admit("3", request(loras=(("ink", 1.0),)))
    await asyncio.to_thread(painter.close)


async def test_who_leaves_is_interrupted_and_its_neighbour_goes_on(server: ComfyServer, painter: ComfyGenerator):
    server.free.clear()
    painter.admit("leaves", request(1))
    painter.admit("stays", request(2))
    await asyncio.to_thread(painter.step)
    await until(lambda: len(server.queued) == 2, 10, "both are queued")
    painter.evict("leaves")
    await until(lambda: len(server.interrupted) == 1, 10, "one is interrupted")
    server.free.set()
    events = await steps(painter)
    assert [event.key for event in events if isinstance(event, Finished)] == ["stays"]


async def test_what_a_restarted_comfyui_has_forgotten_is_queued_again(server: ComfyServer, painter: ComfyGenerator):
    server.free.clear()
    painter.admit("1", request())
    await asyncio.to_thread(painter.step)
    await until(lambda: bool(server.queued), 10, "it is queued")
    server.restart()
    server.free.set()
    *_, last = await steps(painter)
    assert isinstance(last, Finished)
    assert len(server.queued) == 2


async def test_without_its_websocket_the_history_says_the_end(server: ComfyServer, painter: ComfyGenerator):
    server.hangs_up = True
    painter.admit("1", request())
    *_, last = await steps(painter)
    assert isinstance(last, Finished)


async def test_a_comfyui_behind_a_proxy_is_waited_for(server: ComfyServer, painter: ComfyGenerator):
    server.refusals = [502]
    painter.admit("1", request())
    *_, last = await steps(painter)
    assert isinstance(last, Finished)
    server.refusals = [404]
    assert isinstance(await failure(painter, request()), ModelNotFound)


async def test_a_comfyui_that_is_down_costs_no_attempt(server: ComfyServer, tmp_path: Path):
    server.address = "http://127.0.0.1:9"
    painter = load(server, tmp_path, WORKFLOW)
    assert isinstance(await failure(painter, request()), ServersDown)
    await asyncio.to_thread(painter.close)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"refusal": {"error": {"type": "prompt_outputs_failed_validation"}, "node_errors": {"3": {}}}}, BadRequest),
        ({"fault": "torch.OutOfMemoryError"}, OutOfMemory),
        ({"fault": "RuntimeError"}, ModelFailed),
        ({"answer": b"<html>"}, BrokenImage),
    ],
)
async def test_each_failure_is_one_sentence(
    server: ComfyServer,
    painter: ComfyGenerator,
    caplog: pytest.LogCaptureFixture,
    said: dict[str, Any],
    kind: type[GenerationError],
):
    for name, value in said.items():
        setattr(server, name, value)
    error = await failure(painter, request())
    assert type(error) is kind
    assert "fox" not in caplog.text + str(error)


async def test_a_comfyui_that_hangs_is_given_up_and_interrupted(server: ComfyServer, tmp_path: Path):
    server.free.clear()
    painter = load(server, tmp_path, WORKFLOW, timeout=0.5)
    error = await failure(painter, request())
    assert (str(error), error.retryable) == (comfy_client.LATE, True)
    await until(lambda: len(server.interrupted) == 1, 10, "its run is interrupted")
    await asyncio.to_thread(painter.close)


def changed(**nodes: Any) -> dict[str, Any]:
    return WORKFLOW | nodes


@pytest.mark.parametrize(
    ("workflow", "sentence"),
    [
        ({"nodes": [], "links": []}, "choose Workflow, Export (API)"),
        ([1], "no workflow of ComfyUI"),
        ({"3": {"inputs": {}}}, "no workflow of ComfyUI"),
        (changed(x={"class_type": "X", "inputs": {"a": ["%colour%"]}}), "the placeholder %colour%, which is not known"),
        (changed(x={"class_type": "X", "inputs": {"a": "%mask%"}}), "%mask% without %image%"),
        ({key: node for key, node in WORKFLOW.items() if key != "6"}, "lacks the placeholder %prompt%"),
        ({key: node for key, node in WORKFLOW.items() if key != "3"}, "lacks the placeholder %seed%"),
        ({key: node for key, node in WORKFLOW.items() if key != "9"}, "SaveImage or PreviewImage; it has 0"),
        (changed(x={"class_type": "PreviewImage", "inputs": {}}), "SaveImage or PreviewImage; it has 2"),
    ],
)
def test_a_workflow_that_cannot_work_is_one_sentence(tmp_path: Path, workflow: Any, sentence: str):
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(workflow))
    with pytest.raises(BadText) as error:
        Workflow.read(file)
    assert sentence in str(error.value)
    assert str(error.value).startswith(str(file))


def test_a_card_knows_what_its_workflow_takes(tmp_path: Path):
    (tmp_path / "flow.json").write_text(json.dumps(CHANGING))
    at = ImagesServer(("http://x",), "", 1.0)
    card = remote_card("flow", str(tmp_path / "flow.json"), kind="comfy", server=at, folder=tmp_path)
    assert (card.starts, card.needs_picture, card.masks, card.has_guidance, card.takes_loras) == (True,) * 3 + (
        False,
    ) * 2
    assert card.samplers == ()
