"""Members' uploads, and Discord's three seconds for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import discord

from limner.bot.app import App
from limner.bot.errors import BadPicture
from limner.bot.translation import N_, _
from limner.bot.ui.interactions import think

QUICK_SECONDS = 1.5
"""How long an upload may take before the answer is deferred."""
UPLOAD_SECONDS = 60.0

Check = Callable[[], Awaitable[None]]

LOST = N_("Discord does not give me that file now; try again in a moment.")


async def take_picture(
    interaction: discord.Interaction[Any],
    app: App,
    attachment: discord.Attachment,
    check: Check,
    keep: Callable[[bytes], Awaitable[str]] | None = None,
    *,
    is_private: bool = False,
) -> str:
    """Store an uploaded picture, or what ``keep`` stores of it, and return its hash.

    A member's requests with uploads are handled one after another, from the download to the written row, and each only
    after ``check`` has accepted it: nothing of a refused request is downloaded, opened or stored.

    With ``is_private`` the channel is shown nothing meanwhile.

    Raises:
        UserError: raised by ``check``; BadPicture for the file; StorageFailed.
    """
    [sha256] = await take_pictures(interaction, app, [attachment], check, keep, is_private=is_private)
    return sha256


async def take_pictures(
    interaction: discord.Interaction[Any],
    app: App,
    attachments: Sequence[discord.Attachment],
    check: Check,
    keep: Callable[[bytes], Awaitable[str]] | None = None,
    *,
    is_private: bool = False,
) -> list[str]:
    """The same for several pictures, one after the other; no file is downloaded if one of them is too large."""
    for attachment in attachments:
        app.inputs.check_size(attachment.size)

    request = this_task()

    async def store() -> list[str]:
        hashes: list[str] = []
        for attachment in attachments:
            async with download(app, interaction.user.id, attachment, check, request) as data:
                hashes.append(await (keep or app.inputs.store)(data))
        return hashes

    storing = asyncio.create_task(store())
    done, _ = await asyncio.wait({storing}, timeout=QUICK_SECONDS)
    if not done:
        await think(interaction, is_private=is_private)
    return await storing


@asynccontextmanager
async def download(
    app: App,
    user_id: int,
    attachment: discord.Attachment,
    check: Check | None = None,
    request: asyncio.Task[Any] | None = None,
) -> AsyncGenerator[bytes]:
    """A file's bytes, held for the length of the block: one file at a time per member, within the process's budget.

    With ``check`` the member's next file waits until the task ``request``, or else this one, has ended.

    Raises:
        UserError: raised by ``check`` before the download.
        BadPicture: Discord does not deliver the file.
    """
    async with AsyncExitStack() as held:
        if check:
            await app.held.begin(user_id, request or this_task())
            await check()
        else:
            await held.enter_async_context(app.held.turn(user_id))
        await held.enter_async_context(app.held.take(attachment.size))
        try:
            async with asyncio.timeout(UPLOAD_SECONDS):
                data = await attachment.read()
        except (discord.HTTPException, OSError, TimeoutError) as error:
            raise BadPicture(_(LOST)) from error
        yield data


def this_task() -> asyncio.Task[Any]:
    """The task that runs this coroutine."""
    return cast("asyncio.Task[Any]", asyncio.current_task())
