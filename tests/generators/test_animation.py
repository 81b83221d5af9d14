# pyright: basic, reportPrivateImportUsage=false, reportArgumentType=false, reportAttributeAccessIssue=false
"""Animations: frames between noises and words, painted beside other requests."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.generators.animation import (
    LEAST_FRAMES,
    LEAST_KEYS,
    MOST_FRAMES,
    MOST_KEYS,
    Animation,
    blended,
    on_the_arc,
    on_the_circle,
)
from limner.generators.base import Failed, Finished, Progress
from limner.generators.cards.model_card import ModelCard
from limner.generators.errors import BadRequest
from limner.generators.executor import Executor
from limner.generators.frames import frame_at, keys_of, planned
from limner.generators.requests import GenerationRequest
from limner.generators.walks import FramePlace, pixels, rounds
from tests.tiny_models import tiny_request

WALK = "a red fox | a blue boat"


def executor(folder: Path, **options: Any) -> Executor:
    return Executor({"tiny": ModelCard.read("tiny", str(folder))}, device="cpu", **({"max_batch": 4} | options))


def walk(**changes: object) -> GenerationRequest:
    given = {"prompt": WALK, "animation": Animation(8, swings=True, seeds=(3, 5)), "guidance_scale": 40.0, "seed": 3}
    return tiny_request(**given | changes)


def painted(it: Executor, **requests: GenerationRequest) -> dict[str, Finished | Failed]:
    """What becomes of requests that are painted together."""
    for key, request in requests.items():
        it.admit(key, request)
    left: dict[str, Finished | Failed] = {}
    while it.in_flight:
        left |= {event.key: event for event in it.step() if isinstance(event, Finished | Failed)}
    return left


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, of 255."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max())


def shades(animation: Animation, keys: int, shade: Callable[[float], float], *, bridges: bool) -> dict[float, float]:
    """A walk's frames in order where a model paints one shade of grey at each place."""
    found: dict[float, float] = {}
    looks: dict[float, Sequence[float]] = {}
    for places in rounds(animation.frames, animation.ways(keys), looks, swings=animation.swings, bridges=bridges):
        for distance, bridge in places:
            ends = [found[bridge.start], found[bridge.end]] if bridge else [0, 0]
            found[distance] = float(np.interp(bridge.share, (0, 1), ends)) if bridge else shade(distance)
        looks |= {one: pixels(Image.new("L", (9, 9), round(grey))) for one, grey in found.items()}
    return dict(sorted(found.items()))


def unevenness(found: dict[float, float]) -> float:
    """The largest difference of neighbours for the median."""
    ways = np.abs(np.diff([*found.values()]))
    return float(ways.max() / np.median(ways))


@given(st.integers(LEAST_FRAMES, MOST_FRAMES), st.integers(LEAST_KEYS, MOST_KEYS), st.booleans(), st.floats(0, 1))
def test_a_walk_has_all_its_frames_and_goes_through_its_keys(frames: int, keys: int, swings: bool, jump: float):
    animation = Animation(frames, swings)
    found = shades(animation, keys, lambda distance: 200 * (distance % 1 > jump), bridges=True)
    assert len(found) == frames
    assert {float(key) for key in range(keys)} <= found.keys()
    assert max(found) == keys - 1 if swings else keys - 1 <= max(found) < keys


def test_frames_lie_closer_where_pictures_differ_and_bridge_what_jumps():
    for shade, bridges in (
        (lambda place: 250 / (1 + np.exp(-30 * (place - 0.4))), False),
        (lambda place: 60 * place + 100 * (place > 0.37), True),
    ):
        for frames in (16, 32):
            even = {place: shade(place) for place in np.linspace(0, 1, frames)}
            assert unevenness(even) > 10
            assert unevenness(shades(Animation(frames, swings=True), 2, shade, bridges=bridges)) < 3
    closed = shades(Animation(16), 2, lambda place: 60 * place, bridges=True)
    assert [round(shade) for place, shade in closed.items() if place >= 1.5][-1] < 60  # its end leads to its beginning


