# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportIndexIssue=false
# diffusers' annotations are too loose, and sometimes wrong, for more

import random
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

from limner.generators.base import Event, Failed, Finished, Preview, Progress
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion import batch_size, step_groups
from limner.generators.diffusion.batch_size import BatchSize, best_batch
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import (
    BadRequest,
    DeviceLost,
    ModelFailed,
    ModelNotFound,
    NotNumbers,
    OutOfMemory,
    error_site,
)
from limner.generators.requests import GenerationRequest
from tests.tiny_models import stock_pipeline, tiny_request

DOODLE = Path(__file__).parents[2] / "generators" / "pretrained" / "doodle"
SAMPLERS = {
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
    "heun": HeunDiscreteScheduler,
}


def load(folder: Path, **options) -> DiffusionGenerator:
    return DiffusionGenerator.load(ModelCard.read("tiny", str(folder)), device="cpu", **{"max_batch": 8, **options})


@pytest.fixture
def one_by_one(tiny: Path) -> DiffusionGenerator:
    """A painter on a device where larger calls save no time."""
    painter = load(tiny)
    painter._batch = BatchSize(painter._card, painter._ladder.pixels, 1)
    return painter


def test_where_batches_save_no_time_the_shortest_goes_first(one_by_one: DiffusionGenerator):
    assert one_by_one.together() == tiny_request().pixels
    for key, steps in (("long", 6), ("short", 2), ("middle", 3)):
        one_by_one.admit(key, tiny_request(num_inference_steps=steps))
    seen = [event.key for _ in range(11) for event in one_by_one.step() if isinstance(event, Finished)]
    assert seen == ["short", "middle", "long"]


def test_nobody_is_passed_over_for_ever(one_by_one: DiffusionGenerator):
    one_by_one.admit("long", tiny_request(num_inference_steps=5))
    stepped: list[str] = []
    for number in range(40):
        one_by_one.admit(f"{number}", tiny_request(num_inference_steps=1))
        stepped += [event.key for event in one_by_one.step() if isinstance(event, Progress)]
    waits = [i for i, key in enumerate(stepped) if key == "long"]
    assert waits[:4] == list(range(step_groups.PASSED_OVER, 40, step_groups.PASSED_OVER + 1))


def test_a_larger_call_is_made_where_it_saves_time(monkeypatch: pytest.MonkeyPatch):
    card = ModelCard(name="m", source="", width=10, height=10)
    seconds, clock = {1: 0.01, 2: 0.012, 4: 0.03, 8: 0.06}, [0.0]
    monkeypatch.setattr(batch_size, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def paint(request: GenerationRequest) -> Generator[None]:
        while True:
            clock[0] += seconds[request.num_images_per_prompt]
            yield

    assert best_batch(card, 800, paint) == 2
    assert best_batch(card, 100, paint) == 1


def stock_images(folder: Path, request: GenerationRequest) -> list[np.ndarray]:
    pipe = stock_pipeline(folder)
    loaded = pipe.scheduler
    if request.scheduler:
        pipe.scheduler = SAMPLERS[request.scheduler].from_config(loaded.config)
    try:
        images = pipe(
            request.prompt,
            negative_prompt=request.negative_prompt or None,
            width=request.width,
            height=request.height,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            num_images_per_prompt=request.num_images_per_prompt,
            generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        ).images
    finally:
        pipe.scheduler = loaded
    return [np.asarray(image, dtype=int) for image in images]


def assert_same_pictures(finished: Event, expected: list[np.ndarray]) -> None:
    assert isinstance(finished, Finished), finished
    assert len(finished.images) == len(expected)
    for image, want in zip(finished.images, expected, strict=True):
        assert np.abs(np.asarray(image, dtype=int) - want).max() <= 2


def paint(generator: DiffusionGenerator, arrivals: dict[int, list[tuple[str, GenerationRequest]]]) -> dict[str, Event]:
    """Admit each request before its tick, step until all are out, and return how each left."""
    left: dict[str, Event] = {}
    expected = sum(map(len, arrivals.values()))
    tick = 0
    while len(left) < expected:
        for key, request in arrivals.get(tick, []):
            generator.admit(key, request)
        for event in generator.step():
            if isinstance(event, Finished | Failed):
                assert event.key not in left
                left[event.key] = event
        tick += 1
    return left


def paint_alone(generator: DiffusionGenerator, request: GenerationRequest) -> Event:
    return paint(generator, {0: [("alone", request)]})["alone"]


def raise_out_of_memory_above(generator: DiffusionGenerator, rows: int, sizes: list[int]) -> None:
    """Make the real denoiser behave like one on a device with memory for ``rows`` rows; note the size of each call."""

    def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(args[0]))
        if len(args[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    generator._pipelines.loaded.unet.register_forward_pre_hook(hook)


@pytest.mark.parametrize(
    "scheduler",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "euler_a")) for name in SAMPLERS],
)
@pytest.mark.parametrize("family", ["tiny", pytest.param("tiny_xl", marks=pytest.mark.slow)])
def test_alone_and_in_a_full_batch(family: str, scheduler: str, request: pytest.FixtureRequest):
    folder, generator = request.getfixturevalue(family), request.getfixturevalue(f"{family}_generator")
    wanted = tiny_request(scheduler=scheduler, num_images_per_prompt=2, negative_prompt="green", num_inference_steps=5)
    expected = stock_images(folder, wanted)
    assert_same_pictures(paint_alone(generator, wanted), expected)
    others = [(f"other {i}", tiny_request(seed=i, num_inference_steps=2 + i, prompt="dog")) for i in range(6)]
    assert_same_pictures(paint(generator, {0: [("it", wanted), *others]})["it"], expected)


