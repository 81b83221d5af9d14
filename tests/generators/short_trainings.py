# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
"""A short training of each family on toys: what the tests start in several processes."""

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from limner.generators.training.families.autoencoder import train_autoencoder
from limner.generators.training.families.captioner import train_captioner
from limner.generators.training.families.clip import contrast, export_image_text_model, train_image_text_model
from limner.generators.training.families.cyclegan import CycleGANRecipe, train_cyclegan
from limner.generators.training.families.diffusion import DiffusionRecipe, train_diffusion
from limner.generators.training.families.lora import LoRARecipe, train_lora
from limner.generators.training.families.one_pass import OnePassRecipe, train_one_pass
from limner.generators.training.loop import Trainer
from limner.generators.training.plan import Loss, Plan
from limner.generators.training.processes import launch, once

FAMILIES = ("autoencoder", "vae", "gan", "cyclegan", "diffusion", "lora", "image-text")
SHORT = Plan(samples=12, batch=4, learning_rate=2e-3, warmup=2)


def train(
    family: str,
    pictures: Path,
    out: Path,
    model: str,
    processes: int | None,
    *,
    plan: Plan = SHORT,
    minutes: float | None = None,
) -> object:
    """Train for three steps in ``out`` on the toys in ``pictures``; words and denoisers are those of ``model``.

    A GAN, a VAE and a CycleGAN take another plan, and stop after some minutes.
    """
    if family == "diffusion":
        plans = {"plan": SHORT, "autoencoder_plan": SHORT}
        recipe = DiffusionRecipe(pictures=pictures, folder=out, words=model, widths=(32, 64), **plans)
        return train_diffusion(recipe, processes=processes)
    if family == "lora":
        recipe = LoRARecipe(model=model, pictures=pictures, folder=out, installed=out / "installed", rank=2, plan=SHORT)
        return train_lora(recipe, processes=processes)
    if family == "autoencoder":
        launch(train_autoencoder, processes, pictures, out, SHORT, batch=SHORT.batch)
        return out / "vae"
    if family == "image-text":
        words = pictures.with_name("words")
        launch(train_image_text_model, processes, pictures, out, words, SHORT, None, batch=SHORT.batch)
        once(export_image_text_model, pictures, out, words, SHORT)
        launch(train_captioner, processes, pictures, out, SHORT, None, batch=SHORT.batch)
        return out / "image-text"
    if family == "cyclegan":
        recipe = CycleGANRecipe(a=pictures, b=pictures, folder=out, width=8, blocks=1, plan=plan)
        return train_cyclegan(recipe, minutes=minutes, processes=processes)
    sizes = {"width": 8, "noise": 8, "plan": plan}
    recipe = OnePassRecipe(family=family, pictures=pictures, folder=out, words=model, **sizes)
    return train_one_pass(recipe, minutes=minutes, processes=processes)


class Pairs:
    """Two tables of vectors that are to match row by row; the loss knows no chance."""

    family, parts, progress, size, fingerprint = "pairs", (), 0.0, 11, "pairs"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.ModuleList([nn.Embedding(11, 4), nn.Embedding(11, 4)])

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        """The image-text model's; the last four rows say the same."""
        rows = torch.tensor(numbers)
        images, texts = (table(rows) for table in self.network)  # (count, 4) each
        return Loss(contrast(images, texts, rows.clamp(max=7)[:, None]), {})

    def sample(self) -> Image.Image:
        """Nothing to see."""
        return Image.new("RGB", (8, 8))


def match_pairs(folder: Path) -> None:
    """Learn ten steps of five pairs each in ``folder``."""
    Trainer(Pairs(), Plan(samples=50, batch=5, learning_rate=1e-2, warmup=2), folder).run(show=False)


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], None)
