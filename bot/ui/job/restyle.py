"""Restyle: changes a finished picture with an image-to-image model such as a CycleGAN; for its owner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadOption, BadPicture, UnknownModel
from limner.bot.limits import CHOICE, CHOICES, cut, key
from limner.bot.reasons import JobStatus
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _
from limner.bot.ui.controls import NOT_OFFERED, NUMBER, ForOwner
from limner.bot.ui.interactions import tell, where_to_post
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.generators.cards.model_card import ModelCard

Interaction = discord.Interaction[Any]

PARTS = 5
"""Selects that fit into a message."""
WHICH = N_("Which picture is to be changed, and into what?")
NO_PICTURE = N_("That request has no picture that can be changed.")
NO_MODEL = N_("No model here changes pictures any more.")


class RestyleButton(ForOwner[discord.ui.Button[Any]], template=rf"limner:restyle:(?P<job>{NUMBER})"):
    """The button under finished pictures if an image-to-image model is offered."""

    def __init__(self, job_id: int) -> None:
        super().__init__(discord.ui.Button(label=_("Restyle"), custom_id=f"limner:restyle:{job_id}"))
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        return cls(int(match["job"]))

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Restyle at once if there is one choice only; otherwise ask."""
        offered = _offered(job, app.settings.offered)
        if len(offered) == 1:
            return await _restyle(interaction, app, job, next(iter(offered)))
        view = discord.ui.View(timeout=None)
        for part in range(min(PARTS, -(-len(offered) // CHOICES))):
            some = dict([*offered.items()][part * CHOICES : (part + 1) * CHOICES])
            view.add_item(RestyleChoice(job.id, part, some))
        await tell(interaction, _(WHICH), view=view)


class RestyleChoice(
    ForOwner[discord.ui.Select[Any]], template=rf"limner:restyled:(?P<job>{NUMBER})(?::(?P<part>[0-9]))?"
):
    """Selects picture and model; a value is the picture's number and the model's name."""

    def __init__(self, job_id: int, part: int, offered: Mapping[str, str]) -> None:
        options = [discord.SelectOption(label=cut(label, CHOICE), value=value) for value, label in offered.items()]
        super().__init__(discord.ui.Select(custom_id=f"limner:restyled:{job_id}:{part}", options=options))
        self.job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The choice that was made, in whichever process it was offered."""
        return cls(int(match["job"]), 0, {})

    async def act(self, interaction: Interaction, app: App, job: Job) -> None:
        """Restyle the selected picture."""
        if self.item.values[0] not in _offered(job, app.settings.offered):
            raise BadOption(NOT_OFFERED)
        await _restyle(interaction, app, job, self.item.values[0])


def restyle_items(job: Job, cards: Mapping[str, ModelCard]) -> list[RestyleButton]:
    """Restyle, if a job has posted pictures and a model is offered for it."""
    is_shown = job.status == JobStatus.SUCCEEDED and not job.quarantine and not job.is_animation
    return [RestyleButton(job.id)] if is_shown and any(card.restyles for card in cards.values()) else []


def _offered(job: Job, cards: Mapping[str, ModelCard]) -> dict[str, str]:
    """The choices with their labels; the first pictures come with all models."""
    if not job.images:
        raise BadPicture(_(NO_PICTURE))
    models = [card for card in cards.values() if card.restyles]
    if not models:
        raise UnknownModel(_(NO_MODEL))
    return {
        f"{number}:{key(card.name)}": _("Picture {number} with {model}", number=number, model=card.title or card.name)
        for number in range(1, len(job.images) + 1)
        for card in models
    }


async def _restyle(interaction: Interaction, app: App, job: Job, chosen: str) -> None:
    number, model = chosen.split(":", 1)
    again = await submit.restyle(
        app, job, int(number), model, user_id=interaction.user.id, where=where_to_post(interaction)
    )
    await post_placeholder(interaction, app, again)
