"""A folder of models: what is put in is offered without a restart, and what is replaced is loaded again."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limner.bot import submit
from limner.bot.app import App
from limner.bot.errors import SetupError, UnknownModel
from limner.bot.reasons import JobStatus
from limner.bot.settings import Settings
from limner.bot.settings.current_cards import CurrentCards
from limner.generators.base import Finished
from limner.generators.executor import Executor
from limner.generators.measured import Measured
from tests.bot.test_worker import AddingExpander, make_worker
from tests.original_layout import write_checkpoint
from tests.rows import asked
from tests.tiny_models import build_tiny_pipeline, tiny_request


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two diffusers folders, and a checkpoint of the first one."""
    folder = tmp_path_factory.mktemp("made")
    build_tiny_pipeline(folder / "first")
    build_tiny_pipeline(folder / "second", 1)
    write_checkpoint(folder / "first", folder / "file.safetensors")
    return folder


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "models").mkdir()
    return settings.using(models={}, models_dir=str(tmp_path / "models"), device="cpu")


def put(made: Path, name: str, folder: str, called: str) -> None:
    """Put a checkpoint with the files beside it, or a folder, into the folder of models."""
    Path(folder, called).parent.mkdir(parents=True, exist_ok=True)
    if (made / name).is_dir():
        shutil.copytree(made / name, Path(folder, called), dirs_exist_ok=True)
    else:
        shutil.copy(made / name, Path(folder, called))
        shutil.copytree((made / name).with_suffix(""), Path(folder, called).with_suffix(""), dirs_exist_ok=True)


def painted(executor: Executor, key: str) -> bytes:
    return next(
        event.images[0].tobytes()
        for _ in range(9)
        for event in executor.step()
        if isinstance(event, Finished) and event.key == key
    )


def test_each_file_and_folder_is_a_model(settings: Settings, made: Path) -> None:
    folder = settings.models_dir
    with pytest.raises(SetupError, match="There is none in the folder"):
        _ = settings.default_card
    put(made, "first", folder, "sd/plain")
    put(made, "file.safetensors", folder, "anime.safetensors")
    Path(folder, "anime.civitai.info").write_text(json.dumps({"trainedWords": ["ink,  line", "1girl"]}))
    Path(folder, "broken.safetensors").write_bytes(b"version https://git-lfs")
    Path(folder, "old.ckpt").write_bytes(b"PK")
    settings.find_models()
    assert list(settings.offered) == ["anime", "plain"]
    assert settings.cards["anime"].trigger_words == "ink, line, 1girl"
    assert settings.cards["broken"].problem
    assert settings.default_card.name == "anime"


def test_two_models_of_one_name(settings: Settings, made: Path) -> None:
    put(made, "first", settings.models_dir, "a/mine")
    put(made, "second", settings.models_dir, "b/mine")
    Path(settings.models_dir, "one,two.ckpt").write_bytes(b"PK")
    settings = settings.using(default_model="mine")
    settings.check()
    assert settings.cards["mine"].source == str(Path(settings.models_dir, "a", "mine"))
    assert sorted(settings.broken_models.values()) == [
        "The model one,two.ckpt needs a shorter name without a comma; rename it.",
        "There are two models named mine; the one in "
        f"{Path(settings.models_dir, 'b', 'mine')} is not offered until it is renamed.",
    ]


def test_a_folder_that_is_not_there_is_named(settings: Settings) -> None:
    shutil.rmtree(settings.models_dir)
    settings.find_models()
    [problem] = settings.broken_models.values()
    assert problem.startswith("There is no folder")


async def test_damaged_weights_are_refused_before_the_queue_once_they_were_found(
    app: App, settings: Settings, made: Path
) -> None:
    """A worker finds them when it loads the model; another file is offered again."""
    weight = torch.full((8, 4, 3, 3), torch.nan)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    write_checkpoint(made / "first", Path(settings.models_dir, "nan.safetensors"), more={name: weight})
    put(made, "first", settings.models_dir, "good")
    app.settings.find_models()
    measured = Measured(settings.measured_file)
    executor = Executor(CurrentCards(settings), device="cpu", measured=measured)
    job = await submit.imagine(app, asked(text="a red fox", model="nan", steps=1))
    await make_worker(app, AddingExpander(), executor).run(burst=True)
    assert "broken weights (NaN)" in str((await app.jobs.get(job.id)).reason)
    app.settings.find_models()
    assert "nan" not in app.settings.offered
    with pytest.raises(UnknownModel, match="The model nan has weights that are missing or no numbers"):
        await submit.imagine(app, asked(text="a red fox", model="nan"))
    put(made, "file.safetensors", settings.models_dir, "nan.safetensors")
    app.settings.find_models()
    assert "nan" in app.settings.offered


async def test_a_worker_finds_a_model_that_the_bot_found_first(app: App, settings: Settings, made: Path) -> None:
    put(made, "first", settings.models_dir, "mine")
    elsewhere = replace(app, settings=settings.using())
    worker = make_worker(elsewhere, AddingExpander(), Executor(CurrentCards(elsewhere.settings), device="cpu"))
    put(made, "second", settings.models_dir, "new")
    app.settings.find_models()
    job = await submit.imagine(app, asked(text="a red fox", model="new", steps=1))
    assert "new" not in elsewhere.settings.cards
    await worker.run(burst=True)
    assert (await app.jobs.get(job.id)).status == JobStatus.SUCCEEDED


@pytest.fixture
def executor(settings: Settings) -> Iterator[Executor]:
    executor = Executor(CurrentCards(settings), device="cpu", max_batch=1)
    yield executor
    executor.close()


def test_a_replaced_file_is_loaded_once_its_requests_have_ended(
    settings: Settings, made: Path, executor: Executor
) -> None:
    folder = settings.models_dir
    put(made, "first", folder, "mine")
    put(made, "second", folder, "other")
    settings.find_models()
    executor.admit("before", tiny_request(model="mine"))
    executor.step()
    put(made, "second", folder, "mine")
    settings.find_models()
    assert executor.capacity("mine") == 0
    before = painted(executor, "before")
    assert executor.capacity("mine") > 0
    executor.admit("after", tiny_request(model="mine"))
    after = painted(executor, "after")
    executor.admit("other", tiny_request(model="other"))
    assert after == painted(executor, "other") != before


def test_a_removed_model_paints_to_its_end_and_is_not_offered(
    settings: Settings, made: Path, executor: Executor
) -> None:
    put(made, "file.safetensors", settings.models_dir, "mine.safetensors")
    settings.find_models()
    executor.admit("one", tiny_request(model="mine"))
    Path(settings.models_dir, "mine.safetensors").unlink()
    settings.find_models()
    assert not settings.offered
    assert painted(executor, "one")
