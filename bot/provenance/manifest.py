"""C2PA manifests: signs picture files as the last change of their bytes, and reads what is signed in others'.

The specification: https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html. Digital source
types: https://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from __future__ import annotations

import functools
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import version
from typing import Any, cast

import c2pa

from limner.bot.provenance.certificates import CannotSign, Credentials, load
from limner.bot.provenance.signing import Signing
from limner.bot.provenance.source import URL, DigitalSource
from limner.bot.provenance.time_stamps import authority

log = logging.getLogger(__name__)

PARAMETERS = "limner.parameters"
"""The label of the assertion that says how a picture was made."""
MIME_TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "gif": "image/gif", "mp4": "video/mp4"}
_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"GIF8": "gif"}
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},
    # Nothing is fetched from addresses that a file names.
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
}
_SOURCES = {
    DigitalSource.TRAINED: c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA,
    DigitalSource.COMPOSITE: c2pa.C2paDigitalSourceType.COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
    DigitalSource.ENHANCED: c2pa.C2paDigitalSourceType.ALGORITHMICALLY_ENHANCED,
}


class Relationship(StrEnum):
    """How a picture took part in another one, in C2PA's words."""

    #: It was changed.
    PARENT = "parentOf"
    #: A model was given it.
    INPUT = "inputTo"


@dataclass(frozen=True)
class Ingredient:
    """The file of a picture that another one was made of, with the manifest in it if there is one."""

    title: str
    relationship: Relationship
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Statement:
    """What is said of a picture: how it came about, of what, and with which parameters."""

    title: str
    #: None where only the file was encoded anew.
    source: DigitalSource | None
    ingredients: Sequence[Ingredient] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    #: What was done to a picture that was there.
    action: str = "c2pa.edited"

    @property
    def is_edit(self) -> bool:
        """Whether it changes a picture that was there."""
        return any(one.relationship == Relationship.PARENT for one in self.ingredients)

    def definition(self) -> str:
        """The manifest's definition, as JSON. A new picture's action is written by its intent."""
        assertions: list[dict[str, Any]] = []
        if self.is_edit:
            action = {"action": self.action} | ({"digitalSourceType": URL + self.source} if self.source else {})
            assertions.append({"label": "c2pa.actions.v2", "data": {"actions": [action]}})
        if self.parameters:
            assertions.append({"label": PARAMETERS, "data": dict(self.parameters)})
        maker = {"name": "Limner", "version": version("limner")}
        return json.dumps({"claim_generator_info": [maker], "title": self.title, "assertions": assertions})


def signed(data: bytes, kind: str, statement: Statement, signing: Signing) -> bytes:
    """A picture file with a manifest, signed; as it was where there is no certificate, or none that can sign.

    Without a good answer of the time stamp authority it is signed without a time stamp.
    """
    if not signing.is_set_up:
        return data
    try:
        credentials = load(signing)
        if signing.authority:
            sign = functools.partial(_stamped, data, kind, statement, credentials)
            if stamped := authority(signing.authority).stamped(sign):
                return stamped
        return _sign(data, kind, statement, credentials, None)
    except CannotSign:
        log.error("picture_unsigned reason=certificate")
    except c2pa.C2paError as error:
        log.error("picture_unsigned reason=%s", type(error).__name__)
    return data


def copied(data: bytes, kind: str, original: bytes, signing: Signing) -> bytes:
    """A file that was made of a signed one by encoding it anew, signed with the original as its parent.

    It stays as it is where the original has no manifest.
    """
    if not has_manifest(original):
        return data
    parent = Ingredient("original", Relationship.PARENT, original)
    return signed(data, kind, Statement("copy", None, [parent], action="c2pa.transcoded"), signing)


def kind_of(data: bytes) -> str | None:
    """The kind of a picture file by its first bytes; None for kinds that are not read here."""
    return next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), None)


def has_manifest(data: bytes) -> bool:
    """Whether a picture file holds a manifest, whatever it is worth."""
    kind = kind_of(data)
    if kind is None:
        return False
    try:
        reader = c2pa.Reader.try_create(MIME_TYPES[kind], io.BytesIO(data), context=_context())
    except c2pa.C2paError:
        return False
    return reader is not None


def read_store(data: bytes, anchors: bytes) -> dict[str, Any] | None:
    """The manifest store in a picture file as C2PA's library reads it, with its ``state``; None if there is none.

    The state is Trusted where one of the authorities in ``anchors`` (PEM) has signed the signer's certificate, Valid
    for other intact ones, or Invalid for one that is broken or does not belong to these bytes.
    """
    kind = kind_of(data)
    try:
        context = _context(anchors)
        reader = c2pa.Reader.try_create(MIME_TYPES[kind], io.BytesIO(data), context=context) if kind else None
    except c2pa.C2paError:
        return {"state": "Invalid"}
    return None if reader is None else {**json.loads(reader.json()), "state": reader.get_validation_state()}


def _stamped(data: bytes, kind: str, statement: Statement, credentials: Credentials, address: str) -> bytes | None:
    """A signed file with a time stamp; None if there is no answer, or one that would make the manifest invalid."""
    try:
        stamped = _sign(data, kind, statement, credentials, address)
    except c2pa.C2paError:
        return None
    store = read_store(stamped, b"")
    return stamped if store and store["state"] != "Invalid" else None


def _sign(data: bytes, kind: str, statement: Statement, credentials: Credentials, authority: str | None) -> bytes:
    key, chain = credentials.key, credentials.chain
    address = authority.encode() if authority else None
    info = c2pa.C2paSignerInfo(credentials.algorithm.encode(), chain, key, address)
    signer = c2pa.Signer.from_info(info)
    builder = c2pa.Builder(statement.definition(), _context())
    if statement.is_edit:
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
    elif statement.source:
        builder.set_intent(c2pa.C2paBuilderIntent.CREATE, _SOURCES[statement.source])
    for one in statement.ingredients:
        named = json.dumps({"title": one.title, "relationship": one.relationship})
        cast(Any, builder).add_ingredient(named, MIME_TYPES[kind_of(one.data) or kind], io.BytesIO(one.data))
    written = io.BytesIO()
    builder.sign(signer, MIME_TYPES[kind], io.BytesIO(data), written)
    return written.getvalue()


def _context(anchors: bytes = b"") -> c2pa.Context:
    trust = {"trust": {"user_anchors": anchors.decode()}} if anchors else {}
    return c2pa.Context(c2pa.Settings.from_json(json.dumps(_SETTINGS | trust)))
