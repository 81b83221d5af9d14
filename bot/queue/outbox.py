"""Answers that their channels refuse: retry times, and the interaction tokens that can still post them."""

from __future__ import annotations

import logging
import time
from typing import Any

from sqlalchemy import func, select, text, update

from limner.bot.errors import UserError
from limner.bot.place import Where
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.history.gallery import mark_moved
from limner.bot.storage.tables.models import UNDELIVERED, AnswerToken, Job

log = logging.getLogger(__name__)

LONGEST_PAUSE, LONGEST_HOLD = 300.0, 3600.0
"""Most seconds between two attempts to post an answer, and to post one that its channel refuses."""


class Outbox:
    """The rows of answers that could not be posted yet."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._heard: set[int] = set()

    async def token(self, job_id: int) -> str | None:
        """The interaction token that can edit the job's message without permissions; None once it has expired."""
        alive = select(AnswerToken.token).where(AnswerToken.job_id == job_id, AnswerToken.expires_at > time.time())
        async with self.database.read() as session:
            return await session.scalar(alive)

    async def forget_expired(self) -> None:
        """Delete expired tokens."""
        expired = AnswerToken.expires_at <= time.time()
        async with self.database.read() as session:
            if await session.scalar(select(AnswerToken.job_id).where(expired).limit(1)) is None:
                return
        async with self.database.begin() as session:
            await shared_sql.forget_tokens(session, expired)

    async def hold_back(self, job_id: int, seconds: float) -> None:
        """Record that the job's channel refuses its answer and that its owner is notified.

        Retry after so many seconds.
        """
        now = time.time()
        values = {
            "held_back_at": func.coalesce(Job.held_back_at, now),
            "deliver_after": now + seconds,
            "delivery_attempts": Job.delivery_attempts + 1,
        }
        async with self.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job_id).values(**values))

    async def post_again(self, job_id: int, **changes: Any) -> None:
        """Have a posted answer written anew, after these changes of its row."""
        due = {"delivered_at": None, "delivery_attempts": 0, "deliver_after": 0.0, "held_back_at": None}
        async with self.database.begin() as session:
            await session.execute(update(Job).where(Job.id == job_id).values(**changes, **due))

    async def move(self, job_id: int, channel_id: int, where: Where) -> bool:
        """Have an answer posted anew at another place; False if it is not in that channel any more.

        Its message there is forgotten, and so is the interaction token that could edit it.
        """
        # With a time of delivery in the past, as no command is to post its first message.
        due = {"delivered_at": None, "delivery_attempts": 0, "deliver_after": Job.created_at, "held_back_at": None}
        place = {
            "channel_id": where.channel_id,
            "parent_ids": list(where.parent_ids),
            "is_age_restricted": where.is_age_restricted,
        }
        moved = update(Job).where(Job.id == job_id, Job.channel_id == channel_id)
        async with self.database.begin() as session:
            found = await session.scalar(moved.values(**place, **due, message_id=None).returning(Job.id))
            if found is not None:
                await mark_moved(session, job_id, channel_id, where.channel_id or 0)
                await shared_sql.forget_tokens(session, AnswerToken.job_id == job_id)
        return found is not None

    def hear(self, guild_id: int) -> None:
        """Note a change in a server; changes arrive in hundreds when a moderator reorders roles."""
        self._heard.add(guild_id)

    async def try_again(self) -> None:
        """Make the answers refused in changed servers due at once."""
        heard, self._heard = self._heard, set()
        if not heard:
            return
        held_back = (text(UNDELIVERED), Job.held_back_at.is_not(None), Job.guild_id.in_(heard))
        try:
            async with self.database.read() as session:
                numbers = (await session.scalars(select(Job.id).where(*held_back))).all()
            if numbers:
                async with self.database.begin() as session:
                    await session.execute(update(Job).where(Job.id.in_(numbers)).values(deliver_after=0.0))
                log.info("delivery_tried_again jobs=%s", len(numbers))
        except UserError:
            self._heard |= heard
            raise