@pytest.mark.slow
def test_words_seed_and_guidance_change_the_picture(tiny_generator: DiffusionGenerator):
    base = paint_alone(tiny_generator, tiny_request())
    for change in ({"prompt": "blue"}, {"seed": 8}, {"guidance_scale": 1.0}, {"negative_prompt": "green"}):
        other = paint_alone(tiny_generator, tiny_request(**change))
        assert np.abs(np.asarray(base.images[0], int) - np.asarray(other.images[0], int)).max() > 2, change


def test_image_i_of_a_request_can_be_had_again_alone(tiny_generator: DiffusionGenerator):
    both = paint_alone(tiny_generator, tiny_request(seed=2**32 - 1, num_images_per_prompt=2))
    second = paint_alone(tiny_generator, tiny_request(seed=0))
    assert both.seeds == [2**32 - 1, 0]
    assert_same_pictures(second, [np.asarray(both.images[1], dtype=int)])


@pytest.mark.slow
def test_a_distilled_model_reads_guidance_as_a_condition(tmp_path: Path, tiny: Path):
    pipe = StableDiffusionPipeline.from_pretrained(tiny)
    torch.manual_seed(0)
    pipe.register_modules(unet=type(pipe.unet).from_config(pipe.unet.config, time_cond_proj_dim=8))
    pipe.save_pretrained(tmp_path)
    wanted = tiny_request(num_images_per_prompt=2)
    assert_same_pictures(paint_alone(load(tmp_path), wanted), stock_images(tmp_path, wanted))


@pytest.mark.slow
@pytest.mark.parametrize("joins_at", [pytest.param(None, marks=pytest.mark.slow), 3])
def test_the_shipped_model_paints_the_stock_picture(joins_at: int | None):
    generator = load(DOODLE)
    wanted = tiny_request(prompt="a red apple", width=128, height=128, num_inference_steps=6, guidance_scale=4.0)
    before = {0: [("other", tiny_request(prompt="a cat", width=128, height=128, num_inference_steps=8))]}
    arrivals = {**(before if joins_at else {}), joins_at or 0: [("it", wanted)]}
    assert_same_pictures(paint(generator, arrivals)["it"], stock_images(DOODLE, wanted))


def test_loading_and_painting_tell_the_user_nothing(tiny: Path, capfd: pytest.CaptureFixture[str]):
    paint_alone(load(tiny), tiny_request(prompt="a cat " * 30, num_inference_steps=1))
    assert capfd.readouterr() == ("", "")


def test_progress_then_finished(tiny_generator: DiffusionGenerator):
    tiny_generator.admit("a", tiny_request(num_inference_steps=2))
    assert tiny_generator.step() == [Progress("a", 1, 2)]
    progress, finished = tiny_generator.step()
    assert progress == Progress("a", 2, 2)
    assert isinstance(finished, Finished)
    assert finished.images[0].size == (16, 16)
    assert 0 < finished.busy_seconds <= finished.seconds
    assert tiny_generator.step() == []


