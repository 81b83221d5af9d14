"""Reads what a picture file shows of where it comes from, in a process of its own: files come from anybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from limner.bot.provenance.evidence import ManifestFound, ManifestState
from limner.bot.provenance.manifest import read_store
from limner.bot.provenance.watermark import Watermark, read_key


def marks_in(image: Image.Image, key: Path) -> list[tuple[int, float]]:
    """The numbers of the marks in a picture, the surest first."""
    return [(mark.number, mark.sureness) for mark in Watermark(read_key(key)).read(image)]


def manifest_in(data: bytes) -> ManifestFound:
    """What a file's manifest says, and whether it is intact."""
    store = read_store(data)
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
        signer=str(signature.get("issuer") or signature.get("common_name") or "")[:80],
        serial=str(signature.get("cert_serial_number", "")),
        program=str(makers[0].get("name", "") if makers else "")[:80],
        is_generated=bool(sources),
        ingredients=len(manifest.get("ingredients", [])),
    )


def _sources(manifest: Mapping[str, Any]) -> list[str]:
    found = [one["data"].get("actions", []) for one in manifest.get("assertions", []) if "actions" in one["label"]]
    return [str(action.get("digitalSourceType", "")) for actions in found for action in actions]
