"""The form Animate: a pulse around a posted picture, or a walk from it through others of the member's."""

from __future__ import annotations

from typing import Any, Self

import discord

from limner.bot.animations import USUAL_FRAMES, Motion, Movement, animate_pictures, check_animates, offered_beside
from limner.bot.app import App
from limner.bot.limits import CHOICE, cut
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import N_, _
from limner.bot.ui.form import Form
from limner.bot.ui.interactions import viewed
from limner.bot.ui.job.job_buttons import post_placeholder
from limner.bot.ui.picture.picture_buttons import NUMBERS, asker
from limner.generators.animation import LEAST_FRAMES, MOST_FRAMES, MOST_KEYS

Interaction = discord.Interaction[Any]

MOTIONS = {
    Motion.PULSE: N_("Pulse: small changes around this picture"),
    Motion.LOOP: N_("Loop: through all pictures and back to this one"),
    Motion.PING_PONG: N_("Ping-pong: to the last picture and back"),
}
FRAMES = (LEAST_FRAMES, USUAL_FRAMES, 24, 32, MOST_FRAMES)


class AnimateForm(Form, kind="animate"):
    """How a picture moves, through which others, and in how many frames."""

    def __init__(self, job: Job, number: int, others: list[tuple[Job, Image]]) -> None:
        super().__init__(_("Animate"))
        self._job, self._number = job, number
        self._others = {f"{one.id}-{image.position + 1}": (one, image.position + 1) for one, image in others}
        motions = [discord.SelectOption(label=_(label), value=motion) for motion, label in MOTIONS.items()]
        motions[0].default = True
        self.ask("motion", _("How it moves"), discord.ui.Select[Any](options=motions))
        if others:
            options = [
                discord.SelectOption(label=cut(f"{name} {' '.join(one.idea.split())}", CHOICE), value=name)
                for name, (one, _number) in self._others.items()
            ]
            most = min(MOST_KEYS - 1, len(options))
            through = discord.ui.Select[Any](options=options, min_values=0, max_values=most, required=False)
            about = _("For a loop or ping-pong: your newest of the same model and size")
            self.ask("through", _("Other pictures to go through"), through, about)
        frames = [discord.SelectOption(label=_("{frames} frames", frames=one), value=str(one)) for one in FRAMES]
        frames[FRAMES.index(USUAL_FRAMES)].default = True
        self.ask("frames", _("How many frames are painted"), discord.ui.Select[Any](options=frames))

    @classmethod
    async def of(cls, interaction: Interaction, app: App, subject: int) -> Self:
        """For those who see the picture; raises BadOption for one that cannot be animated."""
        job_id, number = divmod(subject, NUMBERS)
        job = await viewed(interaction, app, job_id, number)
        check_animates(app, job, number)
        return cls(job, number, await offered_beside(app, job, interaction.user.id))

    async def act(self, interaction: Interaction, app: App) -> None:
        """Submit the request for the member who filled the form."""
        chosen = self.chosen("through") if self._others else []
        wanted = Movement(Motion(self.chosen("motion")[0]), int(self.chosen("frames")[0]))
        pictures = [(self._job, self._number), *(self._others[name] for name in chosen)]
        job = await animate_pictures(app, pictures, asker(interaction), wanted)
        await post_placeholder(interaction, app, job)
