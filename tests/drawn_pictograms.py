"""An archive like that of the pictograms, with a drawing of ours for each noun."""

# pyright: basic

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from limner.generators.training.doodle.pictograms import Pictograms, read_nouns

SIDE = 96


def build_pictograms(folder: Path, draw: Callable[[str], Image.Image]) -> Pictograms:
    """The archive's layout with what ``draw`` makes of each emoji."""
    nouns = read_nouns()
    archive = folder / "archive.tgz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for characters in {noun.picture for noun in nouns if not noun.picture.isascii()} | {"💀", "🚌"}:
            file = io.BytesIO()
            draw(characters).save(file, "WEBP", lossless=True, method=0)
            code = "-".join(f"{ord(character):04x}" for character in characters)
            member = tarfile.TarInfo(f"package/assets/{code}.webp")
            member.size = len(file.getvalue())
            tar.addfile(member, io.BytesIO(file.getvalue()))
    return Pictograms(archive, nouns)


def blue_square(characters: str) -> Image.Image:
    """The same for each."""
    return Image.new("RGBA", (32, 32), (40, 90, 230, 255))


def figure(characters: str) -> Image.Image:
    """A body with limbs, spots and a light side, different for each emoji."""
    random = Random(characters)
    image = Image.new("RGBA", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    colour = tuple(random.randint(20, 250) for _ in range(3))
    for _ in range(random.randint(2, 5)):
        corners = [(random.randint(4, SIDE - 4), random.randint(4, SIDE - 4)) for _ in range(random.randint(3, 5))]
        pen.polygon(corners, fill=tuple(round(part * random.uniform(0.6, 1)) for part in colour))
    pen.ellipse((18, 18, 78, 78), fill=colour)
    pen.ellipse((26, 24, 46, 44), fill=tuple(min(255, part + 60) for part in colour))
    for _ in range(random.randint(1, 5)):
        x, y, radius = random.randint(24, 70), random.randint(24, 70), random.randint(2, 6)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=random.choice(("black", "white", "brown")))
    return image
