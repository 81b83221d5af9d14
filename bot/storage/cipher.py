"""Encryption at rest: AES-256-GCM under keys from the environment; without a key everything is stored as it is."""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from limner.bot.errors import WrongKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"limner\x00\x01"
"""The beginning of encrypted bytes; then come the key's id, a nonce, and the ciphertext with its tag."""
MARK = "\x02limner:"
"""The beginning of an encrypted text; then comes the same in base64."""
ID, NONCE = 4, 12
"""Lengths in bytes; 96 random bits for a nonce are what NIST SP 800-38D (8.2.2) allows for 2^32 values of a key."""
HEADER = len(MAGIC) + ID
"""Bytes from which `key_of` reads the key's id."""


class Cipher:
    """Encrypts under the first of its keys, and decrypts what any of them has encrypted, and what is not encrypted.

    With ``writes_plain`` it only decrypts.
    """

    def __init__(self, keys: Sequence[bytes] = (), *, writes_plain: bool = False) -> None:
        self._given = list(keys)
        self._keys = {_id_of(key): _algorithm(key) for key in keys}
        #: The id of the key under which it encrypts; empty if it does not.
        self.current = b"" if writes_plain else next(iter(self._keys), b"")

    @property
    def is_on(self) -> bool:
        """Whether it encrypts."""
        return bool(self.current)

    @property
    def keys(self) -> list[bytes]:
        """Its keys, the one under which it encrypts first."""
        return self._given

    def knows(self, key_id: bytes) -> bool:
        """Whether it has the key with this id."""
        return key_id in self._keys

    def encrypt(self, data: bytes) -> bytes:
        """The bytes to store."""
        if not self.current:
            return data
        nonce = os.urandom(NONCE)
        return MAGIC + self.current + nonce + self._keys[self.current].encrypt(nonce, data, None)

    def decrypt(self, stored: bytes) -> bytes:
        """What was given to `encrypt`; raises WrongKey if it is under another key, or damaged."""
        key_id = key_of(stored)
        if not key_id:
            return stored
        if key_id not in self._keys:
            raise WrongKey
        from cryptography.exceptions import InvalidTag

        try:
            nonce, ciphertext = stored[HEADER : HEADER + NONCE], stored[HEADER + NONCE :]
            return self._keys[key_id].decrypt(nonce, ciphertext, None)
        except (InvalidTag, ValueError) as error:
            raise WrongKey from error

    def encrypt_text(self, text: str) -> str:
        """The text to store; nothing that is written as it is looks encrypted."""
        if not self.current:
            while text.startswith(MARK):
                text = text.removeprefix(MARK)
            return text
        return MARK + b64encode(self.encrypt(text.encode(errors="surrogatepass"))).decode()

    def decrypt_text(self, stored: str) -> str:
        """What was given to `encrypt_text`; raises as `decrypt` does."""
        if not stored.startswith(MARK):
            return stored
        return self.decrypt(_bytes_of(stored)).decode(errors="surrogatepass")


def key_of(stored: bytes | str) -> bytes:
    """The id of the key under which bytes or a text are encrypted; empty if they are not."""
    data = _bytes_of(stored) if isinstance(stored, str) else stored
    return data[len(MAGIC) : HEADER] if data.startswith(MAGIC) else b""


def _bytes_of(text: str) -> bytes:
    try:
        return b64decode(text.removeprefix(MARK)) if text.startswith(MARK) else b""
    except ValueError as error:
        raise WrongKey from error


def _id_of(key: bytes) -> bytes:
    return hashlib.blake2s(key, person=b"limner", digest_size=ID).digest()


def _algorithm(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # most bots have no key

    return AESGCM(key)
