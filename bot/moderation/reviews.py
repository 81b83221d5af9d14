"""Reviews: decisions for moderators, made once, and the cards that have to be posted or updated."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Update, case, func, insert, literal, select, text, update
from sqlalchemy.exc import IntegrityError

from limner.bot.errors import Decided, NotFound
from limner.bot.queue.wakeup import Wakeup
from limner.bot.reasons import STALE, HoldReason, JobStatus, ReviewState
from limner.bot.storage.db import Database
from limner.bot.storage.shared_sql import is_due, undecided, waits_for_moderators
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import OPEN_REVIEW, UNSHOWN, Review
from limner.bot.translation import N_, _

log = logging.getLogger(__name__)

APPROVALS = (ReviewState.APPROVED, ReviewState.IGNORED)
"""The decisions after which the pictures are posted."""
AT_ONCE = 20
LONGEST_PAUSE = 60.0
"""Most seconds between two attempts to post a card; so many after one that its channel refuses."""
APPEALED = N_("You have appealed against this refusal already; /me shows what was decided.")

OUTCOMES = {
    ReviewState.OPEN: N_("waits for a moderator"),
    ReviewState.APPROVED: N_("approved"),
    ReviewState.IGNORED: N_("approved"),
    ReviewState.REJECTED: N_("rejected"),
    ReviewState.STRUCK: N_("rejected, with a strike"),
    ReviewState.EXPIRED: N_("rejected, because nobody decided in time"),
    ReviewState.WITHDRAWN: N_("withdrawn, because the request was deleted"),
}
"""Each state as a part of a sentence."""


@dataclass(frozen=True)
class Record:
    """A member's record in a server: requests, and decisions about them."""

    requests: int
    refused: int
    approved: int
    rejected: int


