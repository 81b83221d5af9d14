# pyright: basic, reportPrivateUsage=false, reportPrivateImportUsage=false, reportArgumentType=false
# diffusers' annotations are too loose, and sometimes wrong, for more

"""References and control pictures of FLUX and Stable Diffusion 3: the stock picture, or a refusal by the card."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.cards.refused_references import refused_together
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.stacked_calls import Call
from limner.generators.errors import BadRequest
from limner.generators.references import Role
from tests.generators.stock_references import (
    Model,
    assert_stock,
    assert_stock_wherever,
    assert_they_count,
    kinds,
    model_in,
    references,
)
from tests.generators.test_families import paint
from tests.tiny_models import SIDE, build_tiny_flux_pipeline, build_tiny_sd3_pipeline, tiny_request
from tests.tiny_references import (
    keep_means,
    write_reference_files,
    write_tiny_adapter,
    write_tiny_controlnet,
    write_tiny_encoder,
)

MakeModel = Callable[[str], Model]
OTHER_INPUT = {
    "flux_dev": {"guidance_embeds": False, "num_single_layers": 0},
    "sd3": {"force_zeros_for_pooled_projection": False, "joint_attention_dim": None, "use_pos_embed": False},
}
"""How the ControlNet for depth differs from the others: without guidance, or of Stable Diffusion 3.5's kind."""
SENTENCES = {
    "sd3": {
        "style and subject": "This model refers to one picture at a time; leave the other references out.",
        "blend": "This model has no adapter for references to pictures; ask again without one.",
        "style and subject from a picture": "This model refers to one picture at a time; "
        "leave the other references out.",
        "two subjects side by side": "This model refers to one picture at a time; leave the other references out.",
        "a subject in a shape and one everywhere": "This model refers to one picture at a time; "
        "leave the other references out.",
        "control from a picture": "This model follows a control picture only when it paints from words; "
        "leave one picture out.",
        "control in a part": "This model follows a control picture only when it paints from words; "
        "leave one picture out.",
    },
    "flux_dev": {
        "two subjects side by side": "This model's references count in the whole picture; leave out areas and masks.",
        "a subject in a shape and one everywhere": "This model's references count in the whole picture; "
        "leave out areas and masks.",
    },
}
"""The kinds of requests that a family does not paint, with the refusal."""
NEW = "a blue dog"
FEW = {"flux_dev": ("style and subject", "control from a picture"), "sd3": ("style in a part", "control and style")}
"""The kinds that show most."""
SHARES = [
    pytest.param("flux_dev", [0.5], True, marks=pytest.mark.slow),
    ("flux_dev", [0.5, 0.5], False),
    pytest.param("flux_dev", {"up": 0.5}, False, marks=pytest.mark.slow),
    pytest.param("sd3", 0.5, True, marks=pytest.mark.slow),
    pytest.param("sd3", [0.5], False, marks=pytest.mark.slow),
]
"""What an adapter's part of adapter_blocks may be; the tiny transformer of FLUX has one layer."""


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory, pictures: dict[str, str]) -> MakeModel:
    def make(family: str) -> Model:
        folder, data = tmp_path_factory.mktemp(family), tmp_path_factory.mktemp("data")
        if family == "sd3":
            keep_means(build_tiny_sd3_pipeline(folder, layers=2))
        else:
            build_tiny_flux_pipeline(folder)
        write_reference_files(folder, data)
        write_tiny_controlnet(folder, data / "controlnets" / "tiny" / "depth", 1, **OTHER_INPUT[family])
        return model_in(family, folder, data, pictures)

    return make


def load(model: Model) -> DiffusionGenerator:
    assert model.card.reference_faults == ()
    return DiffusionGenerator.load(model.card, device="cpu", max_batch=20)


