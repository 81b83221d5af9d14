# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportPrivateUsage=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""References and control pictures: each request gets the stock pipeline's picture, whatever else is in the batch."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from limner.generators.base import Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import BadRequest
from limner.generators.references import Area, Reference, Role
from tests.generators.stock_references import (
    Model,
    all_left,
    assert_stock,
    assert_stock_wherever,
    kinds,
    model_in,
    references,
)
from tests.generators.test_families import paint
from tests.tiny_models import SIDE, tiny_request
from tests.tiny_references import write_reference_files


@pytest.fixture(scope="module", params=["sd1", pytest.param("sdxl", marks=pytest.mark.slow)])
def model(
    request: pytest.FixtureRequest,
    family_folder: Callable[[str], Path],
    pictures: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Model:
    folder, data = family_folder(request.param), tmp_path_factory.mktemp("data")
    write_reference_files(folder, data)
    return model_in(request.param, folder, data, pictures)


@pytest.fixture
def own(family_folder: Callable[[str], Path], files: Path, pictures: dict[str, str], tmp_path: Path) -> Model:
    """With files of its own, which a test may damage."""
    folder = family_folder("sd1")
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    return model_in("sd1", folder, tmp_path, pictures)


@pytest.fixture(scope="module")
def files(family_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("files")
    write_reference_files(family_folder("sd1"), data)
    return data


@pytest.fixture(scope="module")
def generator(model: Model) -> DiffusionGenerator:
    return DiffusionGenerator.load(model.card, device="cpu", max_batch=20)


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.slow) for name in ("sd1", "sdxl")], indirect=True
)
def test_each_gets_the_stock_picture_alone_in_a_batch_and_joined_half_way(
    model: Model, generator: DiffusionGenerator
) -> None:
    assert_stock_wherever(model, generator, kinds(model))


def test_they_change_the_picture_and_more_with_more_weight(model: Model, generator: DiffusionGenerator) -> None:
    def painted(*said: tuple[Any, ...]) -> np.ndarray:
        [left] = paint(generator, [(0, tiny_request(references=references(model, *said)))])
        return np.asarray(left.images[0], dtype=int)

    plain = painted()
    left, right = ((Role.SUBJECT, 0, 1.0, 0.0, 1.0, area) for area in (Area.LEFT, Area.RIGHT))
    assert np.abs(painted(left) - painted(right)).max() > 2
    for role in (Role.STYLE, Role.CANNY):
        weak, strong = (np.abs(painted((role, 0, weight)) - plain).mean() for weight in (0.02, 1.0))
        assert 0 <= weak < strong, role


@pytest.mark.slow
def test_equal_references_share_a_call(model: Model) -> None:
    generator = DiffusionGenerator.load(model.card, device="cpu", max_batch=20)
    rows: list[tuple[str, int]] = []
    unet, nets = generator._pipelines.loaded.unet, generator._pipelines.controlnets
    hooks = [unet.register_forward_pre_hook(lambda _, args: rows.append(("unet", len(args[0]))))]
    requests = [
        tiny_request(
            seed=seed, guidance_scale=1.0, references=references(model, (Role.STYLE, seed), (Role.DEPTH, seed))
        )
        for seed in range(3)
    ]
    net = nets.together(requests[0]).nets[0]
    hooks.append(net.register_forward_pre_hook(lambda _, args, kw: rows.append(("net", 3)), with_kwargs=True))
    paint(generator, [(0, request) for request in requests])
    for hook in hooks:
        hook.remove()
    assert rows == [("net", 3), ("unet", 3)] * 3


@pytest.mark.parametrize("role", [Role.STYLE, Role.POSE])
def test_a_model_without_the_files_refuses_them(role: Role, tiny_generator: DiffusionGenerator, model: Model) -> None:
    with pytest.raises(BadRequest, match=r"^This model has no [^.]+\.$"):
        tiny_generator.admit("a", tiny_request(references=references(model, (role, 0))))


def test_a_picture_that_is_gone_harms_its_own_request(model: Model, generator: DiffusionGenerator) -> None:
    generator.admit("it", tiny_request())
    with pytest.raises(BadRequest, match="cannot be read"):
        generator.admit("gone", tiny_request(references=(Reference(role=Role.STYLE, picture="/none.png"),)))
    assert_stock(model, "it", tiny_request(), all_left(generator, "it")["it"])


def test_a_changed_prompt_keeps_the_references(model: Model, generator: DiffusionGenerator) -> None:
    """Steered after its first step, as the stock pipeline is by a callback that swaps the embeddings."""
    said = references(model, (Role.STYLE, 0), (Role.DEPTH, 1))
    steered = tiny_request(references=said, steering=((1, "a blue dog"),), guidance_scale=1.0, num_inference_steps=4)
    [left] = paint(generator, [(0, steered)])

    def swap(pipe: Any, step: int, _time: Any, _tensors: Any) -> dict[str, Any]:
        options = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        words, _none, *pooled = pipe.encode_prompt("a blue dog", **options)
        new = {"prompt_embeds": words, **({"add_text_embeds": pooled[0]} if pooled else {})}
        return new if step == 0 else {}

    assert_stock(model, "steered", steered, left, callback_on_step_end=swap)


