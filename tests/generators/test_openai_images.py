"""The images server's client against a real HTTP server: what it asks for, and every way in which a server fails."""

import asyncio
import gzip
import logging
import struct
import time
import zlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.model_card import ImagesServer, ModelCard
from limner.generators.errors import (
    BadRequest,
    BrokenImage,
    GenerationError,
    ModelNotFound,
    NoNegative,
    ServersDown,
)
from limner.generators.executor import Executor
from limner.generators.remote import images_answer, images_client
from limner.generators.remote.generator import RemoteGenerator
from limner.generators.remote.images_answer import AccountRefused
from limner.generators.remote.openai_images import OpenAIImagesGenerator
from limner.generators.remote.servers import PATIENCE, ModelServers
from limner.generators.requests import GenerationRequest
from tests.discord_records import until
from tests.images_server import PaintingServer, encoded, error, open_painting_server

PROMPT = "a red fox in the snow"


@pytest.fixture
async def server() -> AsyncGenerator[PaintingServer]:
    async with open_painting_server() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_client, "PAUSES", (0.01, 0.01))


def card(*servers: PaintingServer, key: str = "", timeout: float = 20.0, **more: Any) -> ModelCard:
    at = ImagesServer(tuple(server.address for server in servers), key, timeout)
    usual: dict[str, Any] = {"starts": False, "masks": False, "takes_loras": False, "one_lora": True}
    usual |= {"width": 64, "height": 48, "kind": "openai"}
    return ModelCard(name="flux", source="org/flux", server=at, **usual | more)


def load(*servers: PaintingServer, **more: Any) -> OpenAIImagesGenerator:
    unused: dict[str, Any] = {"device": "auto", "dtype": "auto", "offload": "none", "previews": 0.0}
    return OpenAIImagesGenerator.load(card(*servers, **more), max_batch=4, **unused)


@pytest.fixture
async def painter(server: PaintingServer) -> AsyncGenerator[OpenAIImagesGenerator]:
    painter = load(server)
    yield painter
    await asyncio.to_thread(painter.close)


def request(seed: int = 7, **more: Any) -> GenerationRequest:
    usual: dict[str, Any] = {"prompt": PROMPT, "model": "flux", "width": 64, "height": 48, "seed": seed}
    usual |= {"num_inference_steps": 8, "guidance_scale": 3.5}
    return GenerationRequest(**usual | more)


async def steps(painter: RemoteGenerator, ends: int = 1) -> list[Event]:
    """Step, as the worker does in a thread, until so many requests have left."""
    events: list[Event] = []
    async with asyncio.timeout(20):
        while sum(isinstance(event, Finished | Failed) for event in events) < ends:
            events += await asyncio.to_thread(painter.step)
    return events


async def failure(painter: OpenAIImagesGenerator, **more: Any) -> GenerationError:
    painter.admit("1", request(**more))
    [event] = await steps(painter)
    assert isinstance(event, Failed)
    assert painter.capacity() == 4 * 64 * 48
    return event.error


async def picture(painter: OpenAIImagesGenerator, **more: Any) -> Image.Image:
    painter.admit("1", request(**more))
    [event] = await steps(painter)
    assert isinstance(event, Finished), event
    return event.images[0]


async def test_each_sample_is_asked_for_with_its_own_seed(server: PaintingServer, painter: OpenAIImagesGenerator):
    painter.admit("1", request(seed=300, num_images_per_prompt=2, negative_prompt="hats"))
    assert painter.capacity() == 2 * 64 * 48
    [event] = await steps(painter)

    assert isinstance(event, Finished)
    assert event.seeds == [300, 301]
    assert [image.getpixel((0, 0)) for image in event.images] == [(44, 1, 0), (45, 1, 0)]
    assert [image.size for image in event.images] == [(64, 48)] * 2
    assert 0 < event.busy_seconds <= event.seconds
    sent = sorted(server.asked, key=lambda body: body["seed"])
    usual = {"prompt": PROMPT, "negative_prompt": "hats", "model": "org/flux", "n": 1, "size": "64x48"}
    usual |= {"num_inference_steps": 8, "step": 8, "guidance_scale": 3.5, "response_format": "b64_json"}
    assert sent == [usual | {"seed": 300}, usual | {"seed": 301}]


