"""Submitted forms, restart-safe: each is rebuilt from its custom_id and carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import discord
from discord.ext import commands

from limner.bot.cogs.filter.forms import PlaceForm, RuleForm
from limner.bot.cogs.filter.policy_form import PolicyForm
from limner.bot.cogs.privacy import EraseForm
from limner.bot.cogs.server import commands as server_commands
from limner.bot.cogs.settings import SettingForm
from limner.bot.errors import NotYours
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.error_answers import answer_error
from limner.bot.ui.form import FORM_ID, Form
from limner.bot.ui.interactions import use_languages
from limner.bot.ui.job.favourites import FavouriteForm
from limner.bot.ui.job.job_buttons import EditPrompt
from limner.bot.ui.job.steering import ChangePrompt
from limner.bot.ui.picture.animate_form import AnimateForm
from limner.bot.ui.picture.instruct_form import InstructForm
from limner.bot.ui.picture.picture_buttons import StartForm
from limner.bot.ui.picture.reference_form import ReferenceForm
from limner.bot.ui.picture.region_form import RegionForm
from limner.bot.ui.request.imagine_form import ImagineForm, Remix, UploadForm
from limner.bot.ui.review.appeal import AppealWords
from limner.bot.ui.review.report import ReportForm

Interaction = discord.Interaction[Any]

FORMS: tuple[type[Form], ...] = (
    *(
        AppealWords,
        EditPrompt,
        ChangePrompt,
        ImagineForm,
        UploadForm,
        Remix,
        StartForm,
        ReferenceForm,
        RegionForm,
        InstructForm,
    ),
    AnimateForm,
    FavouriteForm,
    ReportForm,
    *(RuleForm, PolicyForm, PlaceForm, EraseForm, SettingForm),
    *server_commands.FORMS,
)
_KINDS = {form.kind: form for form in FORMS}


class Forms(LimnerCog, name="Limner forms"):
    """Receives submitted forms."""

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """Carry out a submitted form; discord.py forgets modals at a restart."""
        data = cast("Mapping[str, Any]", interaction.data or {})
        named = FORM_ID.fullmatch(str(data.get("custom_id")))
        if interaction.type is not discord.InteractionType.modal_submit or named is None:
            return
        await use_languages(interaction, self.app)
        try:
            if (int(named["guild"]), int(named["user"])) != (interaction.guild_id or 0, interaction.user.id):
                raise NotYours
            form = await _KINDS[named["kind"]].of(interaction, self.app, int(named["subject"]))
            form.read(data["components"], _files(interaction, data))
            await form.act(interaction, self.app)
        except Exception as error:
            await answer_error(interaction, error)


def _files(interaction: Interaction, data: Mapping[str, Any]) -> dict[str, discord.Attachment]:
    """The files of a submitted form by their ids."""
    given: Mapping[str, Any] = data.get("resolved", {}).get("attachments", {})
    state = cast("Any", interaction)._state
    return {number: discord.Attachment(data=file, state=state) for number, file in given.items()}