def gone(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


FILES = {
    Role.STYLE: ("adapters/tiny/style.safetensors", "adapters/tiny/image_encoder/model.safetensors"),
    Role.DEPTH: ("controlnets/tiny/depth/diffusion_pytorch_model.safetensors",),
}


DAMAGED = [(role, file) for role, files in FILES.items() for file in files]


@pytest.mark.parametrize("damage", [gone, pytest.param(cut, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("role", "file"), [pytest.param(*one, marks=[pytest.mark.slow] * ("image_encoder" in one[1])) for one in DAMAGED]
)
def test_files_that_vanish_after_they_were_read_cost_their_own_request_a_sentence(
    role: Role, file: str, damage: Callable[[Path], None], own: Model, tmp_path: Path
) -> None:
    generator = DiffusionGenerator.load(own.card, device="cpu", max_batch=4)
    damage(tmp_path / file)
    generator.admit("neighbour", tiny_request())
    sentence = r"^This [\w' ]+ cannot be used; ask again without (one|its picture)\.$"
    with pytest.raises(BadRequest, match=sentence) as refused:
        generator.admit("it", tiny_request(references=references(own, (role, 0))))
    assert not refused.value.retryable
    neighbour = all_left(generator, "neighbour")["neighbour"]
    assert_stock(own, "neighbour", tiny_request(), neighbour)
    [after] = paint(generator, [(0, tiny_request())])
    assert after.images == neighbour.images


@pytest.mark.parametrize(
    ("role", "file"),
    [pytest.param(*one, marks=[pytest.mark.slow] * (one != DAMAGED[0])) for one in DAMAGED],
)
def test_files_without_numbers_cost_their_own_request_a_sentence(
    role: Role, file: str, own: Model, tmp_path: Path
) -> None:
    generator = DiffusionGenerator.load(own.card, device="cpu", max_batch=4)
    weights = load_file(tmp_path / file)
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}, tmp_path / file)
    generator.admit("neighbour", tiny_request())
    generator.admit("it", tiny_request(references=references(own, (role, 0))))
    left = all_left(generator, "it", "neighbour")
    failed = left["it"]
    assert isinstance(failed, Failed)
    assert str(failed.error).startswith("With these references this model computes values that are not numbers;")
    assert not failed.error.retryable
    assert_stock(own, "neighbour", tiny_request(), left["neighbour"])
    [after] = paint(generator, [(0, tiny_request())])
    assert after.images == left["neighbour"].images


def test_an_adapter_that_is_gone_between_two_steps_fails_its_own_request(own: Model) -> None:
    """The subject's adapter replaces the style's, which is then to be attached again for the next step."""
    generator = DiffusionGenerator.load(own.card, device="cpu", max_batch=4)
    subject = tiny_request(references=references(own, (Role.SUBJECT, 0)))
    generator.admit("style", tiny_request(references=references(own, (Role.STYLE, 0))))
    generator.admit("subject", subject)
    Path(own.card.adapters["style"]).unlink()
    left = all_left(generator, "style", "subject")
    failed = left["style"]
    assert isinstance(failed, Failed)
    assert str(failed.error) == "This model's adapter for references cannot be used; ask again without one."
    assert_stock(own, "subject", subject, left["subject"])


BLOCKS: dict[str, Any] = {
    "block_7": {"up": {"block_7": 1.0}},
    "without cross-attention": {"up": {"block_1": 1.0}},
    "too many layers, and no side": {"down": {"block_1": [1.0, 0.0]}, "middle": 1},
    "none": {"up": {"block_0": [0.0, 0]}},
}
LACKS = "its adapter style counts in blocks that the denoiser does not have: "
WHAT = {
    "block_7": f"{LACKS}up.block_7",
    "without cross-attention": f"{LACKS}up.block_1",
    "too many layers, and no side": f"{LACKS}down.block_1, middle",
    "none": "its adapter style counts in no block",
}


def with_blocks(own: Model, folder: Path, blocks: Any) -> ModelCard:
    """The card of the model with these adapter_blocks, whose files are in the data folder ``folder``."""
    shutil.copytree(own.folder, folder / "model")
    (folder / "model" / "limner.json").write_text(json.dumps({"adapter_blocks": blocks}))
    return ModelCard.read("tiny", str(folder / "model"), data=folder, width=SIDE, height=SIDE)


@pytest.mark.parametrize("case", BLOCKS)
def test_an_adapter_in_blocks_that_the_denoiser_lacks_is_not_offered(case: str, own: Model, tmp_path: Path) -> None:
    card = with_blocks(own, tmp_path, {"style": BLOCKS[case]})
    [fault] = card.reference_faults
    assert fault.what == WHAT[case]
    assert case == "none" or fault.mend.endswith(": down.block_1 (1), up.block_0 (2), mid (1)")
    assert list(card.adapters) == ["subject", "blend"]


@pytest.mark.slow
def test_blocks_of_a_role_without_an_adapter_are_named(own: Model, tmp_path: Path) -> None:
    card = with_blocks(own, tmp_path, {"styel": 0.5, "subject": {"up": [1.0, 0.5], "mid": [0.2]}, "blend": {"down": 1}})
    assert [fault.what for fault in card.reference_faults] == [
        "its adapter_blocks name styel, for which it has no usable adapter"
    ]
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=4)
    for role in (Role.SUBJECT, Role.BLEND):
        [left] = paint(generator, [(0, tiny_request(references=references(own, (role, 0))))])
        assert isinstance(left, Finished)
