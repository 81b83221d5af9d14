# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""Which words drew what: the stock pipeline's own attention, and no other picture for anybody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from limner.generators.base import Finished, WordMap
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion import word_tokens
from limner.generators.diffusion.attention_maps import AttentionMaps, WordTokens, shares_of_words
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.stacked_calls import Call
from limner.generators.diffusion.word_tokens import tokens_of_prompt, tokens_of_weighted
from limner.generators.references import Reference, Role
from limner.generators.requests import GenerationRequest
from limner.generators.training.doodle.scenes import Scene
from tests.benchmarks.word_maps import masses, request_of
from tests.generators.stock_references import model_in
from tests.generators.test_families import DOODLE, PIPELINES, load, paint
from tests.tiny_models import SIDE, stock_pipeline, tiny_request
from tests.tiny_references import write_reference_files

MakeFolder = Callable[[str], Path]
CLIP = {"red": (2, 3, 4), "cat": (5, 6, 7)}
"""The tokens of "a red cat" after the first one, a letter each."""
T5 = {"red": (2, 3, 4, 5), "cat": (6, 7, 8, 9)}
"""The same, where each word begins with a token for the space before it."""
TOKENS = {
    "sd1": (16, CLIP),
    "sdxl": (16, CLIP),
    "sd3": (16 + 256, {word: (*CLIP[word], *(16 + place for place in T5[word])) for word in CLIP}),
    "flux_dev": (512, T5),
}
"""How many tokens the denoiser of each family reads, and where the words are."""


@contextmanager
def storing(denoiser: torch.nn.Module) -> Iterator[list[list[Tensor]]]:
    """Let the stock attention processors compute and store their probabilities, step by step."""
    steps: list[list[Tensor]] = []
    stock = functional.scaled_dot_product_attention
    is_denoising = False

    def attend(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not is_denoising:
            return stock(query, key, value, *args, **kwargs)
        shares = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        steps[-1].append(shares)
        return shares @ value

    def begin(*_: Any) -> None:
        nonlocal is_denoising
        is_denoising = True
        steps.append([])

    def end(*_: Any) -> None:
        nonlocal is_denoising
        is_denoising = False

    hooks = [denoiser.register_forward_pre_hook(begin), denoiser.register_forward_hook(end)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "scaled_dot_product_attention", attend)
        yield steps
    for hook in hooks:
        hook.remove()


def reference(family: str, folder: Path, request: GenerationRequest) -> dict[str, np.ndarray]:
    """Each word's map, from all probabilities that the stock pipeline's layers and steps have."""
    pipe, (tokens, words) = stock_pipeline(folder), TOKENS[family]
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    options = {"num_inference_steps": request.num_inference_steps, "guidance_scale": request.guidance_scale}
    options |= {"width": request.width, "height": request.height}
    with storing(denoiser) as steps:
        pipe(request.prompt, generator=torch.Generator().manual_seed(request.seed), **options)
    layers = [of_words(family, shares[-1], tokens) for step in steps for shares in step]
    found = [grids(layer, request, words) for layer in layers if layer is not None]
    return {word: np.mean([each[word] for each in found], 0) for word in words}


def of_words(family: str, shares: Tensor, tokens: int) -> Tensor | None:
    """The part of a layer's probabilities (heads, queries, keys) that is the picture's for the words."""
    _, queries, keys = shares.shape
    if family in ("sd1", "sdxl"):
        return shares if keys == tokens else None
    if keys != queries or keys <= tokens:
        return None
    return shares[:, tokens:, :tokens] if family == "flux_dev" else shares[:, :-tokens, -tokens:]


def grids(shares: Tensor, request: GenerationRequest, words: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A layer's maps of the words, enlarged to one size."""
    shares = shares.mean(0)
    rows = round((len(shares) * request.height / request.width) ** 0.5)
    size = (64, round(64 * request.width / request.height))
    found: dict[str, np.ndarray] = {}
    for word, places in words.items():
        layer = shares[:, list(places)].mean(1).reshape(1, 1, rows, -1)
        large = functional.interpolate(layer, size, mode="bicubic", antialias=True)
        found[word] = large[0, 0].clamp(min=0).numpy()
    return found


def by_word(maps: tuple[WordMap, ...]) -> dict[str, np.ndarray]:
    return {one.word: one.cells for one in maps}


def assert_same_pictures(one: Any, other: Any) -> None:
    assert isinstance(one, Finished)
    assert isinstance(other, Finished)
    assert [image.tobytes() for image in one.images] == [image.tobytes() for image in other.images]


@pytest.mark.parametrize(
    "family",
    ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("flux_dev", "sdxl", "sd3"))],
)
def test_the_maps_are_those_of_the_stock_attention_and_no_picture_changes(family: str, family_folder: MakeFolder):
    """Beside others too: the maps of a request are of its own row alone, and the others' pictures stay as they are."""
    folder = family_folder(family)
    plain = tiny_request(height=2 * SIDE)
    wanted, other = replace(plain, explained=True), replace(plain, prompt="dogs in snow", seed=3)
    expected = reference(family, folder, plain)
    generator = load(folder)
    [alone] = paint(generator, [(0, wanted)])
    for found in (alone, paint(generator, [(0, other), (0, wanted), (1, other)])[1]):
        assert isinstance(found, Finished)
        assert [one.word for one in found.maps] == ["red", "cat"]
        for word, cells in by_word(found.maps).items():
            assert cells.shape == (64, 32)
            np.testing.assert_allclose(cells, expected[word], rtol=1e-4, atol=1e-7)
    arrivals = [(0, other), (0, plain), (1, replace(other, num_images_per_prompt=2))]
    without = paint(generator, arrivals)
    explaining = paint(generator, [arrivals[0], (0, wanted), arrivals[2]])
    for one, same in zip(without, explaining, strict=True):
        assert_same_pictures(one, same)
    assert not without[1].maps
    assert [*map(type, paint(generator, [(0, replace(wanted, prompt="of the"))]))] == [Finished]


