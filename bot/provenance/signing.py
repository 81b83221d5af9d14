"""Where the operator's certificate and its key are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = "signing"
"""Where `limner certify` puts both files, below the data folder."""


@dataclass(frozen=True)
class Signing:
    """The files of a certificate chain and of its key, and the time stamp authority (RFC 3161), if there is one."""

    certificate: Path
    key: Path
    authority: str = ""

    @property
    def is_set_up(self) -> bool:
        """Whether there is a certificate, good or not."""
        return self.certificate.exists() or self.key.exists()

    def to_json(self) -> dict[str, str]:
        """For another process."""
        return {"certificate": str(self.certificate), "key": str(self.key), "authority": self.authority}

    @classmethod
    def from_json(cls, values: Mapping[str, str]) -> Signing:
        """Read what `to_json` gives."""
        return cls(Path(values["certificate"]), Path(values["key"]), values["authority"])
