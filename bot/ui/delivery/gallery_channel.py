"""A server's gallery channel: pictures that enough members starred, as files of our own, as long as they are public."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any

import discord

from limner.bot.app import App
from limner.bot.background import to_its_end
from limner.bot.limits import CHOICE, cut, nonce
from limner.bot.storage.pictures.image_files import describe
from limner.bot.storage.tables.gallery_tables import GalleryPost
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import _, ngettext
from limner.bot.ui.delivery.posting import is_lasting
from limner.bot.ui.interactions import SILENT, speaking_to_server, spot
from limner.bot.ui.job.favourites import StarButton
from limner.bot.ui.job.job_messages import quoted
from limner.bot.ui.picture.opened import link_to
from limner.bot.ui.picture.picture_buttons import PictureButton
from limner.generators.errors import error_site

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""Longest time that a starred picture waits, and that a hidden or deleted one stays."""
RETRY_SECONDS = 300.0
"""Pause after an answer of Discord's that may change, such as a missing permission."""

GalleryChannel = discord.TextChannel | discord.ForumChannel


class GalleryPoster:
    """Posts what is wanted and removes what is not public any more; each row is one message."""

    def __init__(self, app: App, client: discord.Client) -> None:
        self._app = app
        self._client = client

    async def run(self) -> None:
        """Work until cancelled."""
        await self._client.wait_until_ready()
        while True:
            await to_its_end(self.look())
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Remove and post what is due now."""
        try:
            for post in await self._app.gallery_posts.to_remove():
                await self._remove(post)
            for post, job, image in await self._app.gallery_posts.to_post():
                await self._post(post, job, image)
        except Exception as error:
            log.error("gallery_failed reason=%s", error_site(error))

    async def _remove(self, post: GalleryPost) -> None:
        try:
            if post.channel_id and post.message_id:
                await self._take_away(post.guild_id, post.channel_id, post.message_id)
        except discord.HTTPException as error:
            if not is_lasting(error):
                raise
            log.info("gallery_post_stays post=%s code=%s", post.id, error.code)
        await self._app.gallery_posts.drop(post)

    async def _take_away(self, guild_id: int, channel_id: int, message_id: int) -> None:
        """Delete a message, with its thread where it began one in a forum."""
        if channel_id == message_id:
            thread = self._client.get_channel(channel_id) or await self._client.fetch_channel(channel_id)
            if isinstance(thread, discord.Thread) and thread.permissions_for(thread.guild.me).manage_threads:
                return await thread.delete()
        channel = self._client.get_partial_messageable(channel_id, guild_id=guild_id)
        await channel.get_partial_message(message_id).delete()

    async def _post(self, post: GalleryPost, job: Job, image: Image) -> None:
        settings = await self._app.guilds.get(post.guild_id)
        channel = self._client.get_channel(settings.gallery_channel_id or 0)
        source = self._client.get_channel(job.channel_id or 0)
        if not isinstance(channel, GalleryChannel) or not is_as_open(source, channel):
            return await self._app.gallery_posts.drop(post)
        place = spot(post.guild_id, channel.id, channel)
        objection = await self._app.image_policy.objection(job, place)
        if objection and image.id in objection.codes:
            return await self._app.gallery_posts.drop(post)
        try:
            with await speaking_to_server(self._app, channel.guild, job.locale):
                await self._send(post, job, image, channel)
        except discord.HTTPException as error:
            log.info("gallery_post_waits post=%s code=%s", post.id, error.code)
            await self._app.gallery_posts.postpone(post, RETRY_SECONDS)

    async def _send(self, post: GalleryPost, job: Job, image: Image, channel: GalleryChannel) -> None:
        most, animation = channel.guild.filesize_limit, job.generation.animation
        found = await self._app.decoder.best_file(image.sha256, most, animation)
        if found is None:
            return await self._app.gallery_posts.drop(post)
        await self._app.gallery_posts.postpone(post, 0.0)  # a full disk could not record the post either
        number = image.position + 1
        file = discord.File(
            io.BytesIO(found[1]),
            f"limner-{job.id}-{number}.{found[0]}",
            description=describe(job, says_ai=self._app.settings.says_ai),
        )
        stars = (await self._app.favourites.stars([image.id])).get(image.id, 0)
        view = discord.ui.View(timeout=None)
        view.add_item(PictureButton(_("Picture"), job.id, number)).add_item(StarButton(job.id, number))
        text = f"{quoted(job.idea or job.input_name)}\n-# {_caption(job, stars)}"
        more: dict[str, Any] = {"file": file, "view": view, "allowed_mentions": SILENT, "suppress_embeds": True}
        if isinstance(channel, discord.ForumChannel):
            name = cut(" ".join((job.idea or job.input_name).split()) or str(job.id), CHOICE)
            made = await channel.create_thread(name=name, content=text, **more)
            return await self._app.gallery_posts.posted(post, made.thread.id, made.message.id)
        message = await channel.send(text, nonce=nonce("gallery", post.id), **more)
        await self._app.gallery_posts.posted(post, channel.id, message.id)


def is_as_open(source: object, gallery: discord.abc.GuildChannel) -> bool:
    """Whether every role that reads the gallery reads the channel too in which a picture was asked for."""
    if isinstance(source, discord.Thread):
        if source.is_private():
            return False
        source = source.parent
    if not isinstance(source, discord.abc.GuildChannel):
        return False
    readers = (role for role in gallery.guild.roles if gallery.permissions_for(role).view_channel)
    return all(source.permissions_for(role).view_channel for role in readers)


def _caption(job: Job, stars: int) -> str:
    who, link = f"<@{job.user_id}>", link_to(job)
    said = ngettext("⭐ {number} member", "⭐ {number} members", stars)
    return " · ".join(filter(None, (said, who, link and _("[Posted here]({link})", link=link))))
