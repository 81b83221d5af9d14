"""What a page of the gallery costs with up to a million requests, a tenth of them one member's: every filter, any word.

`python -m tests.benchmarks.history 10000 100000` measures these sizes only.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from sqlalchemy import text

from limner.bot.queue.enqueue import row
from limner.bot.reasons import Action, JobStatus
from limner.bot.storage.db import Database
from limner.bot.storage.history.alike import Alike
from limner.bot.storage.history.embeddings import SearchScope
from limner.bot.storage.history.gallery import Filter, Gallery, Key
from limner.bot.storage.history.search import facets
from limner.bot.storage.tables.models import Image, Job
from limner.bot.ui.picture.gallery import MOST_ALIKE, MOST_FOUND
from tests.benchmarks.claims import Timings
from tests.benchmarks.databases import KINDS, new_database, stop_indexing, write_rows
from tests.benchmarks.figures import show
from tests.rows import new_job

SIZES = (10_000, 100_000, 1_000_000)
MEMBER, SERVER = 17, 3
SHARE, SERVERS, OTHERS = 10, 20, 2_000
"""One request in ten is the member's; of how many servers, and of how many other members."""
TEXTS, VOCABULARY, WORDS = 5_000, 30_000, 40
"""Different prompts, different words, and words of a prompt; the commonest word is in nearly all."""
MODELS, STYLES = ("sd", "sdxl", "flux"), ("", "anime", "photo", "ink")
PAGE, TIMES = 10, 100
AT_ONCE = 10_000
BEGAN = 1.7e9
SECONDS_BETWEEN = 30.0
READER, EMBEDDING = "reader", 512
"""The image-text model of pictures' embeddings, and numbers of one."""
HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 400)]


def main() -> None:
    """Print the tables."""
    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    for kind in KINDS:
        columns = asyncio.run(_measure(kind, sizes))
        rows = [(what, *(column.told(what) for column in columns)) for what in columns[0].seconds]
        show(
            f"A page of nine pictures on {kind}",
            ("what is wanted", *(f"{size:,} requests" for size in sizes)),
            rows,
            f"Milliseconds, median / 99th percentile of {TIMES} pages; a tenth of the requests is the member's.",
        )


async def _measure(kind: str, sizes: Sequence[int]) -> list[Timings]:
    columns: list[Timings] = []
    async with new_database(kind) as database:
        filled = 0
        for size in sizes:
            began = time.perf_counter()
            await _fill(database, range(filled + 1, size + 1))
            print(f"{kind}: {size:,} requests after {time.perf_counter() - began:.0f} s", flush=True)
            columns.append(await _browse(Gallery(database), size))
            await _look_alike(columns[-1], database, size)
            filled = size
    return columns


async def _browse(gallery: Gallery, size: int) -> Timings:
    timings = Timings()
    mine: dict[str, Any] = {"user_id": MEMBER}
    here: dict[str, Any] = {"guild_id": SERVER}
    week = BEGAN + size / 2 * SECONDS_BETWEEN
    dates = {"since": week - 7 * 86400, "until": week}
    wanted: dict[str, dict[str, Any]] = {
        "a page": mine,
        "a model": mine | {"model": "sdxl"},
        "a style that is seldom": mine | {"style": "ink"},
        "a LoRA of long ago": mine | {"lora": "early"},
        "a channel": mine | {"channel_id": 5},
        "a week": mine | dates,
        "upscaled": mine | {"is_upscaled": True},
        "all of them": mine | dates | {"model": "sdxl", "style": "anime", "channel_id": 5, "words": "w1"},
        "a common word": mine | {"words": "w3"},
        "two words": mine | {"words": "w9 w30"},
        "a phrase": mine | {"words": '"w1 w2"'},
        "a phrase of nobody, of words in all": mine | {"words": '"w2 masterpiece 8k"'},
        "a phrase of nobody": mine | {"words": '"8k masterpiece"'},
        "two words that are never together": mine | {"words": "dawn dusk"},
        "a beginning": mine | {"words": "w29"},
        "a word of one request": mine | {"words": "onlyonce"},
        "a word of other members": mine | {"words": "notmine"},
        "a word of nobody": mine | {"words": "nowhere"},
        "a Chinese word": mine | {"words": "夜雨"},
        "a Chinese word of nobody": mine | {"words": "鯨鯱"},
        "of a server: a page": here,
        "of a server: a common word": here | {"words": "w3"},
        "of a server: a word of nobody": here | {"words": "nowhere"},
    }
    for what, filters in wanted.items():
        for _ in range(TIMES):
            await timings.take(what, lambda filters=filters: _page(gallery, Filter(**filters)))
    for _ in range(TIMES):
        await timings.take("a search of /history", lambda: _searched(gallery, Filter(**mine, words="w9 w30")))
    last: Key | None = None
    for _ in range(TIMES):
        after = last
        keys = await timings.take("the next page", lambda after=after: _page(gallery, Filter(**mine), after))
        last = keys[-2]
    for _ in range(TIMES):
        middle = Key(random.randrange(1, size), 0)
        await timings.take("a page anywhere", lambda middle=middle: _page(gallery, Filter(**mine), middle))
    for _ in range(TIMES):
        await timings.take("oldest first", lambda: _page(gallery, Filter(**mine), is_oldest_first=True))
    return timings