def test_busy_seconds_are_a_share_of_each_step(tiny_generator: DiffusionGenerator):
    left = paint(tiny_generator, {0: [("one", tiny_request()), ("three", tiny_request(num_images_per_prompt=3))]})
    one, three = left["one"], left["three"]
    assert one.busy_seconds < three.busy_seconds
    assert one.busy_seconds + three.busy_seconds <= max(one.seconds, three.seconds)


def test_evicting_does_not_touch_a_neighbour(tiny: Path, tiny_generator: DiffusionGenerator):
    wanted = tiny_request(num_inference_steps=5, scheduler="euler_a")
    tiny_generator.admit("gone", tiny_request(num_inference_steps=8, num_images_per_prompt=2))
    tiny_generator.admit("it", wanted)
    tiny_generator.step()
    tiny_generator.evict("gone")
    tiny_generator.evict("never there")
    events = [event for _ in range(4) for event in tiny_generator.step()]
    assert {event.key for event in events} == {"it"}
    assert_same_pictures(events[-1], stock_images(tiny, wanted))


def test_a_poisoned_request_fails_alone(tiny: Path, tiny_generator: DiffusionGenerator):
    poisoned = tiny_request(guidance_scale=float("inf"))
    left = paint(tiny_generator, {0: [("poison", poisoned), ("it", tiny_request())]})
    assert isinstance(left["poison"].error, NotNumbers)
    assert "The model tiny computes values that are not numbers in float32" in str(left["poison"].error)
    assert_same_pictures(left["it"], stock_images(tiny, tiny_request()))


def test_a_request_whose_own_scheduler_breaks_fails_alone(tiny: Path, tiny_generator: DiffusionGenerator):
    tiny_generator.admit("broken", tiny_request(num_inference_steps=5))
    tiny_generator._flights["broken"]._pipe.scheduler.sigmas = None
    tiny_generator.admit("it", tiny_request())
    events = [event for _ in range(3) for event in tiny_generator.step()]
    left = {event.key: event for event in events}
    assert isinstance(left["broken"].error, ModelFailed)
    assert_same_pictures(left["it"], stock_images(tiny, tiny_request()))


def test_an_error_of_torch_in_a_loop_fails_that_request_and_not_the_process(
    tiny: Path, tiny_generator: DiffusionGenerator
):
    """Torch reads the stack then, whose lower part is not the loop's own and changes from one step to the next."""

    def later(calls: int) -> list[Event]:
        return next(later(calls - 1) for _ in (0,)) if calls else tiny_generator.step()

    for depth in range(12):
        tiny_generator.admit(f"broken {depth}", tiny_request(num_inference_steps=5))
        scheduler = tiny_generator._flights[f"broken {depth}"]._pipe.scheduler
        scheduler.sigmas = scheduler.sigmas[:, None].repeat(1, 3)  # of a shape that torch cannot subtract
        events = [event for calls in (depth, 0, depth + 7) for event in later(calls)]
        assert isinstance(events[-1].error, ModelFailed)
    (event,) = paint(tiny_generator, {0: [("it", tiny_request())]}).values()
    assert_same_pictures(event, stock_images(tiny, tiny_request()))


def test_capacity_counts_pixels_of_any_size(tiny: Path):
    generator = load(tiny, max_batch=4)
    assert generator.capacity() == 4 * 16 * 16
    generator.admit("a", tiny_request(num_images_per_prompt=2, width=24))
    assert generator.capacity() == 4 * 16 * 16 - 2 * 24 * 16
    with pytest.raises(OutOfMemory) as refused:
        generator.admit("b", tiny_request(num_images_per_prompt=2))
    assert refused.value.retryable
    assert generator.capacity() == 16 * 16
    generator.evict("a")
    assert generator.capacity() == 4 * 16 * 16


def test_more_images_than_fit_into_one_call(tiny: Path):
    generator, sizes = load(tiny, max_batch=2), []
    raise_out_of_memory_above(generator, 4, sizes)
    wanted = tiny_request(num_images_per_prompt=5, num_inference_steps=2)
    generator.admit("many", wanted)
    assert generator.capacity() == 0
    events = [event for _ in range(2) for event in generator.step()]
    assert_same_pictures(events[-1], stock_images(tiny, wanted))
    assert sizes == [4, 4, 2] * 2


