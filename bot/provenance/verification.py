"""Reads what a picture file shows of where it comes from, in a process of its own: files come from anybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from limner.bot.provenance.certificates import CannotSign, load
from limner.bot.provenance.evidence import ManifestFound, ManifestState
from limner.bot.provenance.manifest import read_store
from limner.bot.provenance.signing import Signing
from limner.bot.provenance.trustmark import NoTrustMark, TrustMarkReader
from limner.bot.provenance.watermark import Watermark, read_key

_MARKUP = frozenset("*_~|`[]<>#@:/\\")
"""Characters that would make a name in a foreign file more than a name where it is shown."""
_LONGEST_NAME = 80


def marks_in(image: Image.Image, key: Path) -> list[tuple[int, float]]:
    """The numbers of the marks in a picture, the surest first."""
    return [(mark.number, mark.sureness) for mark in Watermark(read_key(key)).read(image)]


def trustmark_in(image: Image.Image, folder: Path) -> int | None:
    """The number of a picture's TrustMark; None without one, or without its network."""
    try:
        return TrustMarkReader(folder).read(image)
    except NoTrustMark:
        return None


def manifest_in(data: bytes, signing: Signing | None) -> ManifestFound:
    """What a file's manifest says, whether it is intact, and whether it is signed with this bot's certificate.

    Names are one line without markup.
    """
    chain, serial = _own(signing)
    store = read_store(data, chain)
    if store is None:
        return ManifestFound(ManifestState.NONE)
    manifest: dict[str, Any] = store.get("manifests", {}).get(store.get("active_manifest"), {})
    if store["state"] not in ("Valid", "Trusted") or not manifest:
        return ManifestFound(ManifestState.BROKEN)
    signature: dict[str, Any] = manifest.get("signature_info", {})
    makers: list[dict[str, Any]] = manifest.get("claim_generator_info", [])
    sources = [source for source in _sources(manifest) if "lgorithmic" in source]
    return ManifestFound(
        ManifestState.INTACT,
        signer=_name(signature.get("issuer") or signature.get("common_name") or ""),
        # Anybody can choose a serial number, but no authority gives one twice.
        is_ours=store["state"] == "Trusted" and signature.get("cert_serial_number") == serial,
        program=_name(makers[0].get("name", "") if makers else ""),
        is_generated=bool(sources),
        ingredients=len(manifest.get("ingredients", [])),
    )


def _sources(manifest: Mapping[str, Any]) -> list[str]:
    assertions: list[dict[str, Any]] = manifest.get("assertions", [])
    found = [one["data"].get("actions", []) for one in assertions if one["label"].startswith("c2pa.actions")]
    return [str(action.get("digitalSourceType", "")) for actions in found for action in actions]


def _own(signing: Signing | None) -> tuple[bytes, str]:
    """The chain (PEM) and the serial number of this bot's certificate; empty if there is none that signs."""
    try:
        credentials = load(signing) if signing else None
    except CannotSign:
        return b"", ""
    return (credentials.chain, credentials.serial) if credentials else (b"", "")


def _name(text: str) -> str:
    letters = (one if one.isprintable() and one not in _MARKUP else " " for one in text)
    return " ".join("".join(letters).split())[:_LONGEST_NAME]
