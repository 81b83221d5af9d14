# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportPrivateUsage=false
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.generators.animation import Animation
from limner.generators.base import Failed, Finished, ImageGenerator
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest, ModelNotFound, NotNumbers
from limner.generators.executor import Executor
from limner.generators.one_pass.gan import GANGenerator
from limner.generators.one_pass.generator import CONFIG, to_pictures
from limner.generators.one_pass.networks import Shape, StyleGenerator
from limner.generators.one_pass.vae import VAEGenerator
from limner.generators.requests import GenerationRequest
from limner.generators.style_mix import StyleMix
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.one_pass import MAPPING, PLANS, CaptionLoss, OnePassRecipe, train_one_pass
from limner.generators.vision.clip import FolderImageTextModel
from tests.generators.toys import COLOURS, write_squares
from tests.tiny_models import build_tiny_pipeline, tiny_request

pytestmark = pytest.mark.xdist_group("one_pass")  # they share what takes long to make

GENERATOR_CLASSES: dict[str, Any] = {"vae": VAEGenerator, "gan": GANGenerator}


@pytest.fixture(scope="module", params=["vae", pytest.param("gan", marks=pytest.mark.slow)])
def recipe(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> OnePassRecipe:
    """A model that has seen squares for a second or two, its words read by the tiny pipeline's text encoder."""
    folder = tmp_path_factory.mktemp(request.param)
    write_squares(folder / "toys", 12, 8)
    recipe = OnePassRecipe(
        family=request.param,
        pictures=folder / "toys",
        folder=folder / "out",
        words=str(tiny),
        width=8,
        noise=8,
        plan=replace(PLANS[request.param], samples=1_200 if request.param == "gan" else 600, batch=6),
    )
    torch.manual_seed(5)
    assert train_one_pass(recipe) == folder / "out" / "model"
    return recipe


def card(recipe: OnePassRecipe) -> ModelCard:
    return ModelCard.read("toy", str(recipe.folder / "model"))


def paint(generator: ImageGenerator, *requests: GenerationRequest) -> list[np.ndarray]:
    for number, request in enumerate(requests):
        generator.admit(str(number), request)
    left = {event.key: event for event in generator.step() if isinstance(event, Finished)}
    return [np.asarray(image, int) for number in range(len(requests)) for image in left[str(number)].images]


def ask(words: str, **more: object) -> GenerationRequest:
    return tiny_request(prompt=words, **{"model": "toy", "width": 128, "height": 128, "negative_prompt": "", **more})


@pytest.fixture(scope="module")
def generator(recipe: OnePassRecipe) -> ImageGenerator:
    return GENERATOR_CLASSES[recipe.family].load(card(recipe), device="cpu")


def test_it_paints_the_colour_that_the_words_say(recipe: OnePassRecipe, generator: ImageGenerator):
    for number, colour in enumerate(COLOURS):
        painted = paint(generator, *(ask(f"a {colour} square", seed=seed, guidance_scale=2.0) for seed in range(3)))
        ink = 255 - np.mean([image.mean((0, 1)) for image in painted], 0)
        assert ink.argmin() == number, (colour, ink)


def test_a_sample_is_the_same_alone_and_in_company(recipe: OnePassRecipe, generator: ImageGenerator):
    requests = [ask("a red square", seed=4), ask("a blue square", seed=9, num_images_per_prompt=2)]
    together = paint(generator, *requests)
    alone = [image for request in requests for image in paint(generator, request)]
    assert [image.shape for image in together] == [(128, 128, 3)] * 3
    assert max(np.abs(one - other).max() for one, other in zip(together, alone, strict=True)) <= 1
    assert np.abs(together[1] - together[2]).max() > 2
    second = paint(generator, ask("a blue square", seed=10))[0]
    assert np.abs(second - together[2]).max() <= 1


def test_guidance_makes_pictures_more_alike(recipe: OnePassRecipe, generator: ImageGenerator):
    def difference(guidance: float) -> float:
        painted = paint(generator, *(ask("a red square", seed=seed, guidance_scale=guidance) for seed in range(4)))
        return float(np.std(painted, axis=0).mean())

    assert difference(8.0) < 0.5 * difference(1.0)


def test_an_untrained_gans_styles_depend_on_noise_as_much_as_on_words() -> None:
    torch.manual_seed(0)
    generator, random = (
        StyleGenerator(Shape(16, 1, 8, 32, 16, MAPPING, residual=True)),
        torch.Generator().manual_seed(0),
    )
    noises, words = (torch.randn(64, width, generator=random) for width in (32, 16))
    with torch.no_grad():
        by_noise = generator.style(noises, words[:1].expand(64, -1)).std(0).mean()
        by_words = generator.style(noises[:1].expand(64, -1), words).std(0).mean()
    assert 0.5 < float(by_noise / by_words) < 2
    assert float(by_noise) > 0.2


def unlike(recipe: OnePassRecipe) -> ImageGenerator:
    """The model with weights by chance, so that the pictures of any two seeds or prompts differ much."""
    generator = GENERATOR_CLASSES[recipe.family].load(card(recipe), device="cpu")
    random = torch.Generator().manual_seed(2)
    for part in generator._network.parameters():
        part.data.normal_(std=0.3, generator=random)
    return generator


def test_a_gan_mixes_the_styles_of_two_seeds_or_prompts_and_a_vae_does_not(recipe: OnePassRecipe):
    generator, red = unlike(recipe), ask("a red square", seed=4)
    if recipe.family == "vae":
        with pytest.raises(BadRequest, match="cannot mix styles in that way"):
            generator.admit("it", replace(red, mix=StyleMix(1, seed=5)))
        return
    assert card(recipe).style_layers == 2
    other, blue = replace(red, seed=5), replace(red, prompt="a blue square")
    mixes = [StyleMix(1, seed=4), StyleMix(1, seed=5), StyleMix(1, prompt="a blue square")]
    own, fine, worded = paint(generator, red, other, blue)
    same, mixed, of_words = paint(generator, *(replace(red, mix=mix) for mix in mixes))
    assert np.abs(same - own).max() <= 1
    for painted, source in ((mixed, fine), (of_words, worded)):
        assert min(np.abs(painted - own).max(), np.abs(painted - source).max()) > 10
    for layer in (0, 2):
        with pytest.raises(BadRequest, match="cannot mix styles in that way"):
            generator.admit("it", replace(red, mix=StyleMix(layer, seed=5)))


def test_a_grid_shows_each_rows_coarse_style_with_each_columns_fine_one(recipe: OnePassRecipe):
    generator, red = unlike(recipe), ask("a red square", seed=4)
    grid = replace(red, mix=StyleMix(1, grid=(2, 3)))
    if recipe.family == "vae":
        with pytest.raises(BadRequest, match="cannot mix styles in that way"):
            generator.admit("it", grid)
        return
    [sheet, first] = paint(generator, grid, red)
    assert sheet.shape == (3 * 128, 4 * 128, 3)
    assert np.abs(sheet[128:256, 128:256] - sheet[256:, 256:384]).max() > 20
    cells = sheet.reshape(3, 128, 4, 128, 3).swapaxes(1, 2)
    assert cells[0, 0].min() == 255
    columns = paint(generator, *(replace(red, seed=seed) for seed in (6, 7, 8)))
    mixes = [replace(red, seed=5, mix=StyleMix(1, seed=seed)) for seed in (6, 7, 8)]
    second = paint(generator, replace(red, seed=5), *mixes)
    for cell, alone in zip([*cells[0, 1:], *cells[2], cells[1, 0]], [*columns, *second, first], strict=True):
        assert np.abs(cell - alone).max() <= 1


def test_words_that_were_not_learnt_are_read_by_the_language_model(recipe: OnePassRecipe, generator: ImageGenerator):
    assert generator._encoder is None or "a red square" in generator._words.known
    images = paint(generator, ask("A RED  square."), ask("something else entirely"))
    assert np.abs(images[0] - images[1]).max() > 2
    assert generator._encoder is not None


@pytest.mark.parametrize("what", [{"negative_prompt": "a dog"}, {"width": 256}, {"init_image": "x.png"}])
def test_what_it_cannot_do_is_told(what: dict[str, object], generator: ImageGenerator):
    with pytest.raises(BadRequest, match=r"^This model [^.]+\.$"):
        generator.admit("it", ask("a red square", **what))
    assert generator.step() == []


def test_weights_that_are_not_numbers_are_told(recipe: OnePassRecipe):
    generator = GENERATOR_CLASSES[recipe.family].load(card(recipe), device="cpu")
    for part in generator._network.parameters():
        part.data.fill_(np.nan)
    generator.admit("it", ask("a red square"))
    (event,) = generator.step()
    assert isinstance(event, Failed)
    assert isinstance(event.error, NotNumbers)


def test_an_evicted_request_is_not_painted(generator: ImageGenerator):
    generator.admit("it", ask("a red square"))
    assert generator.capacity() < generator.together()
    generator.evict("it")
    generator.evict("it")
    assert generator.step() == []


def test_the_executor_finds_it_by_its_kind_and_animates_it(recipe: OnePassRecipe, generator: ImageGenerator):
    executor = Executor({"toy": card(recipe)}, device="cpu")
    assert card(recipe).animates
    walk = ask("a red square | a blue square", animation=Animation(8, swings=True, seeds=(7, 8)), seed=7)
    for key, request in {"walk": walk, "beside": ask("a red square", seed=9)}.items():
        executor.admit(key, request)
    left: dict[str, Finished] = {}
    while executor.in_flight:
        left |= {event.key: event for event in executor.step() if isinstance(event, Finished)}
    executor.close()
    frames = left["walk"].images
    painted = [np.asarray(image, int) for image in (frames[0], frames[-1], *left["beside"].images)]
    keys = [("a red square", 7), ("a blue square", 8), ("a red square", 9)]
    alone = paint(generator, *(ask(words, seed=seed) for words, seed in keys))
    assert max(np.abs(one - other).max() for one, other in zip(painted, alone, strict=True)) <= 2
    assert len({frame.tobytes() for frame in frames}) == 8


def test_another_family_or_version_is_refused(recipe: OnePassRecipe, tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (recipe.folder / "model").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    told = json.loads((folder / CONFIG).read_text())
    for change in ({"version": 99}, {"family": "other"}):
        (folder / CONFIG).write_text(json.dumps(told | change))
        with pytest.raises(ModelNotFound, match=r"train it again\.$"):
            GENERATOR_CLASSES[recipe.family].load(ModelCard.read("toy", str(folder)), device="cpu")


def test_a_language_model_that_has_changed_is_refused(recipe: OnePassRecipe, tmp_path: Path):
    generator = GENERATOR_CLASSES[recipe.family].load(card(recipe), device="cpu")
    generator._words = replace(generator._words, encoder=str(build_tiny_pipeline(tmp_path, seed=1)))
    with pytest.raises(ModelNotFound, match="another language model"):
        generator.admit("it", ask("not among the captions"))


def test_a_loss_that_resumes_is_the_same(recipe: OnePassRecipe, tmp_path: Path):
    assert train_one_pass(replace(recipe, folder=tmp_path), minutes=0) is not None
    lines = (recipe.folder / "losses.csv").read_text().splitlines()
    assert (tmp_path / "losses.csv").read_text().splitlines() == lines[:1]


def test_pictures_of_a_side_that_is_no_power_of_two_are_refused(recipe: OnePassRecipe, tmp_path: Path):
    write_squares(tmp_path / "toys", 2, 24)
    with pytest.raises(TrainingError, match="24 pixels wide"):
        train_one_pass(
            OnePassRecipe(family="vae", pictures=tmp_path / "toys", folder=tmp_path, words="", plan=PLANS["vae"])
        )


@pytest.mark.slow
def test_pictures_that_follow_the_image_text_model_are_read_as_their_captions(tiny_image_text: Path):
    texts = ["a red square", "a green square"]
    model = FolderImageTextModel.load(str(tiny_image_text))
    # from the white that the model knows: of grey it may be so sure, on some processors, that its gradient is nothing
    reading, pixels = CaptionLoss(model, texts), torch.ones(2, 3, 16, 16, requires_grad=True)
    optimizer = torch.optim.Adam([pixels], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        reading.loss(pixels, [0, 1]).backward()
        optimizer.step()
    images = to_pictures(pixels.detach())
    assert model.score(images, texts).argmax(1).tolist() == [0, 1]
    fitted = [image.resize((32, 32), Image.Resampling.BILINEAR) for image in images]
    assert np.abs(model.features(fitted) - model.look(pixels.detach()).numpy()).max() < 0.05


@pytest.mark.slow
def test_a_gan_learns_from_what_an_image_text_model_sees(tiny_image_text: Path, tiny: Path, tmp_path: Path):
    write_squares(tmp_path / "toys", 12, 8, ("red", "green"))
    plan = {"family": "gan", "pictures": tmp_path / "toys", "words": str(tiny), "width": 8, "noise": 8}
    plan["plan"] = replace(PLANS["gan"], samples=6, batch=6)
    losses: dict[str, float] = {}
    for name, model in (("read", str(tiny_image_text)), ("unread", None)):
        assert train_one_pass(OnePassRecipe(**plan, folder=tmp_path / name, image_text_model=model))
        losses[name] = float((tmp_path / name / "losses.csv").read_text().splitlines()[1].split(",")[1])
    assert losses["read"] > losses["unread"]
    with pytest.raises(TrainingError, match=r"holds no image-text model; name a CLIP-style folder of transformers\.$"):
        train_one_pass(OnePassRecipe(**plan, folder=tmp_path / "none", image_text_model=str(tmp_path)))
