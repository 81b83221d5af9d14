"""/pictures and "Block this picture": a server's picture policy, for its moderators. Every answer is private."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from typing import Any, Literal, Self

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import BadOption, BadPicture, CannotPost, NotFound
from limner.bot.guild_settings import GuildSettings
from limner.bot.limits import DESCRIPTION, fit
from limner.bot.moderation import hash_lists
from limner.bot.moderation.blocked_images import BlockedPage, ListedPicture
from limner.bot.place import Where
from limner.bot.quantities import decimal, rounded
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _, commas, ngettext
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.controls import NUMBER, ForModerators
from limner.bot.ui.delivery.gallery_channel import GalleryChannel
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.interactions import app_of, lacking, managers_only, moderated, tell, use_languages
from limner.bot.ui.job.job_buttons import job_of
from limner.bot.ui.nearest_blocked import blocked_name
from limner.bot.ui.uploads import download

Interaction = discord.Interaction[Any]

NO_PICTURE = N_("That message has no picture that can be blocked.")
GONE = N_(
    "That picture's file is gone from the bot's disk, so it cannot be blocked; block the message's own picture file."
)
WHICH = N_("Which of these pictures must not come back?")
SHARED = N_(
    "Everybody who sees a posted picture may vary, upscale or extend it; that is then a request of their own, and the "
    "picture stays as it is."
)
NOT_SHARED = N_("Only the member who asked for a picture may make something of it.")
EXPANDS = {
    "on": N_("A language model adds details to ideas in this server; members and requests may say otherwise."),
    "off": N_("Ideas in this server are painted as they are; members and requests may say otherwise."),
    "preview": N_("Members see the added details and choose before anything is painted here; they may say otherwise."),
}
EMPTY = N_("No picture is blocked here; use the menu of a message: Apps, Block this picture.")
GALLERY = N_(
    "Pictures that at least {stars} members have among their favourites are posted in <#{channel}> once more, if all "
    "who read it may read the channel that they come from. They go when they are deleted, hidden or held back."
)
UNSEEN = N_("I cannot see <#{channel}>; give me the permission View Channel there.")
NO_GALLERY = N_("There is no gallery channel; choose one, a text channel or a forum.")
BLOCK = "Block this picture"


class ChannelOption(app_commands.Transformer):
    """A text channel or a forum."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        """A channel."""
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        """What Discord offers."""
        return [discord.ChannelType.text, discord.ChannelType.forum]

    async def transform(self, interaction: Interaction, value: app_commands.AppCommandChannel, /) -> GalleryChannel:
        """The channel, with what the bot knows of it; raises BadOption if it cannot see it."""
        return checked_gallery(interaction.guild, value.id)


class Pictures(LimnerCog, name="Limner pictures"):
    """Explicit limits and blocked pictures of a server."""

    group = app_commands.Group(
        name="pictures",
        description="Which pictures may be posted in this server",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command()
    @app_commands.describe(
        ordinary="In ordinary channels: 0 posts nothing, 1 is what the bot's operator allows",
        age_restricted="The same in age-restricted channels",
    )
    async def limits(
        self,
        interaction: Interaction,
        ordinary: app_commands.Range[float, 0.0, 1.0] | None = None,
        age_restricted: app_commands.Range[float, 0.0, 1.0] | None = None,
    ) -> None:
        """Show or change how explicit pictures may be here."""
        guild_id = await moderated(interaction, self.app)
        given = {"explicit_limit": ordinary, "explicit_limit_restricted": age_restricted}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:
            managers_only(interaction)
            await self.app.guilds.change(guild_id, interaction.user.id, **changes)
        places = [Where(guild_id, is_age_restricted=is_restricted) for is_restricted in (False, True)]
        here, there = [await self.app.image_policy.limit(place, is_from_picture=False) for place in places]
        await tell(
            interaction,
            _(
                "Pictures may be up to **{here}** explicit in ordinary channels and up to **{there}** in "
                "age-restricted ones, on a scale from 0 to 1; what is made from a picture has the first limit "
                "everywhere. That holds from now on, also for what is painted already.",
                here=rounded(here),
                there=rounded(there),
            ),
        )

    @group.command()
    @app_commands.describe(who="The buttons of a posted picture answer all who see it, or its owner only")
    async def sharing(self, interaction: Interaction, who: Literal["everybody", "owner"] | None = None) -> None:
        """Show or change who may make something of a posted picture."""
        guild_id = await moderated(interaction, self.app)
        if who:
            managers_only(interaction)
            await self.app.guilds.change(guild_id, interaction.user.id, shares_pictures=who == "everybody")
        is_shared = (await self.app.guilds.get(guild_id)).shares_pictures
        await tell(interaction, _(SHARED) if is_shared else _(NOT_SHARED))

    @group.command()
    @app_commands.describe(
        channel="A text channel or a forum; without one nothing changes",
        stars="How many members must have a picture among their favourites",
        off="Post no more pictures there; those that are posted stay as long as they are public",
    )
    async def gallery(
        self,
        interaction: Interaction,
        channel: app_commands.Transform[GalleryChannel, ChannelOption] | None = None,
        stars: app_commands.Range[int, 1, 100] | None = None,
        *,
        off: bool = False,
    ) -> None:
        """Show or change the channel in which starred pictures are posted once more."""
        guild_id = await moderated(interaction, self.app)
        changes: dict[str, Any] = {"gallery_channel_id": None} if off else {}
        if channel and not off:
            changes["gallery_channel_id"] = channel.id
        if stars:
            changes["gallery_stars"] = stars
        if changes:
            managers_only(interaction)
            await self.app.guilds.change(guild_id, interaction.user.id, **changes)
        await tell(interaction, gallery_in_words(await self.app.guilds.get(guild_id)))

    @group.command()
    @app_commands.describe(default="Whether a language model adds details where neither member nor request says it")
    async def expand(self, interaction: Interaction, default: Literal["on", "off", "preview"] | None = None) -> None:
        """Show or change whether ideas are expanded here by default."""
        guild_id = await moderated(interaction, self.app)
        if default:
            managers_only(interaction)
            await self.app.guilds.change(guild_id, interaction.user.id, expand=default)
        await tell(interaction, _(EXPANDS[(await self.app.guilds.get(guild_id)).expand]))

    @group.command()
    @app_commands.describe(page="Which page, with 10 pictures on each")
    async def blocked(self, interaction: Interaction, page: app_commands.Range[int, 1, 100_000] = 1) -> None:
        """Show the pictures that must not come back to this server."""
        found = await self.app.blocked.page(await moderated(interaction, self.app), page)
        await tell(interaction, "", embed=_listed(found)) if found.total else await tell(interaction, _(EMPTY))

    @group.command(name="import")
    @app_commands.describe(file="A list as /pictures export makes it: a PDQ hash or a pHash on each line")
    async def import_list(self, interaction: Interaction, file: discord.Attachment) -> None:
        """Block the pictures of a list, such as another server's."""
        guild_id = await moderated(interaction, self.app)
        await interaction.response.defer(ephemeral=True, thinking=True)
        if file.size > hash_lists.MOST_BYTES:
            raise BadOption(_(hash_lists.TOO_LONG, most=decimal(hash_lists.MOST)))
        async with download(self.app, interaction.user.id, file) as data:
            listed = await asyncio.to_thread(hash_lists.read, data, file.filename)
        added = await self.app.blocked.block_all(guild_id, listed, interaction.user.id)
        known = len(listed) - added
        await tell(interaction, _("{added} blocked, {known} were blocked already.", added=added, known=known))

    @group.command(name="export")
    async def export_list(self, interaction: Interaction) -> None:
        """Get the blocked pictures of this server as a list of hashes, for other servers."""
        rows = await self.app.blocked.every(await moderated(interaction, self.app))
        if not rows:
            return await tell(interaction, _(EMPTY))
        file = discord.File(io.BytesIO(hash_lists.write(rows).encode()), hash_lists.NAME)
        await tell(interaction, _("/pictures import reads this file, here and in other servers."), file=file)

    @group.command()
    @app_commands.describe(number="The picture's number in /pictures blocked")
    async def allow(self, interaction: Interaction, number: app_commands.Range[int, 1]) -> None:
        """Let a blocked picture come back."""
        guild_id = await moderated(interaction, self.app)
        await self.app.blocked.allow(guild_id, number, interaction.user.id)
        await tell(interaction, _("Picture {number} is not blocked any more.", number=number))


