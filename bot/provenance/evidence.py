"""What a picture file shows of where it comes from: its manifest, its marks and its looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class ManifestState(StrEnum):
    """What a file's manifest is worth."""

    NONE = "none"
    #: It cannot be read, or the file was changed after it was signed.
    BROKEN = "broken"
    #: Intact; whether its signer is who they say is for others to know.
    INTACT = "intact"


@dataclass(frozen=True)
class ManifestFound:
    """A file's active manifest; JSON in and out."""

    state: ManifestState
    #: The signer's organisation.
    signer: str = ""
    #: Whether it is signed with this bot's own certificate.
    is_ours: bool = False
    #: The program that made the file.
    program: str = ""
    #: Whether it says that a model made the picture, or parts of it.
    is_generated: bool = False
    #: How many pictures it was made of.
    ingredients: int = 0


@dataclass(frozen=True)
class Evidence:
    """All that a file shows of itself; JSON in and out."""

    manifest: ManifestFound
    #: The numbers of the invisible marks, the surest first, and how sure each one is.
    marks: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    #: The number of its TrustMark, which counts only where it is that of a picture made here; None without one.
    trustmark: int | None = None
    #: The perceptual hashes as a text; empty for a picture that is too plain, or too large to be opened.
    hashes: str = ""
    #: Why its pixels were not read, a `FileFault`.
    fault: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evidence:
        """Read what `to_json` gives."""
        marks = [(int(number), float(sureness)) for number, sureness in values["marks"]]
        said: dict[str, Any] = {**values["manifest"]}
        manifest = ManifestFound(ManifestState(said.pop("state")), **said)
        return cls(manifest, marks, values["trustmark"], values["hashes"], values["fault"])
