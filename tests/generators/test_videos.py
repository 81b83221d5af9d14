# pyright: basic, reportArgumentType=false, reportCallIssue=false
"""Video models paint the stock pipeline's video, in calls that are suspended after each step."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limner.generators.base import Event, Failed, Finished, Progress
from limner.generators.cards.abilities import abilities
from limner.generators.cards.model_card import UNLOADABLE, ModelCard
from limner.generators.cards.model_files import fault_of
from limner.generators.cards.video_models import VIDEOS as PIPELINES
from limner.generators.cards.video_models import VideoFrames, video_fields, video_frames
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.diffusion.memory import Budget, Cost
from limner.generators.errors import BadRequest
from limner.generators.executor import Executor
from limner.generators.requests import GenerationRequest
from limner.generators.trial import attempt
from tests.tiny_models import stock_pipeline, tiny_request, write_tiny_lora
from tests.tiny_videos import VIDEOS, write_tiny_video

SIDE = 32
CARDS = {
    "AnimateDiff": ((SIDE // 2, SIDE // 2, 4), range(8, 25), 8, "tags"),
    "LTX-Video": ((704, 512, 32), range(9, 49, 8), 25, "sentences"),
    "Wan 2.1, 2.2": ((832, 480, 16), range(9, 49, 4), 16, "sentences"),
}
"""Of each family's tiny folder the size and its step, the numbers of frames, the frames a second and the dialect."""
QUICK = "LTX-Video"
FAMILIES = [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in VIDEOS]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny pipeline of the named family."""

    @cache
    def folder(name: str) -> Path:
        return write_tiny_video(name, tmp_path_factory.mktemp("video"))

    return folder


def card_of(folder: Path, name: str = "tiny") -> ModelCard:
    return ModelCard.read(name, str(folder), width=SIDE, height=SIDE)


def video_request(card: ModelCard, frames: int = 8, **changes: Any) -> GenerationRequest:
    assert card.video
    animation = card.video.video(card.video.nearest(frames))
    usual = {"prompt": "a red fox runs", "width": SIDE, "height": SIDE, "num_inference_steps": 2}
    return tiny_request(**{**usual, "model": card.name, "animation": animation, **changes})


def stock_frames(folder: Path, request: GenerationRequest) -> np.ndarray:
    """The video that diffusers' pipeline paints."""
    output = stock_pipeline(folder)(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt or None,
        num_frames=request.frames,
        width=request.width,
        height=request.height,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="np",
    )
    return np.asarray(output.frames)[0] * 255


def painted(generator: DiffusionGenerator, *keys: str) -> dict[str, Finished]:
    """Step until all these have left."""
    left: dict[str, Finished] = {}
    while not left.keys() >= {*keys}:
        events = generator.step()
        assert not [event for event in events if isinstance(event, Failed)]
        left |= {event.key: event for event in events if isinstance(event, Finished)}
    return left


@pytest.mark.parametrize("family", FAMILIES)
def test_a_video_is_the_stock_video(family: str, folder_of: Callable[[str], Path]):
    folder, (size, counts, rate, dialect) = folder_of(family), CARDS[family]
    card = ModelCard.read("tiny", str(folder))
    assert ((card.width, card.height, card.multiple_of), card.dialect, card.problem) == (size, dialect, "")
    assert (card.animates, card.starts, card.masks, card.steers, card.skips) == (False,) * 5
    assert card.video
    assert (card.video.counts, card.video.rate) == (counts, rate)
    card = card_of(folder)
    generator = DiffusionGenerator.load(card, device="cpu")
    assert generator.together() == generator.capacity() == SIDE**2
    asked = {
        "guided": video_request(card, negative_prompt="green"),
        "longer": video_request(card, 16, prompt="a blue boat", seed=3, guidance_scale=1.0, num_inference_steps=3),
    }
    asked |= {"again": asked["guided"]}
    for key, request in asked.items():
        generator.admit(key, request)
    assert generator.capacity() == 0
    found = painted(generator, *asked)
    for key, request in asked.items():
        frames = np.stack([np.asarray(image, dtype=float) for image in found[key].images])
        assert frames.shape == (request.frames, SIDE, SIDE, 3)
        assert np.abs(frames - stock_frames(folder, request)).max() <= 2, key
        assert found[key].seeds == [request.seed] * request.frames
        assert np.abs(np.diff(frames, axis=0)).max() > 2  # it moves
    images = {key: [image.tobytes() for image in one.images] for key, one in found.items()}
    assert images["again"] == images["guided"]


def test_other_models_take_turns_with_a_video_which_can_be_dropped(folder_of: Callable[[str], Path], tiny: Path):
    cards = {"video": card_of(folder_of(QUICK), "video"), "still": ModelCard.read("still", str(tiny))}
    executor = Executor(cards, device="cpu", max_models=2)
    assert executor.capacity("video") == SIDE**2
    request = video_request(cards["video"], num_inference_steps=5)
    with pytest.raises(BadRequest, match="ask for 17"):
        executor.admit("odd", replace(request, animation=replace(request.animation, frames=16)))
    with pytest.raises(BadRequest, match="paints videos only"):
        executor.admit("odd", replace(request, animation=None))
    with pytest.raises(BadRequest, match="cannot be animated"):
        executor.admit("odd", replace(request, model="still"))
    executor.admit("video", request)
    executor.admit("still", tiny_request(model="still"))
    told: list[Event] = []
    while "still" in executor.in_flight:
        told += executor.step()
    assert [event.step for event in told if isinstance(event, Progress) and event.key == "video"] == [9, 18, 27]
    assert [type(event) for event in told if event.key == "still"][-1] is Finished
    executor.evict("video")
    assert executor.step() == []
    assert executor.capacity("video") == SIDE**2
    executor.admit("next", replace(request, num_inference_steps=2))
    events = [event for _ in range(2) for event in executor.step()]
    assert [type(event) for event in events] == [Progress, Progress, Finished]
    assert events[-2] == Progress("next", 18, 18)
    assert replace(request, num_inference_steps=2).steps == 18
    executor.close()


