"""The buttons that an error message offers, as they are sent; `again` and `appeal` say what they do."""

from __future__ import annotations

from typing import Any

import discord

from limner.bot.app import App
from limner.bot.storage.tables.models import Job
from limner.bot.translation import _


def again_button(kind: str, subject: int, row: int = 0) -> discord.ui.Button[Any]:
    """Opens the form ``kind`` about a subject, filled from the message or from a refused request's row."""
    custom_id = f"limner:again:{kind}:{subject}:{row}"
    return discord.ui.Button(label=_("Change it"), custom_id=custom_id, style=discord.ButtonStyle.primary)


def appeal_button(job_id: int) -> discord.ui.Button[Any]:
    """Opens the form for an appeal against the refusal of a request."""
    return discord.ui.Button(label=_("Appeal"), custom_id=f"limner:appeal:{job_id}")


def accept_button(digest: str, pending: int) -> discord.ui.Button[Any]:
    """Accepts a server's house rules; the pending request goes on then."""
    custom_id = f"limner:houserules:{digest}:{pending}"
    return discord.ui.Button(label=_("Accept"), custom_id=custom_id, style=discord.ButtonStyle.success)


async def appeal_view(app: App, job: Job) -> discord.ui.View | None:
    """The Appeal button; None if the refusal cannot be appealed."""
    return view_of(appeal_button(job.id)) if await app.appeals.may_appeal(job) else None


def view_of(*buttons: discord.ui.Button[Any]) -> discord.ui.View:
    """A view of such buttons; discord.py need not keep it, because a press is found by its custom_id."""
    view = discord.ui.View(timeout=None)
    for button in buttons:
        view.add_item(button)
    view.stop()
    return view