@pytest.mark.parametrize("family", ["flux_dev", pytest.param("sd3", marks=pytest.mark.slow)])
def test_a_few_get_the_stock_picture_in_a_batch(family: str, make_model: MakeModel) -> None:
    model = make_model(family)
    generator, wanted = load(model), {name: kinds(model)[name] for name in FEW[family]}
    assert_stock_wherever(model, generator, wanted)
    assert_they_count(generator, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("family", SENTENCES)
def test_each_gets_the_stock_picture_wherever_or_a_sentence(family: str, make_model: MakeModel) -> None:
    model = make_model(family)
    generator, wanted = load(model), kinds(model)
    for name, refusal in SENTENCES[family].items():
        with pytest.raises(BadRequest) as refused:
            generator.admit("it", wanted.pop(name))
        assert str(refused.value) == refusal
    assert_stock_wherever(model, generator, wanted)
    del wanted["style more weakly"]  # than rounding to whole colours shows
    assert_they_count(generator, wanted)


@pytest.mark.parametrize("family", SENTENCES)
def test_what_a_card_refuses_together_is_refused_before_anything_is_loaded(family: str, make_model: MakeModel) -> None:
    model = make_model(family)
    differing = tiny_request(references=references(model, (Role.EDGES, 0), (Role.DEPTH, 1)))
    assert "cannot be used together" in refused_together(model.card, differing)
    start = {"init_image": model.start["init_image"], "strength": 0.7}
    both = tiny_request(references=references(model, (Role.EDGES, 0), (Role.STYLE, 1)), **start)
    refusals = {
        "sd3": "This model follows a control picture only when it paints from words; leave one picture out.",
        "flux_dev": "This model cannot start from a picture with a reference and a control picture at once; "
        "leave one out.",
    }
    assert refused_together(model.card, both) == refusals[family]


@pytest.mark.slow
def test_sd3_paints_the_same_again_with_a_control_picture(tmp_path: Path, pictures: dict[str, str]) -> None:
    """The stock pipeline would draw the control picture's latents from torch's own random numbers."""
    folder = build_tiny_sd3_pipeline(tmp_path / "model", layers=2)
    write_tiny_controlnet(folder, tmp_path / "controlnets" / "tiny" / "canny", 0)
    model = model_in("sd3", folder, tmp_path, pictures)
    request = tiny_request(references=references(model, (Role.EDGES, 1, 2.0)))
    generator = load(model)
    [first] = paint(generator, [(0, request)])
    _other, again = paint(generator, [(0, tiny_request(seed=3)), (1, request)])
    assert isinstance(first, Finished)
    assert isinstance(again, Finished)
    assert np.abs(np.subtract(*(np.asarray(one.images[0], dtype=int) for one in (first, again)))).max() <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "control"),
    [
        ("flux_dev", Role.EDGES),
        pytest.param("sd3", Role.EDGES, marks=pytest.mark.slow),
        pytest.param("sd3", Role.DEPTH, marks=pytest.mark.slow),
    ],
)
def test_a_changed_prompt_keeps_the_references(family: str, control: Role, make_model: MakeModel) -> None:
    """As the stock pipeline goes on when both its models get the other embeddings after the first step."""
    model = make_model(family)
    said = references(model, (Role.STYLE, 0), (control, 1))
    steered = tiny_request(references=said, steering=((1, NEW),), num_inference_steps=4)
    [left] = paint(load(model), [(0, steered)])
    assert_stock(model, "steered", steered, left, callback_on_step_end=swap)


