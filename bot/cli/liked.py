"""`limner train lora --liked`: what a member, or the members of a server, liked and did not, as pictures to learn."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from limner.bot.app import App, open_app
from limner.bot.cli.files import NEEDS_OUT
from limner.bot.errors import SetupError
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.history.taught_loras import PICTURES, LikedLora
from limner.bot.storage.tables.models import Image, Job
from limner.bot.translation import N_, _
from limner.generators.training.families.liked_pictures import RatedPicture, forget_pictures, square_side, write_rated
from limner.generators.weights import without_weights

if TYPE_CHECKING:
    from limner.generators.training.families.lora import LoRARecipe

FEWEST, MOST = 10, 5_000
"""Pictures that a LoRA learns from; of more the newest."""
TOO_FEW = N_(
    "{number} liked pictures of {who} are too few to learn from; it takes {fewest}, of members who let models be "
    "trained (/ratings training:on)."
)
ERASED = N_(
    "A member whose pictures it learnt from was erased meanwhile, so it is deleted; give the command again to learn "
    "from the others."
)


class LikedTraining:
    """The pictures of one training: they are copied for its time, and rows say whose they are.

    Args:
        settings: those of the bot.
        who: the id of a member or a server.
        lora: what is trained.
        side: width and height of the pictures.
        is_named: whether the operator chose the folder, so that copies of encrypted pictures may lie there.
    """

    def __init__(self, settings: Settings, who: int, lora: LikedLora, side: int, *, is_named: bool) -> None:
        self._settings, self._who, self._lora, self._side, self._is_named = settings, who, lora, side, is_named
        self._members: set[int] = set()

    @classmethod
    def of_command(cls, settings: Settings, arguments: argparse.Namespace, recipe: LoRARecipe) -> Self:
        """That of `limner train lora --liked`."""
        lora = LikedLora(f"{arguments.model}/{arguments.name}", recipe.folder.resolve(), recipe.installed)
        side = square_side(arguments.card_of(arguments.model))
        return cls(settings, arguments.liked, lora, side, is_named=arguments.out is not None)

    def gather(self) -> tuple[Path, bool]:
        """Copy the pictures, and note whose they are; returns their folder, and whether they are pairs (`write_rated`).

        Raises:
            SetupError: there are too few, or they are encrypted and no folder is named for copies.
        """
        are_pairs = asyncio.run(self._gather())
        return self._lora.folder / PICTURES, are_pairs

    def check(self) -> None:
        """Delete the copies, and the LoRA too if one of the members was erased meanwhile.

        Raises:
            SetupError: the LoRA is deleted.
        """
        forget_pictures(self._lora.folder, PICTURES)
        if not asyncio.run(self._is_whole()):
            self._lora.delete()
            raise SetupError(_(ERASED))

    async def _gather(self) -> bool:
        await migrate.check(self._settings.url)
        async with open_app(self._settings) as app:
            if app.images.cipher.keys and not self._is_named:
                raise SetupError(_(NEEDS_OUT))
            rated = await rated_pictures(app, self._who)
            liked = sum(likes > 0 for _job, _image, likes in rated)
            if liked < FEWEST:
                raise SetupError(_(TOO_FEW, number=liked, who=self._who, fewest=FEWEST))
            self._members = {job.user_id for job, _image, _likes in rated}
            await app.taught_loras.teach(self._lora, self._members)
            pictures = [
                RatedPicture(without_weights(job.prompt or job.idea), likes, partial(app.images.open, image.sha256))
                for job, image, likes in rated
            ]
            return write_rated(pictures, self._lora.folder / PICTURES, self._side)

    async def _is_whole(self) -> bool:
        async with open_app(self._settings) as app:
            return await app.taught_loras.members(self._lora) >= self._members


async def rated_pictures(app: App, who: int) -> list[tuple[Job, Image, int]]:
    """The newest pictures that a member or the members of a server rate, with their likes less their dislikes.

    A face counts for all pictures of a request, a choice for the better picture and against the other one. Pictures
    with as many likes as dislikes, with an objection or without their file, and animations, are left out.
    """
    jobs: dict[int, Job] = {}
    likes: Counter[tuple[int, int]] = Counter()
    for job, is_good in await app.ratings.for_training(who):
        jobs[job.id] = job
        likes.update({(job.id, image.position + 1): 1 if is_good else -1 for image in job.images})
    for job, chosen in await app.preferences.for_training(who):
        jobs.setdefault(job.id, job)
        likes.update({(job.id, chosen.better): 1, (job.id, chosen.worse): -1})
    found = [
        (job, image, likes[job.id, image.position + 1])
        for job in jobs.values()
        if not job.is_animation
        for image in job.images
        if image.verdict is None and likes[job.id, image.position + 1] and app.images.path(image.sha256).is_file()
    ]
    return sorted(found, key=lambda one: (one[0].id, one[1].position))[-MOST:]
