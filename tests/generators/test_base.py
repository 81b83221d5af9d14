import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest, GenerationError, ModelNotFound, OutOfMemory
from limner.generators.requests import SEEDS, GenerationRequest
from tests.tiny_models import tiny_request

DOODLE = Path(__file__).parents[2] / "generators" / "pretrained" / "doodle"

finite = st.floats(allow_nan=False, allow_infinity=False)
requests = st.builds(
    GenerationRequest,
    prompt=st.text(),
    model=st.text(),
    width=st.integers(1),
    height=st.integers(1),
    num_inference_steps=st.integers(1),
    guidance_scale=finite,
    seed=st.integers(0, SEEDS - 1),
    negative_prompt=st.text(),
    num_images_per_prompt=st.integers(1, 9),
    scheduler=st.none() | st.text(),
    init_image=st.none() | st.text(),
    mask=st.none() | st.text(),
    strength=st.none() | finite,
    loras=st.lists(st.tuples(st.text(), finite), max_size=3).map(tuple),
)


@given(requests)
def test_a_request_survives_a_json_column(request_: GenerationRequest):
    assert GenerationRequest.from_json(json.loads(json.dumps(request_.to_json()))) == request_


def test_a_request_from_another_version_is_read():
    data = {**tiny_request().to_json(), "something new": 1}
    del data["loras"], data["strength"]
    assert GenerationRequest.from_json(data) == tiny_request()


@given(requests)
def test_each_image_has_its_own_seed(request_: GenerationRequest):
    assert len(set(request_.seeds)) == request_.num_images_per_prompt
    assert request_.seeds[0] == request_.seed
    assert all(0 <= seed < SEEDS for seed in request_.seeds)


def test_what_may_share_a_batch():
    key = tiny_request().batch_key
    for same in ({"num_inference_steps": 9}, {"guidance_scale": 1.0}, {"scheduler": "DDIMScheduler"}, {"seed": 1}):
        assert tiny_request(**same).batch_key == key
    for different in ({"model": "other"}, {"width": 24}, {"loras": (("style", 0.5),)}):
        assert tiny_request(**different).batch_key != key


def test_errors_say_their_docstring_and_whether_to_try_again():
    assert str(ModelNotFound()) == ModelNotFound.__doc__
    assert str(BadRequest("Ask for less.")) == "Ask for less."
    assert GenerationError.retryable
    assert OutOfMemory.retryable
    assert not BadRequest.retryable
    assert not ModelNotFound.retryable


def test_a_card_reads_a_diffusers_folder(tiny: Path):
    card = ModelCard.read("tiny", str(tiny))
    assert (card.width, card.height, card.multiple_of, card.kind) == (16, 16, 4, "diffusion")


def test_limner_json_wins_over_diffusers_and_overrides_win_over_both(tmp_path: Path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text('{"sample_size": 64, "down_block_types": ["a", "b"]}')
    (tmp_path / "limner.json").write_text('{"width": 640, "title": "Mine", "not a field": 1}')
    card = ModelCard.read("mine", str(tmp_path), guidance_scale=2.0, title="Ours")
    assert (card.width, card.height, card.multiple_of) == (640, 512, 16)
    assert (card.title, card.guidance_scale) == ("Ours", 2.0)


def test_a_size_that_is_too_small_or_no_multiple_becomes_the_models_own_of_that_shape():
    card = ModelCard(name="m", source="m", width=256, height=256, multiple_of=32, least_side=192)
    asked = [(256, 256), (128, 128), (256, 192), (320, 160), (160, 112), (272, 256), (512, 512)]
    assert [card.room(size) for size in asked] == [
        *((256, 256), (256, 256), (256, 192), (352, 192), (320, 224), (256, 256), (512, 512))
    ]
    assert ModelCard(name="m", source="m").room((16, 16)) == (16, 16)


def test_a_hub_name_gets_the_defaults():
    card = ModelCard.read("xl", "somebody/some-model")
    assert (card.width, card.height, card.multiple_of) == (1024, 1024, 16)


def test_the_shipped_card():
    card = ModelCard.read("doodle", str(DOODLE))
    assert (card.width, card.height, card.multiple_of, card.least_side) == (256, 256, 32, 192)
    assert card.english_only
    assert card.title


@pytest.mark.parametrize("aspect", [(1, 1), (16, 9), (9, 16), (3, 2), (100, 1)])
def test_a_size_keeps_the_area_and_the_aspect(aspect: tuple[int, int]):
    card = ModelCard(name="xl", source="")
    width, height = card.size(aspect)
    assert width % card.multiple_of == height % card.multiple_of == 0
    assert width * height == pytest.approx(1024 * 1024, rel=0.12)
    assert width / height == pytest.approx(aspect[0] / aspect[1], rel=0.12)


def test_importing_the_contract_and_the_executor_imports_no_torch():
    code = (
        "import sys, generators, limner.generators.base, limner.generators.executor; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
