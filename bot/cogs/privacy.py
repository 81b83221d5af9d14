"""/privacy: what is stored about a member, sending it to them, and erasing it. Answers are private."""

from __future__ import annotations

import re
import time
from typing import Any, Self

import discord
from discord import app_commands

from limner.bot.app import App
from limner.bot.errors import BadOption
from limner.bot.quantities import decimal
from limner.bot.storage.erasures import Period
from limner.bot.translation import N_, _
from limner.bot.ui.cog import LimnerCog
from limner.bot.ui.controls import NUMBER, ForAnyone
from limner.bot.ui.days import read_day
from limner.bot.ui.delivery.erasing import pictures, requests
from limner.bot.ui.embeds import make_embed
from limner.bot.ui.form import Form, open_form
from limner.bot.ui.interactions import SILENT, owned, tell
from limner.bot.ui.job.job_buttons import ask_to_delete

Interaction = discord.Interaction[Any]

DAY = 86_400.0
TITLE = N_("What is stored about you")
KEPT = N_(
    "Your requests are kept with their words, options, place and time, their pictures, and small copies while they are "
    "painted; the pictures that you gave; your favourites, folders, notes, ratings and choices between "
    "pictures; what requests mean, in numbers; "
    "your settings; and what moderators decided. Nothing is passed on, and nothing trains models unless /ratings "
    "allows it."
)
ENCRYPTED = N_("Your words and pictures are encrypted where they are stored.")
LABELS = {
    "pending_asks": N_("requests that wait for your confirmation: {number}"),
    "member_settings": N_("settings of yours: {number}"),
    "accepted_rules": N_("servers whose house rules you accepted: {number}"),
    "favourites": N_("favourites with their notes: {number}"),
    "folders": N_("folders: {number}"),
    "embeddings": N_("requests that are found by their meaning: {number}"),
    "exports": N_("exports on their way to you: {number}"),
    "ratings": N_("ratings of your results: {number}"),
    "preferences": N_("choices between two pictures: {number}"),
    "taught_loras": N_("LoRAs that have learnt from what you liked and disliked: {number}"),
    "rating_settings": N_("settings about ratings: {number}"),
    "reports": N_("requests that you reported: {number}"),
    "reviews": N_("requests that moderators looked at: {number}"),
    "strikes": N_("strikes: {number}"),
    "bans": N_("bans from painting: {number}"),
    "suspensions": N_("suspensions: {number}"),
}
"""What a table's rows are for a member; other tables are named as they are."""
LOOKS = {
    "export": (N_("Export"), discord.ButtonStyle.secondary),
    "erase": (N_("Erase"), discord.ButtonStyle.danger),
}
ERASING = N_("Receipt {number} is being prepared: {requests} erased so far.")
STAYS = N_("Of receipt {number}, what moderators need stays for a while.")
SURE = N_("{requests} with {pictures} are erased for good if you say so, with their words. That cannot be undone.")
SURE_ALL = N_("Your settings and everything else that is kept of you go too.")
MESSAGES_TOO = N_("Their posted messages are deleted as well.")
MESSAGES_STAY = N_("Their posted messages stay where they are, and their buttons stop working.")
BEGUN = N_(
    "It has begun; requests that were waiting or being painted are cancelled. A direct message brings you receipt "
    "{number}, and /privacy shows how far it is."
)
SENDING = N_(
    "Export {number} has begun: zip files with your pictures and all that is stored about you come by direct message, "
    "or here for a quarter of an hour if you take none. /privacy shows how far it is."
)
EXPORTING = N_("Export {number}: {parts} zip files with {pictures} are sent so far.")
WAITING = N_(
    "Export {number} waits, because Discord does not let me send it: allow direct messages from members of a server "
    "that we share, then press **Export** here."
)
NO_PERIOD = N_("Give the first day, the last day, or both, in the form.")
BACKWARDS = N_("The last day is before the first one; give them the other way round.")
NO_NUMBER = N_("“{text}” is not a request's number; /history shows the numbers.")
LONGEST_NUMBER = 18


