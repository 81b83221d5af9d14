"""Column types whose values are encrypted under the key of the engine's `Cipher`, and the text of the index of words.

A dialect belongs to one engine, so it carries the cipher. Without one, as in migrations and copies, values pass as they
are stored.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, cast

from sqlalchemy import ColumnElement, Dialect, LargeBinary, SQLColumnExpression, Text, type_coerce
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeDecorator, TypeEngine

from limner.bot.storage.cipher import Cipher, key_of
from limner.bot.storage.tables.base import Json


def use_cipher(engine: AsyncEngine, cipher: Cipher) -> None:
    """Encrypt and decrypt what this engine writes and reads."""
    cast(Any, engine.dialect).limner_cipher = cipher


def cipher_of(dialect: Dialect) -> Cipher | None:
    """The cipher of a dialect's engine, if it has one."""
    return getattr(dialect, "limner_cipher", None)


def as_stored(column: SQLColumnExpression[bytes | None]) -> ColumnElement[bytes]:
    """A column's bytes as they are stored; who reads many of them decrypts them in a thread."""
    return type_coerce(column, LargeBinary)


class Encrypted(TypeDecorator[Any], ABC):
    """A value that may be encrypted; empty ones are not, and none can be compared in SQL."""

    impl = Text
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Refuse a comparison, which would find nothing once values are encrypted."""
        raise TypeError("an encrypted column cannot be compared in SQL")

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """The value to store."""
        cipher = cipher_of(dialect)
        return self.encrypted(cipher, value) if cipher and value else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """The stored value, decrypted; raises WrongKey."""
        cipher = cipher_of(dialect)
        return self.decrypted(cipher, value) if cipher and value else value

    def is_outdated(self, cipher: Cipher, stored: Any) -> bool:
        """Whether a value is not stored as the cipher would store it now."""
        key_id = key_of(stored) if isinstance(stored, str | bytes) else b""
        return bool(stored) and key_id != cipher.current

    @abstractmethod
    def encrypted(self, cipher: Cipher, value: Any) -> Any:
        """A value that is not empty, as the cipher stores it."""

    @abstractmethod
    def decrypted(self, cipher: Cipher, value: Any) -> Any:
        """A stored value; raises WrongKey."""


class EncryptedText(Encrypted):
    """A member's words."""

    cache_ok = True

    def encrypted(self, cipher: Cipher, value: str) -> str:
        """A text."""
        return cipher.encrypt_text(value)

    def decrypted(self, cipher: Cipher, value: str) -> str:
        """The words."""
        return cipher.decrypt_text(value)


class EncryptedJson(Encrypted):
    """A list or an object with words of a member in it; encrypted it is a JSON string."""

    impl = Json
    cache_ok = True

    def encrypted(self, cipher: Cipher, value: Any) -> Any:
        """A JSON string."""
        return cipher.encrypt_text(json.dumps(value)) if cipher.is_on else value

    def decrypted(self, cipher: Cipher, value: Any) -> Any:
        """The list or the object."""
        return json.loads(cipher.decrypt_text(value)) if isinstance(value, str) else value


class EncryptedBytes(Encrypted):
    """A small picture, or numbers from which words or a picture can be guessed."""

    impl = LargeBinary
    cache_ok = True

    def encrypted(self, cipher: Cipher, value: bytes) -> bytes:
        """Bytes."""
        return cipher.encrypt(value)

    def decrypted(self, cipher: Cipher, value: bytes) -> bytes:
        """The picture or the numbers."""
        return cipher.decrypt(value)


class IndexedWords(TypeDecorator[str]):
    """Words for the full-text index, which reads what is stored; so none are where words are encrypted."""

    impl = Text
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """What it is compared with is a text of its own."""
        return Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The words to store."""
        cipher = cipher_of(dialect)
        return "" if value is not None and cipher and cipher.is_on else value