async def _look_alike(timings: Timings, database: Database, size: int) -> None:
    """Time More like this by looks; its first search, which reads the signs, is printed."""
    gallery, alike = Gallery(database), Alike(database, READER)

    async def like(job_id: int) -> None:
        found = await alike.nearest(SearchScope(user_id=MEMBER), job_id, 0, [], MOST_ALIKE)
        await gallery.load((await gallery.ranked(Filter(user_id=MEMBER), found, PAGE))[:-1])

    began = time.perf_counter()
    await like(SHARE)
    print(f"the first More like this: {time.perf_counter() - began:.2f} s", flush=True)
    for _ in range(TIMES):
        await timings.take("more like this, by looks", lambda: like(random.randrange(SHARE, size, SHARE)))
    await alike.close()


async def _searched(gallery: Gallery, wanted: Filter) -> None:
    """What /history asks the database for when it is given words, apart from the meaning."""
    ranking = await gallery.requests(wanted, MOST_FOUND)
    await gallery.load((await gallery.ranked(wanted, ranking, PAGE))[:-1])


async def _page(gallery: Gallery, wanted: Filter, after: Key | None = None, **order: bool) -> list[Key]:
    """What /history asks the database for."""
    keys = await gallery.keys(wanted, PAGE, after=after, **order)
    await gallery.load(keys[:-1])
    return keys


async def _fill(database: Database, numbers: range) -> None:
    """Finished requests in the order of time; the index is made at the end, which is quicker."""
    later = await stop_indexing(database)
    draw, looks = random.Random(numbers.start), np.random.default_rng(numbers.start)
    texts = list(_texts(draw))
    for start in range(numbers.start, numbers.stop, AT_ONCE):
        part = range(start, min(start + AT_ONCE, numbers.stop))
        jobs = [_row(number, draw, draw.choice(texts)) for number in part]
        images = [image for number in part for image in _images(number, looks)]
        async with database.begin() as session:
            await write_rows(session, Job.metadata.tables["jobs"], jobs)
            await write_rows(session, Image.metadata.tables["images"], images)
    async with database.begin(patience=60) as session:
        for statement in later:
            await session.execute(text(statement))
    async with database.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("ANALYZE"))


def _texts(draw: random.Random) -> Iterator[dict[str, Any]]:
    """Requests of different words, as common as words are; one in four ideas is Chinese."""
    words = [f"w{number}" for number in range(1, VOCABULARY + 1)]
    shares = list(accumulate(1 / (number + 5) for number in range(VOCABULARY)))
    for number in range(TEXTS):
        drawn = draw.choices(words, cum_weights=shares, k=WORDS)
        idea = "".join(draw.choices([*HAN, "夜雨"], k=12)) if number % 4 == 0 else " ".join(drawn[:10])
        yield row(new_job(idea, prompt=f"masterpiece, {idea}, {' '.join(drawn[10:])}, 8k"))


def _row(number: int, draw: random.Random, texts: dict[str, Any]) -> dict[str, Any]:
    """A finished request; every tenth one is the member's, and one in twenty of those is upscaled by the next."""
    is_mine = number % SHARE == 0
    model, at = draw.choices(MODELS, (6, 3, 1))[0], BEGAN + number * SECONDS_BETWEEN
    made: dict[str, Any] = {
        "user_id": MEMBER if is_mine else 1000 + draw.randrange(OTHERS),
        "guild_id": 1 + draw.randrange(SERVERS),
        "channel_id": 1 + draw.randrange(10),
        "is_private": draw.random() < 0.1,
        "style": draw.choices(STYLES, (60, 30, 9.9, 0.1))[0],
    }
    loras, is_upscaled = ["early"] if number <= 2000 else [], is_mine and number // SHARE % 20 == 1
    is_upscaling = is_mine and number // SHARE % 20 == 2 and number > SHARE
    words = "onlyonce " * (number == SHARE) + "notmine " * (not is_mine and number % 3 == 0)
    words += "dawn " if number // SHARE % 2 else "dusk "
    return (
        texts
        | made
        | {
            "id": number,
            "created_at": at,
            "finished_at": at,
            "delivered_at": at,
            "status": JobStatus.FAILED if number % 20 == 7 else JobStatus.SUCCEEDED,
            "server_id": made["guild_id"],
            "turn": 0.0,
            "weights_key": f"{model}|",
            "request": texts["request"] | {"model": model, "loras": [[name, 1.0] for name in loras]},
            "action": Action.UPSCALE if is_upscaling else None,
            "parent_id": number - SHARE if is_upscaling else None,
            "search_facets": facets(**made, model=model, loras=loras, is_upscaled=is_upscaled),
            "search_text": texts["search_text"] + words,
        }
    )


def _images(number: int, looks: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Pictures, of which the member's have embeddings."""
    for position in range(4 if number % 8 == 0 else 1):
        size = {"width": 512, "height": 512, "size": 400_000}
        features = looks.integers(-127, 128, EMBEDDING, np.int8).tobytes() if number % SHARE == 0 else None
        made = {"features": features, "features_by": READER}
        yield {
            "job_id": number,
            "position": position,
            "sha256": f"{number:060x}{position:04x}",
            "seed": 7,
            **size,
            **made,
        }


if __name__ == "__main__":
    main()