def test_what_was_cross_faded_is_not_painted_anew_again():
    looks: dict[float, Sequence[float]] = {}
    found = [place for one in rounds(32, 1, looks, swings=True, bridges=True) for place in one if _sees(looks, place)]
    bridges = {place: bridge for place, bridge in found if bridge}
    bare = {place for place, bridge in bridges.items() if bridge.is_bare}
    assert bare
    assert bare < bridges.keys()
    assert all(bridge.is_bare == bool({bridge.start, bridge.end} & bridges.keys()) for bridge in bridges.values())


def _sees(looks: dict[float, Sequence[float]], place: FramePlace) -> bool:
    """What a model paints that falls back to one of two pictures unless a cross-fade stays as it is."""
    bridge = place.bridge
    shade = place.distance * 9 + 100 * (place.distance > 0.37)
    if bridge and bridge.is_bare:
        shade = looks[bridge.start][0] * (1 - bridge.share) + looks[bridge.end][0] * bridge.share
    looks[place.distance] = [shade]
    return True


def test_a_swing_is_played_backwards_too():
    assert Animation(9, swings=True).played(range(4)) == [0, 1, 2, 3, 2, 1]
    assert Animation(8).played(range(4)) == [0, 1, 2, 3]


def test_a_pulse_is_a_circle_through_its_picture():
    circle = [dict(on_the_circle(7, 2**32, turn / 12)) for turn in range(12)]
    points = np.array([list(noises.values()) for noises in circle])
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    assert points[0].tolist() == [1, 0, 0]
    flat = points / points[:, :1]
    ways = np.linalg.norm(np.roll(flat, -1, axis=0) - flat, axis=1)
    assert np.ptp(ways) < 1e-9


def test_frames_of_a_pulse_lie_closer_where_its_pictures_differ():
    pulse, looks = Animation(16, seeds=(3,)), dict[float, Sequence[float]]()
    for frames in planned(walk(animation=pulse, prompt="a red fox"), pulse, {}, looks, bridges=False):
        looks.update((place, [max(0.0, min(1000 * (place - 0.5), 250 * (1 - place)))]) for place in frames)
    assert len(looks) == 16
    assert len([place for place in looks if 0.5 <= place <= 0.6]) >= 5


