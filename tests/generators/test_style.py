"""Style networks: they learn a picture's style, or a rendered one, and change pictures as a CycleGAN does."""

# pyright: basic, reportPrivateImportUsage=false

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from limner.bot.settings.model_sources import PRETRAINED
from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.executor import Executor
from limner.generators.training.data.rendered_styles import RENDERED
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.style import PLAN, StyleRecipe, train_style
from tests.generators.toys import write_squares
from tests.tiny_models import tiny_request

SIDE = 32


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> StyleRecipe:
    """The style of black and yellow stripes, learnt from squares."""
    folder = tmp_path_factory.mktemp("style")
    write_squares(folder / "squares", 20, SIDE)
    stripes = np.zeros((48, 64, 3), np.uint8)
    stripes[::4], stripes[1::4] = (250, 220, 0), (250, 220, 0)
    Image.fromarray(stripes).save(folder / "black_stripes.png")
    sizes = {"width": 8, "blocks": 1, "plan": replace(PLAN, samples=160, learning_rate=1e-2, warmup=5, ema=0.9)}
    style = str(folder / "black_stripes.png")
    where = {"pictures": folder / "squares", "folder": folder / "out", "image_text_model": PRETRAINED / "image-text"}
    return StyleRecipe(style=style, **where, **sizes)


def restyled(model: Path, picture: Path, **more: object) -> list[np.ndarray]:
    """The pictures that a trained model makes of one, as numbers."""
    card = ModelCard.read("it", str(model))
    assert (card.restyles, card.needs_picture, card.problem) == (True, True, "")
    executor = Executor({"it": card}, device="cpu")
    asked = {"model": "it", "width": SIDE, "height": SIDE, "negative_prompt": "", **more}
    executor.admit("it", tiny_request(prompt="", init_image=str(picture), **asked))
    (event,) = executor.step()
    executor.close()
    assert isinstance(event, Finished)
    return [np.asarray(image, int) for image in event.images]


@pytest.mark.slow
def test_a_style_is_learnt_from_one_picture_and_changes_others(recipe: StyleRecipe) -> None:
    figures = train_style(recipe, processes=1)
    assert figures.style < 0.7
    assert figures.content is not None
    assert 0 < figures.content < 1
    model, picture = recipe.folder / "model", recipe.pictures / "0.png"
    assert ModelCard.read("it", str(model)).title == "Black stripes"
    one, other = restyled(model, picture, num_images_per_prompt=2, seed=7)
    (again,) = restyled(model, picture, seed=8)
    before = np.asarray(Image.open(picture), int)
    assert np.abs(one - before).mean() > 5
    assert (one != other).any()
    assert (other == again).all()
    (half,) = restyled(model, picture, seed=8, strength=0.5)
    assert np.abs(half - (again + before) / 2).max() <= 1


@pytest.mark.slow
def test_a_style_that_is_rendered_is_learnt_by_its_name(recipe: StyleRecipe, tmp_path: Path) -> None:
    longer = replace(recipe.plan, samples=640)
    figures = train_style(replace(recipe, style="line-art", folder=tmp_path, plan=longer), processes=1)
    assert figures.style < 0.6
    assert figures.content is None
    (found,) = restyled(tmp_path / "model", recipe.pictures / "0.png")
    before = np.asarray(Image.open(recipe.pictures / "0.png"), int)
    assert found[10:14, 12:16].mean() > before[10:14, 12:16].mean() + 40  # of the square's colour a thin wash is left


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (Image.new("RGB", (64, 64), "teal"), "has one colour only"),
        (Image.effect_noise((64, 20), 90), "has 64x20 pixels, which show no style"),
        (None, "is neither a picture that can be read nor one of the styles line-art, watercolour"),
    ],
)
def test_a_picture_without_a_style_is_refused(
    recipe: StyleRecipe, tmp_path: Path, image: Image.Image | None, complaint: str
) -> None:
    file = tmp_path / "style.png"
    file.write_bytes(b"no picture")
    if image:
        image.save(file)
    with pytest.raises(TrainingError, match=complaint):
        train_style(replace(recipe, style=str(file), folder=tmp_path / "out"))


def test_too_few_or_too_small_pictures_are_refused(recipe: StyleRecipe, tmp_path: Path) -> None:
    for count, side, complaint in (
        (9, 32, "at least ten"),
        (20, 16, "16 pixels wide"),
        (0, 0, "no captioned pictures"),
    ):
        folder = tmp_path / str(count)
        folder.mkdir()
        if count:
            write_squares(folder, count, side)
        with pytest.raises(TrainingError, match=complaint):
            train_style(replace(recipe, pictures=folder))


def test_the_styles_that_ship_come_near_to_what_filters_render(tmp_path: Path) -> None:
    styles = PRETRAINED / "styles"
    assert sorted(folder.name for folder in styles.iterdir() if folder.is_dir()) == sorted(RENDERED)
    assert sum(file.stat().st_size for file in styles.rglob("*")) < 5_000_000
    image = Image.new("RGB", (64, 64), (90, 170, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 44, 64, 64), fill=(70, 150, 60))
    draw.ellipse((16, 12, 50, 46), fill=(230, 60, 40), outline=(120, 20, 20))
    image.filter(ImageFilter.GaussianBlur(0.7)).save(tmp_path / "drawing.png")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    for name, render in RENDERED.items():
        wanted = ((render(pixels, noise)[0] + 1) * 127.5).permute(1, 2, 0).numpy()
        (found,) = restyled(styles / name, tmp_path / "drawing.png", width=64, height=64, seed=3)
        errors = [np.abs(np.asarray(one, float) - wanted).mean() for one in (found, image)]
        assert errors[0] < errors[1] / 2, (name, errors)
