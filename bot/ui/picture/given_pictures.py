"""Pictures that members give to a command or menu: a file, or a picture of a message that they may read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, cast

import discord

from limner.bot.app import App
from limner.bot.errors import BadPicture
from limner.bot.options.ask import Ask
from limner.bot.posted_pictures import LINK, picture_of
from limner.bot.reasons import ABOUT_PICTURES
from limner.bot.storage.tables.models import Job
from limner.bot.submit import check_asker
from limner.bot.translation import N_, _
from limner.bot.ui.interactions import viewed, where_to_post
from limner.bot.ui.job.job_buttons import job_of
from limner.bot.ui.uploads import LOST, Check, take_picture

Interaction = discord.Interaction[Any]

MENTION = re.compile(r"<@!?(?P<user>[0-9]{1,20})>")
AVATAR_SIDE = 1024
AVATAR_BYTES = 5 * 2**20
"""At least what Discord sends of an avatar of that size."""
READABLE = (discord.TextChannel, discord.VoiceChannel, discord.StageChannel, discord.Thread)

NO_PICTURE = N_("There is no picture in that message; choose one with a PNG, JPEG, WebP, GIF or BMP file.")
NOT_TAKEN = N_(
    "That picture is somebody else's, and they have not allowed it (/uploads); take one that you posted yourself, or "
    "one that I painted."
)
ONE_PICTURE = N_("Give one picture: a file, or the link of a message.")
NO_LINK = N_(
    "That is not the link of a message; copy one from a message's menu (Copy Message Link), perhaps with the picture's "
    "number behind it, or mention a member for their avatar."
)
NO_MEMBER = N_("I find no member of this server with that mention; mention another one.")
NO_MESSAGE = N_("I find no message of this server with that link that you may read; copy the link of another one.")
UNSEEN = N_(
    "I see no picture in that message. Discord shows me others' files only in the message's menu: Apps, then Start "
    "from this, Vary, Upscale, Adjust or Describe."
)


@dataclass(frozen=True)
class GivenFile:
    """A file that a member attached."""

    file: discord.Attachment

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.filename

    @property
    def is_spoiler(self) -> bool:
        """Whether it is hidden behind a click."""
        return self.file.is_spoiler()

    @property
    def is_private(self) -> bool:
        """Whether only its owner sees it."""
        return False


@dataclass(frozen=True)
class PostedPicture:
    """Picture ``number`` of a posted request."""

    job: Job
    number: int = 1

    @property
    def name(self) -> str:
        """A file's name for it."""
        return f"{self.job.id}-{self.number}.png"

    @property
    def is_spoiler(self) -> bool:
        """Whether it is hidden behind a click."""
        return self.job.is_spoiler

    @property
    def is_private(self) -> bool:
        """Whether only its owner sees it."""
        return self.job.is_private


GivenPicture = GivenFile | PostedPicture


async def given(interaction: Interaction, app: App, file: discord.Attachment | None, link: str | None) -> GivenPicture:
    """The picture that a command was given; raises BadPicture if there are none or two, and as `linked` does."""
    if (file is None) == (not link):
        raise BadPicture(_(ONE_PICTURE))
    return GivenFile(file) if file else await linked(interaction, app, link or "")


async def linked(interaction: Interaction, app: App, link: str) -> GivenPicture:
    """A picture of the message with this link, or the avatar of the member with this mention.

    A message that the member may not read and one that does not exist are answered alike.

    Raises:
        BadPicture: there is no such message or member, or no picture of theirs that the member may use.
        UserError: as `viewed`.
    """
    if mention := MENTION.fullmatch(link.strip()):
        return await _avatar(interaction, app, int(mention["user"]))
    message, number = await message_of(interaction, link)
    if message.author != interaction.client.user and not files_of(message):
        raise BadPicture(_(UNSEEN))
    return await in_message(interaction, app, message, number)


async def message_of(interaction: Interaction, link: str) -> tuple[discord.Message, int]:
    """The message with this link, in a channel here that the member reads, and the number behind the link (1 if none).

    Raises:
        BadPicture: there is no such message.
    """
    parts = LINK.fullmatch(link.strip())
    if parts is None:
        raise BadPicture(_(NO_LINK))
    channel = await _readable(interaction, parts["guild"], int(parts["channel"]))
    if channel is None:
        raise BadPicture(_(NO_MESSAGE))
    try:
        message = await channel.fetch_message(int(parts["message"]))
    except (discord.NotFound, discord.Forbidden) as error:
        raise BadPicture(_(NO_MESSAGE)) from error
    except discord.HTTPException as error:
        raise BadPicture(_(LOST)) from error
    return message, int(parts["number"] or 1)


