"""The durable, fair queue; with `held`, `endings` and `leases` all that changes a job's status."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import (
    case,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from limner.bot.errors import ClickedTwice, QueueFull
from limner.bot.queue import transitions
from limner.bot.queue.candidates import (
    pass_over,
    read_others,
    read_waiting,
    take_room,
    write_accounts,
)
from limner.bot.queue.enqueue import Asking, NewJob, NotTaken, count_open, insert_rows, keep_references, row
from limner.bot.queue.fairness import Waiting, WorkerCapacity, choose, fair_order, settle
from limner.bot.queue.held import HeldJobs
from limner.bot.queue.quota import Limit
from limner.bot.reasons import JobStatus
from limner.bot.storage import shared_sql
from limner.bot.storage.db import Database
from limner.bot.storage.tables.models import (
    RUNNING,
    AnswerToken,
    Job,
    PreviewRow,
    Seen,
)
from limner.bot.storage.together import Together
from limner.bot.translation import N_, _, english, ngettext
from limner.generators.base import Expansion

log = logging.getLogger(__name__)

UNLIMITED = 2**31 - 1

ON_ITS_WAY = N_("Request {job} is on its way already; press again if you want another one.")
YOUR_LIMIT = N_(
    "You have {limit} waiting or running, which is the most allowed; wait for one to finish or stop one with /cancel."
)
SERVER_LIMIT = N_("This server has {limit} waiting or running, which is the most allowed; try again soon.")


class JobQueue(HeldJobs):
    """Jobs as rows: enqueue, claim, finish. Every method is one short transaction.

    The rows themselves are in `rows`, questions about them in `reads`, lost workers in `leases`, ends and new attempts
    in `endings`, and the owner's choice between expansions in `held`.
    """

    def __init__(
        self,
        database: Database,
        *,
        lease_seconds: float = 15.0,
        max_attempts: int = 3,
        server_weights: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__(database, lease_seconds, max_attempts, server_weights or {})
        self._enqueuing = Together(self._enqueue_together)
        self._attaching = Together(self._attach_together)

    async def enqueue(
        self, new: NewJob, *, per_user: int | None = None, per_guild: int | None = None, quota: Sequence[Limit] = ()
    ) -> Job:
        """Accept a request: one INSERT, which also counts open jobs and assigns the turn (see `fairness`).

        What the member had lately is counted in the same transaction, so that no two requests take the last of a quota.
        It is on the disk when this returns. Requests that come at the same moment are written together.

        Raises:
            QuotaUsed: the request is over the member's quota; nothing was written.
            QueueFull: the user or the server has too many open jobs; nothing was written.
            ClickedTwice: the same click made a request a moment before (see `NewJob.click_key`); nothing was written.
        """
        asking = Asking(new, per_user or UNLIMITED, per_guild or UNLIMITED, quota)
        job = await self._enqueuing.ask(asking)
        if isinstance(job, NotTaken):
            if job.clicked_id:
                raise ClickedTwice(_(ON_ITS_WAY, job=job.clicked_id))
            if job.over:
                raise job.over.error()
            raise _queue_full(job.mine, asking.per_user, asking.per_guild)
        log.info("job_queued job=%s guild=%s", job.id, job.guild_id)
        return _without_images(job)

    async def check_room(self, user_id: int, guild_id: int | None, *, per_user: int, per_guild: int) -> None:
        """Raise QueueFull if `enqueue` would; nothing is reserved, so `enqueue` may still raise it."""
        async with self.database.read() as session:
            mine = await session.scalar(count_open(Job.user_id == user_id)) or 0
            servers = await session.scalar(count_open(Job.guild_id == guild_id)) or 0
        if mine >= per_user or servers >= per_guild:
            raise _queue_full(mine, per_user, per_guild)

    async def log_refusal(self, new: NewJob, code: str, reason: str) -> Job:
        """Store a request that was refused before acceptance; the requester has the answer already."""
        ended = {
            "status": JobStatus.REFUSED,
            "reason_code": code,
            "reason": english(reason),
            "turn": 0.0,
            "click_key": None,
        }
        times = dict.fromkeys(("finished_at", "delivered_at"), time.time())
        async with self.database.begin() as session:
            rows = await session.scalars(insert(Job).values(**row(new) | ended | times).returning(Job))
            job = rows.one()
            await keep_references(session, job, new.request)
        log.info("job_refused job=%s code=%s", job.id, code)
        return job

    async def attach_message(
        self, job_id: int, message_id: int, answer: transitions.InteractionToken | None = None
    ) -> None:
        """Store the placeholder message of a job, and the interaction that it answers.

        It rings ``changed`` in this process unless the job still waits: then its message is up to date. After a power
        cut delivery finds the message by its buttons.
        """
        await self._attaching.ask((job_id, message_id, answer))

    async def claim(
        self,
        worker_id: str,
        *,
        capacity: int,
        painting: str | None = None,
        loaded: Collection[str] = (),
        per_user: float = math.inf,
        in_flight: Mapping[int, int] | None = None,
    ) -> Sequence[Job]:
        """Claim the next jobs in fair order that can be painted together (see `fairness.choose`).

        Args:
            worker_id: the claiming worker.
            capacity: the worker's free pixels; an idle worker may get one oversized job.
            painting: the weights key of its batch; it gets no job of other weights.
            loaded: the weights keys in its memory.
            per_user: most pixels of one user at a time, except for a single job.
            in_flight: pixels of each user whose jobs it has.
        """
        now = await self.database.now()
        worker = WorkerCapacity(
            room=capacity, painting=painting, loaded=loaded, per_user=per_user, in_flight=in_flight or {}
        )
        async with self.database.begin() as session:
            await self.database.lock(session, "limner.claim")
            waiting, ledger = await read_waiting(session, self._server_weights, now)
            order = fair_order(waiting, ledger)
            are_new = any(job.is_new(now) for job in order)
            others = await read_others(session, worker_id, now - self._lease_seconds) if are_new else []
            choice = choose(order, worker, others, now)
            taken = await self._take(session, worker_id, choice.taken, now)
            if taken:
                charged = [job for job in choice.taken if job.id in taken]
                await write_accounts(session, settle(order, charged, ledger), {job.server_id for job in charged})
                await pass_over(session, [job.id for job in choice.passed], now)
                await take_room(session, worker_id, worker, charged)
                await self._announce(session, self.changed)
        for job in taken.values():
            log.info("job_claimed job=%s worker=%s attempt=%s", job.id, worker_id, job.attempts)
        return [_without_images(taken[job.id]) for job in choice.taken if job.id in taken]

    async def record_steps(self, worker_id: str, steps: Mapping[int, int]) -> None:
        """Store how many steps the worker's jobs have taken."""
        if steps:
            mine = transitions.running(worker_id).where(Job.id.in_(list(steps)))
            taken = mine.values(step=case(steps, value=Job.id))
            await self._update(taken, self.changed, survives_power_cut=False)

    async def save_preview(self, worker_id: str, job_id: int, step: int, image: bytes, seen: Seen) -> None:
        """Replace the preview of this worker's job, a small JPEG."""
        async with self.database.begin(survives_power_cut=False) as session:
            if await session.scalar(select(Job.id).where(text(RUNNING), Job.id == job_id, Job.worker_id == worker_id)):
                preview = PreviewRow(job_id=job_id, step=step, image=image, score=seen.score)
                preview.phash, preview.pdq = seen.phash, seen.pdq
                await session.merge(preview)
                await self._announce(session, self.changed)

    async def save_expansion(self, job: Job, expansion: Expansion, prompt: str) -> bool:
        """Store the expansion, so that it is made once; False if the job is not this worker's any more."""
        values = transitions.expanded(job.idea, expansion, prompt) | transitions.ruled(job)
        return await self._changed(transitions.ours(job).values(**values), self.changed)

    async def save_mask(self, job: Job, sha256: str) -> bool:
        """Store the mask that was found for the job's words; False if the job is not this worker's any more."""
        job.request, job.mask_sha256 = {**job.request, "mask": sha256}, sha256
        return await self._changed(transitions.ours(job).values(request=job.request, mask_sha256=sha256))

    async def mark_delivered(self, job_id: int, message_id: int | None) -> None:
        """Record that the answer is posted (or never can be, because its channel is deleted)."""
        delivered = update(Job).where(Job.id == job_id).values(delivered_at=time.time(), message_id=message_id)
        async with self.database.begin() as session:
            await session.execute(delivered)
            await shared_sql.forget_tokens(session, AnswerToken.job_id == job_id)
        log.info("job_delivered job=%s", job_id)

    async def postpone_delivery(self, job_id: int, seconds: float) -> None:
        """Record a failed delivery; the next attempt comes after some seconds."""
        values = {"deliver_after": time.time() + seconds, "delivery_attempts": Job.delivery_attempts + 1}
        await self._update(update(Job).where(Job.id == job_id).values(**values))

    async def _enqueue_together(self, asking: Sequence[Asking], patience: float) -> list[Job | NotTaken]:
        """The row of each request, or why there is none."""
        users = {f"limner.user.{one.new.user_id}" for one in asking if one.per_user != UNLIMITED}
        guilds = {one.new.where.guild_id for one in asking if one.per_guild != UNLIMITED} - {None}
        async with self.database.begin(patience) as session:
            # In one order in all processes, so that no two wait for each other.
            await self.database.lock(session, *sorted(users), *sorted(f"limner.guild.{guild}" for guild in guilds))
            answers = await insert_rows(session, asking)
            if any(isinstance(one, Job) for one in answers):
                await self._announce(session, self.queued)
        return answers

    async def _attach_together(
        self, attached: Sequence[tuple[int, int, transitions.InteractionToken | None]], patience: float
    ) -> list[None]:
        async with self.database.begin(patience, survives_power_cut=False) as session:
            messages = [{"job": job_id, "message": message_id} for job_id, message_id, _ in attached]
            await session.execute(transitions.ATTACH, messages)
            answers = {job_id: answer for job_id, _, answer in attached if answer}
            await transitions.keep_tokens(session, answers)
            waiting = await session.scalar(transitions.COUNT_WAITING, {"jobs": [job_id for job_id, *_ in attached]})
        if waiting != len(attached):
            self.changed.hear()
        return [None] * len(attached)

    async def _take(
        self, session: AsyncSession, worker_id: str, chosen: Sequence[Waiting], now: float
    ) -> dict[int, Job]:
        """Assign the chosen jobs to the worker, except those cancelled at this moment."""
        if not chosen:
            return {}
        until = now + self._lease_seconds
        taken = {"chosen": [job.id for job in chosen], "worker": worker_id, "now": now, "until": until}
        return {job.id: job for job in await session.scalars(transitions.CLAIM, taken)}


def _queue_full(mine: int, per_user: int, per_guild: int) -> QueueFull:
    if mine >= per_user:
        return QueueFull(_(YOUR_LIMIT, limit=_requests(mine)))
    return QueueFull(_(SERVER_LIMIT, limit=_requests(per_guild)))


def _requests(number: int) -> str:
    return ngettext("1 request", "{number} requests", number)


def _without_images(job: Job) -> Job:
    """Sets an unfinished job's images to none without a query."""
    set_committed_value(job, "images", [])
    return job
