# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportReturnType=false, reportOptionalMemberAccess=false
import logging
import re
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from limner.generators.one_pass.translators import Depth
from limner.generators.training import loop
from limner.generators.training.curves import lay_out
from limner.generators.training.data import text_encoder
from limner.generators.training.data.latents import Latents
from limner.generators.training.data.picture_folder import HalvedPictures, PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families import latent_diffusion
from limner.generators.training.families.autoencoder import (
    AutoencoderTask,
    build_autoencoder,
    fidelity,
    normalise_latents,
)
from limner.generators.training.families.cyclegan import CycleGANTask
from limner.generators.training.families.wider_autoencoder import WideningTask, widen
from limner.generators.training.loop import CHECKPOINT, Trainer, read_average
from limner.generators.training.normalisation import quicken
from limner.generators.training.plan import Loss, Plan, Task
from tests.generators.toys import write_squares
from tests.tiny_models import stock_pipeline

pytestmark = pytest.mark.xdist_group("training")  # they share what takes long to make

PLAN = Plan(samples=48, batch=4, learning_rate=4e-3, warmup=2, decay=0.1)


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> PictureFolder:
    """Twelve captioned squares on white, 32x32."""
    folder = tmp_path_factory.mktemp("toys")
    write_squares(folder, 12, 32)
    return PictureFolder(folder)


def autoencoder_task(toys: PictureFolder) -> AutoencoderTask:
    torch.manual_seed(0)
    return AutoencoderTask(build_autoencoder((8, 16), side=32), toys)


def toy_pipeline(toys: PictureFolder, objective: str = "flow") -> StableDiffusionPipeline:
    torch.manual_seed(0)
    others = {one + other for one in "bcdfghjklmnpqrs" for other in "aeiouvwxyzbcdf"}  # 192 main directions need words
    vocabulary = sorted(text_encoder.split_words([picture.text for picture in toys.pictures]) | others)
    tokenizer = text_encoder.build_tokenizer(vocabulary)
    encoder = text_encoder.build_text_encoder(
        tokenizer, vocabulary, torch.randn(len(vocabulary), 384), met=len(vocabulary), layers=1
    )
    vae = build_autoencoder((8, 16), side=32).eval()
    unet = latent_diffusion.build_unet(8, text_encoder.WIDTH, widths=(16, 32), heads=8, groups=8)
    return latent_diffusion.assemble(unet, encoder, tokenizer, vae, objective)


def diffusion_task(toys: PictureFolder, folder: Path, objective: str = "flow") -> latent_diffusion.DiffusionTask:
    pipe = toy_pipeline(toys, objective)
    texts = [picture.text for picture in toys.pictures]
    captions = latent_diffusion.LearntCaptions(pipe.text_encoder, pipe.tokenizer, texts)
    return latent_diffusion.DiffusionTask(pipe, captions, Latents(pipe.vae, toys, folder), ["a red square"])


def cyclegan_task(toys: PictureFolder) -> CycleGANTask:
    torch.manual_seed(0)
    return CycleGANTask(Depth(width=4, blocks=1), toys, toys, torch.device("cpu"))


def build(family: str, toys: PictureFolder, folder: Path) -> Task:
    if family == "latent-diffusion":
        return diffusion_task(toys, folder)
    return autoencoder_task(toys) if family == "autoencoder" else cyclegan_task(toys)


def train(task: Task, folder: Path, plan: Plan = PLAN) -> Trainer:
    trainer = Trainer(task, plan, folder)
    assert trainer.run(show=False)
    return trainer


@pytest.fixture(
    scope="module",
    params=["autoencoder", *(pytest.param(name, marks=pytest.mark.slow) for name in ("latent-diffusion", "cyclegan"))],
)
def trained(
    request: pytest.FixtureRequest, toys: PictureFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Trainer]:
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, train(build(request.param, toys, folder), folder)


def test_the_loss_falls(trained: tuple[str, Path, Trainer]):
    losses = [loss for _, loss in trained[2].losses]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:3])


def test_a_resumed_run_equals_an_unbroken_one(trained: tuple[str, Path, Trainer], toys: PictureFolder, tmp_path: Path):
    family, unbroken, trainer = trained
    task = build(family, toys, tmp_path)
    interrupt_in_step(task, 3)
    assert not Trainer(task, PLAN, tmp_path).run(show=False)

    resumed = Trainer(build(family, toys, tmp_path), PLAN, tmp_path)
    assert resumed.step == 3
    assert resumed.run(show=False)

    assert [loss for _, loss in resumed.losses] == pytest.approx([loss for _, loss in trainer.losses], abs=1e-6)
    left, right = load_file(tmp_path / CHECKPOINT), load_file(unbroken / CHECKPOINT)
    assert list(left) == list(right)
    assert all(left[name].equal(right[name]) for name in left)
    assert read_average(tmp_path, task.network) == PLAN.steps


