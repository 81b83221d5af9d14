# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest
from limner.generators.executor import Executor
from limner.generators.training.data.collect import collect
from limner.generators.training.errors import TrainingError
from limner.generators.training.families import cyclegan
from limner.generators.training.families.cyclegan import PLAN, CycleGANRecipe, Memory, train_cyclegan
from tests.generators.toys import COLOURS, write_squares
from tests.tiny_models import tiny_request


def learn(folder: Path, samples: int) -> CycleGANRecipe:
    """Two models, of red squares and of blue ones."""
    for colour in ("red", "blue"):
        write_squares(folder / f"{colour}-ready" / "train", 4, 16, [colour])
    parts = (folder / "red-ready" / "train", folder / "blue-ready" / "train")
    sizes = {"width": 8, "blocks": 1, "plan": replace(PLAN, samples=samples)}
    recipe = CycleGANRecipe(a=parts[0], b=parts[1], folder=folder / "out", **sizes)
    assert train_cyclegan(recipe) == [folder / "out" / "model", folder / "out" / "model-back"]
    return recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> CycleGANRecipe:
    return learn(tmp_path_factory.mktemp("cyclegan"), 10)


@pytest.fixture(scope="module")
def executor(recipe: CycleGANRecipe) -> Executor:
    return load(recipe)


def load(recipe: CycleGANRecipe) -> Executor:
    cards = {name: ModelCard.read(name, str(recipe.folder / name)) for name in ("model", "model-back")}
    return Executor(cards, device="cpu", max_models=2)


def restyle(painter: Executor, file: Path, **more: object) -> np.ndarray:
    """The numbers of the picture that is made of a file, at its size."""
    asked = {"model": "model", "width": 16, "height": 16, "negative_prompt": "", **more}
    request = tiny_request(prompt="a fox", init_image=str(file), **asked)
    painter.admit("it", request)
    (event,) = painter.step()
    assert isinstance(event, Finished)
    return np.asarray(event.images[-1], int)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_picture_gets_the_colour_of_the_other_kind(tmp_path: Path):
    executor = load(learn(tmp_path, 800))
    for model, before, after in (("model", "red", "blue"), ("model-back", "blue", "red")):
        write_squares(tmp_path / before, 1, 16, [before])
        middle = restyle(executor, tmp_path / before / "0.png", model=model)[4:8, 5:9].mean((0, 1))
        far, near = (np.abs(middle - COLOURS[colour]).mean() for colour in (before, after))
        assert near < far / 2, (model, middle)


def test_each_model_has_the_name_of_what_it_makes(recipe: CycleGANRecipe):
    titles = [ModelCard.read(name, str(recipe.folder / name)).title for name in ("model", "model-back")]
    assert titles == ["blue", "red"]


def test_it_is_always_the_same_and_as_large_as_asked_for(executor: Executor, tmp_path: Path):
    Image.effect_noise((70, 50), 60).save(tmp_path / "noise.png")
    painted = [restyle(executor, tmp_path / "noise.png", width=48, height=32, seed=seed) for seed in (1, 2)]
    assert painted[0].shape == (32, 48, 3)
    assert (painted[0] == painted[1]).all()


def test_strength_mixes_it_with_the_picture_that_it_is_made_of(executor: Executor, tmp_path: Path):
    write_squares(tmp_path, 1, 16, ["red"])
    whole = restyle(executor, tmp_path / "0.png")
    half = restyle(executor, tmp_path / "0.png", strength=0.5)
    with Image.open(tmp_path / "0.png") as before:
        assert np.abs(half - (whole + np.asarray(before, int)) / 2).max() <= 1


def test_what_is_saved_paints_as_what_was_learnt(recipe: CycleGANRecipe, executor: Executor):
    task = cyclegan._build(recipe, torch.device("cpu"))
    cyclegan.read_average(recipe.folder, task.network)
    with torch.no_grad():
        learnt = task.network["forth"](cyclegan.PictureFolder(recipe.a).pixels([0]))[0].permute(1, 2, 0)
    loaded = restyle(executor, recipe.a / "0.png")
    assert np.abs(loaded - (learnt.numpy() + 1) * 127.5).max() <= 2


@pytest.mark.parametrize("what", [{}, {"init_image": "x.png", "mask": "x.png"}, {"init_image": "nothing.png"}])
def test_what_it_cannot_do_is_told(executor: Executor, what: dict[str, str]):
    request = tiny_request(model="model", width=16, height=16, negative_prompt="", **what)
    with pytest.raises(BadRequest, match=r"^(This model|A given picture) [^.]+\.$"):
        executor.admit("it", request)
    assert executor.step() == []


def test_a_full_memory_gives_older_pictures_for_half_of_the_new_ones():
    memory, random = Memory(4), torch.Generator().manual_seed(0)
    pictures = torch.arange(100.0)[:, None, None, None].expand(100, 3, 4, 4)
    assert memory.exchange(pictures[:50], random).equal(pictures[:50])
    met = memory.exchange(pictures[50:], random)[:, 0, 0, 0]
    new = met == pictures[50:, 0, 0, 0]
    assert 15 < int(new.sum()) < 35
    together = sorted([*met.tolist(), *memory.pictures[:, 0, 0, 0].tolist()])
    assert together == list(range(100))


def test_pictures_that_do_not_fit_together_are_refused(tmp_path: Path):
    for side in (8, 16, 24):
        write_squares(tmp_path / str(side), 2, side)
    for a, b in ((16, 24), (8, 8)):
        with pytest.raises(TrainingError, match=f"{a} and {b} pixels wide"):
            train_cyclegan(CycleGANRecipe(a=tmp_path / str(a), b=tmp_path / str(b), folder=tmp_path / "out"))


def test_pictures_without_words_are_collected_for_it(tmp_path: Path):
    (tmp_path / "raw" / "more").mkdir(parents=True)
    for number, name in enumerate(("one.JPG", "more/two.png", "note.txt")):
        noise = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((40, 30)).save(tmp_path / "raw" / name, "PNG")
    report = collect(tmp_path / "raw", tmp_path / "out", side=16, test=0, captioned=False)
    assert (report.kept, report.train, report.dropped) == (2, 2, {})