async def test_requests_are_painted_at_the_same_time_up_to_the_budget(
    server: PaintingServer, painter: OpenAIImagesGenerator
):
    server.free.clear()
    for seed in range(4):
        painter.admit(str(seed), request(seed))
    assert painter.capacity() == 0
    with pytest.raises(GenerationError):
        painter.admit("too many", request(9))
    await asyncio.to_thread(painter.step)
    await until(lambda: server.busiest == 4, 10, "all four are painted together")
    server.free.set()
    events = await steps(painter, ends=4)
    assert sorted(event.key for event in events) == ["0", "1", "2", "3"]
    assert all(isinstance(event, Finished) and event.busy_seconds < event.seconds for event in events)


async def test_who_leaves_hangs_up_and_its_neighbour_goes_on(server: PaintingServer, painter: OpenAIImagesGenerator):
    server.free.clear()
    painter.admit("leaves", request(1))
    painter.admit("stays", request(2))
    await asyncio.to_thread(painter.step)
    await until(lambda: server.busiest == 2, 10, "both are being painted")
    painter.evict("leaves")
    painter.evict("unknown")
    await until(lambda: server.hung_up == 1, 10, "the server hears of it")
    server.free.set()
    painter.admit("leaves", request(3))
    events = await steps(painter, ends=2)
    pixels = {event.key: event.images[0].getpixel((0, 0)) for event in events if isinstance(event, Finished)}
    assert pixels == {"leaves": (3, 0, 0), "stays": (2, 0, 0)}


async def test_loading_and_leaving_at_once_asks_for_nothing(server: PaintingServer, painter: OpenAIImagesGenerator):
    """The worker warms a model up in this way, and a hosted picture costs money."""
    painter.admit("warm-up", request())
    painter.evict("warm-up")
    assert await asyncio.to_thread(painter.step) == []
    assert server.asked == []


@pytest.mark.parametrize("fault", [429, 500, 502, 503])
async def test_a_passing_fault_is_waited_for(server: PaintingServer, painter: OpenAIImagesGenerator, fault: int):
    server.faults = [error(fault, "busy"), error(fault, "busy")]
    assert (await picture(painter)).getpixel((0, 0)) == (7, 0, 0)
    assert len(server.asked) == 3


async def test_the_server_says_how_long_to_wait(server: PaintingServer, painter: OpenAIImagesGenerator):
    server.faults = [error(429, "slow down")]
    server.faults[0].headers["Retry-After"] = "0.4"
    began = time.monotonic()
    await picture(painter)
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(
    ("status", "more", "kind", "retryable"),
    [
        (429, {}, GenerationError, True),
        (500, {}, GenerationError, True),
        (401, {}, AccountRefused, False),
        (403, {}, AccountRefused, False),
        (429, {"code": "insufficient_quota"}, AccountRefused, False),
        (404, {}, ModelNotFound, False),
        (302, {}, ModelNotFound, False),
        (400, {}, BadRequest, False),
        (413, {}, BadRequest, False),
        (400, {"code": "moderation_blocked"}, BadRequest, False),
    ],
)
async def test_a_lasting_fault_is_told_in_one_sentence(
    server: PaintingServer,
    painter: OpenAIImagesGenerator,
    caplog: pytest.LogCaptureFixture,
    status: int,
    more: dict[str, str],
    kind: type[GenerationError],
    retryable: bool,
):
    caplog.set_level(logging.DEBUG)
    server.refuse = lambda body: error(status, f"about {body['prompt']!r}: no", **more)
    said = await failure(painter)
    assert (type(said), said.retryable) == (kind, retryable)
    assert len(server.asked) == (3 if retryable else 1)
    assert PROMPT not in str(said) + caplog.text
    assert ("allow" in str(said)) == ("moderation_blocked" in more.values())


async def test_a_server_that_hangs_is_given_up(server: PaintingServer):
    server.free.clear()
    painter = load(server, timeout=0.2)
    said = await failure(painter)
    assert (str(said), said.retryable) == (images_answer.LATE, True)
    await until(lambda: server.hung_up == 1, 10, "the connection is closed")
    await asyncio.to_thread(painter.close)