class Line:
    """Fits a line to points that are the pictures' numbers; its loss knows no chance."""

    family, parts, progress, size, fingerprint = "line", ("error",), 0.0, 11, "points"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network, self.most = nn.Linear(1, 1), 0

    def loss(self, numbers: list[int], random: torch.Generator) -> Loss:
        self.most = max(self.most, len(numbers))
        points = torch.tensor(numbers, dtype=torch.float32)[:, None] / 10
        error = (self.network(points) - 3 * points - 1).square().mean()
        return Loss(error, {"error": error})

    def sample(self) -> Image.Image:
        return Image.new("RGB", (8, 8))


@pytest.mark.parametrize(("parts", "most"), [(2, 4), (3, 3), (7, 1), (99, 1)])
def test_a_step_in_parts_is_the_same_step(parts: int, most: int, tmp_path: Path):
    whole, split = Line(), Line()
    plan = replace(PLAN, batch=7, samples=70)
    one, other = (
        train(whole, tmp_path / "whole", plan),
        train(split, tmp_path / "split", replace(plan, accumulation=parts)),
    )
    assert (whole.most, split.most) == (7, most)
    assert [loss for _, loss in other.losses] == pytest.approx([loss for _, loss in one.losses], rel=1e-5)
    left, right = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "split"))
    assert all(left[name].allclose(right[name], rtol=1e-4, atol=1e-6) for name in left)


def interrupt_in_step(task: Task, step: int) -> None:
    """Press Ctrl-C while the task computes that step."""
    honest, count = task.loss, 0

    def loss(numbers: list[int], random: torch.Generator) -> Loss:
        nonlocal count
        count += 1
        if count == step:
            signal.raise_signal(signal.SIGINT)
        return honest(numbers, random)

    task.loss = loss  # type: ignore[method-assign]


def test_a_training_leaves_curve_sheet_and_losses(trained: tuple[str, Path, Trainer]):
    _, folder, _ = trained
    with Image.open(folder / "losses.png") as curve, Image.open(folder / "samples.png") as sheet:
        assert curve.size == (640, 320)
        assert sheet.width >= 32
    assert len((folder / "losses.csv").read_text().splitlines()) == 1 + PLAN.steps


WEIGHTS = {
    "autoencoder": {"reconstruction": 1, "edges": 0.5, "kl": 3e-4},
    "latent-diffusion": {},
    "cyclegan": {"generator": 1, "discriminator": 1, "cycle": 10, "identity": 5},
}


def test_the_losses_are_told_in_parts_with_learning_rate_and_speed(trained: tuple[str, Path, Trainer]):
    family, folder, _ = trained
    heading, *lines = (folder / "losses.csv").read_text().splitlines()
    assert heading.split(",") == ["step", "loss", *WEIGHTS[family], "learning_rate", "samples_per_second"]
    rows = [dict(zip(heading.split(","), map(float, line.split(",")), strict=True)) for line in lines]
    assert [row["step"] for row in rows] == list(range(1, PLAN.steps + 1))
    assert [row["learning_rate"] for row in rows] == pytest.approx([PLAN.rate(step) for step in range(PLAN.steps)])
    assert all(row["samples_per_second"] > 0 for row in rows)
    if WEIGHTS[family]:
        sums = [sum(weight * row[name] for name, weight in WEIGHTS[family].items()) for row in rows]
        assert sums == pytest.approx([row["loss"] for row in rows], rel=1e-4)


@pytest.mark.slow
def test_event_files_hold_what_the_table_holds_and_go_on_after_a_stop(toys: PictureFolder, tmp_path: Path):
    plan = replace(PLAN, tensorboard=True)
    task = autoencoder_task(toys)
    interrupt_in_step(task, 3)
    assert not Trainer(task, plan, tmp_path).run(show=False)
    assert Trainer(autoencoder_task(toys), plan, tmp_path).run(show=False)

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    heading, *lines = (tmp_path / "losses.csv").read_text().splitlines()
    assert sorted(events.Tags()["scalars"]) == sorted(heading.split(",")[1:])
    for column, name in enumerate(heading.split(",")[1:], 1):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [
            (int(line.split(",")[0]), pytest.approx(float(line.split(",")[column]), rel=1e-4, abs=1e-6))
            for line in lines
        ]


