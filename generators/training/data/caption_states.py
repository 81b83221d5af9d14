"""Hidden states of a folder's captions, computed once by a frozen caption encoder and kept on disk."""

# pyright: basic, reportPrivateImportUsage=false

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limner.generators.language.caption_encoder import CaptionEncoder
from limner.generators.training.errors import need_room

BATCH = 32


class CaptionStates:
    """Hidden states of captions and of the empty caption, each computed once.

    The file in ``folder`` is named after the encoder and the captions, so others never use it.
    """

    def __init__(self, encoder: CaptionEncoder, texts: Sequence[str], folder: Path) -> None:
        distinct = sorted({"", *texts})
        row = {text: number for number, text in enumerate(distinct)}
        self._row_of = torch.tensor([row[text] for text in texts])
        self.empty = row[""]
        key = hashlib.sha256("\n".join([encoder.fingerprint(), *distinct]).encode()).hexdigest()[:16]
        self._file = folder / f"captions-{key}.npy"
        if not self._file.is_file():
            self._read(encoder, distinct)
        self._states = np.load(self._file, mmap_mode="r")

    def read(self, numbers: Sequence[int], dropped: Tensor | None = None) -> Tensor:
        """Hidden states (count, length, width) of the pictures' captions; those of "" where ``dropped`` is true."""
        rows = self._row_of[list(numbers)]
        if dropped is not None:
            rows = rows.masked_fill(dropped, self.empty)
        return torch.from_numpy(self._states[rows.numpy()]).float()

    def _read(self, encoder: CaptionEncoder, texts: Sequence[str]) -> None:
        part = self._file.with_suffix(".part")
        shape = (len(texts), encoder.length, encoder.width)
        need_room(part.parent, 2 * math.prod(shape))
        rows = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
        for at in range(0, len(texts), BATCH):
            rows[at : at + BATCH] = encoder.read(texts[at : at + BATCH]).numpy()
        rows.flush()
        part.rename(self._file)