def swap(pipe: Any, step: int, _time: Any, _tensors: Any) -> dict[str, Any]:
    """A callback that changes the words after the first step; where the loops do not let it, by hooks.

    Those ControlNets of Stable Diffusion 3 that are given no words, or zeros for the pooled ones, stay so.
    """
    if step:
        return {}
    is_flux = "Flux" in type(pipe).__name__
    words, pooled = pipe.encode_prompt(NEW, None)[:2] if is_flux else guided(pipe)
    new = {"encoder_hidden_states": words, "pooled_projections": pooled}

    def said_anew(_: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        said = {name: value for name, value in new.items() if given[name] is not None and given[name].any()}
        return args, {**given, **said}

    for part in (pipe.transformer, pipe.controlnet):
        part.register_forward_pre_hook(said_anew, with_kwargs=True)
    return {"prompt_embeds": words}


def guided(pipe: Any) -> list[torch.Tensor]:
    """SD3's embeddings of the new words and of none."""
    words, without, *pooled = pipe.encode_prompt(NEW, None, None, do_classifier_free_guidance=True)
    return [torch.cat([without, words]), torch.cat(pooled[::-1])]


def test_a_call_that_is_made_again_for_lack_of_memory_has_its_references_still() -> None:
    """FLUX's and SD3's transformers take the pictures' vectors out of the dictionary that they are given."""
    taken: list[torch.Tensor] = []

    def transformer(hidden_states: torch.Tensor, joint_attention_kwargs: dict[str, Any]) -> list[torch.Tensor]:
        taken.append(joint_attention_kwargs.pop("ip_adapter_image_embeds"))
        return [hidden_states]

    embeds = {"ip_adapter_image_embeds": torch.ones(2, 1, 4)}
    call = Call(transformer, (), {"hidden_states": torch.zeros(2, 4), "joint_attention_kwargs": embeds})
    for _ in range(2):
        call.make()
    assert len(taken) == 2


@pytest.mark.slow
def test_controlnets_of_xlabs_read_the_picture_itself(tmp_path: Path, pictures: dict[str, str]) -> None:
    """They halve it three times, so the VAE is one with as many halvings as FLUX's."""
    folder = build_tiny_flux_pipeline(tmp_path / "model")
    torch.manual_seed(0)
    sizes = {"block_out_channels": (4,) * 4, "norm_num_groups": 2, "latent_channels": 4, "shift_factor": 0.1}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    AutoencoderKL(**sizes, **blocks, use_quant_conv=False, use_post_quant_conv=False).save_pretrained(folder / "vae")
    nets = tmp_path / "controlnets" / "tiny"
    for seed, kind in enumerate(("canny", "scribble")):
        write_tiny_controlnet(folder, nets / kind, seed, conditioning_embedding_channels=4, patch_size=2)
    model = model_in("flux_dev", folder, tmp_path, pictures)
    sized = {"width": 32, "height": 32}
    wanted = {
        "one": tiny_request(references=references(model, (Role.EDGES, 0)), num_images_per_prompt=2, **sized),
        "two": tiny_request(references=references(model, (Role.EDGES, 0), (Role.SKETCH, 1, 0.5)), **sized),
    }
    assert_stock_wherever(model, load(model), wanted)


def taking_other_files(data: Path, folder: Path) -> list[str]:
    return [fault.what for fault in ModelCard.read("tiny", str(folder), data=data).reference_faults]


@pytest.mark.parametrize("family", SENTENCES)
def test_files_of_another_family_are_named_and_not_offered(
    family: str, family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    other, folder = family_folder("sd3" if family == "flux_dev" else "flux_dev"), family_folder(family)
    write_reference_files(other, tmp_path)
    kinds_of_net = ("canny", "depth", "pose", "scribble")
    assert taking_other_files(tmp_path, folder) == [
        *(f"its ControlNet {kind} was made for another kind of model" for kind in kinds_of_net),
        *(f"its adapter {role} is no IP-Adapter that reads pictures" for role in ("style", "subject")),
    ]
    write_tiny_controlnet(folder, tmp_path / "controlnets" / "tiny" / "canny", 0)
    for role in ("style", "subject"):
        write_tiny_adapter(folder, tmp_path / "adapters" / "tiny" / f"{role}.safetensors", 0)
    card = ModelCard.read("tiny", str(folder), data=tmp_path)
    assert [fault.what for fault in card.reference_faults[3:]] == [
        f"its adapter {role} reads another image encoder" for role in ("style", "subject")
    ]
    assert list(card.controlnets) == ["canny"]


def test_a_controlnet_with_modes_and_an_encoder_without_its_preprocessor_are_named(
    family_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    flux, sd3 = family_folder("flux_dev"), family_folder("sd3")
    write_tiny_controlnet(flux, tmp_path / "controlnets" / "tiny" / "canny", 0, num_mode=3)
    assert taking_other_files(tmp_path, flux) == ["its ControlNet canny takes a number that says what its picture is"]
    adapters = tmp_path / "sd3" / "adapters" / "tiny"
    write_tiny_adapter(sd3, adapters / "style.safetensors", 0)
    Path(write_tiny_encoder(sd3, adapters / "image_encoder"), "preprocessor_config.json").unlink()
    assert taking_other_files(tmp_path / "sd3", sd3) == [
        "the image encoder of its adapter style has no preprocessor_config.json"
    ]


@pytest.mark.parametrize(("family", "share", "is_right"), SHARES)
def test_an_adapter_of_a_transformer_counts_by_numbers(
    family: str, share: Any, is_right: bool, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model(family)
    folder = shutil.copytree(model.folder, tmp_path / "model")
    (folder / "limner.json").write_text(json.dumps({"adapter_blocks": {"style": share}}))
    card = ModelCard.read("tiny", str(folder), data=Path(model.given[0]).parents[1], width=SIDE, height=SIDE)
    assert ("style" in card.adapters) == is_right
    if is_right:
        request = tiny_request(references=references(model, (Role.STYLE, 0, 0.8)))
        [half] = paint(DiffusionGenerator.load(card, device="cpu", max_batch=4), [(0, request)])
        weaker = replace(request, references=references(model, (Role.STYLE, 0, 0.4)))
        assert_stock(model, "half", weaker, half)
    else:
        assert card.reference_faults[0].what == "its adapter style counts in other layers than the denoiser has"
