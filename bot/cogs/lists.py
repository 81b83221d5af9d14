"""/lists: lists for wildcards that moderators give to their server. Every answer is private."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.cogs.filter.cards import view
from limner.bot.cogs.filter.log import UndoButton
from limner.bot.errors import BadPrompt
from limner.bot.limits import CONTENT, first_lines
from limner.bot.place import Where
from limner.bot.translation import N_, _, ngettext
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.interactions import moderated, tell
from limner.bot.ui.job import job_messages
from limner.bot.ui.listing import with_file
from limner.bot.ui.uploads import download
from limner.bot.wildcards import MOST_GIVEN_BYTES, read_lines, read_name
from limner.generators.text_files import BadText, decode

Interaction = discord.Interaction[Any]

TOO_LARGE = N_("A list's file may have at most {most} kB; divide it into several.")
ALL_FORBIDDEN = N_("The filter of this server lets none of these lines through, so the list is not stored.")
LEFT_OUT = N_("line “{line}” is left out: the filter of this server does not let it through")
NONE = N_("No moderator has added a list here; /lists add does.")
REMOVED = N_("The list {name} is removed.")


class Lists(LimnerCog, name="Limner lists"):
    """A server's own lists for wildcards."""

    group = app_commands.Group(
        name="lists",
        description="Lists that __name__ in a prompt chooses from in this server",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command()
    @app_commands.describe(name="Its name, which stands in prompts as __name__", file="A text file, a choice a line")
    async def add(self, interaction: Interaction, name: str, file: discord.Attachment) -> None:
        """Store a list for wildcards, in place of the one with that name."""
        guild_id, name = await moderated(interaction, self.app), read_name(name)
        if file.size > MOST_GIVEN_BYTES:
            raise BadPrompt(_(TOO_LARGE, most=MOST_GIVEN_BYTES // 1024))
        await interaction.response.defer(ephemeral=True, thinking=True)
        lines = await _read(interaction, self.app, file)
        forbidden = await _forbidden(self.app, guild_id, lines)
        kept = [line for line in lines if line not in forbidden]
        if not kept:
            raise BadPrompt(_(ALL_FORBIDDEN))
        change = await self.app.wildcards.given.put(guild_id, name, kept, interaction.user.id)
        said = ngettext(
            "The list {name} has one line; __{name}__ in a prompt is that line.",
            "The list {name} has {number} lines; __{name}__ in a prompt is one of them.",
            len(kept),
            name=name,
        )
        left_out = [_(LEFT_OUT, line=job_messages.plain(line, job_messages.NAME_LENGTH)) for line in sorted(forbidden)]
        content, files = with_file(
            [discord.utils.escape_markdown(said)], left_out, "lines.txt", lambda line: f"-# {line}"
        )
        await interaction.edit_original_response(content=content, attachments=files, view=view([UndoButton(change.id)]))

    @group.command()
    @app_commands.describe(name="The list's name")
    async def remove(self, interaction: Interaction, name: str) -> None:
        """Remove a list that a moderator added."""
        guild_id, name = await moderated(interaction, self.app), read_name(name)
        change = await self.app.wildcards.given.remove(guild_id, name, interaction.user.id)
        await tell(interaction, _(REMOVED, name=name), view=view([UndoButton(change.id)]))

    @group.command()
    async def show(self, interaction: Interaction) -> None:
        """Show the lists that moderators added here."""
        names = await self.app.wildcards.given.names(await moderated(interaction, self.app))
        shown = first_lines([f"`__{name}__`" for name in names], CONTENT)[0]
        await tell(interaction, shown or _(NONE))


async def _read(interaction: Interaction, app: App, file: discord.Attachment) -> list[str]:
    """The lines of a file that can be chosen; raises BadPrompt."""
    async with download(app, interaction.user.id, file) as data:
        try:
            return read_lines(decode(data, _("That file")))
        except BadText as error:
            raise BadPrompt(str(error)) from error


async def _forbidden(app: App, guild_id: int, lines: list[str]) -> set[str]:
    """The lines that the server's filter refuses in an idea."""
    place = Where(guild_id)
    return {line for line in lines if (await app.filters.check(place, {"idea": line})).refusal}
