"""PDQ agrees with its authors' program, and finds pictures that were changed among many."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import skimage
from PIL import Image, ImageEnhance

from limner.bot.storage.pictures.hash_table import PDQ_ALIKE, HashTable
from limner.bot.storage.pictures.pdq import pdq
from limner.bot.storage.pictures.perceptual_hash import fingerprint
from limner.bot.storage.tables.picture_hashes import PictureHashes

VECTORS = {
    "astronaut.png": ("2d6b1af3a956c529e79ca3d2526fa834d4196c81cedd04de0a26b855fc99b724", 100),
    "chelsea.png": ("5feb5321f01da156898e2bf629a5d3438412cdbd23f48942464526315db33ffd", 100),
    "page.png": ("965b26d62ed3636b192ccdddcc91d88c3925812979849815e37b1cce4732a6fb", 100),
    "moon.png": ("131645cde366d981e1e371b264d8b25b9e4d13771d8c4f366d946ca57133d0c9", 83),
}
"""Hash and quality of scikit-image's pictures by pdqhash 0.2.8, the authors' C++ code (facebook/ThreatExchange)."""


def opened(name: str) -> Image.Image:
    with Image.open(Path(str(skimage.__file__)).parent / "data" / name) as image:
        return image.convert("RGB")


@pytest.mark.parametrize("name", VECTORS)
def test_the_hash_is_that_of_its_authors_program(name: str) -> None:
    assert pdq(opened(name)) == VECTORS[name]


def test_a_changed_picture_is_the_same_and_another_one_is_far() -> None:
    table = HashTable((number, PictureHashes(pdq=known)) for number, (known, _quality) in enumerate(VECTORS.values()))
    picture, file = opened("astronaut.png"), io.BytesIO()
    picture.save(file, "JPEG", quality=60)
    changed = [Image.open(file), picture.resize((1400, 1400)), picture.resize((150, 150)), picture.convert("L")]
    changed.append(ImageEnhance.Brightness(picture).enhance(0.8))
    for one in changed:
        nearest = table.nearest(fingerprint(one), 6)
        assert nearest
        assert (nearest.number, nearest.of, nearest.is_alike) == (0, 256, True)
    far = table.nearest(fingerprint(opened("coffee.png")), 6)
    assert far
    assert not far.is_alike
    assert far.bits > 2 * PDQ_ALIKE


def test_both_kinds_are_compared_and_the_same_counts_before_the_nearer() -> None:
    zeros, few, more = "0" * 64, f"{0b111:064x}", f"{2**40 - 1:064x}"
    table = HashTable([(1, PictureHashes(phash=zeros[:16])), (2, PictureHashes(pdq=zeros))])
    nearest = table.nearest(PictureHashes(f"{0b1:016x}", few), 6)
    assert nearest
    assert (nearest.number, nearest.bits, nearest.of, nearest.is_alike) == (2, 3, 256, True)
    nearest = table.nearest(PictureHashes(f"{2**12 - 1:016x}", more), 12)
    assert nearest
    assert (nearest.number, nearest.is_alike) == (1, True)
    assert table.nearest(PictureHashes(), 6) is None
    assert HashTable([]).nearest(PictureHashes(zeros[:16], zeros), 6) is None


def test_plain_pictures_have_a_phash_alone() -> None:
    gradient = Image.linear_gradient("L").resize((64, 64))
    assert fingerprint(gradient).pdq is None
    assert fingerprint(gradient).phash
