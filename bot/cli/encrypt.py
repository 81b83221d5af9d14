"""`limner encrypt`: brings everything under the present key, or takes the encryption off."""

from __future__ import annotations

import json
from dataclasses import asdict

from limner.bot.errors import SetupError
from limner.bot.queue.worker_registry import WorkerRegistry
from limner.bot.settings import Settings
from limner.bot.storage import migrate
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.encryption import check_keys, keys_used, rewrite
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.translation import N_, _

NO_KEY = N_("There is no key; give one as LIMNER_ENCRYPTION_KEY. `openssl rand -base64 32` makes one.")
NEW_KEY = N_("Workers are running that do not have this key; restart `limner run` and `limner worker` with it first.")
RUNNING = N_("Workers are running on this database; stop `limner run` and `limner worker` first, then try again.")
ENCRYPTED = N_("Everything is encrypted under this key: {rows} rows and {files} files were written anew.")
DECRYPTED = N_(
    "Nothing is encrypted any more: {rows} rows and {files} files were written anew. Remove LIMNER_ENCRYPTION_KEY now."
)
UNREADABLE = N_(
    "{rows} rows and {files} files were written anew. {unreadable} more are damaged or under a key that is not given; "
    "they are as they were."
)


async def encrypt(settings: Settings, *, is_off: bool, as_json: bool) -> bool:
    """Write everything anew, and say how much; False if something could not be read.

    Raises:
        SetupError: there is no key, one is missing, or running workers stand in the way.
    """
    if not settings.encryption_keys:
        raise SetupError(_(NO_KEY))
    await migrate.check(settings.url)
    cipher = Cipher(settings.encryption_keys, writes_plain=is_off)
    database = Database(settings.url, cipher)
    try:
        await _check_workers(settings, database, is_off=is_off)
        await check_keys(database)
        done = await rewrite(database, ImageStore(settings.data / "images", cipher))
    finally:
        await database.close()
    sentence = UNREADABLE if done.unreadable else DECRYPTED if is_off else ENCRYPTED
    print(json.dumps(asdict(done)) if as_json else _(sentence, **asdict(done)))
    return not done.unreadable


async def _check_workers(settings: Settings, database: Database, *, is_off: bool) -> None:
    """See that no running worker would write in another way."""
    if await WorkerRegistry(database, lease_seconds=settings.lease_seconds).alive():
        used = {key.key_id for key in await keys_used(database)}
        if is_off or database.cipher.current.hex() not in used:
            raise SetupError(_(RUNNING if is_off else NEW_KEY))
