"""Latents and token ids of a picture folder, kept on disk and memory-mapped."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

import copy
import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import need_room
from limner.generators.training.processes import own_device

BATCH = 32


class Latents:
    """One float16 latent for each picture of a folder, computed once for this autoencoder and these pictures."""

    def __init__(self, vae: AutoencoderKL | AutoencoderTiny, pictures: PictureFolder, folder: Path) -> None:
        self.fingerprint = pictures.fingerprint
        key = hashlib.sha256()
        for part in vae.state_dict().values():
            key.update(part.float().numpy().tobytes())
        for picture in pictures.pictures:
            key.update(f"{picture.file.parent.name}/{picture.file.name} {picture.file.stat().st_size}\n".encode())
        self._file = folder / f"latents-{key.hexdigest()[:16]}.npy"
        if not self._file.is_file():
            self._make(vae, pictures)
        self._rows = np.load(self._file, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, numbers: list[int]) -> Tensor:
        return torch.from_numpy(self._rows[numbers]).float()

    @torch.no_grad()
    def _make(self, vae: AutoencoderKL | AutoencoderTiny, pictures: PictureFolder) -> None:
        part = self._file.with_suffix(".part")
        shape = encode(vae, pictures.pixels([0])).shape[1:]
        need_room(part.parent, 2 * len(pictures) * math.prod(shape))
        if part.is_file():
            rows = np.lib.format.open_memmap(part, mode="r+")
        else:
            rows = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=(len(pictures), *shape))
        vae = copy.deepcopy(vae).to(own_device())
        for at in range(0, len(pictures), BATCH):
            if rows[at : at + BATCH].any(axis=(1, 2, 3)).all():
                continue  # rows made before an interruption; a latent is never all zeros
            rows[at : at + BATCH] = encode(vae, pictures.pixels(range(at, min(at + BATCH, len(pictures))))).numpy()
        rows.flush()
        part.rename(self._file)


@torch.no_grad()
def encode(vae: AutoencoderKL | AutoencoderTiny, pixels: Tensor) -> Tensor:
    """The latents (count, channels, height / 8, width / 8) of pictures (-1 to 1), without sampling and unscaled."""
    found = vae.encode(pixels.to(vae.device, vae.dtype, memory_format=torch.channels_last))
    return (found.latents if isinstance(vae, AutoencoderTiny) else found.latent_dist.mode()).float().cpu()
