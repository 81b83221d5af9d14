"""Returns typed text to its author with every refusal of a command or form, in a private message."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import discord

from limner.bot.errors import Refused, RulesNotAccepted
from limner.bot.options.flags import clean
from limner.bot.reasons import JobKind
from limner.bot.translation import N_, _, languages, pgettext, speaking
from limner.bot.ui.after_refusal import accept_button, again_button, appeal_button, view_of
from limner.bot.ui.command_names import NAME
from limner.bot.ui.form import FORM_ID, Form
from limner.bot.ui.interactions import app_of

Interaction = discord.Interaction[Any]

TITLE = N_("What you typed")
FILE = "what-you-typed.txt"
FIELD, TEXT, MESSAGE = 1024, 4000, 5500
"""Characters of an embed's field, a form's field and all embeds of a message; slightly below Discord's limits."""
LEAST = 20
"""Shorter texts are not returned: they are quickly typed again."""
MOST = 30_000
"""Longer texts are not returned: only programs send them."""
HEADINGS = {
    "prompt": N_("Prompt"),
    "negative": N_("Negative prompt"),
    "options": N_("Options"),
    "idea": N_("Idea"),
    "text": N_("Text"),
    "cells": N_("Cells that are painted anew"),
    "rest": N_("The rest of the picture"),
    "strength": N_("How much may change, from 0.05 to 1"),
    "words": N_("What moderators should know (optional)"),
    "kind": N_("It is"),
    "action": N_("When a request has it"),
    "told": N_("Reason for the member, or the new text"),
    "span": N_("It counts"),
    "exempt_channels": N_("Not in these channels and categories"),
    "exempt_roles": N_("Not for these roles"),
    "only_channels": N_("Only in these channels and categories"),
    "only_roles": N_("Only for these roles"),
    "ages": N_("Age restriction"),
    "review_days": N_("Days until an undecided card is a rejection"),
    "strike_days": N_("Days until a strike expires"),
    "strike_limit": N_("Strikes that suspend a member; 0: none do"),
    "suspension_hours": N_("Hours of the first suspension"),
    "evasion_minutes": N_("Minutes for which refusals are compared"),
    "explicit_limit": N_("In ordinary channels, from 0 to 1"),
    "explicit_limit_restricted": N_("In age-restricted channels, from 0 to 1"),
    "keep_days": N_("Days for which requests are kept"),
    "refused_days": N_("Days for which refused requests are kept"),
    "house_rules": N_("What members accept before they ask"),
    "title": N_("Name of the style"),
    "around": N_("Words around the prompt"),
    "style_negative": N_("Negative prompt of the style"),
    "gallery_stars": N_("Stars that a picture needs"),
    "pictures_day": N_("Pictures in 24 hours"),
    "pictures_month": N_("Pictures in 30 days"),
    "seconds_day": N_("Seconds of painting in 24 hours"),
    "seconds_month": N_("Seconds of painting in 30 days"),
}
"""What is shown for the forms' fields; a command's options have Discord's names."""
IMAGINE = ("prompt", "negative")
"""The options of /imagine with a form field of their own; the others are lines of a third field."""


@dataclass(frozen=True)
class Typed:
    """The texts of a command or form by name, and the form in which they can be changed, if any."""

    texts: Mapping[str, str]
    kind: str = ""
    subject: int = 0