async def test_a_server_that_is_not_there_costs_no_attempt(server: PaintingServer):
    server.address = "http://127.0.0.1:9/v1"
    painter = load(server)
    said = await failure(painter)
    assert isinstance(said, ServersDown)
    assert not said.costs_attempt
    await asyncio.to_thread(painter.close)


async def test_nobody_waits_for_servers_that_rest_for_longer_than_a_request_waits():
    servers = ModelServers(["http://127.0.0.1:9"])
    (await servers.free()).rest(PATIENCE + 20)
    with pytest.raises(ServersDown):
        await asyncio.wait_for(servers.free(), PATIENCE / 2)


async def test_several_servers_share_the_requests_and_one_that_is_down_gets_none_until_it_is_back():
    async with open_painting_server() as first:
        async with open_painting_server() as second:
            first.free.clear()
            second.free.clear()
            painter = load(first, second)
            assert painter.capacity() == 8 * 64 * 48
            for seed in range(4):
                painter.admit(str(seed), request(seed))
            await asyncio.to_thread(painter.step)
            await until(lambda: (first.busiest, second.busiest) == (2, 2), 10, "each server paints two")
        first.free.set()  # the second one went away with what it was painting
        events = await steps(painter, ends=4)
        assert all(isinstance(event, Finished) for event in events)
        asked = len(second.asked)
        async with open_painting_server(int(second.address.split(":")[2].removesuffix("/v1"))) as again:
            async with asyncio.timeout(20):
                while not again.asked:
                    painter.admit("5", request(5))
                    painter.admit("6", request(6))
                    events = await steps(painter, ends=2)
                    assert all(isinstance(event, Finished) for event in events)
        assert len(second.asked) == asked
        await asyncio.to_thread(painter.close)


def bomb() -> bytes:
    """40,000 x 40,000 pixels in a file of a few bytes: its header is all that may be read."""
    header = b"\x00\x00\x9c\x40\x00\x00\x9c\x40\x01\x00\x00\x00\x00"
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize(
    "fault",
    [
        lambda: web.Response(text="<html>"),
        lambda: web.Response(text="[" * 1_000_000),
        lambda: web.json_response([1, 2]),
        lambda: web.json_response({"data": []}),
        lambda: web.json_response({"data": [{"b64_json": None, "url": "http://x/1.png"}]}),
        lambda: web.json_response({"data": [{"b64_json": "not base64!"}]}),
        lambda: encoded(b"these are not the bytes of a picture"),
        lambda: encoded(bomb()),
    ],
    ids=["no JSON", "deep JSON", "wrong JSON", "no picture", "a link", "broken base64", "no image bytes", "a bomb"],
)
async def test_what_is_not_a_picture_is_not_taken_for_one(
    server: PaintingServer, painter: OpenAIImagesGenerator, fault: Any
):
    server.faults = [fault()]
    assert isinstance(await failure(painter), BrokenImage)


async def test_an_answer_without_end_is_not_read(
    server: PaintingServer, painter: OpenAIImagesGenerator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images_client, "MOST_BYTES", 100_000)
    packed = web.Response(body=gzip.compress(b" " * 200_000), headers={"Content-Encoding": "gzip"})
    server.faults = [web.Response(body=b" " * 200_000), packed]
    assert isinstance(await failure(painter), BrokenImage)
    assert isinstance(await failure(painter), BrokenImage)


async def test_an_error_of_any_length_is_understood(server: PaintingServer, painter: OpenAIImagesGenerator):
    began = time.process_time()
    server.faults = [error(400, "seed unknown " * 1_000_000)]
    assert (await picture(painter)).size == (64, 48)
    assert time.process_time() - began < 5


def openai(body: dict[str, Any]) -> web.Response | None:
    """gpt-image-1: it names one unknown parameter at a time, and takes few sizes."""
    for name in ("seed", "step", "num_inference_steps", "guidance_scale", "negative_prompt", "response_format"):
        if name in body:
            message = f"Unknown parameter: '{name}'."
            return error(400, message, type="invalid_request_error", param=name, code="unknown_parameter")
    if body.get("size", "1024x1024") != "1024x1024":
        return error(400, f"Invalid size {body['size']}.", param="size", code="invalid_value")
    return None


