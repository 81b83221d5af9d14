# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
"""A short training of each family on toys: what the tests start in several processes."""

import sys
from pathlib import Path

from limner.generators.training.families.cyclegan import CycleGANRecipe, train_cyclegan
from limner.generators.training.families.diffusion import DiffusionRecipe, train_diffusion
from limner.generators.training.families.lora import LoRARecipe, train_lora
from limner.generators.training.families.one_pass import OnePassRecipe, train_one_pass
from limner.generators.training.loop import Plan

SHORT = Plan(samples=12, batch=4, learning_rate=2e-3, warmup=2)


def train(family: str, pictures: Path, out: Path, model: str, processes: int | None) -> object:
    """Train for three steps in ``out`` on the toys in ``pictures``; words and denoisers are those of ``model``."""
    if family == "diffusion":
        plans = {"plan": SHORT, "autoencoder_plan": SHORT}
        recipe = DiffusionRecipe(pictures=pictures, folder=out, words=model, widths=(32, 64), **plans)
        return train_diffusion(recipe, processes=processes)
    if family == "lora":
        recipe = LoRARecipe(model=model, pictures=pictures, folder=out, worn=out / "worn", rank=2, plan=SHORT)
        return train_lora(recipe, processes=processes)
    if family == "cyclegan":
        recipe = CycleGANRecipe(a=pictures, b=pictures, folder=out, width=8, blocks=1, plan=SHORT)
        return train_cyclegan(recipe, processes=processes)
    sizes = {"width": 8, "noise": 8, "plan": SHORT}
    recipe = OnePassRecipe(family=family, pictures=pictures, folder=out, words=model, **sizes)
    return train_one_pass(recipe, processes=processes)


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], None)
