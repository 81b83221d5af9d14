"""The button with which a member accepts a server's house rules; the request that they kept back goes on."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from limner.bot.app import App
from limner.bot.translation import N_, _
from limner.bot.ui.after_refusal import accept_button
from limner.bot.ui.controls import NUMBER, ForAnyone
from limner.bot.ui.interactions import SILENT
from limner.bot.ui.request.asking import on_their_way, post_placeholders, submit_pending, used_once

Interaction = discord.Interaction[Any]

ACCEPTED = N_("You have accepted the rules of this server. Ask for pictures as you like.")


class AcceptButton(
    ForAnyone[discord.ui.Button[Any]],
    template=rf"limner:houserules:(?P<digest>[0-9a-f]{{16}}):(?P<pending>{NUMBER})",
):
    """Accepts the text that is shown, and submits the request that waits for it, if there is one."""

    def __init__(self, digest: str, pending: int) -> None:
        super().__init__(accept_button(digest, pending))
        self.digest = digest
        self.pending = pending

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(match["digest"], int(match["pending"]))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Record it, then do what was asked before."""
        await app.house_rules.accept(interaction.guild_id or 0, interaction.user.id, self.digest)
        if not self.pending:
            await _say(interaction, _(ACCEPTED))
            return
        async with used_once(app, self.pending, interaction.user.id) as row:
            jobs = await submit_pending(interaction, app, row)
        await _say(interaction, on_their_way(jobs))
        await post_placeholders(interaction, app, jobs)


async def _say(interaction: Interaction, text: str) -> None:
    await interaction.response.edit_message(content=text, embeds=[], view=None, allowed_mentions=SILENT)
