"""The words of pictures that are edited by words: a filter reads them beside those of the edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limner.bot.queue.enqueue import NewJob
from limner.bot.reasons import Action
from limner.bot.storage.tables.models import Job

if TYPE_CHECKING:
    from limner.bot.app import App

MOST_EDITS = 8
"""Edits of one picture after each other that are read."""


async def words_of_picture(app: App, new: NewJob) -> str:
    """The prompts of the picture that a request edits, with those of the edits before; empty where it edits none.

    What an edit such as "without clothes" means depends on the picture.
    """
    card = app.settings.cards[new.request.model]
    if not (card.edits and new.request.init_image):
        return ""
    words: list[str] = []
    number = new.parent_id
    while number is not None and len(words) < MOST_EDITS:
        job: Job = await app.jobs.get(number)
        words.append(job.generation.latest_prompt)
        number = job.parent_id if job.action == Action.INSTRUCT else None
    return "\n".join(words)
