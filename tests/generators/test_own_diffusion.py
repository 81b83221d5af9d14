# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.diffusion import DiffusionRecipe, train_diffusion
from limner.generators.training.objectives import PREDICTIONS, Objective, build_scheduler
from limner.generators.training.plan import Plan
from tests.generators.toys import write_squares
from tests.tiny_models import tiny_request

pytestmark = pytest.mark.xdist_group("own_diffusion")  # they share what takes long to make

SHORT = Plan(samples=24, batch=6, learning_rate=2e-3, warmup=2)


@pytest.fixture(scope="module")
def recipe(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> DiffusionRecipe:
    folder = tmp_path_factory.mktemp("own")
    write_squares(folder / "toys", 12, 32)
    return DiffusionRecipe(
        pictures=folder / "toys",
        folder=folder / "out",
        words=str(tiny),
        autoencoder=str(tiny),
        objective="v",
        widths=(32, 64),
        autoencoder_plan=SHORT,
        plan=SHORT,
    )


@pytest.fixture(scope="module")
def model(recipe: DiffusionRecipe) -> Path:
    made = train_diffusion(recipe, processes=1)
    assert made
    return made


@pytest.mark.slow
def test_own_pictures_become_a_diffusers_folder_that_limner_paints_with(
    model: Path, recipe: DiffusionRecipe, caplog: pytest.LogCaptureFixture
):
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).addHandler(caplog.handler)
        logging.getLogger(library).setLevel(logging.WARNING)
    pipe = DiffusionPipeline.from_pretrained(model, dtype=torch.float32)
    assert [record.getMessage() for record in caplog.records] == []
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert recipe.autoencoder
    assert not [file for file in model.rglob("*.json") if recipe.autoencoder in file.read_text()]

    card = ModelCard.read("own", str(model))
    assert (card.width, card.height, card.title) == (32, 32, "out")
    generator = DiffusionGenerator.load(card, device="cpu")
    generator.admit("it", tiny_request(model="own", width=32, height=32))
    events = [event for _ in range(3) for event in generator.step()]
    assert isinstance(events[-1], Finished)


@pytest.mark.slow
def test_a_longer_plan_goes_on_from_the_checkpoint(model: Path, recipe: DiffusionRecipe, tmp_path: Path):
    shutil.copytree(recipe.folder, tmp_path, dirs_exist_ok=True)
    longer = replace(recipe, folder=tmp_path, plan=replace(SHORT, samples=30))
    assert train_diffusion(longer, processes=1)
    losses = (recipe.folder / "denoiser" / "losses.csv").read_text()
    after = (tmp_path / "denoiser" / "losses.csv").read_text()
    assert after.startswith(losses)
    assert len(after.splitlines()) == 1 + longer.plan.steps


def test_no_time_leaves_no_model_but_a_checkpoint(recipe: DiffusionRecipe, tmp_path: Path):
    own = replace(recipe, folder=tmp_path, autoencoder=None)
    assert train_diffusion(own, minutes=0, processes=1) is None
    assert (tmp_path / "autoencoder" / "checkpoint.safetensors").is_file()


@pytest.mark.slow
def test_an_autoencoder_of_its_own_is_trained_first(recipe: DiffusionRecipe, tmp_path: Path):
    assert train_diffusion(replace(recipe, folder=tmp_path, autoencoder=None), processes=1) == tmp_path / "model"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"pictures": "nowhere"}, "no captioned pictures"),
        ({"words": "/"}, "no tokenizer and text encoder"),
        ({"autoencoder": "nowhere"}, "with an autoencoder"),
    ],
)
def test_what_cannot_be_used_is_told(change: dict[str, str], complaint: str, recipe: DiffusionRecipe):
    changes = {name: Path(value) if name == "pictures" else value for name, value in change.items()}
    with pytest.raises(TrainingError, match=complaint):
        train_diffusion(replace(recipe, **changes), processes=1)


@pytest.mark.slow
def test_another_training_in_its_folder_is_told(model: Path, recipe: DiffusionRecipe):
    with pytest.raises(TrainingError, match=r"another training \(latent-diffusion \(v_prediction\)\)"):
        train_diffusion(replace(recipe, objective="epsilon"), processes=1)


def test_pictures_that_were_not_prepared_are_told(recipe: DiffusionRecipe, tmp_path: Path):
    write_squares(tmp_path / "toys", 3, 30)
    with pytest.raises(TrainingError, match="limner train data"):
        train_diffusion(replace(recipe, pictures=tmp_path / "toys", folder=tmp_path), processes=1)
    (tmp_path / "toys" / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png"}))
    with pytest.raises(TrainingError, match=r"Line 1 of .*metadata\.jsonl is not"):
        train_diffusion(replace(recipe, pictures=tmp_path / "toys", folder=tmp_path), processes=1)


@pytest.mark.parametrize("objective", PREDICTIONS)
def test_who_answers_rightly_is_led_from_noise_to_the_latent(objective: str):
    """The scheduler of an objective, fed with the right answers, ends at the latent that they belong to."""
    scheduler, random = build_scheduler(objective), torch.Generator().manual_seed(0)
    asked = Objective(scheduler.config)
    latent, noise = torch.randn(2, 1, 4, 8, 8, generator=random)
    question = asked.ask(latent, noise, random)
    assert question.latents.shape == latent.shape
    scheduler.set_timesteps(20)
    found = torch.randn(latent.shape, generator=random)
    for moment in scheduler.timesteps:
        found = scheduler.step(answer(objective, scheduler, found, latent, moment), moment, found).prev_sample
    assert (found - latent).square().mean().sqrt() < 0.1


def answer(objective: str, scheduler, found: torch.Tensor, latent: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    sigma = scheduler.sigmas[scheduler.index_for_timestep(moment)]
    if objective == "flow":
        return (found - latent) / sigma
    signal = 1 / (1 + sigma**2).sqrt()
    noise = (found - signal * latent) / (sigma * signal)
    return noise if objective == "epsilon" else signal * noise - sigma * signal * latent


def test_the_question_holds_its_answer():
    random = torch.Generator().manual_seed(0)
    latent, noise = torch.randn(2, 500, 1, 2, 2, generator=random)
    for objective in PREDICTIONS:
        question = Objective(build_scheduler(objective).config).ask(latent, noise, random)
        assert question.moments.min() >= 0
        assert question.moments.max() < 1000
        early = question.moments > 900
        assert np.corrcoef(question.latents[early].flatten(), noise[early].flatten())[0, 1] > 0.95