def test_out_of_memory_halves_the_call(tiny: Path):
    generator, sizes = load(tiny), []
    raise_out_of_memory_above(generator, 3, sizes)
    wanted = [tiny_request(seed=seed, num_inference_steps=2, guidance_scale=1.0) for seed in range(8)]
    left = paint(generator, {0: [(str(request.seed), request) for request in wanted]})
    for request in wanted:
        assert_same_pictures(left[str(request.seed)], stock_images(tiny, request))
    assert sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]


def test_a_guided_sample_is_split_when_memory_has_room_for_one_row(tiny: Path):
    generator = load(tiny)
    raise_out_of_memory_above(generator, 1, [])
    assert_same_pictures(paint_alone(generator, tiny_request()), stock_images(tiny, tiny_request()))


def test_one_that_does_not_fit_fails_alone(tiny: Path):
    generator = load(tiny)

    def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if args[0].shape[-1] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    generator._pipelines.loaded.unet.register_forward_pre_hook(hook)
    large, small = tiny_request(width=24), tiny_request()
    left = paint(generator, {0: [("large", large), ("small", small)]})
    assert isinstance(left["large"].error, OutOfMemory)
    assert_same_pictures(left["small"], stock_images(tiny, small))
    assert generator.capacity() == 8 * 16 * 16


def test_what_cannot_be_painted_is_refused_in_one_sentence(tiny_generator: DiffusionGenerator):
    for change in (
        {"width": 18},
        {"height": 0},
        {"num_inference_steps": 0},
        {"num_images_per_prompt": 0},
        {"scheduler": "NoSuchScheduler"},
        {"init_image": "a.png"},
        {"mask": "a.png"},
        {"strength": 0.5},
        {"init_image": "a.png", "strength": 0.1},
        {"init_image": "a.png", "strength": 1.1},
        {"loras": (("style", 1.0),)},
    ):
        with pytest.raises(BadRequest, match=r"^[A-Z][^.]+\.$"):
            tiny_generator.admit("a", tiny_request(**change))
        assert tiny_generator.capacity() == 8 * 16 * 16, change


@pytest.mark.parametrize("source", ["/no/such/folder", "nobody/nothing", "./nothing"])
def test_a_missing_model_is_told_without_its_path(source: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound) as refused:
        DiffusionGenerator.load(ModelCard(name="m", source=source), device="cpu")
    assert str(refused.value) == str(ModelNotFound())


def test_pickled_weights_are_never_read(tmp_path: Path, tiny: Path):
    StableDiffusionPipeline.from_pretrained(tiny).save_pretrained(tmp_path, safe_serialization=False)
    assert list(tmp_path.rglob("*.bin"))
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    with pytest.raises(ModelNotFound):
        load(tmp_path)


def test_offloading_needs_an_accelerator(tiny: Path):
    with pytest.raises(BadRequest, match="accelerator"):
        load(tiny, offload="model")