async def give_back(interaction: Interaction, error: Exception) -> dict[str, Any]:
    """The additions to an error message: the typed texts, and buttons to change them or to appeal.

    A refusal by the filter repeats no words: its form is filled from the row of the refused request.
    """
    app = app_of(interaction.client)
    typed = _typed(interaction)
    if isinstance(error, Refused) and error.job_id:
        job = await app.jobs.get(error.job_id)
        buttons = [appeal_button(job.id)] if await app.appeals.may_appeal(job) else []
        if typed and typed.kind == "edit":
            buttons.append(again_button("edit", typed.subject, job.id))
        elif job.kind == JobKind.PAINT and not job.is_animation:
            buttons.append(again_button("remix", job.id))
        return {"view": view_of(*buttons)} if buttons else {}
    if isinstance(error, RulesNotAccepted) and (error.pending or typed is None):
        return {"view": view_of(accept_button(error.digest, error.pending))}
    if typed is None:
        return {}
    texts = typed.texts
    if max(map(len, texts.values())) > TEXT or sum(map(len, [*texts, *texts.values()])) > MESSAGE:
        written = "\n\n".join(f"{_heading(name)}:\n{text}" for name, text in texts.items())
        return {"file": discord.File(io.BytesIO(written.encode()), FILE)}
    buttons = [accept_button(error.digest, 0)] if isinstance(error, RulesNotAccepted) else []
    buttons += [again_button(typed.kind, typed.subject)] if typed.kind else []
    return {"embeds": embeds_of(texts), **({"view": view_of(*buttons)} if buttons else {})}


def shown(message: discord.Message) -> Iterator[tuple[str, str]]:
    """The texts in a message of `give_back`, by name."""
    names = _names()
    for embed in message.embeds:
        yield from ((names.get(field.name or "", field.name or ""), field.value or "") for field in embed.fields)
        if embed.description:
            yield names.get(embed.title or "", embed.title or ""), embed.description


def _heading(name: str) -> str:
    """What is shown above the text of a form's field or a command's option."""
    return _(HEADINGS[name]) if name in HEADINGS else pgettext(NAME, name)


@functools.cache
def _names() -> dict[str, str]:
    """The forms' fields by what is shown above their texts, in every language: messages outlive a member's choice."""
    names: dict[str, str] = {}
    for language in languages():
        with speaking(language):
            names |= {_heading(name): name for name in HEADINGS}
    return names


def _typed(interaction: Interaction) -> Typed | None:
    """The texts typed into a command or form; None if there are none or too many."""
    data = cast("Mapping[str, Any]", interaction.data or {})
    typed = None
    if interaction.type is discord.InteractionType.modal_submit:
        named = FORM_ID.fullmatch(str(data.get("custom_id")))
        if named and named["kind"] in Form.kinds:
            typed = Typed(_readable(_filled(data.get("components", ()))), named["kind"], int(named["subject"]))
    elif interaction.type is discord.InteractionType.application_command:
        options = dict(_options(data.get("options", ()), data.get("resolved", {})))
        if data.get("name") == "imagine":
            lines = "\n".join(f"{name}: {value}" for name, value in options.items() if name not in IMAGINE)
            texts = {name: options[name] for name in IMAGINE if name in options} | {"options": lines}
            typed = Typed(_readable(texts), "imagine")
        elif sum(map(len, options.values())) >= LEAST:
            typed = Typed(_readable(options))
    is_given = typed and typed.texts and sum(map(len, typed.texts.values())) <= MOST
    return typed if is_given else None


def _readable(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if clean(text[:MOST])}


def _filled(components: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A form's values: texts and selects."""
    parts = [component["component"] for component in components if "component" in component]
    return {str(part.get("custom_id")): str(part.get("value") or ", ".join(part.get("values", ()))) for part in parts}


def _options(options: Sequence[Mapping[str, Any]], resolved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A command's options as typed, including a subcommand's; a file by its name."""
    for option in options:
        if "options" in option:
            yield from _options(option["options"], resolved)
        elif "value" in option:
            file = resolved.get("attachments", {}).get(str(option["value"]), {})
            yield option["name"], str(file.get("filename", option["value"]))


def embeds_of(texts: Mapping[str, str]) -> list[discord.Embed]:
    """Short texts as fields of the first embed, and each long one as an embed of its own."""
    first = discord.Embed(title=_(TITLE))
    embeds = [first]
    for name, text in texts.items():
        if len(text) <= FIELD:
            first.add_field(name=_heading(name), value=text, inline=False)
        else:
            embeds.append(discord.Embed(title=_heading(name), description=text))
    return embeds
