"""/me, /expand, /uploads and /ratings: what Limner stores about a member, and what the member chooses.

Answers are private.
"""

from __future__ import annotations

from typing import Any, Literal

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.cogs.review import policy
from limner.bot.limits import FIELD, first_lines
from limner.bot.moderation.bans import sentence_of
from limner.bot.moderation.reviews import OUTCOMES
from limner.bot.reasons import ReviewState
from limner.bot.storage.tables.moderation_tables import Review, Strike
from limner.bot.translation import N_, _, stored
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.interactions import tell
from limner.bot.ui.job import job_messages
from limner.bot.ui.listing import PAGE, Listing, ListingButton, listed, page_of

Interaction = discord.Interaction[Any]

DAY = 86_400.0
EXPANDS = {
    None: N_("Your ideas are expanded as the server of each request has it, outside servers always."),
    "on": N_("A language model adds details to your ideas, unless a request says otherwise."),
    "off": N_("Your ideas are painted as they are, unless a request says otherwise."),
    "preview": N_("You see the added details and choose before anything is painted, unless a request says otherwise."),
}
LENT = N_("Others may start from your avatar and pictures that you post, and upscale, enhance or describe them.")
NOT_LENT = N_(
    "Only you may start from your avatar and pictures that you post, or have them upscaled, enhanced or described."
)
FACES = {
    True: N_("Your new results have two faces, to say what you think of them."),
    False: N_("Your results have no faces; `/ratings faces:on` adds them."),
}
TRAINING = {
    True: N_("Your ratings may train models, with your words and pictures, except of private requests."),
    False: N_("Your ratings train nothing."),
}
NOTHING_HELD = N_("You have no strikes here, and nothing of yours waits for a moderator.")


class Me(LimnerCog, name="Limner me"):
    """The member's own record."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def me(self, interaction: Interaction) -> None:
        """Show what is known about you here: requests, limits, strikes, and what moderators decided."""
        fields, note = {_("Requests"): await self._requests(interaction.user.id)}, ""
        fields[_("Expansion")] = _(EXPANDS[(await self.app.members.usual(interaction.user.id)).expand])
        fields[_("Your uploads")] = await self._lending(interaction.user.id)
        view = discord.ui.View(timeout=None)
        if interaction.guild_id:
            held = await self._held(interaction.guild_id, interaction.user.id)
            settings = await self.app.guilds.get(interaction.guild_id)
            fields |= held | {_("In this server"): "\n".join(policy(settings))}
            note = "" if held else _(NOTHING_HELD)
            if _("Strikes") in held:
                view.add_item(ListingButton(_("All strikes"), "mine", 0, 1))
        shown = [(name, text, False) for name, text in fields.items()]
        await tell(interaction, "", embed=make_embed(_("What I know about you here"), note, shown), view=view)

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(default="on, off, preview, or what the server of each request has chosen")
    async def expand(
        self, interaction: Interaction, default: Literal["on", "off", "preview", "server"] | None = None
    ) -> None:
        """Show or change whether a language model adds details to your ideas by default."""
        if default:
            await self.app.members.choose_expand(interaction.user.id, None if default == "server" else default)
        await tell(interaction, _(EXPANDS[(await self.app.members.usual(interaction.user.id)).expand]))

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(others="Whether other members may start from your avatar and pictures that you post")
    async def uploads(self, interaction: Interaction, others: Literal["allowed", "refused"] | None = None) -> None:
        """Show or change who may make something of your avatar and pictures that you post."""
        if others:
            await self.app.members.choose_to_lend(interaction.user.id, lends=others == "allowed")
        await tell(interaction, await self._lending(interaction.user.id))

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    @app_commands.describe(
        faces="Two faces under your results, to say with one tap what you think of them",
        training="Whether your ratings, with your words and pictures, may train models",
    )
    async def ratings(
        self,
        interaction: Interaction,
        faces: Literal["on", "off"] | None = None,
        training: Literal["on", "off"] | None = None,
    ) -> None:
        """Show or change whether you rate your results, and whether that may train models."""
        user_id = interaction.user.id
        chosen = await self.app.ratings.settings(user_id)
        is_shown = faces == "on" if faces else chosen.is_shown
        is_training = training == "on" if training else chosen.is_training
        if faces or training:
            await self.app.ratings.choose(user_id, is_shown=is_shown, is_training=is_training)
        await tell(interaction, f"{_(FACES[is_shown])} {_(TRAINING[is_training])}")

    async def _lending(self, user_id: int) -> str:
        return _(LENT) if await self.app.members.lends_uploads(user_id) else _(NOT_LENT)

    async def _requests(self, user_id: int) -> str:
        waiting = len(await self.app.jobs.open_jobs(user_id))
        day = await self.app.history.count_since(user_id, DAY)
        every = await self.app.history.count(user_id)
        return _(
            "{waiting} waiting or running, of at most {most}\n"
            "{day} asked for in the last 24 hours\n{every} painted in all; /history shows them",
            waiting=waiting,
            most=self.app.settings.max_jobs_per_user,
            day=day,
            every=every,
        )

    async def _held(self, guild_id: int, user_id: int) -> dict[str, str]:
        """Strikes, suspension and decisions in this server, each under its heading; empty ones are left out."""
        strikes = await self.app.strikes.active(guild_id, user_id)
        suspension = await self.app.strikes.suspension(guild_id, user_id)
        ban = await self.app.bans.of_member(guild_id, user_id)
        reviews = await self.app.reviews.of_member(guild_id, user_id)
        held = {
            _("Strikes"): first_lines(list(map(_strike, strikes)), FIELD)[0],
            _("Suspended"): _("until <t:{end}:f> (<t:{end}:R>)", end=round(suspension.until)) if suspension else "",
            _("Banned"): sentence_of(ban) if ban else "",
            _("Moderators"): "\n".join(map(_review, reviews)),
        }
        return {name: text for name, text in held.items() if text}


@listed("mine")
async def _strikes(interaction: Interaction, app: App, subject: int, number: int) -> Listing:
    guild_id, user_id = interaction.guild_id or 0, interaction.user.id
    total = await app.strikes.count(guild_id, user_id)
    number, pages = page_of(total, number)
    active = await app.strikes.active(guild_id, user_id, skip=(number - 1) * PAGE, limit=PAGE)
    return Listing(
        _("Your strikes here: {total}", total=total), list(map(_strike, active)) or [_(NOTHING_HELD)], number, pages
    )


def _strike(strike: Strike) -> str:
    end = round(strike.expires_at)
    return _(
        "{strike} · {why} · expires <t:{end}:R>",
        strike=strike.id,
        why=job_messages.plain(stored(strike.why), 80),
        end=end,
    )


def _review(review: Review) -> str:
    what = (
        _("your appeal for request {job}", job=review.job_id)
        if review.is_appeal
        else _("request {job}", job=review.job_id)
    )
    outcome = _(OUTCOMES[ReviewState(review.state)])
    if review.decided_at is None:
        return _("{what}: {outcome} since <t:{time}:f>", what=what, outcome=outcome, time=round(review.created_at))
    return _("{what}: {outcome} <t:{time}:R>", what=what, outcome=outcome, time=round(review.decided_at))
