"""Given pictures, masks, references, LoRAs and streams of an images server, against a real HTTP server."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.generators.base import Finished, Preview
from limner.generators.errors import BadRequest, NoLora
from limner.generators.references import Reference, Role
from limner.generators.remote.images_request import TAKES_NO_MASK
from limner.generators.remote.openai_images import OpenAIImagesGenerator
from tests.generators.test_openai_images import failure, load, picture, request, steps
from tests.images_server import PaintingServer, error, open_painting_server

ABLE: dict[str, Any] = {"starts": True, "masks": True, "takes_loras": True, "loras": {"ink": "/srv/loras/ink"}}


@pytest.fixture
async def server() -> AsyncGenerator[PaintingServer]:
    async with open_painting_server() as server:
        yield server


@pytest.fixture
async def painter(server: PaintingServer) -> AsyncGenerator[OpenAIImagesGenerator]:
    painter = load(server, **ABLE, adapters={Role.SUBJECT: ""})
    yield painter
    await asyncio.to_thread(painter.close)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A red picture to start from, a blue reference, and a mask whose left half is painted."""
    mask = Image.new("L", (64, 48))
    mask.paste(255, (0, 0, 32, 48))
    images = {"red": Image.new("RGB", (128, 96), "red"), "blue": Image.new("RGB", (20, 10), "blue"), "mask": mask}
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
    return {name: str(tmp_path / f"{name}.png") for name in images}


async def test_a_picture_to_start_from_is_sent_at_the_requests_size(
    server: PaintingServer, painter: OpenAIImagesGenerator, files: dict[str, str]
):
    lora = (("ink", 0.7),)
    image = await picture(painter, init_image=files["red"], strength=0.4, negative_prompt="hats", loras=lora)

    assert image.getpixel((0, 0)) == (7, 0, 0)
    [asked], [[(name, sent)]] = server.asked, server.files
    assert (name, sent.size, sent.convert("RGB").getpixel((9, 9))) == ("image", (64, 48), (255, 0, 0))
    assert json.loads(asked["lora"]) == {"name": "ink", "path": "/srv/loras/ink", "scale": 0.7}
    assert {name: asked[name] for name in ("model", "n", "size", "seed", "strength", "negative_prompt")} == {
        "model": "org/flux",
        "n": "1",
        "size": "64x48",
        "seed": "7",
        "strength": "0.4",
        "negative_prompt": "hats",
    }


async def test_a_mask_is_sent_in_both_forms_and_a_reference_beside_it(
    server: PaintingServer, painter: OpenAIImagesGenerator, files: dict[str, str]
):
    reference = Reference(role=Role.SUBJECT, picture=files["blue"])
    await picture(painter, init_image=files["red"], mask=files["mask"], references=(reference,))
    await picture(painter, references=(reference, reference))

    masked, referring = (dict(sent) for sent in server.files)
    assert list(masked) == ["image", "reference_image", "mask", "mask_image"]
    assert masked["reference_image"].convert("RGB").getpixel((0, 0)) == (0, 0, 255)
    assert [masked["mask_image"].convert("L").getpixel((x, 9)) for x in (9, 50)] == [255, 0]
    assert [masked["mask"].getchannel("A").getpixel((x, 9)) for x in (9, 50)] == [0, 255]
    assert [name for name, _ in server.files[1]] == ["image[]"] * 2
    assert referring["image[]"].size == (20, 10)


async def test_a_box_is_painted_around(server: PaintingServer, painter: OpenAIImagesGenerator, files: dict[str, str]):
    await picture(painter, init_image=files["red"], box=(16, 12, 48, 36))

    sent = dict(server.files[0])
    assert sent["image"].size == (64, 48)
    assert [sent["mask_image"].getpixel(at) for at in ((2, 2), (32, 24))] == [255, 0]


def unknown(*names: str) -> Any:
    """Refuses fields of these names as OpenAI does."""

    def refuse(body: dict[str, Any]) -> Any:
        name = next((name for name in names if name in body), None)
        return name and error(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")

    return refuse


async def test_a_server_without_masks_or_loras_is_one_sentence(
    server: PaintingServer, painter: OpenAIImagesGenerator, files: dict[str, str]
):
    server.refuse = unknown("lora")
    assert isinstance(await failure(painter, loras=(("ink", 1.0),)), NoLora)
    server.refuse = lambda body: next(
        (
            error(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
            for name, _ in server.files[-1]
            if name.startswith("mask")
        ),
        None,
    )
    said = await failure(painter, init_image=files["red"], mask=files["mask"])
    assert (type(said), str(said)) == (BadRequest, TAKES_NO_MASK)
    server.refuse = lambda body: error(404, "Not Found")
    said = await failure(painter, init_image=files["red"])
    assert (type(said), "words alone" in str(said)) == (BadRequest, True)


async def test_two_loras_are_too_many(painter: OpenAIImagesGenerator):
    with pytest.raises(BadRequest, match="one LoRA at a time"):
        painter.admit("1", request(loras=(("ink", 1.0), ("oil", 1.0))))


async def test_a_server_that_streams_shows_rough_pictures(server: PaintingServer):
    painter = load(server, streams=True)
    painter.admit("1", request(num_images_per_prompt=2))
    events = await steps(painter)

    rough = [event for event in events if isinstance(event, Preview)]
    assert [event.image.size for event in rough] == [(16, 12)]
    assert isinstance(events[-1], Finished)
    assert [image.size for image in events[-1].images] == [(64, 48)] * 2
    server.refuse = unknown("stream")
    assert (await picture(painter)).size == (64, 48)
    assert "stream" not in server.asked[-1]
    await asyncio.to_thread(painter.close)