async def in_message(interaction: Interaction, app: App, message: discord.Message, number: int = 1) -> GivenPicture:
    """Picture ``number`` of a message in a channel that the member reads; raises as `linked` does."""
    is_ours = message.author == interaction.client.user
    return await (posted_in if is_ours else file_in)(interaction, app, message, number)


async def posted_in(interaction: Interaction, app: App, message: discord.Message, number: int = 1) -> PostedPicture:
    """The same of a message of the bot's."""
    job_id = job_of(message)
    job = await viewed(interaction, app, job_id, number, message.channel.id) if job_id else None
    if job is None or job.kind in ABOUT_PICTURES:
        raise BadPicture(_(NO_PICTURE))
    return PostedPicture(job, number)


async def file_in(interaction: Interaction, app: App, message: discord.Message, number: int = 1) -> GivenFile:
    """The same of somebody else's message."""
    files = files_of(message)
    if len(files) < number:
        raise BadPicture(_(NO_PICTURE))
    await _check_lent(interaction, app, message.author)
    return GivenFile(files[number - 1])


def files_of(message: discord.Message) -> list[discord.Attachment]:
    """The picture files that somebody attached to a message."""
    return [file for file in message.attachments if (file.content_type or "").startswith("image/")]


async def ask_about(interaction: Interaction, app: App, picture: GivenPicture) -> Ask:
    """What a member asks without words about a picture, which is stored."""
    ask = Ask(
        text="",
        image_name=picture.name,
        is_spoiler=picture.is_spoiler,
        user_id=interaction.user.id,
        locale=str(interaction.locale),
        where=where_to_post(interaction),
    )
    return await with_picture(interaction, app, ask, picture, lambda: check_asker(app, ask))


async def with_picture(
    interaction: Interaction, app: App, ask: Ask, picture: GivenPicture, check: Check, *, is_private: bool = False
) -> Ask:
    """The same with the picture as its option image, as `stored` stores it."""
    taken = await stored(interaction, app, picture, check, is_private=is_private)
    named = replace(ask, image_name=picture.name, is_spoiler=ask.is_spoiler or picture.is_spoiler)
    return named.saying(image=taken, link="")


async def stored(
    interaction: Interaction, app: App, picture: GivenPicture, check: Check, *, is_private: bool = False
) -> str:
    """The hash of the stored picture; a file is downloaded once ``check`` has accepted the rest."""
    if isinstance(picture, GivenFile):
        return await take_picture(interaction, app, picture.file, check, is_private=is_private)
    await check()
    return picture_of(picture.job, picture.number).sha256


async def _avatar(interaction: Interaction, app: App, user_id: int) -> GivenFile:
    """The avatar of the interaction's member, or of another member of its server who lends their pictures."""
    person: discord.abc.User | None = interaction.user if user_id == interaction.user.id else None
    if person is None and interaction.guild:
        try:
            person = await interaction.guild.fetch_member(user_id)
        except discord.HTTPException as error:
            raise BadPicture(_(NO_MEMBER)) from error
    if person is None:
        raise BadPicture(_(NO_MEMBER))
    await _check_lent(interaction, app, person)
    url = person.display_avatar.replace(size=AVATAR_SIDE, format="png").url
    sent: Any = {"id": user_id, "filename": "avatar.png", "size": AVATAR_BYTES, "url": url, "proxy_url": url}
    return GivenFile(discord.Attachment(data=sent, state=cast("Any", interaction)._state))


async def _check_lent(interaction: Interaction, app: App, owner: discord.abc.User) -> None:
    """Raise BadPicture for another member's pictures without their consent."""
    if owner != interaction.user and not await app.members.lends_uploads(owner.id):
        raise BadPicture(_(NOT_TAKEN))


async def _readable(interaction: Interaction, guild_id: str, channel_id: int) -> Any:
    """A channel here whose old messages the member reads; None if there is none."""
    if interaction.guild_id is None:
        return interaction.channel if guild_id == "@me" and channel_id == interaction.channel_id else None
    guild, member = interaction.guild, interaction.user
    if guild is None or str(guild.id) != guild_id or not isinstance(member, discord.Member):
        return None
    channel = guild.get_channel_or_thread(channel_id)
    if not isinstance(channel, READABLE):
        return None
    rights = channel.permissions_for(member)
    if not (rights.view_channel and rights.read_message_history):
        return None
    if isinstance(channel, discord.Thread) and channel.is_private() and not rights.manage_threads:
        return channel if await _is_in(channel, member) else None
    return channel


async def _is_in(thread: discord.Thread, member: discord.Member) -> bool:
    try:
        await thread.fetch_member(member.id)
    except discord.HTTPException:
        return False
    return True
