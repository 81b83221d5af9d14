"""LoRAs that have learnt from what members liked: whose likes, and their files, which go when one of them is erased."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select, text

from limner.bot.storage.db import Database
from limner.bot.storage.tables.rating_tables import TaughtLora

log = logging.getLogger(__name__)

PICTURES, LATENTS = "liked", "latents"
"""Folders of a training with copies of members' pictures, and with what its model sees in them."""
_LEARNT = (
    *("checkpoint.safetensors", "pytorch_lora_weights.safetensors", "losses.csv", "losses.png", "samples.png"),
    *(PICTURES, LATENTS, "tensorboard"),
)
_TEACH = text("""
INSERT INTO taught_loras (user_id, lora, trained_in, installed, taught_at) VALUES (:user, :lora, :folder, :file, :now)
ON CONFLICT (trained_in, user_id) DO NOTHING
""")


@dataclass(frozen=True)
class LikedLora:
    """A LoRA's name for members, the folder of its training, and the file that requests use, if any."""

    name: str
    folder: Path
    installed: Path | None

    def delete(self) -> None:
        """Delete what it has learnt, and nothing else that lies in its folder."""
        for path in (*(self.folder / name for name in _LEARNT), *filter(None, [self.installed])):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


class TaughtLoras:
    """The members whose likes a LoRA has learnt from."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def teach(self, lora: LikedLora, members: Collection[int]) -> None:
        """Note that it learns from what these members liked, beside those of earlier trainings."""
        same = {"lora": lora.name, "folder": str(lora.folder), "file": str(lora.installed or ""), "now": time.time()}
        async with self.database.begin() as session:
            for user_id in sorted(members):
                await session.execute(_TEACH, {"user": user_id, **same})

    async def members(self, lora: LikedLora) -> set[int]:
        """Those from whom it has learnt, and who are not erased."""
        found = select(TaughtLora.user_id).where(TaughtLora.trained_in == str(lora.folder))
        async with self.database.read() as session:
            return {*await session.scalars(found)}

    async def forget(self, user_id: int) -> None:
        """Delete the LoRAs that have learnt from a member, with their rows; what learnt from likes cannot forget one.

        Raises:
            OSError: a file cannot be deleted; its rows stay.
        """
        mine = select(TaughtLora).where(TaughtLora.user_id == user_id)
        async with self.database.read() as session:
            found = (await session.scalars(mine)).all()
        for row in found:
            lora = LikedLora(row.lora, Path(row.trained_in), Path(row.installed) if row.installed else None)
            await asyncio.to_thread(lora.delete)
            async with self.database.begin() as session:
                await session.execute(delete(TaughtLora).where(TaughtLora.trained_in == row.trained_in))
        if found:
            log.info("loras_erased count=%d", len(found))