def gallery_in_words(settings: GuildSettings) -> str:
    """What a server's gallery channel is for, or that there is none."""
    chosen = {"channel": settings.gallery_channel_id, "stars": settings.gallery_stars}
    return _(GALLERY, **chosen) if settings.gallery_channel_id else _(NO_GALLERY)


def checked_gallery(guild: discord.Guild | None, channel_id: int) -> GalleryChannel:
    """A channel or forum of a server; raises BadOption if the bot cannot see it, CannotPost if it cannot post there."""
    channel = guild.get_channel(channel_id) if guild else None
    if not isinstance(channel, GalleryChannel):
        raise BadOption(_(UNSEEN, channel=channel_id))
    missing = lacking(channel.permissions_for(channel.guild.me), channel)
    if missing:
        raise CannotPost(missing)
    return channel


class BlockChoice(ForModerators[discord.ui.Select[Any]], template=rf"limner:block:(?P<job>{NUMBER}):(?P<count>[0-9])"):
    """Selects the pictures of a request to block; survives restarts."""

    def __init__(self, job_id: int, count: int) -> None:
        options = [
            discord.SelectOption(label=_("Picture {number}", number=number), value=str(number))
            for number in range(1, count + 1)
        ]
        custom_id = f"limner:block:{job_id}:{count}"
        select: discord.ui.Select[Any] = discord.ui.Select(custom_id=custom_id, max_values=count, options=options)
        super().__init__(select)
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process it was offered."""
        return cls(int(match["job"]), int(match["count"]))

    async def act(self, interaction: Interaction, app: App, guild_id: int) -> None:
        """Block the selected pictures."""
        job = await app.jobs.get(self.job_id)
        if job.guild_id != guild_id:
            raise NotFound
        chosen = {int(value) for value in self.item.values}
        await _block(interaction, app, guild_id, await _of_job(app, job, chosen), job.id)


def block_menu() -> app_commands.ContextMenu:
    """The entry in a message's menu, Apps."""
    menu = app_commands.ContextMenu(
        name=BLOCK,
        callback=_block_message,
        allowed_contexts=app_commands.AppCommandContext(guild=True),
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
    )
    menu.default_permissions = discord.Permissions(manage_guild=True)
    menu.error(answer_error)
    return menu