class Privacy(LimnerCog, name="Limner privacy"):
    """What members may know and have erased."""

    @app_commands.command()
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
    async def privacy(self, interaction: Interaction) -> None:
        """Show what is stored about you, have it sent to you, and erase it."""
        embed = await _stored(self.app, interaction.user.id)
        view = discord.ui.View(timeout=None)
        for verb in LOOKS:
            view.add_item(PrivacyButton(verb))
        await tell(interaction, "", embed=embed, view=view)

    async def red_delete_data_for_user(self, *, requester: str, user_id: int) -> None:
        """Erase everything of a member; hosts such as Red call it on every cog. Posted messages stay."""
        del requester
        await self.app.erasures.ask(_everything(user_id), is_all=True, takes_messages=False, locale="en-US")


class PrivacyButton(ForAnyone[discord.ui.Button[Any]], template=rf"limner:privacy:(?P<verb>{'|'.join(LOOKS)})"):
    """Has everything sent, or opens the form that erases."""

    def __init__(self, verb: str) -> None:
        label, style = LOOKS[verb]
        super().__init__(discord.ui.Button(label=_(label), style=style, custom_id=f"limner:privacy:{verb}"))
        self.verb = verb

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed."""
        return cls(match["verb"])

    async def act(self, interaction: Interaction, app: App) -> None:
        """Carry out the button's verb."""
        if self.verb == "erase":
            return await open_form(interaction, app, "erase")
        token, expires_at = interaction.token, interaction.expires_at.timestamp()
        export = await app.exports.ask(interaction.user.id, str(interaction.locale), token=token, expires_at=expires_at)
        await tell(interaction, _(SENDING, number=export.id))


