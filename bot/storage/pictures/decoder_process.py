"""Program that opens one picture for the bot in bounded memory and time, then exits."""

from __future__ import annotations

import io
import json
import os
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from limner.bot.errors import BadPicture
from limner.bot.provenance.evidence import Evidence
from limner.bot.provenance.signing import Signing
from limner.bot.storage.cipher import Cipher
from limner.bot.storage.pictures.clips import clips
from limner.bot.storage.pictures.copies import fit, small_copy, under_grid
from limner.bot.storage.pictures.image_store import ImageStore
from limner.bot.storage.pictures.perceptual_hash import known_by
from limner.generators.image_canvas import COLUMNS, ROWS, covered, fitted
from limner.generators.image_files import BadImage, encode_png, open_image

CPU_SECONDS = 60
MEMORY = 256 * 2**20
NETWORK = 2**30
"""Bytes more of memory for TrustMark's network, which the operator has placed."""
MANIFEST = 64 * 2**10
"""Bytes that are left free for the manifest of an animation's file."""
BYTES_A_PIXEL = 16
"""Bytes per pixel that WebP, the most expensive format, takes while decoding."""

Decoded = tuple[dict[str, Any], bytes]


def main() -> None:
    """Run the task given as JSON in the only argument; each answer is a line of JSON and as many bytes as it says."""
    task = json.loads(sys.argv[1])
    if task["do"] == "fingerprint":
        pass  # its libraries take more memory than any picture
    _limit(task["most_pixels"] * BYTES_A_PIXEL + MEMORY + (NETWORK if "trustmark" in task else 0))
    given = sys.stdin.buffer.read()
    for header, data in _answers(task, given):
        sys.stdout.buffer.write(json.dumps(header | {"bytes": len(data)}).encode() + b"\n" + data)


def _answers(task: dict[str, Any], given: bytes) -> Iterator[Decoded]:
    if "pictures" in task:
        images = ImageStore(Path(task["folder"]), Cipher([b64decode(key) for key in given.split()]))
        for sha256 in task["pictures"]:
            yield from _clips(task, images, sha256) if task["do"] == "clips" else [_own(task, images, sha256)]
    elif task["do"] == "verify":
        yield _verified(task, given).to_json(), b""
    else:
        yield _given(task, given)


def _given(task: dict[str, Any], data: bytes) -> Decoded:
    """Handles the file of an input picture."""
    wanted = {name: task[name] for name in ("most_pixels", "most_side", "most_ratio")}
    try:
        image = open_image(data, **wanted)
        if task["do"] == "mask":
            mask = fitted(image, image.size)
            return {"share": covered(mask)}, encode_png(mask.convert("1"))
        return ({}, _clean(task, image, data)) if task["do"] == "clean" else ({}, str(known_by(image)).encode())
    except BadImage as error:
        return {"fault": error.fault}, b""
    except BadPicture as error:
        return {"problem": str(error)}, b""


def _own(task: dict[str, Any], images: ImageStore, sha256: str) -> Decoded:
    """Handles a stored file; the answer has no ``kind`` if it is missing, damaged, or cannot be made so small."""
    png = images.intact(sha256)
    if png is None:
        return {}, b""
    try:
        if task["do"] == "fingerprint":
            return {"kind": "text"}, str(known_by(Image.open(io.BytesIO(png)))).encode()
        if task["do"] == "copy":
            return {"kind": task["kind"]}, small_copy(png, task["side"], task["kind"], is_blurred=task["is_blurred"])
        if task["do"] == "grid":
            return {"kind": "jpg"}, under_grid(png, task["side"], ROWS, COLUMNS)
    except BadPicture as error:
        return {"problem": str(error)}, b""
    found = _fitted(task, png)
    return ({"kind": found[0]}, found[1]) if found else ({}, b"")


def _clips(task: dict[str, Any], images: ImageStore, sha256: str) -> Iterator[Decoded]:
    """An animation's files of at most ``most`` bytes, their manifests included."""
    png, most = images.intact(sha256), task["most"]
    if png is None:
        yield {}, b""
        return
    for found in clips(png, most - (MANIFEST if "signing" in task else 0), swings=task["swings"]):
        if found is None:
            yield {}, b""
        else:
            kind, data = found
            yield {"kind": kind}, _signed_copy(task, kind, data, png) if "signing" in task else data


def _verified(task: dict[str, Any], data: bytes) -> Evidence:
    """What a file says of where it comes from."""
    from limner.bot.provenance.verification import manifest_in, marks_in, trustmark_in  # loads their libraries

    manifest = manifest_in(data, Signing.from_json(task["signing"]) if "signing" in task else None)
    try:
        image = open_image(data, most_pixels=task["most_pixels"])
    except BadImage as error:
        return Evidence(manifest, fault=error.fault)
    hashes = ""
    with suppress(BadPicture):
        hashes = str(known_by(image))
    marks = marks_in(image, Path(task["key"]))
    trustmark = trustmark_in(image, Path(task["trustmark"])) if "trustmark" in task and not marks else None
    return Evidence(manifest, marks, trustmark, hashes)


def _clean(task: dict[str, Any], image: Image.Image, data: bytes) -> bytes:
    """An input picture's clean file, with the manifest of the given file as its parent's if that was signed."""
    png = encode_png(image)
    return _signed_copy(task, "png", png, data) if "signing" in task else png


def _fitted(task: dict[str, Any], png: bytes) -> tuple[str, bytes] | None:
    """A picture's file of at most ``most`` bytes, its manifest included."""
    most = task["most"]
    found = fit(png, most)
    if found is None or found[0] == "png" or "signing" not in task:
        return found
    signed = _signed_copy(task, *found, png)
    if len(signed) <= most:
        return found[0], signed
    found = fit(png, most - (len(signed) - len(found[1])))
    return (found[0], _signed_copy(task, *found, png)) if found else None


def _signed_copy(task: dict[str, Any], kind: str, data: bytes, original: bytes) -> bytes:
    from limner.bot.provenance.manifest import copied  # loads the library that signs

    return copied(data, kind, original, Signing.from_json(task["signing"]))


def _limit(memory: int) -> None:
    """Limit this process's further memory and processor time, and lower its priority."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