async def _block_message(interaction: Interaction, message: discord.Message) -> None:
    app = app_of(interaction.client)
    await use_languages(interaction, app)
    guild_id = await moderated(interaction, app)
    job_id = job_of(message) if message.author == interaction.client.user else None
    job = await app.jobs.get(job_id) if job_id else None
    if job and job.guild_id == guild_id and len(job.images) > 1:
        view = discord.ui.View(timeout=None)
        view.add_item(BlockChoice(job.id, len(job.images)))
        return await tell(interaction, _(WHICH), view=view)
    if job and job.guild_id == guild_id and job.images:
        return await _block(interaction, app, guild_id, await _of_job(app, job, {1}), job.id)
    await interaction.response.defer(ephemeral=True)
    files = [file for file in message.attachments if (file.content_type or "").startswith("image/")]
    if not files:
        raise BadPicture(_(NO_PICTURE))
    await _block(interaction, app, guild_id, [await _fingerprint(interaction, app, file) for file in files])


async def _fingerprint(interaction: Interaction, app: App, attachment: discord.Attachment) -> ListedPicture:
    app.inputs.check_size(attachment.size)
    async with download(app, interaction.user.id, attachment) as data:
        return ListedPicture(await app.decoder.fingerprint(data), hash_lists.remark(attachment.filename))


async def _of_job(app: App, job: Job, chosen: set[int]) -> list[ListedPicture]:
    """Some of a job's pictures by their hashes; raises BadPicture if a file is missing."""
    pictures = [image for number, image in enumerate(job.images, 1) if number in chosen]
    found = await app.decoder.fingerprints([image.sha256 for image in pictures])
    listed = [ListedPicture(hashes) for hashes in found if hashes]
    if len(listed) < len(chosen):
        raise BadPicture(_(GONE))
    return listed


async def _block(
    interaction: Interaction, app: App, guild_id: int, pictures: Sequence[ListedPicture], job_id: int | None = None
) -> None:
    rows = [await app.blocked.block(guild_id, one, interaction.user.id, job_id) for one in pictures]
    await tell(interaction, _sentence([row.id for row in rows]))


def _sentence(numbers: Sequence[int]) -> str:
    """The answer to a moderator after blocking pictures."""
    return ngettext(
        "From now on nothing that looks like it is posted here, or used as a picture to start from. /pictures blocked "
        "lists it as number {numbers}; Delete under its message removes what is here already.",
        "From now on nothing that looks like them is posted here, or used as a picture to start from. "
        "/pictures blocked lists them as numbers {numbers}; Delete under their message removes what is here already.",
        len(numbers),
        numbers=commas(numbers),
    )


def _listed(page: BlockedPage) -> discord.Embed:
    lines = [
        _(
            "**{picture}** · {what} · by <@{member}> · <t:{time}:R>",
            picture=row.id,
            what=blocked_name(row),
            member=row.created_by,
            time=round(row.created_at),
        )
        for row in page.pictures
    ]
    title = ngettext("This server has one blocked picture", "This server has {number} blocked pictures", page.total)
    place = _("Page {number} of {pages}; /pictures allow takes one from the list", number=page.number, pages=page.pages)
    return make_embed(title, fit(lines, DESCRIPTION), footer=place)
