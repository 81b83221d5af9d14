"""/imagine as a form: with a refused command's options, a request's words or settings, or an upload to start from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self, cast

import discord

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import BadOption, BadPicture, Decided
from limner.bot.limits import ANSWER_LENGTH
from limner.bot.options.ask import Ask
from limner.bot.options.declarations import OPTIONS, values
from limner.bot.options.option import OptionKind
from limner.bot.options.several import read_each
from limner.bot.server_styles import styles_at
from limner.bot.storage.tables.models import Job
from limner.bot.translation import N_, _, commas
from limner.bot.ui.form import Form, open_form, paragraph
from limner.bot.ui.interactions import owned, where_to_post
from limner.bot.ui.picture.given_pictures import ONE_PICTURE
from limner.bot.ui.picture.picture_buttons import USUAL_STRENGTH
from limner.bot.ui.request.asking import ask_to_paint, used_once, with_link
from limner.bot.ui.uploads import take_picture

Interaction = discord.Interaction[Any]

NO_PICTURE = N_(
    "A form takes no picture; take the line `{option}` out, or ask again with /imagine and attach it there."
)
USED = N_("That form was sent already, or opened too long ago; open it from the message again.")
NO_OPTION = N_("The line “{line}” is no option; write one such as `count: 2`, of {names}.")

OF_PICTURES = ("negative", "strength", "sw", "cw", "controls")
"""Options that a request's settings leave out: with a field of their own, or about pictures, which a form has not."""


class ImagineForm(Form, kind="imagine"):
    """The words and options of a refused request."""

    def __init__(self) -> None:
        super().__init__(_("Imagine"))
        for name, label, is_required in (
            ("prompt", _("What you want to see"), True),
            ("negative", _("What you do not want to see"), False),
            ("options", _("Options, one on each line"), False),
        ):
            field = discord.ui.TextInput[Any](
                style=discord.TextStyle.paragraph, required=is_required, max_length=ANSWER_LENGTH
            )
            self.ask(name, label, field)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For anybody."""
        return cls()

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the request like the command."""
        ask = await submit.with_usual_options(app, self.filled(interaction))
        read = read_each(app, ask)
        linked = await with_link(interaction, app, ask, is_private=any(new.is_private for new in read))
        await ask_to_paint(interaction, app, linked, read if linked == ask else ())

    def filled(self, interaction: Interaction) -> Ask:
        """What the member asks for; raises UserError."""
        return Ask(
            text=self.text("prompt"),
            user_id=interaction.user.id,
            locale=str(interaction.locale),
            options={"negative": self.text("negative"), **read_options(self.text("options"))},
            where=where_to_post(interaction),
        )


class UploadForm(ImagineForm, kind="upload"):
    """The same with a picture that the member posted, which a row keeps for a day, as the start."""

    def __init__(self, pending: int) -> None:
        super().__init__()
        self._pending = pending

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For the member who opened it, once."""
        if await app.pending.get(subject, interaction.user.id) is None:
            raise Decided(_(USED))
        return cls(subject)

    async def act(self, interaction: Interaction, app: App) -> None:
        """Download the picture and submit the request like the command."""
        ask = await submit.with_usual_options(app, self.filled(interaction).saying(image=submit.NOT_YET))
        if ask.options.get("link"):
            raise BadPicture(_(ONE_PICTURE))
        is_private = any(new.is_private for new in read_each(app, ask))
        async with used_once(app, self._pending, interaction.user.id) as row:
            upload = discord.Attachment(data=row.ask["options"]["image"], state=cast("Any", interaction)._state)
            ask = replace(ask, image_name=upload.filename, is_spoiler=upload.is_spoiler())
            taken = await take_picture(
                interaction,
                app,
                upload,
                lambda: submit.check(app, ask.saying(image=submit.NOT_YET)),
                is_private=is_private,
            )
            await ask_to_paint(interaction, app, ask.saying(image=taken))


class Remix(Form, kind="remix"):
    """The words of a finished request, to change and paint with the same seed and options."""

    def __init__(self, app: App, job: Job) -> None:
        super().__init__(_("Remix"))
        self._job = job
        longest = min(app.settings.max_prompt_length, ANSWER_LENGTH)
        self.ask("idea", _("What you want to see"), paragraph(job.idea[:longest], longest))
        own = styles_at(app, job.guild_id).own_negative(job.style, job.request["negative_prompt"])
        negative = paragraph(own[:longest], longest, required=False)
        self.ask("negative", _("What you do not want to see"), negative)

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For the owner of a request."""
        return cls(app, await owned(interaction, app, subject))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the changed request."""
        texts, user_id = (self.text("idea"), self.text("negative")), interaction.user.id
        where = where_to_post(interaction)
        await ask_to_paint(interaction, app, submit.remixed(app, self._job, *texts, user_id=user_id, where=where))


async def open_for_upload(interaction: Interaction, app: App, upload: discord.Attachment) -> None:
    """Show the form about a picture that the member posted; raises BadPicture if it is too large."""
    app.inputs.check_size(upload.size)
    ask = Ask(text="", options={"image": upload.to_dict()})  # without words, so that it is no request yet
    number = await app.pending.keep(interaction.user.id, ask.to_json(), None)
    given = {} if app.settings.default_card.edits else {"options": f"strength: {USUAL_STRENGTH}"}
    await open_form(interaction, app, "upload", number, given)


def settings_of(app: App, job: Job) -> dict[str, str]:
    """A request's words and options as the form's texts, without the picture that it starts from."""
    said = values(job, job.generation)
    lines = [
        f"{option.name}: {option.write(said[option.name])}"
        for option in OPTIONS
        if option.name in said and option.kind != OptionKind.PICTURE and option.name not in OF_PICTURES
    ]
    negative = styles_at(app, job.guild_id).own_negative(job.style, job.request["negative_prompt"])
    texts = {"prompt": job.idea, "negative": negative, "options": "\n".join(lines)}
    return {name: text[:ANSWER_LENGTH] for name, text in texts.items()}


def read_options(text: str) -> dict[str, str]:
    """The options in lines such as ``count: 2``, by name; raises BadOption."""
    known = {option.name: option for option in OPTIONS if option.name != "negative"}
    pictures = {name: option for option in OPTIONS for name in option.picture_names}
    options: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if name in pictures and not (pictures[name].flags and pictures[name].parse_typed(value)):
            raise BadOption(_(NO_PICTURE, option=name))
        if not colon or name not in known:
            names = sorted(name for name, option in known.items() if option.kind != OptionKind.PICTURE)
            raise BadOption(_(NO_OPTION, line=line[:60], names=commas(names)))
        options[name] = value
    return options
