"""From a claimed job's idea to the prompt that is painted: expansion, style, filter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.app import App
from bot.errors import DatabaseBusy, StorageFull, UnknownModel
from bot.models import Job
from generators.base import Expansion, ModelCard, PromptExpander

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""Between two tries of what a busy or full database refused."""

T = TypeVar("T")


async def settle_prompt(app: App, expander: PromptExpander, job: Job) -> bool:
    """Make the job's prompt and check it; False if the job has ended instead, or waits for its owner's choice.

    An expansion is made once and kept in the row: a retry, a reroll or an owner's choice brings its prompt along. The
    filter sees every prompt, also one that was made before.

    Raises:
        UserError: its model or style is not on offer any more.
    """
    card = app.settings.cards.get(job.request["model"])
    if card is None:
        raise UnknownModel
    if job.prompt is not None:
        return not await _refuse_forbidden(app, job, job.prompt)
    expansion = await _expand(expander, job, card)
    prompt = app.styles.apply(job.style, expansion.text)
    if await _refuse_forbidden(app, job, prompt):
        return False
    if job.expand == "preview":
        await patiently(lambda: app.jobs.hold(job, expansion, prompt))
        return False
    job.prompt = prompt
    return await patiently(lambda: app.jobs.save_expansion(job, expansion, prompt))


async def patiently(write: Callable[[], Awaitable[T]]) -> T:
    """Try until the database is neither busy nor full: the work is done already and must not be lost."""
    while True:
        try:
            return await write()
        except (DatabaseBusy, StorageFull) as error:
            log.warning("database_waits code=%s", error.code)
            await asyncio.sleep(PATIENCE_SECONDS)


async def _expand(expander: PromptExpander, job: Job, card: ModelCard) -> Expansion:
    if job.expand == "off":
        return Expansion(text=job.idea, added="", kept=(), model="", seconds=0.0)
    return await expander.expand(
        job.idea,
        locale=job.locale,
        seed=job.request["seed"],
        max_words=card.max_added_words,
        english_only=card.english_only,
    )


async def _refuse_forbidden(app: App, job: Job, prompt: str) -> bool:
    """What is about to be painted passes the same rules as what was asked for."""
    texts = {
        "idea": job.idea,
        "negative prompt": str(job.request["negative_prompt"]),
        "style": app.styles.find(job.style).text,
        "expansion": prompt,
    }
    refusal = await patiently(lambda: app.filters.check(job.guild_id, texts))
    if refusal:
        await patiently(lambda: app.jobs.refuse(job, refusal.code, refusal.sentence))
    return refusal is not None