def test_tensorboard_that_is_not_installed_is_told_before_anything_is_learnt(
    toys: PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r"^TensorBoard is not installed.*pip install 'limner\[train\]'\.$"):
        Trainer(autoencoder_task(toys), replace(PLAN, tensorboard=True), tmp_path).run(show=False)
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.slow
def test_a_checkpoint_is_written_as_often_as_it_is_asked_for(
    toys: PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each draws the curve again, and there is always one at the end."""
    drawn, draw = [], loop.draw_curve
    monkeypatch.setattr(loop, "draw_curve", lambda losses: drawn.append(len(losses)) or draw(losses))
    for seconds in (1e-9, 1e9):
        train(autoencoder_task(toys), tmp_path / str(seconds), replace(PLAN, checkpoint_seconds=seconds))
    assert drawn == [*range(1, PLAN.steps + 1), PLAN.steps, PLAN.steps]


@pytest.mark.slow
def test_sheets_take_a_twentieth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A step takes a second here, and a sheet ten; a checkpoint is written after each step."""
    now, sheets = 0.0, []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
    task = Line()
    honest = task.loss

    def loss(numbers: list[int], random: torch.Generator) -> Loss:
        nonlocal now
        now += 1
        return honest(numbers, random)

    def sample() -> Image.Image:
        nonlocal now
        now += 10
        sheets.append(now)
        return Image.new("RGB", (8, 8))

    task.loss, task.sample = loss, sample
    train(task, tmp_path, replace(PLAN, samples=1_000, checkpoint_seconds=1))
    assert sheets == [11, 221, 280], "after the first step, 200 seconds later, and at the end"


@pytest.mark.slow
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_sheet_is_painted_in_the_precision_of_the_training(
    precision: torch.dtype, toys: PictureFolder, tmp_path: Path
):
    task = diffusion_task(toys, tmp_path)
    task.network.to(precision)
    asked, vae = set(), task._pipe.vae
    task._pipe.unet.register_forward_pre_hook(lambda _, given: asked.add(given[0].dtype))
    assert task.sample().width >= 32
    assert asked == {precision}
    assert task._pipe.vae is vae
    assert vae.dtype == torch.float32


def test_a_table_of_fewer_columns_is_gone_on_with(toys: PictureFolder, tmp_path: Path):
    train(autoencoder_task(toys), tmp_path, replace(PLAN, samples=8))
    (tmp_path / "losses.csv").write_text("step,loss\n1,0.5\n2,0.25\n")
    train(autoencoder_task(toys), tmp_path, replace(PLAN, samples=12))
    lines = (tmp_path / "losses.csv").read_text().splitlines()
    assert lines[1:3] == ["1,0.500000,,,,,", "2,0.250000,,,,,"]
    assert lines[3].startswith("3,")
    assert "nan" not in lines[3]


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_checkpoint(
    trained: tuple[str, Path, Trainer], toys: PictureFolder, tmp_path: Path
):
    family, folder, _ = trained
    task = build(family, toys, tmp_path)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / CHECKPOINT).read_bytes()
    nothing = next(task.network.parameters()).sum() * float("nan")
    task.loss = lambda numbers, random: Loss(nothing, dict.fromkeys(task.parts, nothing))  # type: ignore
    longer = Plan(samples=96, batch=4, learning_rate=2e-3)

    with pytest.raises(
        TrainingError,
        match=r"no longer a number at step 13.*a smaller --learning-rate than 0.002, or with another --seed",
    ):
        Trainer(task, longer, tmp_path).run(show=False)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_the_checkpoint_of_another_family_is_refused(
    trained: tuple[str, Path, Trainer], toys: PictureFolder, tmp_path: Path
):
    family, folder, _ = trained
    other = "autoencoder" if family != "autoencoder" else "latent-diffusion"
    with pytest.raises(TrainingError, match=re.escape(f"another training ({family}")):
        Trainer(build(other, toys, tmp_path), PLAN, folder)


def test_normalised_latents_are_normal_and_decode_to_the_same(toys: PictureFolder):
    vae = autoencoder_task(toys).network.eval()
    before = fidelity(vae, toys, 12)
    normalise_latents(vae, toys)
    latents = vae.encode(toys.pixels(range(12))).latent_dist.mode()
    assert latents.mean((0, 2, 3)).abs().max() < 1e-3
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert fidelity(vae, toys, 12) == pytest.approx(before, abs=0.01)


