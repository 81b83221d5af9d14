"""Only models that somebody can use are offered; the others cost themselves alone, and doctor says why."""

import json
import shutil
from pathlib import Path

import pytest

from limner.bot import submit
from limner.bot.app import App
from limner.bot.cli.doctor.examine import examine
from limner.bot.errors import BadOption, UnknownModel
from limner.bot.settings import Settings
from tests.original_layout import write_checkpoint
from tests.rows import asked
from tests.simulated_discord import World
from tests.tiny_models import build_tiny_inpainting_pipeline, build_tiny_pipeline, build_tiny_refiner


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model whose weights are cut off comes first."""
    folder = tmp_path_factory.mktemp("models")
    good = build_tiny_pipeline(folder / "good")
    cut = shutil.copytree(good, folder / "cut") / "unet" / "diffusion_pytorch_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1000])
    build_tiny_inpainting_pipeline(folder / "inpaint")
    build_tiny_refiner(folder / "refiner")
    names = ("cut", "inpaint", "refiner", "good")
    checkpoint = write_checkpoint(good, folder / "one-file.safetensors")
    (folder / "old.ckpt").write_bytes(b"PK")
    files = {"gone": str(folder / "gone"), "old": str(folder / "old.ckpt"), "one-file": str(checkpoint)}
    return {name: str(folder / name) for name in names} | files


@pytest.fixture
def settings(request: pytest.FixtureRequest, settings: Settings, models: dict[str, str]) -> Settings:
    return settings.using(models=models, device="cpu", workers=getattr(request, "param", 1))


def test_what_cannot_be_used_is_not_offered_and_not_the_default(settings: Settings) -> None:
    assert list(settings.offered) == ["refiner", "good", "one-file"]
    assert settings.default_card.name == "good"
    assert settings.using(default_model="cut").default_card.name == "good"


def test_a_folder_may_be_on_the_workers_machines_only(settings: Settings) -> None:
    assert "gone" in settings.using(workers=0).offered


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("cut", "The model cut cannot be loaded, and the operator finds the reason with `limner doctor`; choose"),
        ("gone", "The model gone cannot be loaded"),
        ("old", "The model old cannot be loaded"),
        (
            "inpaint",
            "only fills a part of a picture, which no command asks for; choose one of: refiner, good, one-file.",
        ),
        ("xyzzy", "That model is not offered here; choose one of: refiner, good, one-file."),
    ],
)
async def test_who_asks_for_it_is_told_before_the_queue(app: App, model: str, told: str) -> None:
    with pytest.raises(UnknownModel, match=told) as refused:
        await submit.imagine(app, asked(text="a red fox", model=model))
    assert str(app.settings.data) not in str(refused.value)
    assert "no such" not in str(refused.value)
    assert await app.history.count(None, every_status=True) == 0


async def test_a_model_that_changes_pictures_needs_one(app: App) -> None:
    with pytest.raises(BadOption, match="The model refiner changes pictures; give it one"):
        await submit.imagine(app, asked(text="a red fox", model="refiner"))
    job = await submit.imagine(app, asked(text="a red fox", model="refiner", image="0" * 64))
    assert job.request["model"] == "refiner"


@pytest.mark.parametrize("settings", [0], indirect=True)  # no worker of its own
async def test_discord_suggests_what_can_be_used(world: World) -> None:
    found = await world.ada.autocomplete(world.channel, "imagine", "model", "")
    assert [(choice["name"], choice["value"]) for choice in found] == [
        ("refiner (needs a picture)", "refiner"),
        ("good (reads tags)", "good"),
        ("gone", "gone"),
        ("one-file (reads tags)", "one-file"),
    ]


@pytest.mark.slow
async def test_doctor_tells_why_and_tries_the_rest(
    settings: Settings, models: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f'{name} = "{Path(source).as_posix()}"' for name, source in models.items()]
    (settings.data / "limner.toml").write_text(
        "\n".join(['device = "cpu"', 'safety_classifier = "off"', "[models]", *lines])
    )
    assert await examine(settings.data, as_json=True) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    said = {check["what"].split()[1].rstrip(":"): check for check in checks if check["what"].startswith("model ")}
    assert "unet/diffusion_pytorch_model.safetensors is cut off" in said["cut"]["what"]
    assert (said["cut"]["status"], said["cut"]["mend"]) == ("fail", "copy or download it again")
    assert (said["inpaint"]["status"], said["gone"]["status"]) == ("warn", "fail")
    assert "the checkpoint is a pickle, which is not loaded" in said["old"]["what"]
    for name in ("good", "refiner", "one-file"):
        assert said[name]["status"] == "ok"
        assert "loaded and tried in" in said[name]["what"]
