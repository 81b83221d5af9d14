# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false, reportPrivateUsage=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""References and control pictures: each request gets the stock pipeline's picture, whatever else is in the batch."""

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, DiffusionPipeline
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModelWithProjection

from limner.generators.base import Event, Failed, Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import BadRequest
from limner.generators.references import OF_CONTROLNETS, Area, Reference, Role
from limner.generators.requests import GenerationRequest
from limner.generators.vision.outlines import edges, sketch
from tests.generators.test_families import paint
from tests.tiny_models import SIDE, tiny_request
from tests.tiny_references import write_pictures, write_reference_files

LEFT_AND_RIGHT = ((0, 0, SIDE // 2, SIDE), (SIDE // 2, 0, SIDE, SIDE))
PIPELINES = {"sd1": "StableDiffusion", "sdxl": "StableDiffusionXL"}


class Model(NamedTuple):
    """A tiny model with reference files, and pictures."""

    family: str
    folder: Path
    card: ModelCard
    given: list[str]
    start: dict[str, str]


@pytest.fixture(scope="module", params=PIPELINES)
def model(
    request: pytest.FixtureRequest,
    family_folder: Callable[[str], Path],
    pictures: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Model:
    folder, data = family_folder(request.param), tmp_path_factory.mktemp("data")
    write_reference_files(folder, data)
    card = ModelCard.read("tiny", str(folder), data=data, width=SIDE, height=SIDE)
    return Model(request.param, folder, card, write_pictures(data / "given"), pictures)


@pytest.fixture
def own(family_folder: Callable[[str], Path], files: Path, pictures: dict[str, str], tmp_path: Path) -> Model:
    """With files of its own, which a test may damage."""
    folder = family_folder("sd1")
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    card = ModelCard.read("tiny", str(folder), data=tmp_path, width=SIDE, height=SIDE)
    return Model("sd1", folder, card, write_pictures(tmp_path / "given"), pictures)


@pytest.fixture(scope="module")
def files(family_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("files")
    write_reference_files(family_folder("sd1"), data)
    return data


@pytest.fixture(scope="module")
def generator(model: Model) -> DiffusionGenerator:
    return DiffusionGenerator.load(model.card, device="cpu", max_batch=20)


def read(path: str) -> Image.Image:
    return Image.open(path).convert("RGB")


def stock_pipeline(model: Model, request: GenerationRequest) -> DiffusionPipeline:
    """What diffusers' documentation builds for such a request."""
    task = "Inpaint" if request.mask else "Img2Img" if request.init_image else ""
    kinds = [OF_CONTROLNETS[one.role] for one in request.references if one.is_control]
    more: dict[str, Any] = {}
    if kinds:
        task = f"ControlNet{task}"
        nets = [ControlNetModel.from_pretrained(model.card.controlnets[kind]) for kind in kinds]
        more["controlnet"] = nets if len(nets) > 1 else nets[0]
    if request.image_prompts:
        more["image_encoder"] = CLIPVisionModelWithProjection.from_pretrained(model.card.image_encoder)
    pipe = getattr(diffusers, f"{PIPELINES[model.family]}{task}Pipeline").from_pretrained(model.folder, **more)
    pipe.set_progress_bar_config(disable=True)
    if request.image_prompts:
        files = [Path(model.card.adapters[role]) for role, _ in request.image_prompts]
        pipe.load_ip_adapter([str(file.parent) for file in files], subfolder="", weight_name=[f.name for f in files])
        pipe.set_ip_adapter_scale([weight for _, weight in request.image_prompts])
    return pipe


def stock_pictures(model: Model, request: GenerationRequest, **more: Any) -> list[np.ndarray]:
    """Each sample painted alone by the stock pipeline, called with ``more``."""
    pipe = stock_pipeline(model, request)
    made = {Role.EDGES: edges, Role.SKETCH: sketch}
    controls = [one for one in request.references if one.is_control]
    images = [
        made.get(one.role, lambda image: image)(ImageOps.fit(read(one.picture), request.size)) for one in controls
    ]
    one = len(controls) == 1
    options: dict[str, Any] = {"width": request.width, "height": request.height}
    if controls:
        name = "control_image" if request.init_image else "image"
        options |= {
            name: images[0] if one else images,
            "controlnet_conditioning_scale": controls[0].weight if one else [each.weight for each in controls],
            "control_guidance_start": [each.start for each in controls],
            "control_guidance_end": [each.end for each in controls],
        }
    if request.init_image:
        options |= {"image": read(request.init_image), "strength": request.strength}
    if request.mask:
        options |= {"mask_image": Image.open(request.mask)}
    if request.image_prompts:
        prompts = request.image_prompts.values()
        options |= {"ip_adapter_image": [[read(one.picture) for one in some] for some in prompts]}
    if any(one.area != Area.ALL for one in request.references):
        drawn = [Image.new("L", request.size) for _ in LEFT_AND_RIGHT]
        for mask, box in zip(drawn, LEFT_AND_RIGHT, strict=True):
            mask.paste(255, box)
        masks = IPAdapterMaskProcessor().preprocess(drawn, height=request.height, width=request.width)
        options |= {"cross_attention_kwargs": {"ip_adapter_masks": [masks.reshape(1, 2, *masks.shape[2:])]}}
    takes = inspect.signature(pipe.__call__).parameters
    options = {name: value for name, value in options.items() if name in takes}
    return [
        np.asarray(
            pipe(
                request.prompt,
                negative_prompt=request.negative_prompt or None,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                generator=torch.Generator().manual_seed(seed),
                **options,
                **more,
            ).images[0],
            dtype=int,
        )
        for seed in request.seeds
    ]


def all_left(generator: DiffusionGenerator, *keys: str) -> dict[str, Event]:
    """How the requests in flight left."""
    left: dict[str, Event] = {}
    while not left.keys() >= set(keys):
        left |= {event.key: event for event in generator.step() if isinstance(event, Finished | Failed)}
    return left


def references(model: Model, *said: tuple[Any, ...]) -> tuple[Reference, ...]:
    """References by role, the number of their picture, and perhaps weight, start and end."""
    names = ("role", "picture", "weight", "start", "end", "area")
    found = [dict(zip(names, one, strict=False)) for one in said]
    return tuple(Reference(**{**one, "picture": model.given[one["picture"]]}) for one in found)


def kinds(model: Model) -> dict[str, GenerationRequest]:
    """One request of every kind."""
    part = {**model.start, "strength": 0.99}
    start = {"init_image": model.start["init_image"], "strength": 0.7}
    style, edge = (Role.STYLE, 0, 0.7), (Role.EDGES, 1, 0.8)
    said: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
        "plain": ({}, []),
        "style": ({"num_images_per_prompt": 2}, [style]),
        "style more weakly": ({"num_inference_steps": 5}, [(Role.STYLE, 1, 0.2)]),
        "style and subject": ({"negative_prompt": "green"}, [style, (Role.SUBJECT, 2, 0.5)]),
        "blend": ({"guidance_scale": 1.0}, [(Role.BLEND, number) for number in range(4)]),
        "style from a picture": (start, [style]),
        "style in a part": (part, [style]),
        "two subjects side by side": (
            {},
            [(Role.SUBJECT, number, 1.0, 0.0, 1.0, area) for number, area in enumerate((Area.LEFT, Area.RIGHT))],
        ),
        "edges": ({"num_images_per_prompt": 2}, [edge]),
        "depth for some steps": ({"num_inference_steps": 5}, [(Role.DEPTH, 2, 1.2, 0.2, 0.7)]),
        "two controls": ({"guidance_scale": 1.0}, [(Role.POSE, 0, 0.5), (Role.SKETCH, 1, 1.0, 0.0, 0.6)]),
        "control from a picture": (start, [edge]),
        "control in a part": (part, [edge]),
        "control and style": ({}, [edge, style]),
    }
    return {
        name: tiny_request(seed=seed, references=references(model, *refs), **changes)
        for seed, (name, (changes, refs)) in enumerate(said.items())
    }


def assert_stock(model: Model, name: str, request: GenerationRequest, left: Event, **more: Any) -> None:
    assert isinstance(left, Finished), (name, left)
    for image, expected in zip(left.images, stock_pictures(model, request, **more), strict=True):
        assert np.abs(np.asarray(image, dtype=int) - expected).max() <= 2, name


@pytest.mark.parametrize("model", [pytest.param("sd1", marks=pytest.mark.slow), "sdxl"], indirect=True)
def test_each_gets_the_stock_picture_alone_in_a_batch_and_joined_half_way(
    model: Model, generator: DiffusionGenerator
) -> None:
    wanted = kinds(model)
    plain = tiny_request(seed=99, num_inference_steps=6)
    arrivals = [(i % 3, request) for i, request in enumerate(wanted.values())]
    together = paint(generator, [*arrivals, (0, plain), (1, plain)])
    for (name, request), left in zip(wanted.items(), together, strict=False):
        assert_stock(model, name, request, left)
        [alone] = paint(generator, [(0, request)])
        for one, other in zip(alone.images, left.images, strict=True):
            assert np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max() <= 2, name
    for left in together[-2:]:
        assert_stock(model, "neighbour", plain, left)


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


def test_equal_references_share_a_call(model: Model, generator: DiffusionGenerator) -> None:
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


@pytest.mark.parametrize("damage", [gone, cut])
@pytest.mark.parametrize(("role", "file"), DAMAGED)
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


@pytest.mark.parametrize(("role", "file"), DAMAGED)
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


def test_blocks_of_a_role_without_an_adapter_are_named(own: Model, tmp_path: Path) -> None:
    card = with_blocks(own, tmp_path, {"styel": 0.5, "subject": {"up": [1.0, 0.5], "mid": [0.2]}, "blend": {"down": 1}})
    assert [fault.what for fault in card.reference_faults] == [
        "its adapter_blocks name styel, for which it has no usable adapter"
    ]
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=4)
    for role in (Role.SUBJECT, Role.BLEND):
        [left] = paint(generator, [(0, tiny_request(references=references(own, (role, 0))))])
        assert isinstance(left, Finished)