class Reviews:
    """Reviews as rows; ``changed`` rings when there may be a card to post or to change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.changed = Wakeup()

    async def open_due(self) -> None:
        """Open one review for each finished request that waits for a moderator and has none."""
        due = select(literal(time.time()), Job.guild_id, Job.user_id, Job.id, literal(False), Job.quarantine).where(
            *waits_for_moderators(),
            ~select(Review.id).where(Review.job_id == Job.id, Review.is_appeal.is_(False)).exists(),
        )
        async with self.database.read() as session:
            waits = await session.scalar(select(due.exists()))
        if not waits:
            return
        columns = ["created_at", "guild_id", "user_id", "job_id", "is_appeal", "why"]
        async with self.database.begin() as session:
            await self.database.lock(session, "limner.reviews")
            opened = await session.scalars(insert(Review).from_select(columns, due).returning(Review.id))
            numbers = opened.all()
        for number in numbers:
            log.info("review_opened review=%s", number)

    async def appeal(self, job: Job, words: str) -> Review:
        """Open a review of a refusal; raises Decided if there is one."""
        review = Review(
            created_at=time.time(),
            guild_id=job.guild_id or 0,
            user_id=job.user_id,
            job_id=job.id,
            is_appeal=True,
            why=job.reason_code or "",
            words=words,
        )
        try:
            async with self.database.begin() as session:
                session.add(review)
        except IntegrityError as error:
            raise Decided(_(APPEALED)) from error
        log.info("review_opened review=%s", review.id)
        self.changed.hear()
        return review

    async def open_reported(self, job: Job, words: str) -> bool:
        """Open a review of a posted request that a member reported; False if it has one, open or decided."""
        review = Review(
            created_at=time.time(),
            guild_id=job.guild_id or 0,
            user_id=job.user_id,
            job_id=job.id,
            why=HoldReason.REPORTED,
            words=words,
        )
        try:
            async with self.database.begin() as session:
                session.add(review)
        except IntegrityError:
            return False
        log.info("review_opened review=%s", review.id)
        self.changed.hear()
        return True

    async def is_appealed(self, job_id: int) -> bool:
        """Whether this refusal was appealed before."""
        found = select(Review.id).where(Review.job_id == job_id, Review.is_appeal)
        async with self.database.read() as session:
            return await session.scalar(found) is not None

    async def open_appeals(self, guild_id: int, user_id: int) -> int:
        """A member's open appeals in a server."""
        mine = (Review.guild_id == guild_id, Review.user_id == user_id, Review.is_appeal, text(OPEN_REVIEW))
        async with self.database.read() as session:
            return await session.scalar(select(func.count()).select_from(Review).where(*mine)) or 0

    async def get(self, review_id: int) -> Review:
        """One review; raises NotFound."""
        async with self.database.read() as session:
            review = await session.get(Review, review_id)
        if review is None:
            raise NotFound(_("That review is not there any more; its request was deleted."))
        return review

    async def decide(self, review_id: int, state: ReviewState, by: int | None) -> Review:
        """Decide an open review (``by`` None: it expired).

        Raises:
            Decided: it was decided before; the text says by whom and how.
        """
        values = {"state": state, "decided_by": by, "decided_at": time.time(), "post_after": 0.0}
        decided = update(Review).where(Review.id == review_id, Review.state == ReviewState.OPEN)
        async with self.database.begin() as session:
            review = await session.scalar(decided.values(**values).returning(Review))
        if review is None:
            raise Decided(too_late(await self.get(review_id)))
        log.info("review_decided review=%s state=%s", review_id, state)
        self.changed.hear()
        return review

    async def waiting(self) -> Sequence[Review]:
        """All that are open, oldest first."""
        found = select(Review).where(text(OPEN_REVIEW)).order_by(Review.id)
        async with self.database.read() as session:
            return (await session.scalars(found)).all()

    async def job_of(self, review: Review) -> Job:
        """The review's request, deleted or not."""
        async with self.database.read() as session:
            return await session.get_one(Job, review.job_id)

    async def to_show(self, busy: Collection[int] = ()) -> Sequence[Review]:
        """Reviews whose card is out of date, oldest first, except those of ``busy`` servers."""
        is_free = Review.guild_id.not_in(busy)
        due = select(Review).where(text(UNSHOWN), is_due(Review.post_after, LONGEST_PAUSE), is_free)
        async with self.database.read() as session:
            return (await session.scalars(due.order_by(Review.id).limit(AT_ONCE))).all()

    async def begin_card(self, review_id: int, channel_id: int) -> None:
        """Record that the card is about to be posted there."""
        values = {"channel_id": channel_id, "tried_at": time.time()}
        await self._update(update(Review).where(Review.id == review_id).values(**values))

    async def lose_card(self, review_id: int) -> None:
        """Record that the card cannot be reached and must be posted again."""
        lost = {"shown": None, "channel_id": None, "message_id": None, "tried_at": None}
        await self._update(update(Review).where(Review.id == review_id).values(**lost))
        log.info("card_lost review=%s", review_id)

    async def mark_shown(self, review_id: int, state: str, message_id: int | None) -> None:
        """Record that the card (None: there will be none) shows this state and that the decision is carried out."""
        await self._update(
            update(Review).where(Review.id == review_id).values(shown=state, message_id=message_id, warned_of=None)
        )
        log.info("card_shown review=%s state=%s", review_id, state)

    async def waits(self, job_id: int) -> bool:
        """Whether a request awaits a moderator's decision."""
        async with self.database.read() as session:
            return await session.scalar(select(Job.id).where(Job.id == job_id, undecided())) is not None

    async def refresh_deleted(self, review_id: int) -> None:
        """Mark the card for an update if its request was deleted while it was posted."""
        gone = select(Job.id).where(Job.id == Review.job_id, Job.deleted_at.is_not(None)).exists()
        await self._update(update(Review).where(Review.id == review_id, gone).values(shown=STALE))

    async def postpone(self, review_id: int, seconds: float, warned_of: int | None) -> None:
        """Record a failed post; ``warned_of`` is the channel about which the server was notified."""
        values = {"post_after": time.time() + seconds, "warned_of": func.coalesce(warned_of, Review.warned_of)}
        await self._update(update(Review).where(Review.id == review_id).values(**values))

    async def was_warned_of(self, guild_id: int, channel_id: int) -> bool:
        """Whether the server was notified, for any open review, that cards cannot be posted there."""
        found = select(Review.id).where(
            Review.guild_id == guild_id, Review.state == ReviewState.OPEN, Review.warned_of == channel_id
        )
        async with self.database.read() as session:
            return await session.scalar(found.limit(1)) is not None

    async def of_member(self, guild_id: int, user_id: int, limit: int = 5) -> Sequence[Review]:
        """The newest reviews of a member's requests in one server."""
        found = select(Review).where(Review.guild_id == guild_id, Review.user_id == user_id)
        async with self.database.read() as session:
            return (await session.scalars(found.order_by(Review.id.desc()).limit(limit))).all()

    async def record(self, guild_id: int, user_id: int) -> Record:
        """A member's record for the moderators' decision."""
        job = (Job.guild_id == guild_id, Job.user_id == user_id)
        requests = select(func.count(), _count(Job.status == JobStatus.REFUSED)).where(*job)
        approved = Review.state.in_(APPROVALS)
        rejected = Review.state.in_((ReviewState.REJECTED, ReviewState.STRUCK))
        decisions = select(_count(approved), _count(rejected)).where(
            Review.guild_id == guild_id, Review.user_id == user_id
        )
        async with self.database.read() as session:
            asked = (await session.execute(requests)).one()
            decided = (await session.execute(decisions)).one()
        return Record(asked[0], asked[1], decided[0], decided[1])

    async def _update(self, statement: Update) -> None:
        async with self.database.begin() as session:
            await session.execute(statement)


def too_late(review: Review) -> str:
    """The sentence for a moderator whose decision comes too late."""
    outcome = OUTCOMES[ReviewState(review.state)]
    if review.decided_by is None:
        return _("This review is over: {outcome}.", outcome=outcome)
    return _(
        "<@{decided_by}> was first: {outcome} <t:{decided_at:.0f}:R>.",
        decided_by=review.decided_by,
        outcome=outcome,
        decided_at=review.decided_at,
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