def test_a_repeat_has_the_maps_of_each_prompt_that_it_was_painted_from(
    family_folder: MakeFolder, pictures: dict[str, str]
):
    """With changed words, guidance in a part of the steps, and a picture to start from."""
    generator = load(family_folder("sd1"))
    given = {"init_image": pictures["init_image"], "strength": 0.9, "guided": (0.25, 0.75)}
    changed = tiny_request(num_inference_steps=12, steering=((4, "blue dogs"), (30, "never")), **given)
    [found], [plain] = (paint(generator, [(0, one)]) for one in (replace(changed, explained=True), changed))
    assert isinstance(found, Finished)
    assert [(one.word, one.step) for one in found.maps] == [("red", 0), ("cat", 0), ("blue", 4), ("dogs", 4)]
    assert all(np.isfinite(one.cells).all() and one.cells.any() for one in found.maps)
    assert_same_pictures(found, plain)


def test_maps_stay_with_their_rows_in_a_larger_call():
    maps = [AttentionMaps([WordTokens("cat", (1,))], (SIDE, SIDE)) for _ in range(2)]
    one, other = (Call(torch.nn.Identity(), (torch.zeros(3, 4),), {}, watched={2: each}) for each in maps)
    joined = one.join([other])
    assert joined.watched == {2: maps[0], 5: maps[1]}
    assert joined.take(2, 5).watched == {0: maps[0]}
    assert joined.pick([5, 0, 2]).watched == {0: maps[1], 2: maps[0]}


def test_a_large_layer_is_read_in_parts():
    random = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(1, places, 2, 8, generator=random) for places in (30, 5))
    means = AttentionMaps([WordTokens("cat", (1, 2)), WordTokens("red", (0,))], (SIDE, SIDE)).means(3)
    whole = (queries[0].transpose(0, 1) @ keys[0].permute(1, 2, 0) / 8**0.5).softmax(-1).mean(0)[:, 2:]
    expected = torch.stack([whole[:, 1:].mean(1), whole[:, 0]], 1)
    for most in (1, 100, 10**6):
        torch.testing.assert_close(shares_of_words(queries, keys, 2, means, most), expected)


