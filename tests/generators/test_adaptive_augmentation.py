# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportCallIssue=false, reportOptionalSubscript=false
"""The critic of a GAN sees its pictures changed; what it does not see so is what is painted."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from limner.generators.one_pass.networks import Critic, Shape, StyleGenerator
from limner.generators.training.data import adaptive_augmentation
from limner.generators.training.data.adaptive_augmentation import (
    EVERY,
    MOST,
    RISE,
    Augmentation,
    draw_colours,
    draw_moves,
    move,
    recolour,
)
from limner.generators.training.data.picture_folder import PictureFolder
from limner.generators.training.errors import TrainingError
from limner.generators.training.families.one_pass import PLANS, Captioned, GANTask
from limner.generators.training.loop import CHECKPOINT, Trainer
from limner.generators.training.plan import Plan
from tests.generators.test_training import interrupt_in_step
from tests.generators.toys import write_squares


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmentation(probability: float) -> Augmentation:
    made = Augmentation()
    made.probability.fill_(probability)
    return made


def pictures(count: int, channels: int = 3, side: int = 16) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=seeded(9)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3])
def test_it_begins_with_pictures_as_they_are(channels: int):
    given = pictures(20, channels)
    assert Augmentation()(given, seeded()).equal(given)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_seed_makes_the_same_changes(channels: int):
    given = pictures(20, channels)
    one, again, other = (augmentation(0.5)(given, seeded(seed)) for seed in (1, 1, 2))
    assert one.equal(again)
    assert not one.equal(other)
    assert one.isfinite().all()


def test_each_picture_is_changed_by_itself_and_some_are_not():
    given = pictures(1).expand(400, -1, -1, -1)
    found = augmentation(0.1)(given, seeded())
    stays = (found == given).flatten(1).all(1).float().mean()
    assert 0.3 < stays < 0.6
    assert len(found.flatten(1).unique(dim=0)) > 150


@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_goes_through(channels: int):
    given = pictures(8, channels).requires_grad_()
    augmentation(MOST)(given, seeded()).square().sum().backward()
    assert (given.grad.flatten(1).abs().amax(1) > 0).all()


def test_every_change_can_be_undone():
    """What cannot be told from its changes would show in what is painted (Karras 2020, appendix C)."""
    moves, colours = draw_moves(2_000, 16, MOST, seeded()), draw_colours(2_000, 3, MOST, seeded())
    assert moves.det().abs().min() > 0.05
    assert colours.det().abs().min() > 1e-5
    given = pictures(2_000, side=4)
    assert recolour(recolour(given, colours), colours.inverse()).allclose(given, atol=0.02)


def test_quarter_turns_mirrors_and_hues_are_what_they_are_called():
    given = pictures(1)
    turned = move(given, torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]]))
    assert turned.allclose(given.rot90(1, (2, 3)), atol=1e-5) or turned.allclose(given.rot90(-1, (2, 3)), atol=1e-5)
    mirrored = move(given, torch.tensor([[[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]]))
    assert mirrored.allclose(given.flip(3), atol=1e-5)
    third = adaptive_augmentation._turn_hue(torch.tensor([2 * torch.pi / 3]))
    assert recolour(given, third).allclose(given.roll(1, 1), atol=1e-5), "a third of the circle: red becomes green"


def test_pictures_as_they_are_stay_the_likeliest_even_at_most():
    """Of all ways to turn, mirror and tint them none is seen as often: so no other one is learnt."""
    moves = draw_moves(20_000, 16, MOST, seeded())[:, :2, :2]
    mirrored = moves.det() < 0
    moves[mirrored, 0] *= -1
    turns = torch.atan2(moves[:, 1, 0] - moves[:, 0, 1], moves[:, 0, 0] + moves[:, 1, 1])
    ways = 8 * mirrored + eighth(turns)
    assert ways.bincount(minlength=16).argmax() == 0

    colours = draw_colours(20_000, 3, MOST, seeded())[:, :3, :3]
    inverted = colours.sum((1, 2)) < 0
    plane = torch.tensor([[2.0, -1, -1], [0, 3**0.5, -(3**0.5)]]) / 6**0.5
    hues = plane @ colours @ plane.T
    tints = torch.atan2(hues[:, 1, 0] - hues[:, 0, 1], hues[:, 0, 0] + hues[:, 1, 1])
    assert (8 * inverted + eighth(tints)).bincount(minlength=16).argmax() == 0


def eighth(angles: torch.Tensor) -> torch.Tensor:
    """Which eighth of the circle each is in; the first has 0 in its middle."""
    return (angles / (torch.pi / 4)).round().long() % 8


def test_a_critic_that_knows_its_pictures_by_heart_sees_them_changed_more_often():
    made = Augmentation()
    for step in range(1, 2 * EVERY + 1):
        made.adapt(torch.full((100,), 3.0))
        assert float(made.probability) == pytest.approx(step // EVERY * EVERY * 100 / RISE)
    for _ in range(20 * EVERY):
        made.adapt(torch.full((RISE // 10,), 3.0))
    assert float(made.probability) == pytest.approx(MOST)
    unsure = torch.tensor([3.0] * 7 + [-3.0] * 3).repeat(RISE // 40)  # a mean sign of 0.4
    for _ in range(4 * EVERY):
        made.adapt(unsure)
    assert float(made.probability) == 0


@pytest.fixture
def toys(tmp_path: Path) -> PictureFolder:
    write_squares(tmp_path / "toys", 12, 8)
    return PictureFolder(tmp_path / "toys")


PLAN = Plan(samples=72, batch=6, learning_rate=2e-3, warmup=2, momentum=PLANS["gan"].momentum, clip=10.0)


def gan_task(toys: PictureFolder) -> GANTask:
    torch.manual_seed(0)
    shape = Shape(8, 3, 8, 8, 4)
    data = Captioned(toys, torch.randn(12, 4), shape, torch.device("cpu"))
    return GANTask(StyleGenerator(shape), Critic(shape), data)


@pytest.mark.slow
def test_a_gan_resumes_with_its_probability(toys: PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adaptive_augmentation, "RISE", 60)
    monkeypatch.setattr(adaptive_augmentation, "TARGET", -2.0)  # so that it rises at once
    assert Trainer(gan_task(toys), PLAN, tmp_path / "one").run(show=False)
    task = gan_task(toys)
    interrupt_in_step(task, 7)
    assert not Trainer(task, PLAN, tmp_path / "two").run(show=False)
    assert Trainer(gan_task(toys), PLAN, tmp_path / "two").run(show=False)

    left, right = (load_file(tmp_path / name / CHECKPOINT) for name in ("one", "two"))
    assert list(left) == list(right)
    assert all(left[name].equal(right[name]) for name in left)
    heading, *lines = (tmp_path / "one" / "losses.csv").read_text().splitlines()
    rows = [dict(zip(heading.split(","), line.split(","), strict=True)) for line in lines]
    assert [float(row["augmentation"]) for row in rows] == pytest.approx([0] * 4 + [0.4] * 4 + [0.8] * 4)


def test_nothing_of_it_is_seen_in_what_is_painted(toys: PictureFolder):
    task = gan_task(toys)
    before = task.sample().tobytes()
    task.network["augmentation"].probability.fill_(MOST)
    assert task.sample().tobytes() == before


def test_a_checkpoint_that_knows_no_augmentation_is_told(toys: PictureFolder, tmp_path: Path):
    assert Trainer(gan_task(toys), PLAN, tmp_path).run(show=False)
    file = tmp_path / CHECKPOINT
    told = re.search(rb'"training":"(.*?[^\\])"', file.read_bytes())[1].decode().encode().decode("unicode_escape")
    kept = {name: tensor for name, tensor in load_file(file).items() if "augmentation" not in name}
    save_file(kept, file, {"training": told})
    with pytest.raises(TrainingError, match="of another version of Limner; choose another folder"):
        Trainer(gan_task(toys), PLAN, tmp_path)
