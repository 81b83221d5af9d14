"""How soon what is made of a picture is there, beside a new picture; and how much an edit changes outside its mask."""

# pyright: basic

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from PIL import Image

from limner.bot.ui.picture.picture_buttons import NUMBERS
from tests.benchmarks.figures import ROUNDS, fresh_studio, show, spread
from tests.discord_records import CHANNEL, GUILD, Asked, Post, until
from tests.studio import Studio

USER = 7
EACH = 3 * ROUNDS
CELLS = ["B2", "B3", "C2", "C3"]
CHANGED_AFTER = 4
"""Steps after which a running picture is given other words."""
Work = Callable[[Studio, Post, int], Awaitable[tuple[float, Post]]]


def main() -> None:
    """Print the table."""
    seconds, outside = asyncio.run(_measure())
    show(
        "What is made of a picture, on an idle system",
        ("", "seconds from the click to the picture at Discord"),
        [(name, spread(found)) for name, found in seconds.items()],
        f"Median (lowest to highest) of {EACH} each, in turn. Outside of the masks of the edits {outside:.4%} of the "
        "pixels changed.",
    )


async def _measure() -> tuple[dict[str, list[float]], float]:
    works: dict[str, Work] = {
        "a new picture, 16 steps": lambda studio, _post, _job: _imagine(studio),
        "Vary strong, 15 of 16 steps": lambda studio, post, job: _press(studio, post, job, "strong"),
        "Edit region, 16 steps": _edit,
        "Upscale 4x": lambda studio, post, job: _press(studio, post, job, "larger4"),
        f"Change after step {CHANGED_AFTER} of 16": _steer,
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    outside: list[float] = []
    async with fresh_studio() as studio:
        await studio.start(stderr=DEVNULL)
        _started, first = await _imagine(studio)
        await _posted(first)  # the model is loaded now
        job = studio.rows()[-1]["id"]
        for _round in range(EACH):
            for name, work in works.items():
                started, made = await work(studio, first, job)
                seconds[name].append(await _posted(made) - started)
                if work is _edit:
                    outside.append(_changed_outside(studio, job))
    return seconds, sum(outside) / len(outside)


async def _imagine(studio: Studio) -> tuple[float, Post]:
    started = time.time()
    asked = await studio.server.slash(USER, CHANNEL, "imagine", prompt="a red cat")
    return started, _message(asked)


async def _press(studio: Studio, post: Post, job: int, verb: str) -> tuple[float, Post]:
    """Open the picture's actions, and press one of them."""
    opened = await studio.server.click(USER, post, f"limner:picture:{job}:1")
    started = time.time()
    return started, _message(await studio.server.click(USER, _message(opened), f"limner:make:{verb}:{job}:1"))


async def _edit(studio: Studio, post: Post, job: int) -> tuple[float, Post]:
    """Send the form about a part of the picture."""
    fields = {"cells": CELLS, "idea": "a green hat", "rest": ["exact"], "mask": []}
    started = time.time()
    asked = await studio.server.submit(USER, CHANNEL, _form("region", job * NUMBERS + 1), fields)
    return started, _message(asked)


async def _steer(studio: Studio, post: Post, job: int) -> tuple[float, Post]:
    """Give a running picture other words."""
    _started, painting = await _imagine(studio)
    number = studio.rows()[-1]["id"]
    await until(lambda: studio.rows()[-1]["step"] >= CHANGED_AFTER, 60, "some steps")
    started = time.time()
    await studio.server.submit(USER, CHANNEL, _form("change", number), {"text": "a blue dog"})
    return started, painting


def _form(kind: str, subject: int) -> str:
    return f"limner:form:{kind}:{GUILD}:{USER}:{subject}"


def _message(asked: Asked) -> Post:
    assert asked.message, asked.body
    return asked.message


async def _posted(post: Post) -> float:
    """When the message got its pictures, in Unix seconds; previews are switched off."""
    await until(lambda: post.files, 120, "the picture")
    return next(at for at, _, files in post.edits if files)


def _changed_outside(studio: Studio, job: int) -> float:
    """The share of the pixels outside of the cells in which the newest picture differs from the job's first one."""
    rows = studio.rows("images")
    before = _pixels(studio, next(row for row in rows if row["job_id"] == job))
    after = _pixels(studio, rows[-1])
    assert before.shape == after.shape
    height, width = before.shape[0] // 4, before.shape[1] // 4
    is_outside = np.ones(before.shape[:2], dtype=bool)
    is_outside[height : 3 * height, width : 3 * width] = False
    assert (after != before)[~is_outside].any()  # the part is painted
    return float((after != before).any(axis=2)[is_outside].mean())


def _pixels(studio: Studio, row: dict[str, Any]) -> np.ndarray:
    sha256 = row["sha256"]
    return np.asarray(Image.open(studio.folder / "images" / sha256[:2] / f"{sha256}.png"))


if __name__ == "__main__":
    main()
