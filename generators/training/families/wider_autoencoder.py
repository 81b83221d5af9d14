"""Gives an autoencoder one more level: the same latents, of and for pictures of twice the side."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false, reportReturnType=false
# diffusers' and torch's annotations are too loose, and sometimes wrong, for more

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import nn
from torch.nn import functional

from limner.generators.loading import loading
from limner.generators.training.curves import lay_out
from limner.generators.training.data.picture_folder import PictureFolder, to_images
from limner.generators.training.families.autoencoder import build_autoencoder, edge_error, fidelity
from limner.generators.training.loop import Trainer
from limner.generators.training.normalisation import quicken
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import own_device, quick_precision


@loading()
@torch.no_grad()
def widen(old: AutoencoderKL) -> AutoencoderKL:
    """An autoencoder for twice the side that starts as the old one between a halving and a doubling.

    The encoder gives nearly the old one's latents of halved pictures; the decoder has to learn what is between pixels.
    """
    widths = old.config.block_out_channels
    new = build_autoencoder((widths[0], *widths), side=2 * old.config.sample_size)
    learnt = old.state_dict()
    renamed = {
        _moved(name): value
        for name, value in learnt.items()
        if not name.startswith("encoder.conv_in")  # it stands before another level now
    }
    new.load_state_dict(new.state_dict() | renamed)
    for resnet in (*new.encoder.down_blocks[0].resnets.children(), *new.decoder.up_blocks[-1].resnets.children()):
        nn.init.zeros_(resnet.conv2.weight)
        nn.init.zeros_(resnet.conv2.bias)
    doubling = new.decoder.up_blocks[-2].upsamplers[0].conv
    nn.init.dirac_(doubling.weight)
    nn.init.zeros_(doubling.bias)
    _begin_encoder(new, old)
    return new


def _moved(name: str) -> str:
    """The new name of a weight: the encoder's blocks make place for one before them."""
    start, found, rest = name.partition("encoder.down_blocks.")
    if start or not found:
        return name
    number, rest = rest.split(".", 1)
    return f"{found}{int(number) + 1}.{rest}"


def _begin_encoder(new: AutoencoderKL, old: AutoencoderKL) -> None:
    """Each pixel's colour passes the first level, and the halving does the old first convolution on 2x2 means.

    Of the six rows and columns that this needs it sees the middle four, which stand for the outer ones. It needs 9
    channels.
    """
    first, halving = new.encoder.conv_in, new.encoder.down_blocks[0].downsamplers[0].conv
    for part in (first.weight, first.bias, halving.weight, halving.bias):
        nn.init.zeros_(part)
    merged = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    # Copies of the colours: those of the pixel itself, of the one above it and of the one to its left.
    for number, (down, across) in enumerate(((1, 1), (0, 1), (1, 0))):
        for colour in range(3):
            first.weight[3 * number + colour, colour, down, across] = 1
    kernel = old.encoder.conv_in.weight  # (channels, 3, 3, 3)
    rows = torch.einsum("ocyx,ay,bx->ocab", kernel, merged, merged)  # of the pixels 2i-1 to 2i+2
    halving.weight[:, 0:3] = rows[..., 1:4, 1:4]
    halving.weight[:, 3:6, 0] = rows[..., 0, 1:4]
    halving.weight[:, 6:9, :, 0] = rows[..., 1:4, 0]
    halving.weight[:, 0:3, 0, 0] += rows[..., 0, 0]
    halving.bias.copy_(old.encoder.conv_in.bias)


class WideningTask:
    """Decodes the old autoencoder's latents of halved pictures to whole ones; the encoder stays as `widen` made it."""

    family = "wider-autoencoder"
    parts = ("reconstruction", "edges")
    progress = 0.0

    def __init__(self, vae: AutoencoderKL, old: AutoencoderKL, pictures: PictureFolder) -> None:
        self.network, self._old = vae, old
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        self.size, self.fingerprint = len(pictures), pictures.fingerprint
        self._pictures = pictures

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """Absolute error of pixels and of their gradients (edges)."""
        pixels = self._pictures.pixels(numbers).to(self.network.device)
        if torch.rand((), generator=random) < 0.9:  # a quarter of the picture, for a quarter of the time
            half = pixels.shape[-1] // 2
            top, left = (16 * torch.randint(half // 16 + 1, (2,), generator=random)).tolist()
            pixels = pixels[..., top : top + half, left : left + half]
        pixels = pixels.to(self.network.dtype, memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = self._old.encode(functional.avg_pool2d(pixels, 2)).latent_dist
            noise = torch.randn(wanted.mean.shape, generator=random).to(pixels)
        painted = self.network.decode(wanted.mean + wanted.std * noise).sample
        error = (painted - pixels).abs().float().mean()
        edges = edge_error(painted, pixels)
        return Loss(error + edges, {"reconstruction": error, "edges": edges})

    @torch.no_grad()
    def sample(self) -> Image.Image:
        """Pictures above their reconstructions."""
        numbers = Random(0).sample(range(self.size), min(8, self.size))
        pixels = self._pictures.pixels(numbers)
        known = pixels.to(self.network.device, self.network.dtype)
        painted = self.network.decode(self._old.encode(functional.avg_pool2d(known, 2)).latent_dist.mode()).sample
        return lay_out([*to_images(pixels), *to_images(painted)], 8)


def train_wider(pictures: Path, old: AutoencoderKL, folder: Path, plan: Plan, minutes: float | None = None) -> None:
    """Train in ``folder``; at the end of the plan, ``folder/vae`` holds the autoencoder for the larger pictures."""
    torch.manual_seed(plan.seed)
    data = PictureFolder(pictures)
    device = own_device()
    vae = widen(old).to(device, quick_precision(device), memory_format=torch.channels_last)
    known = old.to(device, quick_precision(device), memory_format=torch.channels_last).requires_grad_(False)
    quicken(vae)
    trainer = Trainer(WideningTask(vae, known, data), plan, folder)
    if trainer.run(minutes=minutes) and trainer.leads:
        vae.float()
        trainer.use_average()
        vae.cpu().save_pretrained(folder / "vae")
        print(f"{fidelity(vae, data):.1f} dB", flush=True)
