"""The perceptual hashes of one picture, as rows and lists keep them."""

from __future__ import annotations

from dataclasses import dataclass

PHASH_DIGITS, PDQ_DIGITS = 16, 64


@dataclass(frozen=True)
class PictureHashes:
    """A picture's perceptual hashes in hexadecimal digits; None where there is none."""

    #: The signs of the lowest frequencies of a cosine transform: 64 bits.
    phash: str | None = None
    #: 256 bits; none of a picture that is too plain for it, or of one that was hashed before there was PDQ.
    pdq: str | None = None

    def __str__(self) -> str:
        return ",".join(filter(None, (self.pdq, self.phash)))

    @classmethod
    def of_text(cls, text: str) -> PictureHashes:
        """Read what `str` gives."""
        found = {len(digits): digits for digits in text.split(",")}
        return cls(found.get(PHASH_DIGITS), found.get(PDQ_DIGITS))
