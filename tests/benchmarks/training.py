"""What training costs: pictures a second of each family, beside a plain PyTorch loop of the same network."""

# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from limner.generators.one_pass.networks import ConditionalVAE, Critic, Shape, StyleGenerator
from limner.generators.one_pass.translators import Depth
from limner.generators.training.data.caption_states import CaptionStates
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.families import latent_diffusion
from limner.generators.training.families.autoencoder import AutoencoderTask, build_autoencoder
from limner.generators.training.families.cyclegan import CycleGANTask
from limner.generators.training.families.one_pass import Captioned, GANTask, VAETask
from limner.generators.training.loop import Trainer
from limner.generators.training.plan import Plan
from tests.benchmarks.figures import ROUNDS, show, spread
from tests.generators.toys import write_squares

STEPS, BATCH = 4, 16


class CaptionEncoder:
    """Hidden states at random: what reads the captions is not measured here."""

    name, width, length = "random", 192, 24

    def read(self, texts: Any) -> torch.Tensor:
        """One set of states for each text."""
        return torch.randn(len(texts), self.length, self.width)

    def fingerprint(self) -> str:
        """The same always."""
        return self.name


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_squares(Path(folder) / "pictures", 64, 128)
        pictures = PictureFolder(Path(folder) / "pictures")
        rows = [_measure(name, partial(build, pictures, Path(folder))) for name, build in FAMILIES.items()]
    show(
        "Training, pictures a second on one core",
        ("family", "Limner's trainer", "plain PyTorch loop in float32"),
        rows,
        f"Median (lowest to highest) of {ROUNDS} rounds of {STEPS} steps with {BATCH} pictures of 128x128. The trainer "
        "also keeps float32 weights beside bfloat16 ones where the processor has AMX, and a moving average.",
    )


def _measure(name: str, build: Callable[[], Any]) -> tuple[str, str, str]:
    ours, plain = [], []
    for _ in range(ROUNDS):
        ours.append(_trainer(build()))
        plain.append(_plain(build()))
    return name, spread(ours, "{:.1f}"), spread(plain, "{:.1f}")


def _trainer(task: Any) -> float:
    if isinstance(task, AutoencoderTask | latent_diffusion.DiffusionTask):
        latent_diffusion.prepare(task.network, torch.device("cpu"))
    plan = Plan(samples=1_000_000, batch=BATCH, learning_rate=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(task, plan, Path(folder))
        return _speed(lambda: trainer._take_step(stop=False))


def _plain(task: Any) -> float:
    optimizer = torch.optim.AdamW([part for part in task.network.parameters() if part.requires_grad])
    random = torch.Generator().manual_seed(0)

    def step() -> None:
        optimizer.zero_grad()
        task.loss(list(range(BATCH)), random).total.backward()
        optimizer.step()

    return _speed(step)


def _speed(step: Callable[[], object]) -> float:
    step()
    started = time.perf_counter()
    for _ in range(STEPS):
        step()
    return STEPS * BATCH / (time.perf_counter() - started)


def _autoencoder(pictures: PictureFolder, folder: Path) -> AutoencoderTask:
    return AutoencoderTask(build_autoencoder(), pictures)


def _diffusion(pictures: PictureFolder, folder: Path) -> latent_diffusion.DiffusionTask:
    vae = build_autoencoder().eval()
    captions = CaptionStates(CaptionEncoder(), [picture.text for picture in pictures.pictures], folder)
    pipe: Any = latent_diffusion.assemble(latent_diffusion.build_unet(8, 192), None, None, vae)
    return latent_diffusion.DiffusionTask(
        pipe, latent_diffusion.FrozenCaptions(captions), Latents(vae, pictures, folder), []
    )


def _one_pass(family: str) -> Callable[[PictureFolder, Path], VAETask | GANTask]:
    def build(pictures: PictureFolder, folder: Path) -> VAETask | GANTask:
        shape = Shape(128, 3, 16, 32, 32)
        data = Captioned(pictures, torch.randn(len(pictures), 32), shape, torch.device("cpu"))
        if family == "vae":
            return VAETask(ConditionalVAE(shape), data)
        return GANTask(StyleGenerator(shape), Critic(shape), data)

    return build


def _cyclegan(pictures: PictureFolder, folder: Path) -> CycleGANTask:
    return CycleGANTask(Depth(width=8, blocks=2), pictures, pictures, torch.device("cpu"))


FAMILIES: dict[str, Callable[[PictureFolder, Path], Any]] = {
    "autoencoder": _autoencoder,
    "diffusion (UNet)": _diffusion,
    "vae": _one_pass("vae"),
    "gan": _one_pass("gan"),
    "cyclegan (small)": _cyclegan,
}

if __name__ == "__main__":
    main()
