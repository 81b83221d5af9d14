"""Small copies of the example pictures beside models: a worker makes and classifies them, the bot shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from limner.bot.settings import Settings
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.side_pictures import SidePicture, side_picture
from limner.generators.measured import Measured

if TYPE_CHECKING:
    from PIL import Image

SUBJECT = "model pictures"
SIDE = 512
"""The longer side of a copy, in pixels."""
MOST_BYTES = 2**20
"""A larger copy is not ours."""


class ModelPictures:
    """The copies in the data folder, and how explicit each one is (0 to 1; None without a classifier)."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data / "cache" / "model_pictures"
        self._measured = Measured(settings.measured_file)

    def next_missing(self, cards: Iterable[ModelCard]) -> tuple[ModelCard, SidePicture] | None:
        """A picture of which there is no copy, or one of an older file; None if there is none. Blocks."""
        for card in cards:
            side = _side_of(card)
            if side and self._known(side) is None:
                return card, side
        return None

    def keep(self, side: SidePicture, image: Image.Image | None, score: float | None) -> None:
        """Write the copy; None for a file that cannot be used, so that it is not read again."""
        if image is not None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            image.thumbnail((SIDE, SIDE))
            image.convert("RGB").save(self._file(side), "WEBP", quality=85)
        known = {"stamp": side.stamp, "score": score, "usable": image is not None}
        self._measured.put(SUBJECT, str(side.file), known)

    def shown(self, card: ModelCard, limit: float) -> bytes | None:
        """The copy as WebP, if it is at most that explicit; None if there is none. Blocks while files are read."""
        side = _side_of(card)
        known = side and self._known(side)
        if not side or not known or not known["usable"]:
            return None
        score = known["score"]
        if isinstance(score, int | float) and score > limit:
            return None
        try:
            with self._file(side).open("rb") as opened:
                data = opened.read(MOST_BYTES + 1)
        except OSError:
            return None
        return data if len(data) <= MOST_BYTES else None

    def _known(self, side: SidePicture) -> dict[str, object] | None:
        match self._measured.get(SUBJECT, str(side.file)):
            case {"stamp": side.stamp, "score": score, "usable": bool(usable)}:
                return {"score": score, "usable": usable}
            case _older:
                return None

    def _file(self, side: SidePicture) -> Path:
        return self._folder / f"{hashlib.sha256(str(side.file).encode()).hexdigest()[:32]}.webp"


def _side_of(card: ModelCard) -> SidePicture | None:
    return None if card.server else side_picture(card.source)
