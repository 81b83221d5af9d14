# pyright: basic, reportPrivateUsage=false
"""The same on an NVIDIA GPU as on the CPU: pictures, number formats, memory that runs out, a lost device, streams.

Each test is one function for both; what needs an NVIDIA GPU is the device alone (`make gpu`).
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.generators.base import Finished
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from tests.generators.test_diffusion import assert_same_pictures, paint, stock_images
from tests.tiny_models import SIDE, tiny_request

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
LARGE = {"cpu": 2 * SIDE, "cuda": 512}
"""Width and height of pictures of which little memory holds one at a time."""

LOSE_DEVICE = """
import sys
import torch
from limner.generators.cards.model_card import ModelCard
from limner.generators.diffusion.generator import DiffusionGenerator
from limner.generators.errors import DeviceLost
from tests.tiny_models import tiny_request

folder, device = sys.argv[1:]
generator = DiffusionGenerator.load(ModelCard.read("tiny", folder), device=device, max_batch=2)

def lose(*_):
    if device == "cpu":
        raise RuntimeError("CUDA error: device-side assert triggered")
    torch.zeros(1, device=device)[torch.tensor([5], device=device)]  # an index that the kernel refuses
    torch.cuda.synchronize()

generator._pipelines.loaded.unet.register_forward_pre_hook(lose)
generator.admit("a", tiny_request())
try:
    generator.step()
except DeviceLost:
    print("lost")
"""


def load(folder: Path, device: str, **options) -> DiffusionGenerator:
    card = ModelCard.read("tiny", str(folder))
    return DiffusionGenerator.load(card, device=device, **{"dtype": "float32", "max_batch": 8, **options})


@contextmanager
def little_memory(device: str, more: int) -> Iterator[None]:
    """Inside this block the process may take so many bytes of a GPU beyond those in use; of a CPU's all it likes."""
    if device == "cpu":
        yield
        return
    torch.cuda.empty_cache()
    most = (torch.cuda.memory_allocated() + more) / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(most)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture(autouse=True)
def whole_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions in float32 as the CPU computes them, not in TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", ["sd1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sdxl", "sd3"))])
def test_a_seed_is_the_same_picture_alone_and_joined(family: str, device: str, family_folder: Callable[[str], Path]):
    """The picture is that of the stock pipeline on the CPU."""
    folder, it = family_folder(family), tiny_request(num_images_per_prompt=2)
    left = paint(load(folder, device), {0: [("first", tiny_request(seed=1))], 1: [("it", it)]})
    assert_same_pictures(left["it"], stock_images(folder, it))
    assert_same_pictures(left["first"], stock_images(folder, tiny_request(seed=1)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_half_precision_paints_nearly_the_same_picture(dtype: str, device: str, tiny: Path):
    left = paint(load(tiny, device, dtype=dtype), {0: [("it", tiny_request())]})["it"]
    assert isinstance(left, Finished), left
    difference = np.abs(np.asarray(left.images[0], dtype=int) - stock_images(tiny, tiny_request())[0])
    assert difference.mean() < 4


@pytest.mark.parametrize("device", DEVICES)
def test_memory_that_runs_out_makes_calls_smaller_and_fails_nobody(device: str, tiny: Path):
    side = LARGE[device]
    requests = {f"{seed}": tiny_request(seed=seed, width=side, height=side, num_inference_steps=2) for seed in (1, 2)}
    generator = load(tiny, device, max_batch=2 * side**2 // SIDE**2)
    peak = _peak(generator, side) if device == "cuda" else 0
    with little_memory(device, 3 * peak // 2):
        left = paint(generator, {0: list(requests.items())})
    for key, request in requests.items():
        assert_same_pictures(left[key], stock_images(tiny, request))
    if device == "cuda":
        ladder = generator._ladder
        assert min(ladder.rows(side**2, decoding=True), ladder.rows(side**2, decoding=False) // 2) < 2


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), DEVICES[1]])
def test_a_device_that_is_lost_is_said_so(device: str, tiny: Path):
    """In a process of its own, since it cannot use the device any more."""
    command = [sys.executable, "-c", LOSE_DEVICE, str(tiny), device]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert said.stdout.strip() == "lost", said.stderr


@pytest.mark.parametrize("device", DEVICES)
def test_a_picture_is_decoded_while_others_are_denoised(device: str, tiny: Path):
    """On an NVIDIA GPU in a stream of its own; the pictures are the same."""
    short, long = tiny_request(num_inference_steps=1), tiny_request(seed=2, num_inference_steps=9)
    left = paint(load(tiny, device), {0: [("long", long), ("short", short)], 2: [("later", short)]})
    assert list(left)[-1] == "long"
    for key, request in (("long", long), ("short", short), ("later", short)):
        assert_same_pictures(left[key], stock_images(tiny, request))


def _peak(generator: DiffusionGenerator, side: int) -> int:
    """Bytes of the GPU that one picture takes."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    paint(generator, {0: [("one", tiny_request(width=side, height=side, num_inference_steps=1))]})
    return torch.cuda.max_memory_allocated() - before
