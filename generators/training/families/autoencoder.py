"""Trains a small autoencoder between pixels and latents: diffusers' AutoencoderKL."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn import functional

from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.loop import Trainer
from limner.generators.training.normalisation import quicken
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import own_device, quick_precision

CHANNELS = 8
"""Latent channels; a latent is an eighth of the picture's width and height."""


def build_autoencoder(widths: Sequence[int] = (16, 32, 64, 96), *, side: int = 128) -> AutoencoderKL:
    """An untrained autoencoder with one level for each width; each level but the last halves the picture."""
    vae = AutoencoderKL(
        block_out_channels=tuple(widths),
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=2,  # small normalisation groups would remove the colour of a plain background
        mid_block_add_attention=False,
        sample_size=side,
        scaling_factor=1.0,
        force_upcast=False,
    )
    with torch.no_grad():
        vae.quant_conv.bias[CHANNELS:] -= 6  # little noise at first: with much of it, colours are learnt late
    return vae


class AutoencoderTask:
    """Reconstructs pictures through a small, nearly normal latent (Kingma and Welling 2013)."""

    family = "autoencoder"
    parts = ("reconstruction", "edges", "kl")
    progress = 0.0

    def __init__(self, vae: AutoencoderKL, pictures: PictureFolder, *, kl_weight: float = 3e-4) -> None:
        self.network = vae
        self.size, self.fingerprint = len(pictures), pictures.fingerprint
        self._pictures, self._kl_weight = pictures, kl_weight

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """Absolute error of pixels and of their gradients (edges), and the KL divergence."""
        pixels = self._pictures.pixels(numbers).to(self.network.device)
        flipped = (torch.rand(len(pixels), generator=random) < 0.5).to(pixels.device)
        pixels = torch.where(flipped[:, None, None, None], pixels.flip(-1), pixels)
        if torch.rand((), generator=random) < 0.8:  # a random quarter of the picture, for a quarter of the time
            half = pixels.shape[-1] // 2
            top, left = torch.randint(half + 1, (2,), generator=random).tolist()
            pixels = pixels[..., top : top + half, left : left + half]
        pixels = pixels.to(self.network.dtype, memory_format=torch.channels_last)
        hidden = self.network.encode(pixels).latent_dist
        noise = torch.randn(hidden.mean.shape, generator=random).to(pixels)
        painted = self.network.decode(hidden.mean + hidden.std * noise).sample
        divergence = 0.5 * (hidden.mean.float() ** 2 + hidden.var.float() - 1 - hidden.logvar.float()).mean()
        error = (painted - pixels).abs().float().mean()
        edges = edge_error(painted, pixels)
        total = error + 0.5 * edges + self._kl_weight * divergence
        return Loss(total, {"reconstruction": error, "edges": edges, "kl": divergence})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures above their reconstructions."""
        numbers = Random(0).sample(range(self.size), min(8, self.size))
        pixels = self._pictures.pixels(numbers)
        known = pixels.to(self.network.device, self.network.dtype)
        painted = self.network.decode(self.network.encode(known).latent_dist.mode()).sample
        return lay_out([*to_images(pixels), *to_images(painted)], 8)


def edge_error(painted: Tensor, pixels: Tensor) -> Tensor:
    """The absolute error of the differences between neighbouring pixels."""
    across = functional.l1_loss(painted[..., 1:] - painted[..., :-1], pixels[..., 1:] - pixels[..., :-1])
    down = functional.l1_loss(painted[..., 1:, :] - painted[..., :-1, :], pixels[..., 1:, :] - pixels[..., :-1, :])
    return (across + down).float()


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, pictures: PictureFolder, count: int = 1024) -> None:
    """Normalise each latent channel over the pictures (mean 0, variance 1) by changing weights; outputs stay.

    Mean and spread move into the two 1x1 convolutions around the latent, since the stock pipeline has a single scale.
    """
    chosen = Random(1).sample(range(len(pictures)), min(count, len(pictures)))
    latents = [
        vae.encode(pictures.pixels(chosen[at : at + 32]).to(vae.dtype)).latent_dist.mode().float()
        for at in range(0, len(chosen), 32)
    ]
    values = torch.cat(latents).transpose(0, 1).flatten(1)
    mean, spread = values.mean(1), values.std(1)
    into, out = vae.quant_conv, vae.post_quant_conv
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight *= spread[None, :, None, None]
    into.bias[:CHANNELS] = (into.bias[:CHANNELS] - mean) / spread
    into.weight[:CHANNELS] /= spread[:, None, None, None]
    into.bias[CHANNELS:] -= 2 * spread.log()


@torch.no_grad()
def fidelity(vae: AutoencoderKL, pictures: PictureFolder, count: int = 64) -> float:
    """Mean peak signal-to-noise ratio in decibels of reconstructed pictures."""
    pixels = pictures.pixels(range(max(0, len(pictures) - count), len(pictures)))
    painted = vae.decode(vae.encode(pixels.to(vae.dtype)).latent_dist.mode()).sample.float()
    error = ((painted - pixels) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())


def train_autoencoder(pictures: Path, folder: Path, plan: Plan, minutes: float | None = None) -> None:
    """Train in ``folder``; at the end of the plan, ``folder/vae`` holds the autoencoder with normalised latents."""
    torch.manual_seed(plan.seed)
    data = PictureFolder(pictures)
    device = own_device()
    vae = build_autoencoder(side=data.side).to(device, quick_precision(device), memory_format=torch.channels_last)
    quicken(vae)
    trainer = Trainer(AutoencoderTask(vae, data), plan, folder)
    if trainer.run(minutes=minutes) and trainer.leads:
        vae.float()
        trainer.use_average()
        vae.cpu()
        normalise_latents(vae, data)
        vae.save_pretrained(folder / "vae")
        print(f"{fidelity(vae, data):.1f} dB", flush=True)