def fastapi(body: dict[str, Any]) -> web.Response | None:
    """A server whose model forbids what it does not know."""
    extra = sorted(body.keys() - {"prompt", "model", "n", "size", "response_format"})
    detail = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in extra
    ]
    return web.json_response({"detail": detail}, status=422) if detail else None


def plain(body: dict[str, Any]) -> web.Response | None:
    """The words of OpenAI's first years."""
    return error(400, "Unrecognized request argument supplied: seed") if "seed" in body else None


async def test_a_server_that_takes_no_negative_prompt_is_told_nothing_of_it_in_other_words(
    server: PaintingServer, painter: OpenAIImagesGenerator
):
    server.refuse = openai
    assert isinstance(await failure(painter, negative_prompt="hats"), NoNegative)
    assert all(body["prompt"] == PROMPT for body in server.asked)


@pytest.mark.parametrize(("refuse", "more"), [(openai, 6), (fastapi, 1), (plain, 1)])
async def test_what_a_server_does_not_know_is_left_out_from_then_on(
    server: PaintingServer, painter: OpenAIImagesGenerator, refuse: Any, more: int
):
    server.refuse = refuse
    assert (await picture(painter)).size == (64, 48)
    assert len(server.asked) == 1 + more
    taken = server.asked[-1].keys()
    await picture(painter)
    assert len(server.asked) == 2 + more
    assert server.asked[-1].keys() == taken
    others = {"num_inference_steps", "step", "guidance_scale"}
    assert not taken & {"seed", *(() if refuse is plain else others)}
    if refuse is plain:
        assert taken > others  # what it takes is not left out beside what it does not


async def test_a_wrong_value_is_not_taken_for_an_unknown_field(server: PaintingServer, painter: OpenAIImagesGenerator):
    detail = [{"type": "less_than_equal", "loc": ["body", "guidance_scale"], "msg": "at most 20"}]
    server.faults = [web.json_response({"detail": detail}, status=422)]
    assert isinstance(await failure(painter, guidance_scale=30.0), BadRequest)
    await picture(painter)
    assert server.asked[-1]["seed"] == 7


async def test_a_size_that_a_server_does_not_know_is_left_to_it(server: PaintingServer, painter: OpenAIImagesGenerator):
    server.refuse = lambda body: error(400, "bad", param="size") if body.get("size") == "80x40" else None
    assert (await picture(painter, width=80, height=40)).size == (64, 48)
    assert (await picture(painter, width=32, height=32)).size == (32, 32)


@pytest.mark.parametrize("more", [{"init_image": "x"}, {"mask": "x"}, {"loras": (("x", 1.0),)}, {"scheduler": "x"}])
async def test_what_the_card_does_not_offer_is_refused(painter: OpenAIImagesGenerator, more: dict[str, Any]):
    with pytest.raises(BadRequest, match="without"):
        painter.admit("1", request(**more))


@pytest.mark.parametrize("asked", [(4000, 3000), (8, 8)])
async def test_a_picture_of_a_far_other_size_is_not_taken(
    server: PaintingServer, painter: OpenAIImagesGenerator, asked: tuple[int, int]
):
    server.refuse = lambda body: error(400, "bad", param="size") if "size" in body else None  # then it paints its own
    said = await failure(painter, width=asked[0], height=asked[1])
    assert (type(said), str(said)) == (BrokenImage, images_answer.OTHER_SIZE)


async def test_the_key_is_sent_and_never_shown(server: PaintingServer):
    server.key = "sesame"
    painter = load(server, key="sesame")
    await picture(painter)
    assert "sesame" not in repr(card(server, key="sesame"))
    await asyncio.to_thread(painter.close)


async def test_the_executor_finds_it_by_the_models_kind(server: PaintingServer):
    executor = Executor({"flux": card(server)}, max_batch=2)
    executor.admit("1", request())
    events: list[Event] = []
    async with asyncio.timeout(20):
        while not events:
            events = await asyncio.to_thread(executor.step)
    assert isinstance(events[0], Finished)
    await asyncio.to_thread(executor.close)
