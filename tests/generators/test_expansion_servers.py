# pyright: basic, reportPrivateUsage=false

"""Expansion by a language model's server: what it is asked, which answers are used, and what happens when it fails."""

import asyncio
import gzip
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from limner.generators.language.expanders import OpenAIExpander


class ChatServer:
    """An OpenAI-compatible server that gives prepared answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Callable[[], web.Response]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.delay = 0.0
        self.url = ""

    def says(self, text: str | None, finish_reason: str = "stop") -> None:
        body = {"choices": [{"message": {"content": text}, "finish_reason": finish_reason}]}
        self.answers.append(lambda: web.json_response(body))

    def fails(self, status: int, times: int = 1) -> None:
        self.answers += [lambda: web.Response(status=status, text="secret reason")] * times

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        await asyncio.sleep(self.delay)
        return self.answers.pop(0)()


@pytest.fixture
async def chat() -> AsyncGenerator[tuple[ChatServer, OpenAIExpander]]:
    server = ChatServer()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    async with TestServer(app) as running:
        server.url = str(running.make_url("/v1"))
        expander = OpenAIExpander.create(model="qwen", url=server.url, api_key="key-123", timeout=3, cache=Path())
        yield server, expander
        await expander.close()


async def ask(expander: OpenAIExpander, idea: str = "two cats", max_words: int = 20, **more: Any):
    return await expander.expand(idea, locale="en-US", seed=7, max_words=max_words, **more)


async def test_a_server_describes(chat: tuple[ChatServer, OpenAIExpander]):
    server, expander = chat
    server.says("Two grey cats on a sofa, soft light.\n")
    expansion = await ask(expander)
    assert expansion.text == "Two grey cats on a sofa, soft light."
    assert "grey" in expansion.added
    assert (expansion.kept, expansion.model, expansion.note) == (("two", "cats"), "qwen", "")
    asked = server.asked[0]
    assert (asked["model"], asked["seed"], asked["messages"][1]["content"]) == ("qwen", 7, "two cats")
    assert "word for word" in asked["messages"][0]["content"]
    assert "20 words" in asked["messages"][0]["content"]
    assert server.keys == ["Bearer key-123"]


async def test_a_busy_server_is_asked_again(chat: tuple[ChatServer, OpenAIExpander]):
    server, expander = chat
    server.fails(429)
    server.fails(503)
    server.says("two cats, soft light")
    assert (await ask(expander)).text == "two cats, soft light"
    assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (400, 1), (401, 1)])
async def test_a_server_that_fails_leaves_the_idea(
    chat: tuple[ChatServer, OpenAIExpander], caplog: pytest.LogCaptureFixture, status: int, tries: int
):
    server, expander = chat
    server.fails(status, times=9)
    expansion = await ask(expander)
    assert (expansion.text, expansion.added) == ("two cats", "")
    assert expansion.note == "The language model did not answer, so your idea was used as it is."
    assert len(server.asked) == tries
    assert not any(word in caplog.text for word in ("key-123", "two cats", "secret reason"))


async def test_a_slow_server_is_not_waited_for(chat: tuple[ChatServer, OpenAIExpander]):
    server, _ = chat
    server.delay = 2
    server.says("two cats")
    hasty = OpenAIExpander.create(model="qwen", url=server.url, api_key="", timeout=0.3, cache=Path())
    began = time.monotonic()
    expansion = await ask(hasty)
    assert time.monotonic() - began < 1.5
    await hasty.close()
    assert expansion.note == "The language model did not answer in time, so your idea was used as it is."


async def test_nobody_there(unused_tcp_port: int):
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    expander = OpenAIExpander.create(model="m", url=url, api_key="", timeout=5, cache=Path())
    assert "did not answer" in (await ask(expander)).note
    await expander.close()


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("I'm sorry, I can't help with two cats.", "refused to write"),
        ("A cat on a sofa, soft light", "left out or changed some of your words"),
        (None, "wrote nothing"),
        ("<think>two cats, and the answer is", "wrote nothing"),
    ],
)
async def test_an_answer_that_is_none_is_not_used(chat: tuple[ChatServer, OpenAIExpander], answer: str, note: str):
    server, expander = chat
    server.says(answer)
    expansion = await ask(expander)
    assert expansion.text == "two cats"
    assert expansion.note == f"The language model {note}, so your idea was used as it is."


@pytest.mark.parametrize("body", ["{not json", "[]", "{}", '{"choices": []}', '{"choices": [{"message": null}]}'])
async def test_a_malformed_answer_leaves_the_idea(chat: tuple[ChatServer, OpenAIExpander], body: str):
    server, expander = chat
    server.answers.append(lambda: web.Response(text=body))
    assert "could not be read" in (await ask(expander)).note


PACKED = {"Content-Encoding": "gzip", "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("repeats", "repeated itself"),
        ("rambles", "left out or changed"),
        ("brackets", "could not be read"),
        ("gzip", "could not be read"),
        ("endless", "could not be read"),
    ],
)
async def test_no_answer_takes_long_or_much_memory(chat: tuple[ChatServer, OpenAIExpander], kind: str, note: str):
    server, expander = chat
    if kind == "repeats":
        server.says("a" + ", a" * 250_000)
    elif kind == "rambles":
        server.says(", ".join(f"shade {number}" for number in range(50_000)))
    elif kind == "brackets":
        server.answers.append(lambda: web.Response(text="[" * 1_000_000))
    elif kind == "gzip":
        bomb = gzip.compress(b" " * 2**28, 1)
        server.answers.append(lambda: web.Response(body=bomb, headers=PACKED))
    else:
        server.answers.append(lambda: web.Response(body=endless()))
    late = [0.0]
    watch = asyncio.create_task(lateness(late))
    memory, began = psutil.Process().memory_info().rss, time.process_time()

    expansion = await ask(expander)

    watch.cancel()
    assert (expansion.text, note in expansion.note) == ("two cats", True)
    assert time.process_time() - began < 3
    assert max(late) < 0.5
    assert psutil.Process().memory_info().rss - memory < 100 * 2**20


async def endless() -> AsyncGenerator[bytes]:
    while True:
        yield b" " * 2**16
        await asyncio.sleep(0)


async def lateness(late: list[float]) -> None:
    """Notes how much later than asked for this event loop comes back."""
    while True:
        asked = time.monotonic()
        await asyncio.sleep(0.01)
        late.append(time.monotonic() - asked - 0.01)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("<think>One cat? No,\ntwo.</think>\n\ntwo cats, soft light", "two cats, soft light"),
        ("No, two.</think>two cats, soft light", "two cats, soft light"),
        ('"two cats, soft light"', "two cats, soft light"),
        ("two cats,\n\nsoft light\u202e\x07", "two cats, soft light"),
        ("two cats, soft light, " + ", ".join(f"shade{i} of dusk" for i in "abcdefghi"), "two cats, soft light"),
    ],
)
async def test_answers_are_tidied(chat: tuple[ChatServer, OpenAIExpander], answer: str, text: str):
    server, expander = chat
    server.says(answer)
    assert (await ask(expander, max_words=4)).text == text


async def test_a_cut_off_answer_loses_its_last_phrase(chat: tuple[ChatServer, OpenAIExpander]):
    server, expander = chat
    server.says("two cats, soft light, a very lo", finish_reason="length")
    assert (await ask(expander)).text == "two cats, soft light"


async def test_a_model_that_reads_tags_gets_tags(chat: tuple[ChatServer, OpenAIExpander]):
    server, expander = chat
    server.says("two cats, grey fur. Soft light; on a sofa.")
    assert (await ask(expander, dialect="tags")).text == "two cats, grey fur, Soft light, on a sofa"
    orders = server.asked[0]["messages"][0]["content"]
    assert orders.startswith("You turn a short idea into tags")
    assert "20 words" in orders
    server.says("Two cats. They sit on a sofa.")
    assert (await ask(expander, dialect="tags")).text == "Two cats. They sit on a sofa."


async def test_a_foreign_idea_is_asked_for_in_english(chat: tuple[ChatServer, OpenAIExpander]):
    server, expander = chat
    server.says("A wide beach at sunset, warm light")
    expansion = await ask(expander, "夕阳下的海滩", english_only=True)
    assert expansion.text == "A wide beach at sunset, warm light"
    assert expansion.kept == ("夕阳下", "海滩")
    assert server.asked[0]["messages"][1]["content"] == "beach at sunset"
    assert "in English" in server.asked[0]["messages"][0]["content"]