@pytest.mark.slow
def test_a_wider_autoencoder_begins_as_the_old_one_and_learns_what_is_between_pixels(tmp_path: Path):
    write_squares(tmp_path, 12, 64)
    pictures = PictureFolder(tmp_path)
    torch.manual_seed(0)
    old = build_autoencoder((12, 16), side=32).eval()
    wider = widen(old)
    pixels, halved = pictures.pixels(range(12)), HalvedPictures(tmp_path).pixels(range(12))
    with torch.no_grad():
        latents = old.encode(halved).latent_dist.mode()
        assert halved.shape == (12, 3, 32, 32)
        assert (wider.encode(pixels).latent_dist.mode() - latents).square().mean() < 0.15 * latents.var()
        doubled = old.decode(latents).sample.repeat_interleave(2, -1).repeat_interleave(2, -2)
        painted = wider.decode(latents).sample
        assert painted.shape == pixels.shape
        assert torch.corrcoef(torch.stack([painted.flatten(), doubled.flatten()]))[0, 1] > 0.7
    before = {name: part.clone() for name, part in wider.named_parameters()}
    trainer = train(WideningTask(wider, old, pictures), tmp_path / "wider")
    losses = [loss for _, loss in trainer.losses]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:3])
    changed = {name.split(".")[0] for name, part in wider.named_parameters() if not part.equal(before[name])}
    assert changed == {"decoder", "post_quant_conv"}  # so that the denoiser's latents stay what they are