@pytest.mark.slow
def test_a_lora_of_stable_diffusion_counts_in_its_videos(folder_of: Callable[[str], Path], tiny: Path, tmp_path: Path):
    file = write_tiny_lora(tiny, tmp_path / "ink.safetensors", seed=1)
    card = replace(card_of(folder_of("AnimateDiff")), loras={"ink": file, "gone": str(tmp_path / "gone.safetensors")})
    generator = DiffusionGenerator.load(card, device="cpu")
    request, images = video_request(card), []
    for loras in ((), (("ink", 1.0),), ()):
        generator.admit("video", replace(request, loras=loras))
        images.append([image.tobytes() for image in painted(generator, "video")["video"].images])
    assert images[0] == images[2] != images[1]
    generator.admit("video", replace(request, loras=(("gone", 1.0),)))
    [failed] = generator.step()
    assert isinstance(failed, Failed)
    assert "LoRA" in str(failed.error)


@pytest.mark.slow
def test_a_video_that_does_not_fit_costs_itself_only(folder_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    folder = folder_of(QUICK)
    card = card_of(folder)
    generator = DiffusionGenerator.load(card, device="cpu")
    request = video_request(card)
    vae, room = generator._pipelines.loaded.vae, [False, False, True]
    decode = vae.decode

    def short_of_memory(*arguments: Any, **options: Any) -> Any:
        if not room.pop(0):
            raise torch.OutOfMemoryError
        return decode(*arguments, **options)

    monkeypatch.setattr(vae, "decode", short_of_memory)
    for key in ("large", "next"):
        generator.admit(key, request)
    left: list[Event] = []
    while len(left) < 2:
        left += [event for event in generator.step() if isinstance(event, Finished | Failed)]
    assert [(event.key, type(event)) for event in left] == [("large", Failed), ("next", Finished)]
    assert isinstance(left[0], Failed)
    assert "memory" in str(left[0].error)
    budget = Budget(free=9 * SIDE**2, releasable=0, painting=Cost(0, 1), denoising=Cost(0, 1))
    budget.check(request)  # of 9 frames
    with pytest.raises(BadRequest, match="A video of 17 frames of 32x32 needs"):
        budget.check(video_request(card, 17))


def test_a_folder_is_looked_at_and_tried_out_as_any(folder_of: Callable[[str], Path], tmp_path: Path):
    folder = Path(shutil.copytree(folder_of(QUICK), tmp_path / "film"))
    (folder / "limner.json").write_text('{"width": 32, "height": 32, "video": 5}', encoding="utf-8")
    card = ModelCard.read("film", str(folder))
    assert ((card.width, card.height), card.video) == ((SIDE, SIDE), VideoFrames(8, 48, 25))
    options = {"device": "cpu", "dtype": "auto", "offload": "none"}
    assert attempt({"film": str(folder)}, **options)["film"].keys() == {"seconds"}
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    fault = fault_of(folder, "diffusion")
    assert fault
    assert fault.what == "vae has no safetensors weights"
    assert ModelCard.read("film", str(folder)).problem == UNLOADABLE


def test_odd_configurations_give_usual_frames():
    odd = {"temporal_compression_ratio": "8", "patch_size_t": -1, "spatio_temporal_scaling": 3}
    assert video_frames("LTXPipeline", {"vae/config.json": odd}) == VideoFrames(8, 48, 25)
    motion = {"motion_max_seq_length": 2}
    assert video_frames("AnimateDiffPipeline", {"motion_adapter/config.json": motion}) == VideoFrames(1, 32, 8)
    five_b = {"model_index.json": {"expand_timesteps": True}, "vae/config.json": {"scale_factor_spatial": 16}}
    assert video_frames("WanPipeline", five_b) == VideoFrames(4, 48, 24)
    assert video_fields("WanPipeline", five_b)["multiple_of"] == 32
    assert video_frames("StableDiffusionPipeline", {}) is None
    assert [VideoFrames(8, 48, 25).nearest(frames) for frames in (1, 12, 13, 16, 21, 500)] == [9, 9, 17, 17, 25, 41]


def table() -> list[str]:
    """The table of docs/models.md, from what is known of the families without a folder's own figures."""
    lines = ["| family | frames | a second | size | diffusers' class |", "|---|---|---|---|---|"]
    for name, pipeline in zip(VIDEOS, sorted(PIPELINES), strict=True):
        video, size = video_frames(pipeline, {}), video_fields(pipeline, {})
        assert video
        counts = [str(count) for count in video.counts]
        frames = f"{counts[0]} to {counts[-1]}" if video.step == 1 else ", ".join(counts)
        lines.append(f"| {name} | {frames} | {video.rate} | {size['width']}x{size['height']} | `{pipeline}` |")
    return lines


def test_the_table_in_the_docs_is_that_of_the_families():
    assert {name: abilities("diffusion", name)["problem"] for name in PIPELINES} == dict.fromkeys(PIPELINES, "")
    assert "\n".join(table()) in (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
