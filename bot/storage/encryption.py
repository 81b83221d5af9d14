"""The keys that a database needs, and writing rows and picture files anew under the present key, or without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, Text, delete, literal, select, tuple_, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite

from limner.bot.errors import SetupError, WrongKey
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.db import Database
from limner.bot.storage.erasing import forget_leftovers
from limner.bot.storage.history.history import History
from limner.bot.storage.history.search import index_form_of
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.tables.encrypted import Encrypted
from limner.bot.storage.tables.models import Job
from limner.bot.storage.tables.privacy_tables import EncryptionKey
from limner.bot.storage.tables.schema import SCHEMA
from limner.bot.translation import N_, _
from limner.generators.requests import GenerationRequest

AT_ONCE = 100
"""Rows that one transaction rewrites."""
INDEXED = ("search_text", "search_facets")
"""The columns of the full-text index."""
NO_KEY = N_("What is stored here is encrypted; give its key as LIMNER_ENCRYPTION_KEY. Nothing was changed.")
OTHER_KEY = N_(
    "What is stored here is encrypted under another key than LIMNER_ENCRYPTION_KEY; give that one, after the new one "
    "and a space if the key is to be changed. Nothing was changed."
)


@dataclass
class WrittenAnew:
    """How many rows and picture files were written anew, and how many could not be read."""

    rows: int = 0
    files: int = 0
    unreadable: int = 0


async def check_keys(database: Database) -> None:
    """See that every key that was used here is given, and write down the one under which it is encrypted from now on.

    Raises:
        SetupError: a key is missing; nothing is written then.
    """
    cipher, used = database.cipher, await keys_used(database)
    if sentence := missing_key(cipher, used):
        raise SetupError(sentence)
    if cipher.is_on and cipher.current.hex() not in {key.key_id for key in used}:
        insert = (sqlite if database.is_sqlite else postgresql).insert(EncryptionKey)
        is_empty = ~select(Job.id).exists() & literal(not used)
        row = insert.values(key_id=cipher.current.hex(), first_used_at=time.time(), covers_all=is_empty)
        async with database.begin() as session:
            await session.execute(row.on_conflict_do_nothing())


def missing_key(cipher: Cipher, used: Sequence[EncryptionKey]) -> str | None:
    """The sentence for an operator whose cipher lacks one of the keys; None if it has all."""
    if all(cipher.knows(bytes.fromhex(key.key_id)) for key in used):
        return None
    return _(OTHER_KEY if cipher.keys else NO_KEY)


async def keys_used(database: Database) -> Sequence[EncryptionKey]:
    """The keys under which something is encrypted."""
    async with database.read() as session:
        return (await session.scalars(select(EncryptionKey))).all()


async def rewrite(database: Database, images: ImageStore) -> WrittenAnew:
    """Write every value and picture file anew that is not stored as the cipher stores it, and forget other keys.

    Little is done at a time, beside running bots and workers that have the same keys; an interrupted call is completed
    by the next one. Then words are no more in the index and the log, or in the index again. What cannot be read stays
    as it is, and so do all keys then.
    """
    done = WrittenAnew()
    for table in SCHEMA.sorted_tables:
        if kinds := {column.name: column.type for column in table.c if isinstance(column.type, Encrypted)}:
            await _rewrite_rows(database, table, kinds, done)
    await forget_leftovers(database)
    await _rewrite_files(database, images, done)
    if not done.unreadable:
        mine = EncryptionKey.key_id == database.cipher.current.hex()
        async with database.begin() as session:
            await session.execute(delete(EncryptionKey).where(~mine))
            await session.execute(update(EncryptionKey).where(mine).values(covers_all=True))
    return done


async def _rewrite_files(database: Database, images: ImageStore, done: WrittenAnew) -> None:
    for sha256 in await asyncio.to_thread(list, images.outdated()):
        try:
            await asyncio.to_thread(images.rewrite, sha256)
            done.files += 1
        except FileNotFoundError:  # it was deleted meanwhile
            continue
        except WrongKey:
            done.unreadable += 1
    await History(database, images).sweep()


async def _rewrite_rows(database: Database, table: Table, kinds: Mapping[str, Encrypted], done: WrittenAnew) -> None:
    """Go through a table by its primary key."""
    keys = [*table.primary_key]
    stored = [type_coerce(table.c[name], kind.impl_instance).label(name) for name, kind in kinds.items()]
    indexed = [type_coerce(column, Text).label(column.name) for column in table.c if column.name in INDEXED]
    found = select(*keys, *stored, *indexed).order_by(*keys).limit(AT_ONCE).with_for_update()
    rows: Sequence[Mapping[str, Any]] | None = None
    while rows is None or len(rows) == AT_ONCE:
        if rows:
            last = (literal(rows[-1][key.name], key.type) for key in keys)
            found = found.where(tuple_(*keys) > tuple_(*last))
        async with database.begin(survives_power_cut=False) as session:
            page = (await session.execute(found)).mappings().all()
            rows = [{str(name): value for name, value in row.items()} for row in page]
            for row in rows:
                try:
                    values = _outdated(database.cipher, kinds, row)
                except WrongKey:
                    done.unreadable += 1
                    continue
                if values:
                    mine = (key == row[key.name] for key in keys)
                    await session.execute(update(table).where(*mine).values(values))
                    done.rows += 1


def _outdated(cipher: Cipher, kinds: Mapping[str, Encrypted], row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a stored row that are not as the cipher would store them, decrypted."""
    old = {name: kind for name, kind in kinds.items() if kind.is_outdated(cipher, row[name])}
    values = {name: kind.decrypted(cipher, row[name]) for name, kind in old.items()}
    return values | (_indexed(cipher, kinds, row) if INDEXED[0] in row else {})


def _indexed(cipher: Cipher, kinds: Mapping[str, Encrypted], row: Mapping[str, Any]) -> dict[str, str]:
    """The words of a request in the index, if they are to be removed or written; deleted ones have no facets."""
    if cipher.is_on:
        return {"search_text": ""} if row["search_text"] else {}
    if row["search_text"] or not row["search_facets"]:
        return {}
    idea, prompt, request = (kinds[name].decrypted(cipher, row[name]) for name in ("idea", "prompt", "request"))
    steering = [words for _step, words in GenerationRequest.from_json(request).steering]
    return {"search_text": index_form_of(idea, prompt, steering)}
