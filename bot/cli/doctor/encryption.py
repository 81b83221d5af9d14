"""The check of encryption: the key, and whether everything is under it."""

from __future__ import annotations

from limner.bot.cli.doctor.check import Check
from limner.bot.settings import Settings
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.encryption import keys_used, missing_key
from limner.bot.translation import _


async def encryption(settings: Settings) -> Check:
    """Whether the keys that were used are there, and whether everything is under the present one."""
    cipher = Cipher(settings.encryption_keys)
    database = Database(settings.url, cipher)
    used = await keys_used(database)
    await database.close()
    if sentence := missing_key(cipher, used):
        return Check("fail", sentence, "LIMNER_ENCRYPTION_KEY")
    if not cipher.is_on:
        return Check("ok", _("words and pictures are not encrypted"))
    if any(key.covers_all and key.key_id == cipher.current.hex() for key in used):
        return Check("ok", _("words and pictures are encrypted"))
    return Check(
        "warn", _("what was stored before is not encrypted under the present key"), _("`limner encrypt` encrypts it")
    )
