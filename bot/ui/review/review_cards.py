"""Review cards: the moderators' view of a request, and the buttons that decide it."""

from __future__ import annotations

import io
import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.errors import BadPicture, NotFound
from limner.bot.limits import fit
from limner.bot.moderation.image_policy import OF_OPERATOR
from limner.bot.moderation.reviews import APPROVALS, OUTCOMES, Record
from limner.bot.moderation.strikes import GivenStrike
from limner.bot.reasons import HoldReason, ReviewState, TimeOut
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.moderation_tables import Review
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NUMBER, ForModerators
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import forbid_own, tell
from limner.bot.ui.job import job_messages

Interaction = discord.Interaction[Any]

COPY_SIDE = 768
"""Longer side, in pixels, of a picture on a card: about 100 kB, so four fit into any message."""
TEXT_LENGTH, TEXTS_LENGTH = 900, 3500
"""Characters of one text on a card, and of all of them escaped; an embed holds 6000 in all."""

LOOKS = {
    "approve": (N_("Approve"), discord.ButtonStyle.success, ReviewState.APPROVED),
    "reject": (N_("Reject"), discord.ButtonStyle.danger, ReviewState.REJECTED),
    "strike": (N_("Reject + strike"), discord.ButtonStyle.danger, ReviewState.STRUCK),
    "ignore": (N_("Ignore rule here"), discord.ButtonStyle.secondary, ReviewState.IGNORED),
}
REASONS = {
    HoldReason.FLAGGED: N_("A rule with the action flag matches it."),
    HoldReason.EVASION: N_("It repeats, in another spelling, an idea that was refused some minutes before."),
    HoldReason.EXPLICIT: N_("The picture classifier finds it explicit."),
    HoldReason.REPORTED: N_("A member has reported it; its pictures are posted, and rejecting takes them away."),
}
NO_PICTURES = N_("These pictures are not there any more.")
COLOURS = {ReviewState.OPEN: discord.Colour.gold(), ReviewState.APPROVED: discord.Colour.green()}
TIME_OUTS = {
    TimeOut.WANTED: N_("Discord's time-out follows."),
    TimeOut.SET: N_("The member is timed out on Discord too."),
    TimeOut.REFUSED: N_(
        "Discord's time-out was not possible: it needs the permission Moderate Members, and a role of mine and one of "
        "the moderator's above the member's."
    ),
}