def test_mixed_noise_is_as_long_as_noise_and_keeps_its_ends():
    draws = [torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    assert on_the_arc(1, 2, 0) == on_the_arc(1, 1, 0.5) == ((1, 1),)
    for share in (0.25, 0.5, 0.75):
        mixture = blended(draws, [weight for _, weight in on_the_arc(1, 2, share)])
        assert draws[0].norm() * 0.9 < mixture.norm() < draws[1].norm() * 1.1
    assert torch.equal(blended(draws[:1], [1.0]), draws[0])


def test_parts_of_the_prompts_and_seeds_make_the_keys():
    assert [key.seed for key in keys_of(walk())] == [3, 5]
    same = walk(animation=Animation(8), negative_prompt="green")
    assert keys_of(same) == [("a red fox", "green", 3), ("a blue boat", "green", 3)]
    first, between, last = (frame_at(walk(), distance) for distance in (0, 0.25, 1))
    assert (first.between, last.between) == (None, None)
    assert (last.prompt, last.seed) == ("a blue boat", 5)
    assert between.between
    assert (between.prompt, between.between.prompt, between.between.share) == ("a red fox", "a blue boat", 0.25)
    request = walk(animation=Animation(8, swings=True, seeds=(3, 5), pictures=("a", "b")))
    assert GenerationRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    assert (request.steps, request.pixels) == (24, 256)


@pytest.mark.parametrize("sampler", [None, pytest.param("euler_a", marks=pytest.mark.slow)])
def test_frames_at_keys_are_the_keys_pictures_and_neighbours_are_untouched(tiny: Path, sampler: str | None):
    single = tiny_request(prompt="a red fox", guidance_scale=40.0, seed=3, scheduler=sampler)
    other = replace(single, prompt="a blue boat", seed=5)
    beside = tiny_request(prompt="two dogs", seed=9, num_inference_steps=5)
    it = executor(tiny)
    alone = painted(it, a=single) | painted(it, b=other) | painted(it, c=beside)
    found = painted(it, walk=walk(scheduler=sampler), c=beside)
    frames = found["walk"].images
    assert len(frames) == 8
    assert found["walk"].work.steps_denoised == 24
    assert apart(frames[0], alone["a"].images[0]) <= 2
    assert apart(frames[-1], alone["b"].images[0]) <= 2
    assert apart(found["c"].images[0], alone["c"].images[0]) <= 2
    assert len({frame.tobytes() for frame in frames}) == 8
    ways = [apart(one, two) for one, two in pairwise(frames)]
    assert max(ways) < apart(frames[0], frames[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["sd3", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sdxl", "flux_dev"))]
)
def test_families_walk_between_words(family: str, family_folder: Callable[[str], Path]):
    it = executor(family_folder(family))
    single = tiny_request(prompt="a red fox", guidance_scale=40.0, seed=3)
    alone = painted(it, a=single)["a"].images[0]
    frames = painted(it, walk=walk(animation=Animation(8, swings=True)))["walk"].images
    assert apart(frames[0], alone) <= 2
    assert len({frame.tobytes() for frame in frames}) == 8


def test_a_walk_takes_turns_where_there_is_room_for_one(tiny: Path):
    it = executor(tiny, max_batch=1)
    it.admit("walk", walk())
    steps = [event for _ in range(3) for event in it.step()]
    assert steps == [Progress("walk", step, 24) for step in (1, 2, 3, 3)]
    assert it.capacity("tiny") == 256  # between two frames others may enter
    assert it.step(reserved=256) == []
    assert (it.is_idle, it.capacity("tiny")) == (True, 0)
    it.admit("other", tiny_request())
    told = [event for _ in range(3) for event in it.step()]
    assert {event.key for event in told} == {"other"}
    assert [event.key for event in it.step()] == ["walk"]
    it.evict("walk")
    assert (it.is_idle, it.in_flight, it.capacity("tiny")) == (True, set(), 256)


def test_several_frames_share_calls_and_leave_room_for_another_request(tiny: Path):
    it = executor(tiny)
    it.admit("walk", walk(animation=Animation(16, swings=True, seeds=(3, 5))))
    for _ in range(4):
        it.step()
    assert it.capacity("tiny") == 256


def test_a_frame_that_fails_ends_its_animation_alone(tiny: Path):
    card = replace(ModelCard.read("tiny", str(tiny)), chunks=True)
    it = Executor({"tiny": card}, device="cpu", max_batch=4)
    bad = walk(prompt="a red fox | " + "a red fox and two dogs, " * 40)
    found = painted(it, walk=bad, other=tiny_request())
    assert isinstance(found["walk"], Failed)
    assert isinstance(found["walk"].error, BadRequest)
    assert "different lengths" in str(found["walk"].error)
    assert isinstance(found["other"], Finished)
    assert (it.in_flight, it.capacity("tiny")) == (set(), 4 * 256)


def test_a_model_that_cannot_paint_between_two_pictures_says_so(tiny: Path, tmp_path: Path):
    shutil.copytree(tiny, tmp_path / "whole")
    index = tmp_path / "whole" / "model_index.json"
    index.write_text(index.read_text("utf-8").replace("StableDiffusionPipeline", "StableDiffusionPAGPipeline"), "utf-8")
    it = executor(tmp_path / "whole")
    with pytest.raises(BadRequest, match="cannot be animated"):
        it.admit("walk", walk())
    assert it.in_flight == set()


@pytest.mark.slow
def test_frames_are_compared_by_what_the_look_says_and_by_pixels_if_it_fails(tiny: Path):
    looked: list[Image.Image] = []

    def only_twice(image: Image.Image) -> list[float]:
        looked.append(image)
        if len(looked) > 2:
            raise OSError
        return [0.0]

    found = painted(executor(tiny, look=only_twice), walk=walk())["walk"]
    assert isinstance(found, Finished)
    assert len(looked) == 3
    assert found.images == painted(executor(tiny), walk=walk())["walk"].images
    count = painted(executor(tiny, look=lambda image: [float(len(looked))]), walk=walk())["walk"]
    assert len(count.images) == 8