@pytest.fixture(scope="session")
def unknown_pipeline(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline class whose loop is not known to us."""
    folder = tmp_path_factory.mktemp("lcm")
    parts = StableDiffusionPipeline.from_pretrained(tiny).components
    parts["unet"] = UNet2DConditionModel.from_config(parts["unet"].config, time_cond_proj_dim=8)
    parts["scheduler"] = LCMScheduler.from_config(parts["scheduler"].config)
    LatentConsistencyModelPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_an_unknown_pipeline_is_called_as_a_whole(unknown_pipeline: Path):
    generator = load(unknown_pipeline)
    first, second = tiny_request(num_images_per_prompt=2), tiny_request(seed=1)
    generator.admit("first", first)
    generator.admit("second", second)
    for step in (1, 2):
        assert generator.step() == [Progress("first", step, 3), Progress("second", step, 3)]
    finished = generator.step()[2]
    assert finished.seeds == [7, 8]
    pipe = stock_pipeline(unknown_pipeline)
    seeds = [torch.Generator().manual_seed(seed) for seed in first.seeds]
    expected = pipe(
        first.prompt, 16, 16, num_inference_steps=3, guidance_scale=5.0, num_images_per_prompt=2, generator=seeds
    ).images
    assert_same_pictures(finished, [np.asarray(image, dtype=int) for image in expected])
    assert generator.capacity() == 8 * 16 * 16
    assert generator.step() == []


def test_an_unknown_pipeline_refuses_what_it_would_ignore(unknown_pipeline: Path):
    generator = load(unknown_pipeline)
    with pytest.raises(BadRequest, match="negative prompt"):
        generator.admit("a", tiny_request(negative_prompt="green"))
    failed = paint_alone(generator, tiny_request(guidance_scale=float("nan")))
    assert isinstance(failed.error, NotNumbers)


def test_a_picture_that_cannot_be_decoded_whole_is_decoded_in_tiles(tiny: Path):
    generator, tiled = load(tiny), []
    vae = generator._pipelines.loaded.vae
    vae.tile_latent_min_size, vae.tile_sample_min_size = 8, 16

    def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        tiled.append(vae.use_tiling)
        if args[0].shape[-1] > 8:
            torch.empty(2**60)  # more than any machine has

    vae.decoder.register_forward_pre_hook(hook)
    large, small = tiny_request(width=32, height=32), tiny_request(num_inference_steps=5)
    left = paint(generator, {0: [("large", large), ("small", small)]})
    difference = np.asarray(left["large"].images[0], int) - stock_images(tiny, large)[0]
    assert np.abs(difference).mean() < 20  # tiles are blended, so it is not quite the same
    assert_same_pictures(left["small"], stock_images(tiny, small))
    assert tiled[0] is False
    assert True in tiled
    assert tiled[-1] is False


def test_a_lost_device_is_not_blamed_on_a_request(tiny: Path):
    generator = load(tiny)
    generator.admit("a", tiny_request())

    def hook(_: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    generator._pipelines.loaded.unet.register_forward_pre_hook(hook)
    with pytest.raises(DeviceLost):
        generator.step()


def test_a_refusal_is_not_its_own_cause(tiny_generator: DiffusionGenerator):
    with pytest.raises(BadRequest) as refused:
        tiny_generator.admit("a", tiny_request(scheduler="NoSuchScheduler"))
    assert error_site(refused.value).startswith("BadRequest")


def test_what_can_never_fit_is_refused_at_once(tiny_generator: DiffusionGenerator):
    with pytest.raises(BadRequest, match=r"needs about [\d.]+ GiB of memory and this device has [\d.]+ GiB"):
        tiny_generator.admit("a", tiny_request(width=2**20, height=2**20))


def test_previews_come_only_if_asked_for_and_not_too_often(tiny: Path):
    wanted = {0: [("a", tiny_request(num_images_per_prompt=2)), ("b", tiny_request())]}
    for every, count in ((0.0, 0), (1e-9, 2), (3600.0, 0)):
        generator = load(tiny, previews=every)
        for key, request in wanted[0]:
            generator.admit(key, request)
        previews = [event for _ in range(3) for event in generator.step() if isinstance(event, Preview)]
        assert [event.key for event in previews] == ["a", "b"] * count
        assert all(event.image.size[0] == 128 for event in previews)


@pytest.mark.slow
def test_the_last_rungs_keep_models_and_then_layers_in_main_memory_and_paint_the_same(tiny: Path):
    """Both memories are the same one here."""
    generator, wanted = load(tiny), tiny_request(num_images_per_prompt=2)
    ladder = generator._ladder
    ladder.can_offload = ladder._can_offload_layers = True
    for is_left in (True, True, False):
        assert ladder.give_up(1, 256, decoding=False) == is_left
        assert_same_pictures(paint(generator, {0: [("it", wanted)]})["it"], stock_images(tiny, wanted))


@pytest.mark.gpu
@pytest.mark.parametrize("offload", ["none", "model", "sequential", "layers"])
def test_on_an_accelerator_a_seed_means_the_same_picture(offload: str, tiny: Path):
    card = ModelCard.read("tiny", str(tiny))
    generator = DiffusionGenerator.load(
        card, device="auto", dtype="float32", offload="none" if offload == "layers" else offload
    )
    if offload == "layers":
        assert all(generator._ladder.give_up(1, 256, decoding=False) for _ in range(2))
    wanted = tiny_request(scheduler="euler_a", num_images_per_prompt=2)
    left = paint(generator, {0: [("other", tiny_request(seed=random.randrange(9)))], 1: [("it", wanted)]})
    assert_same_pictures(left["it"], stock_images(tiny, wanted))