class ReviewButton(
    ForModerators[discord.ui.Button[Any]],
    template=rf"limner:review:(?P<verb>{'|'.join(LOOKS)}):(?P<review>{NUMBER})",
):
    """A decision about a review; survives restarts."""

    def __init__(self, verb: str, review_id: int) -> None:
        label, style, _state = LOOKS[verb]
        super().__init__(discord.ui.Button(label=_(label), style=style, custom_id=f"limner:review:{verb}:{review_id}"))
        self.verb = verb
        self.review_id = review_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["verb"], int(match["review"]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Decide; the review poster carries it out and updates the card."""
        review = await app.reviews.get(self.review_id)
        if review.guild_id != guild_id:
            raise NotFound
        forbid_own(interaction, review.user_id)
        if LOOKS[self.verb][2] in APPROVALS:
            await _check_approvable(app, review)
        await interaction.response.defer()
        await app.reviews.decide(review.id, LOOKS[self.verb][2], interaction.user.id)


class ShowButton(ForModerators[discord.ui.Button[Any]], template=rf"limner:review:show:(?P<review>{NUMBER})"):
    """Shows the pictures of a blurred card to the moderator who presses it; survives restarts."""

    def __init__(self, review_id: int) -> None:
        super().__init__(discord.ui.Button(label=_("Show the pictures"), custom_id=f"limner:review:show:{review_id}"))
        self.review_id = review_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["review"]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Send the pictures, which nobody else sees, as spoilers."""
        review = await app.reviews.get(self.review_id)
        if review.guild_id != guild_id:
            raise NotFound
        await interaction.response.defer(ephemeral=True, thinking=True)
        job = await app.reviews.job_of(review)
        files = await card_files(app, job) if job.deleted_at is None else []
        await tell(interaction, "" if files else _(NO_PICTURES), files=files)


def card_buttons(review: Review, *, has_rule: bool, is_blurred: bool) -> discord.ui.View:
    """The possible decisions; the last one only if one of the server's own rules matched."""
    view = discord.ui.View(timeout=None)
    if review.state == ReviewState.OPEN:
        for verb in LOOKS if has_rule else [verb for verb in LOOKS if verb != "ignore"]:
            view.add_item(ReviewButton(verb, review.id))
        if is_blurred:
            view.add_item(ShowButton(review.id))
    return view


def is_card_of(message: discord.Message, review_id: int) -> bool:
    """Whether a message is the open card of this review."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    ids = [item.custom_id or "" for row in rows for item in row.children]
    return any(re.fullmatch(rf"limner:review:\w+:{review_id}", custom_id) for custom_id in ids)


def card_embed(
    review: Review,
    job: Job | None,
    rules: str,
    nearest: str,
    record: Record,
    strikes: int,
    given: GivenStrike | None,
) -> discord.Embed:
    """The card of a review: the request, the member's record, and later the decision; ``job`` None was deleted.

    ``nearest`` is what `nearest_blocked` says of its pictures.
    """
    state = ReviewState(review.state)
    title = N_("Appeal {review}: request {job}") if review.is_appeal else N_("Review {review}: request {job}")
    fields = {
        _("Why it is here"): _why(review, job) if job else "",
        _("Rules"): rules,
        _("Nearest blocked picture"): nearest,
        _("Member"): f"<@{review.user_id}>\n{_record(record, strikes)}",
        _("Decision"): "" if state == ReviewState.OPEN else _decision(review, state, job, given),
    }
    return make_embed(
        _(title, review=review.id, job=review.job_id),
        _texts(job, review) if job else _("The request was deleted."),
        [(name, text, False) for name, text in fields.items()],
        colour=COLOURS.get(state, discord.Colour.dark_grey()),
    )


async def card_files(app: App, job: Job, *, is_blurred: bool = False) -> list[discord.File]:
    """Small copies of a request's pictures as spoilers, where their files exist."""
    files = [image.sha256 for image in job.images]
    copies = filter(None, await app.decoder.copies(files, COPY_SIDE, "JPEG", is_blurred=is_blurred))
    return [
        discord.File(
            io.BytesIO(data),
            f"SPOILER_limner-{job.id}-{number}.jpg",
            description=describe(job, says_ai=app.settings.says_ai),
        )
        for number, data in enumerate(copies, 1)
    ]


async def _check_approvable(app: App, review: Review) -> None:
    """Raise BadPicture for pictures that a server's approval cannot release."""
    if objection := await app.image_policy.beyond_approval(await app.reviews.job_of(review)):
        raise BadPicture(_(OF_OPERATOR[objection.code]))


def _texts(job: Job, review: Review) -> str:
    expansion = job.expanded
    texts = {
        _("Idea"): job.idea,
        _("Added"): expansion.added if expansion else "",
        _("Negative prompt"): str(job.request["negative_prompt"]),
        _("The member says"): review.words if review.is_appeal else "",
        _("The report says"): "" if review.is_appeal else review.words,
    }
    parts = [f"**{name}**\n{job_messages.plain(text, TEXT_LENGTH)}" for name, text in texts.items() if text]
    return fit(parts, TEXTS_LENGTH, "\n\n")


def _why(review: Review, job: Job) -> str:
    where = _("Asked for <t:{time}:R> in <#{channel}>.", time=round(job.created_at), channel=job.channel_id)
    if review.is_appeal:
        why = _("It was refused (code {code}), and the member has appealed.", code=review.why)
    else:
        why = _(REASONS[HoldReason(review.why)])
    return f"{why} {where}"


def _record(record: Record, strikes: int) -> str:
    return _(
        "Requests: {requests}, refused: {refused} · reviews: {approved} approved, {rejected} rejected · strikes that "
        "count: {strikes}",
        requests=record.requests,
        refused=record.refused,
        approved=record.approved,
        rejected=record.rejected,
        strikes=strikes,
    )


def _decision(review: Review, state: ReviewState, job: Job | None, given: GivenStrike | None) -> str:
    said = {"outcome": _(OUTCOMES[state]).capitalize(), "time": round(review.decided_at or 0)}
    lines = [_("{outcome} <t:{time}:R>.", **said)]
    if review.decided_by:
        lines = [_("{outcome} by <@{member}> <t:{time}:R>.", member=review.decided_by, **said)]
    if state == ReviewState.IGNORED and job:
        lines.append(
            _("The rule does not count in <#{channel}> any more; /filter log can undo that.", channel=job.channel_id)
        )
    if review.is_appeal and state in APPROVALS and job:
        lines.append(_("The request is in the queue again."))
    if given:
        lines += given_lines(given)
    return "\n".join(lines)


def given_lines(given: GivenStrike) -> list[str]:
    """The effect of a strike, for moderators."""
    facts = {"strike": given.strike.id, "time": _when(given.strike.expires_at), "number": given.active}
    lines = [_("Strike {strike} is given and expires {time}; strikes that count: {number}.", **facts)]
    if given.suspension:
        lines.append(_("The member may not paint until {time}.", time=_when(given.suspension.until)))
        lines += [_(line) for line in [TIME_OUTS.get(TimeOut(given.suspension.time_out))] if line]
    return lines


def _when(moment: float) -> str:
    return f"<t:{moment:.0f}:f> (<t:{moment:.0f}:R>)"