class EraseButton(
    ForAnyone[discord.ui.Button[Any]],
    template=rf"limner:privacy:sure:(?P<all>[01]):(?P<messages>[01]):(?P<after>{NUMBER}):(?P<before>{NUMBER})",
):
    """Erases what its question named, for the member who presses it."""

    def __init__(self, span: Period, *, is_all: bool, takes_messages: bool) -> None:
        times = f"{span.after:.0f}:{span.before:.0f}"
        custom_id = f"limner:privacy:sure:{is_all:d}:{takes_messages:d}:{times}"
        style = discord.ButtonStyle.danger
        super().__init__(discord.ui.Button(label=_("Erase for good"), style=style, custom_id=custom_id))
        self.span = span
        self.is_all = is_all
        self.takes_messages = takes_messages

    @classmethod
    async def from_custom_id(
        cls, interaction: Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button that was pressed, in whichever process it was sent."""
        span = Period(interaction.user.id, float(match["after"]), float(match["before"]))
        return cls(span, is_all=match["all"] == "1", takes_messages=match["messages"] == "1")

    async def act(self, interaction: Interaction, app: App) -> None:
        """Store the erasure; a second click finds the same one."""
        span = _everything(self.span.user_id) if self.is_all else self.span
        erasure = await app.erasures.ask(
            span, is_all=self.is_all, takes_messages=self.takes_messages, locale=str(interaction.locale)
        )
        text = _(BEGUN, number=erasure.id)
        await interaction.response.edit_message(content=text, view=None, allowed_mentions=SILENT)


class EraseForm(Form, kind="erase"):
    """Asks whether one request, a period or everything is erased."""

    def __init__(self) -> None:
        super().__init__(_("Erase what is stored about you"))
        what = {"all": _("Everything"), "period": _("A period"), "one": _("One request")}
        self.ask("what", _("What"), _choice(what))
        number = discord.ui.TextInput[Any](required=False, max_length=LONGEST_NUMBER)
        self.ask("request", _("The number of the request, for one request"), number)
        for name, label in (("first", _("The first day, for a period")), ("last", _("The last day, for a period"))):
            day = discord.ui.TextInput[Any](required=False, max_length=10, placeholder="2026-11-30")
            self.ask(name, label, day, _("In UTC; empty: no limit on this side."))
        messages = {"stay": _("They stay"), "go": _("They are deleted too")}
        self.ask("messages", _("The posted messages"), _choice(messages))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For anybody, about their own."""
        return cls()

    async def act(self, interaction: Interaction, app: App) -> None:
        """Ask once more, with the figures."""
        [what], takes_messages = self.chosen("what"), self.chosen("messages") == ["go"]
        if what == "one":
            return await ask_to_delete(interaction, app, await owned(interaction, app, _number(self.text("request"))))
        span = self._period(interaction.user.id) if what == "period" else _everything(interaction.user.id)
        is_all = what == "all"
        held = await app.erasures.held(span)
        sure = _(SURE, requests=requests(held.requests), pictures=pictures(held.pictures))
        lines = [sure, _(SURE_ALL) if is_all else "", _(MESSAGES_TOO) if takes_messages else _(MESSAGES_STAY)]
        view = discord.ui.View(timeout=None).add_item(EraseButton(span, is_all=is_all, takes_messages=takes_messages))
        await tell(interaction, "\n".join(filter(None, lines)), view=view)

    def _period(self, user_id: int) -> Period:
        first, last = (self.text(name).strip() for name in ("first", "last"))
        if not first and not last:
            raise BadOption(_(NO_PERIOD))
        after = read_day(first) if first else 0.0
        before = read_day(last) + DAY if last else float(round(time.time()))
        if before <= after:
            raise BadOption(_(BACKWARDS))
        return Period(user_id, after, before)


async def _stored(app: App, user_id: int) -> discord.Embed:
    """What is stored, in plain words."""
    held, others = await app.erasures.held(_everything(user_id)), await app.erasures.others(user_id)
    size = _(
        "{requests} with {pictures}, {size} MB",
        **_figures(held.requests, held.pictures),
        size=decimal(held.size / 1e6, 1),
    )
    lines = [
        _(LABELS[name], number=number) if name in LABELS else f"{name}: {number}" for name, number in others.items()
    ]
    erasures = [
        _(ERASING, number=erasure.id, requests=requests(erasure.requests))
        if erasure.done_at is None
        else _(STAYS, number=erasure.id)
        for erasure in await app.erasures.of_member(user_id)
    ]
    parts = {
        _("Your requests"): size,
        _("Beside them"): "\n".join(lines),
        _("Being sent"): await _sending(app, user_id),
    }
    parts[_("Being erased")] = "\n".join(erasures)
    kept = f"{_(KEPT)} {_(ENCRYPTED)}" if app.database.cipher.is_on else _(KEPT)
    return make_embed(_(TITLE), kept, [(name, text, False) for name, text in parts.items()])


async def _sending(app: App, user_id: int) -> str:
    """How far a member's export is; empty if there is none."""
    export = await app.exports.of_member(user_id)
    if export is None:
        return ""
    if export.held_at:
        return _(WAITING, number=export.id)
    return _(EXPORTING, number=export.id, parts=export.parts, pictures=pictures(export.pictures))


def _figures(number: int, painted: int) -> dict[str, str]:
    return {"requests": requests(number), "pictures": pictures(painted)}


def _everything(user_id: int) -> Period:
    return Period(user_id, 0.0, time.time())


def _choice(options: dict[str, str]) -> discord.ui.Select[Any]:
    first = next(iter(options))
    return discord.ui.Select(
        options=[
            discord.SelectOption(label=label, value=value, default=value == first) for value, label in options.items()
        ]
    )


def _number(text: str) -> int:
    if not re.fullmatch(rf"\s*#?[0-9]{{1,{LONGEST_NUMBER}}}\s*", text, re.ASCII):
        raise BadOption(_(NO_NUMBER, text=text.strip()))
    return int(text.strip().lstrip("#"))