def test_the_stock_pipeline_loads_it_without_a_warning_and_paints_the_same(
    toys: PictureFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    task = diffusion_task(toys, tmp_path)
    assert task.sample().tobytes() == task.sample().tobytes()
    latent_diffusion.save(task._pipe, tmp_path / "model", {"title": "Toy"})
    caplog.clear()
    for library in ("diffusers", "transformers"):
        logging.getLogger(library).addHandler(caplog.handler)
        logging.getLogger(library).setLevel(logging.WARNING)

    loaded = DiffusionPipeline.from_pretrained(tmp_path / "model", dtype=torch.float32)

    assert [record.getMessage() for record in caplog.records] == []
    again = stock_pipeline(tmp_path / "model")
    sheets = [latent_diffusion.paint_sheet(each, ["a red square", "a dog"], steps=3) for each in (loaded, again)]
    assert sheets[0].tobytes() == sheets[1].tobytes()


def test_every_word_of_the_vocabulary_is_one_token():
    known = ["cat", "cats", "category", "a", "at", "scatter", "red", "reddish"]
    tokenizer = text_encoder.build_tokenizer(known)
    assert [tokenizer.tokenize(word) for word in known] == [[f"{word}</w>"] for word in known]
    assert text_encoder.token_ids(tokenizer, ["Cat!", ""]).shape == (2, text_encoder.LENGTH)


def test_words_can_be_added_and_the_others_stay_what_they_are(toys: PictureFolder):
    pipe = toy_pipeline(toys)
    known = list(pipe.tokenizer.get_vocab())
    before = pipe.text_encoder.get_input_embeddings().weight.clone()
    vectors = torch.randn(2, text_encoder.WIDTH)
    wider = text_encoder.add_words(pipe.tokenizer, pipe.text_encoder, ["watercolor", "neon"], vectors)
    texts = ["a red square", "a blue square"]
    assert text_encoder.token_ids(wider, texts).equal(text_encoder.token_ids(pipe.tokenizer, texts))
    assert [wider.tokenize(word) for word in ("watercolor", "neon")] == [["watercolor</w>"], ["neon</w>"]]
    table = pipe.text_encoder.get_input_embeddings().weight
    assert len(table) == len(wider) > len(known)
    assert table[: len(known)].equal(before)
    assert not table.requires_grad
    assert table[wider.convert_tokens_to_ids("neon</w>")].equal(vectors[1])


def test_an_added_word_lies_where_the_models_neighbours_of_it_lie(toys: PictureFolder):
    pipe, known = toy_pipeline(toys), ["ba", "be", "bu", "by", "da", "de", "di", "du", "fa", "fe"]
    torch.manual_seed(1)
    places = dict(zip([*known, "near"], torch.nn.functional.normalize(torch.randn(11, 384)), strict=True))
    places["near"] = torch.nn.functional.normalize(places["di"] + 0.3 * places["near"], dim=0)

    class Model:
        def vectors(self, asked: list[str]) -> torch.Tensor:
            return torch.stack([places[word] for word in asked])

    (found,) = text_encoder.alike(Model(), pipe.tokenizer, pipe.text_encoder, known, ["near"])
    table = pipe.text_encoder.get_input_embeddings().weight
    ours = table[pipe.tokenizer.convert_tokens_to_ids([word + "</w>" for word in known])]
    assert known[torch.cosine_similarity(ours, found[None]).argmax()] == "di"
    assert found.square().mean() == pytest.approx(float(ours.square().mean()))


def test_the_quick_normalisation_is_the_slow_one():
    torch.manual_seed(0)
    slow, quick = nn.GroupNorm(4, 16), nn.GroupNorm(4, 16).bfloat16()
    slow.weight.data.normal_(1, 0.2)
    quick.load_state_dict(slow.state_dict())
    quicken(quick)
    x, gradient = torch.randn(3, 16, 8, 8) * 2 + 1, torch.randn(3, 16, 8, 8)
    for norm, precision in ((slow, torch.float32), (quick, torch.bfloat16)):
        given = x.to(precision, copy=True).requires_grad_()
        result = norm(given)
        result.backward(gradient.to(precision))
        norm.found = (result.detach().float(), given.grad.float(), norm.weight.grad.float(), norm.bias.grad.float())
    for slow_values, quick_values in zip(slow.found, quick.found, strict=True):
        assert (slow_values - quick_values).norm() < 0.02 * slow_values.norm()


def test_the_vocabulary_takes_the_words_nearest_to_each_name():
    places = {"cat": (1.0, 0.0), "puss": (0.9, 0.1), "catty": (1.0, 0.0), "ship": (0.0, 1.0), "boat": (0.1, 0.9),
              "law": (-1.0, -1.0)}  # fmt: skip

    class Model:
        def vectors(self, asked: list[str]) -> torch.Tensor:
            return torch.tensor([places[word] for word in asked])

    chosen = text_encoder.choose_vocabulary(
        Model(), {"a cat on a ship"}, ["cat", "ship"], ["boat", "catty", "law", "puss"], 6
    )
    assert chosen == ["a", "cat", "on", "ship", "puss", "boat"]


def test_a_word_that_stands_in_no_caption_lies_near_the_one_it_is_most_like():
    vectors = torch.nn.functional.normalize(torch.randn(200, 384, generator=torch.Generator().manual_seed(0)))
    met = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    known = [*met, *(word + "u" for word in met)]
    vectors[100] = torch.nn.functional.normalize(vectors[7] + 0.5 * vectors[3], dim=0)

    tokenizer = text_encoder.build_tokenizer(known)
    encoder = text_encoder.build_text_encoder(tokenizer, known, vectors, met=100)

    table = encoder.state_dict()["embeddings.token_embedding.weight"]
    rows = table[tokenizer.convert_tokens_to_ids([word + "</w>" for word in known])]
    assert torch.cdist(rows[100:101], rows[:100]).argmin() == 7
    assert not rows[100].equal(rows[7])


def test_latents_that_were_interrupted_are_made_to_the_end(toys: PictureFolder, tmp_path: Path):
    vae = autoencoder_task(toys).network.eval()
    whole = Latents(vae, toys, tmp_path)[list(range(12))]
    file = next(tmp_path.glob("latents-*.npy"))
    cut = np.lib.format.open_memmap(file, mode="r+")
    cut[5:] = 0
    cut.flush()
    file.rename(file.with_suffix(".part"))

    assert Latents(vae, toys, tmp_path)[list(range(12))].equal(whole)
    assert whole.abs().max() > 0


@pytest.mark.parametrize("side", [16, 28, 96, 128])
def test_a_sheet_tells_whole_captions_under_its_pictures(side: int):
    pictures = [Image.new("RGB", (side, side), "white") for _ in range(2)]
    long = "a very small picture of a handwritten lighthouse beside a sleeping Donaudampfschifffahrtsgesellschaft"
    short, both = (np.asarray(lay_out(pictures, 2, captions)) for captions in (["a cat"] * 2, ["a cat", long]))
    alone = np.asarray(lay_out(pictures[:1], 1, [long]))
    cell = alone.shape[1]

    assert both.shape[0] == alone.shape[0] > short.shape[0]
    assert (both[:, cell:] == alone).all(), "the second column holds nothing of the first"
    assert (np.asarray(lay_out(pictures, 2, [long, "a cat"]))[:, :cell] == alone).all(), "nor the other way round"
    assert (alone[:, -4:] == 255).all(), "no line reaches the next picture"
    rows = np.any(alone < 255, axis=(1, 2))
    lines = np.flatnonzero(np.diff(rows.astype(int)) == 1) + 1
    assert len(lines) > 3, "lines do not touch each other"
    assert rows[-20:].any(), "its last line is told"