@pytest.mark.slow
def test_it_reads_the_words_beside_the_pictures_that_an_adapter_reads(
    family_folder: MakeFolder, pictures: dict[str, str], tmp_path: Path
):
    folder = family_folder("sd1")
    write_reference_files(folder, tmp_path)
    model = model_in("sd1", folder, tmp_path, pictures)
    generator = DiffusionGenerator.load(model.card, device="cpu", max_batch=8)
    plain = tiny_request(
        references=(
            Reference(role=Role.STYLE, picture=model.given[0]),
            Reference(role=Role.EDGES, picture=model.given[1]),
        )
    )
    [found], [plain] = (paint(generator, [(0, one)]) for one in (replace(plain, explained=True), plain))
    assert_same_pictures(found, plain)
    assert {one.word for one in found.maps} == {"red", "cat"}


def test_weights_breaks_and_chunks_keep_each_word_at_its_tokens(family_folder: MakeFolder):
    pipe = stock_pipeline(family_folder("sd1"))
    plain = tokens_of_prompt(pipe, "a red cat, the dogs", None)
    assert [(one.word, one.places) for one in plain] == [*CLIP.items(), ("dogs", (12, 13, 14))]
    weighted = tokens_of_weighted(pipe, "a (red:1.3) cat BREAK dogs", in_chunks=False)
    assert [(one.word, one.places) for one in weighted] == [*CLIP.items(), ("dogs", (17, 18, 19, 20))]
    long = tokens_of_weighted(pipe, "a red cat and dogs in blue snow", in_chunks=True)
    assert [(one.word, one.places[0]) for one in long] == [
        ("red", 2),
        ("cat", 5),
        ("dogs", 11),
        ("blue", 19),
        ("snow", 23),
    ]
    assert tokens_of_prompt(pipe, "of the", None) == []
    assert (
        len(tokens_of_weighted(pipe, " ".join("bcdfghjklmnpqrstuvwxyz" * 2), in_chunks=True)) == word_tokens.MOST_WORDS
    )


@pytest.mark.slow
def test_long_and_weighted_prompts_paint_the_same_picture(family_folder: MakeFolder):
    card = ModelCard.read("tiny", str(family_folder("sd1")), width=SIDE, height=SIDE, chunks=True)
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=8)
    for prompt in ("a (red:1.8) (cat:0.5)", "a red cat and dogs in blue snow"):
        plain = tiny_request(prompt=prompt)
        [found], [same] = (paint(generator, [(0, one)]) for one in (replace(plain, explained=True), plain))
        assert_same_pictures(found, same)
        assert found.maps[0].word == "red"


@pytest.mark.slow
def test_doodles_nouns_draw_their_own_things():
    """`limner bench word_maps` in small: four steps of one picture instead of sixteen of a hundred."""
    card = ModelCard.read("doodle", str(DOODLE))
    generator = DiffusionGenerator.load(card, device="cpu", max_batch=1)
    regions = Image.new("L", (128, 128), 2)
    regions.paste(1, (0, 0, 64, 128))
    names = (("apple", "red apple"), ("cactus", "green cactus"))
    caption = "a red apple to the left of a green cactus"
    scene = Scene(regions.convert("RGB"), caption, ("apple", "cactus"), {}, regions, names, ())
    [found] = paint(generator, [(0, replace(request_of(card, scene.caption, 7), num_inference_steps=4))])
    assert isinstance(found, Finished)
    assert all(one.own > 0.7 > 0.3 > one.other for one in masses(scene, found.maps))
    assert [one.box for one in masses(scene, found.maps)] == [0.5, 0.5]


def test_a_model_without_such_attention_refuses(family_folder: MakeFolder):
    cards = {name: ModelCard.read("m", str(family_folder(name))).explains for name in PIPELINES if name != "doodle"}
    assert cards == dict.fromkeys(cards, True) | {"sd1_inpainting": False}
    assert not any(
        ModelCard.read("m", "m", kind=kind).explains for kind in ("gan", "vae", "cyclegan", "openai", "comfy")
    )
