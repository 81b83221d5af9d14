"""Held jobs: their owner chooses between expansions before anything is painted."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import case, func, literal, select, text, update

from limner.bot.queue import transitions
from limner.bot.queue.candidates import next_turn
from limner.bot.queue.endings import JobEndings
from limner.bot.reasons import EndCode, HoldReason
from limner.bot.storage.tables.models import HELD, Job
from limner.bot.translation import N_, _
from limner.generators.base import Expansion

EXPIRED = N_("Nobody chose between Keep, Edit and Raw in time, so nothing was painted; ask again when you like.")


class HeldJobs(JobEndings):
    """Jobs that wait for their owner's choice."""

    async def hold(self, job: Job, expansion: Expansion, prompt: str) -> bool:
        """Pause the job so that its owner can see the expansion; the attempt does not count."""
        held = {"held_at": case((Job.cancel_requested, None), else_=time.time()), "attempts": Job.attempts - 1}
        values = (
            transitions.expanded(job.idea, expansion, prompt) | transitions.ruled(job) | transitions.unclaimed() | held
        )
        return await self._changed(transitions.ours(job).values(**values), self.changed)

    async def release_held(
        self, job_id: int, expansion: Expansion, prompt: str, quarantine: HoldReason | None = None
    ) -> bool:
        """The owner has chosen a prompt: queue the job for the owner's next turn. False if it is not held any more.

        ``quarantine`` is set as the hold reason if the job has none.
        """
        async with self.database.begin() as session:
            asked = select(Job.idea, Job.user_id, Job.server_id).where(Job.id == job_id)
            idea, *whose = (await session.execute(asked)).one()
            values: dict[str, Any] = {
                "held_at": None,
                "turn": next_turn(*(literal(one, Job.user_id.type) for one in whose)),
                "quarantine": func.coalesce(Job.quarantine, quarantine),
            }
            held = update(Job).where(Job.id == job_id, text(HELD))
            chosen = held.values(**transitions.expanded(idea, expansion, prompt), **values).returning(Job.id)
            won = (await session.execute(chosen)).first() is not None
            if won:
                await self._announce(session, self.queued)
        return won

    async def expand_again(self, job: Job) -> bool:
        """Queue a held job for another expansion, which replaces the present one.

        False if its owner has chosen one, or asked for another one, since the job was read.
        """
        whose = (literal(one, Job.user_id.type) for one in (job.user_id, job.server_id))
        held = update(Job).where(Job.id == job.id, text(HELD), Job.more_expansions == job.more_expansions)
        again = held.values(**transitions.unexpanded(job.idea), held_at=None, turn=next_turn(*whose))
        return await self._changed(again, self.queued)

    async def expire_held(self, older_than: float) -> None:
        """Cancel held jobs whose owner has not chosen a prompt within so many seconds."""
        waiting = update(Job).where(Job.held_at < time.time() - older_than)
        expired = transitions.cancelled() | {"reason_code": EndCode.EXPIRED, "reason": _(EXPIRED)}
        await self._update(waiting.values(**expired), self.changed)
